"""Which origins may connect."""

from __future__ import annotations

import ipaddress
from types import SimpleNamespace
from typing import Any

import eventbus_origin
import msgspec
import pytest
from eventbus_origin.parse import Origin, parse_host, parse_origin
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from eventbus import Context, Middleware, Next, Reject, hookimpl
from eventbus.testing import Harness


async def status(options: dict[str, Any], *headers: tuple[str, str]) -> int:
    """101, or the status with which a client with these headers is refused."""
    async with Harness(eventbus_origin, options=options) as harness:
        try:
            await harness.connect(headers=CIMultiDict(headers))
        except Reject as reject:
            return reject.status
    return 101


HOST = ("Host", "example.com:8000")


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("example.com:8000", "http://example.com:8000"),
        ("example.com", "http://example.com"),
        ("example.com", "http://example.com:80"),
        ("example.com:80", "http://example.com"),
        ("Example.COM", "HTTP://eXample.com"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("[0:0::1]:8000", "http://[::1]:8000"),
    ],
)
async def test_the_servers_own_origin_is_welcome(host: str, origin: str) -> None:
    assert await status({}, ("Host", host), ("Origin", origin)) == 101


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://example.com:8000",
        "http://example.com",
        "http://example.com:8001",
        "http://example.com.evil.example:8000",
        "http://evil-example.com:8000",
        "http://evil.example#example.com:8000",
        "http://example.com:8000@evil.example",
        "ws://example.com:8000",
        "null",
        "",
        "example.com:8000",
        "http://example.com:8000/",
        "http://example.com:8000 http://evil.example",
        "http://[::1",
        "http://[::zz]",
        "http://example.com:99999",
        "http://example.com:",
        "http://exämple.com:8000",
    ],
)
async def test_any_other_origin_is_refused(origin: str) -> None:
    assert await status({}, HOST, ("Origin", origin)) == 403


async def test_on_a_socket_with_tls_the_servers_own_origin_is_https() -> None:
    class Tls:
        """Makes the socket look like one that is served with TLS."""

        @hookimpl
        def eventbus_connect(self) -> Middleware:
            async def pretend(ctx: Context, call_next: Next) -> Context:
                secure: Any = SimpleNamespace(url=ctx.socket.url.replace("ws://", "wss://", 1))
                ctx.socket = secure
                return await call_next(ctx)

            return pretend

    async with Harness([(Tls(), {}), (eventbus_origin, {})]) as harness:
        for origin in ("https://example.com", "https://example.com:443"):
            client = await harness.connect(headers={"Host": "example.com", "Origin": origin})
            assert client.closed is None
        with pytest.raises(Reject):
            await harness.connect(headers={"Host": "example.com", "Origin": "http://example.com"})


async def test_an_origin_that_is_listed_is_welcome_however_it_is_written() -> None:
    options = {"allow": ["https://App.example", "chrome-extension://abcdef"]}
    assert await status(options, HOST, ("Origin", "https://app.example:443")) == 101
    assert await status(options, HOST, ("Origin", "chrome-extension://abcdef")) == 101
    assert await status(options, HOST, ("Origin", "http://app.example")) == 403
    assert await status(options, HOST, ("Origin", "http://example.com:8000")) == 101


async def test_a_client_without_an_origin_passes_unless_it_is_required() -> None:
    assert await status({}, HOST) == 101
    assert await status({"required": True}, HOST) == 403
    assert await status({"required": True}, HOST, ("Origin", "http://example.com:8000")) == 101


async def test_several_origins_are_refused_even_if_each_is_welcome() -> None:
    own = ("Origin", "http://example.com:8000")
    # No handshake at all, says the server.
    assert await status({"allow": ["*"]}, HOST, own, own) == 400


async def test_a_star_allows_any_origin_but_null_and_what_is_none() -> None:
    options = {"allow": ["*"]}
    assert await status(options, HOST, ("Origin", "https://anywhere.example")) == 101
    assert await status(options, HOST, ("Origin", "null")) == 403
    assert await status(options, HOST, ("Origin", "https://")) == 403


