"""TLS from files, with a certificate that can be exchanged while the server runs."""

from __future__ import annotations

import ssl
from functools import partial
from pathlib import Path

from ..config import Config, TlsConfig
from ..config.wording import quoted
from ..errors import ConfigError, Finding
from ..tasks.contents import PATIENCE, contents, within

MISMATCH = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"}


class Tls:
    """What the listening socket speaks.

    A new certificate is loaded into a context of its own and then put in the place of the old one as a whole:
    a key that does not fit can't leave half of the new pair behind. Each handshake takes the one that is
    there when it begins; connections that are open keep theirs.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        """The context to listen with."""
        self._current = context
        context.sni_callback = self._choose

    def use(self, context: ssl.SSLContext) -> None:
        """Take that one for the handshakes that follow."""
        self._current = context

    def _choose(
        self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext
    ) -> None:
        # OpenSSL asks for every handshake, with or without a server's name in it.
        connection.context = self._current


def load_tls(config: Config) -> ssl.SSLContext | None:
    """A context with the configured certificate, None without one. Raises ConfigError with the findings."""
    tls = config.server.tls
    if tls is None:
        return None
    try:
        return within(PATIENCE, partial(load_files, config, tls))
    except TimeoutError as error:
        raise refusal(config, "cert", f"the certificate can't be read: {error.strerror}") from None


def load_files(config: Config, tls: TlsConfig) -> ssl.SSLContext:
    """The same, for as long as the file system takes."""
    if findings := unreadable(config, tls):
        raise ConfigError(findings)
    cert, key = paths(config)
    context = new_context()
    try:
        context.load_verify_locations(cert)
    except (ssl.SSLError, OSError):
        raise refusal(config, "cert", f"the file {quoted(tls.cert)} holds no certificate in PEM") from None
    context = new_context()
    encrypted = []

    def password() -> str:
        encrypted.append(True)
        return ""

    try:
        context.load_cert_chain(cert, key, password)
    except (ssl.SSLError, OSError) as error:
        source = f"the file {quoted(tls.key)}"
        if encrypted:
            message = f"the key in {source} is protected by a password, and nobody is there to type it"
        elif getattr(error, "reason", "") in MISMATCH:
            message = f"the key in {source} does not belong to the certificate"
        else:
            message = f"{source} holds no private key in PEM"
        raise refusal(config, "key", message) from None
    return context


def new_context() -> ssl.SSLContext:
    """A server's context without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def tls_findings(config: Config) -> list[Finding]:
    """What is wrong with the files of the certificate."""
    try:
        load_tls(config)
    except ConfigError as error:
        return list(error.findings)
    return []


def paths(config: Config) -> tuple[Path, ...]:
    """The files of certificate and key; none without TLS."""
    tls = config.server.tls
    return () if tls is None else (config.folder / tls.cert, config.folder / tls.key)


def unreadable(config: Config, tls: TlsConfig) -> list[Finding]:
    """A finding for each file that can't be read."""
    findings = []
    for key, name in (("cert", tls.cert), ("key", tls.key)):
        try:
            contents(config.folder / name, 1, pipes=False)
        except OSError as error:
            message = f"the file {quoted(name)} can't be read: {error.strerror}"
        except ValueError:  # a NUL in the path
            message = f"{quoted(name)} can't be the path of a file"
        else:
            continue
        hint = "" if name.isprintable() else "write a backslash in 'single quotes', or use /"
        findings.append(config.document.finding(("server", "tls", key), message, hint))
    return findings


def refusal(config: Config, key: str, message: str) -> ConfigError:
    """A finding about one of the files."""
    return ConfigError([config.document.finding(("server", "tls", key), message)])
