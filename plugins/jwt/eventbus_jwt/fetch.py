"""The body of an issuer's answer: of bounded size, in bounded time, through a proxy where there is one."""

from __future__ import annotations

import urllib.request

import aiohttp
from yarl import URL

from .options import Options


class Unusable(ValueError):
    """An answer, or a proxy, that can't be used. Its text is written here and shows no secret."""


def proxy_for(url: URL) -> URL | None:
    """The proxy that the environment names for a URL: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY.

    Raises Unusable for one that isn't an HTTP proxy. Nothing else of the environment is looked at: no
    passwords of a .netrc are sent to anybody.
    """
    proxies = urllib.request.getproxies()
    text = proxies.get(url.scheme) or proxies.get("all")
    if not text or urllib.request.proxy_bypass(f"{url.host}:{url.port}"):
        return None
    try:
        proxy = URL(text if "://" in text else f"http://{text}")
    except ValueError:
        raise Unusable("the proxy in the environment is no URL") from None
    if proxy.scheme != "http" or not proxy.host:
        raise Unusable("the proxy in the environment is no http:// URL")
    return proxy


async def fetch(options: Options) -> bytes:
    """What is at the URL of the keys. Raises ClientError, TimeoutError, or Unusable."""
    url = URL(options.jwks or "")
    timeout = aiohttp.ClientTimeout(total=options.jwks_timeout)
    async with (
        # Not inflated: a small body must not become a large one here.
        aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
        # Redirects aren't followed: they could lead to another server, or from https to http.
        session.get(
            url,
            allow_redirects=False,
            headers={"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"},
            proxy=proxy_for(url),
        ) as response,
    ):
        if response.status != 200:
            raise Unusable(f"the status is {response.status}")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > options.jwks_max_size:
                raise Unusable(f"it is larger than {options.jwks_max_size} bytes")
        return bytes(body)