async def test_a_packaged_application_is_let_in_where_it_is_listed() -> None:
    for origin in ("file://", "FILE://", "app://-", "capacitor://localhost", "chrome-extension://abcdef"):
        assert await status({}, HOST, ("Origin", origin)) == 403
        assert await status({"allow": [origin.lower()]}, HOST, ("Origin", origin)) == 101
        assert await status({"allow": ["*"]}, HOST, ("Origin", origin)) == 101
    for other in ("file:///", "file:///etc/passwd", "file://host", "file:"):
        assert await status({"allow": ["file://"]}, HOST, ("Origin", other)) == 403


async def test_null_is_allowed_only_by_its_name() -> None:
    assert await status({"allow": ["null"]}, HOST, ("Origin", "null")) == 101
    assert await status({"allow": ["null"]}, HOST, ("Origin", "https://anywhere.example")) == 403


@pytest.mark.parametrize("host", ["", "example.com:8000:1", "evil example"])
async def test_a_host_that_can_not_be_read_is_nobodys_origin(host: str) -> None:
    assert await status({}, ("Host", host), ("Origin", "http://example.com:8000")) in (400, 403)


async def test_two_hosts_are_nobodys_origin() -> None:
    origin = ("Origin", "http://example.com:8000")
    # The server refuses such a request before any plugin sees it.
    assert await status({}, HOST, ("Host", "other.example"), origin) == 400


@pytest.mark.parametrize(
    "options",
    [
        {"allow": ["example.com"]},
        {"allow": ["https://example.com/"]},
        {"allow": ["https://*.example.com"]},
        {"allow": ["https://exämple.com"]},
        {"allow": "*"},
        {"allowed": []},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, eventbus_origin.Options)


names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{2,6}){0,2}", fullmatch=True)
hosts = names | st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(lambda address: f"[{address}]")
schemes = st.sampled_from(["http", "https"])


@given(scheme=schemes, host=hosts, port=st.integers(1, 65535))
def test_an_origin_is_read_as_it_was_put_together(scheme: str, host: str, port: int) -> None:
    assert parse_origin(f"{scheme}://{host}:{port}") == Origin(scheme, host, port)
    assert parse_host(scheme, f"{host}:{port}") == Origin(scheme, host, port)


@given(scheme=schemes, host=hosts)
def test_case_and_the_default_port_make_no_difference(scheme: str, host: str) -> None:
    port = {"http": 80, "https": 443}[scheme]
    plain = parse_origin(f"{scheme}://{host}")
    assert plain is not None
    assert parse_origin(f"{scheme}://{host}:{port}".upper()) == plain


@pytest.mark.parametrize("port", [0, 65536, 99999, 100000])
def test_a_port_that_can_not_be_makes_no_origin(port: int) -> None:
    assert parse_origin(f"http://example.com:{port}") is None


@given(address=st.ip_addresses(v=6))
def test_an_ipv6_address_may_be_written_in_full(address: ipaddress.IPv6Address) -> None:
    assert parse_origin(f"http://[{address.exploded}]") == parse_origin(f"http://[{address}]")


@given(text=st.text() | st.from_regex(r"https?://[^a-z0-9\[]{1,3}.*"))
def test_anything_else_is_no_origin_and_never_an_error(text: str) -> None:
    origin = parse_origin(text)
    if origin is not None:
        written = f"{origin.scheme}://{origin.host}" + (f":{origin.port}" if origin.port is not None else "")
        assert parse_origin(written) == origin


@given(
    host=names, tail=st.sampled_from(["/", "?", "#", "@", "\\", " ", "\n", "\t", "\0", ","]), more=st.text()
)
def test_nothing_may_follow_the_port(host: str, tail: str, more: str) -> None:
    assert parse_origin(f"https://{host}:443{tail}{more}") is None
