"""Refuses browsers that come from another site: the guard against cross-site WebSocket hijacking."""

from __future__ import annotations

import msgspec

from eventbus import Context, Middleware, Next, Reject, Request, hookimpl

from .parse import Origin, parse_host, parse_origin

ANY = "*"
NULL = "null"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`allow` lists further origins, `required` refuses clients that send none."""

    allow: tuple[str, ...] = ()
    required: bool = False

    def __post_init__(self) -> None:
        for text in self.allow:
            if text not in (ANY, NULL) and parse_origin(text) is None:
                raise ValueError(
                    f'{text!r} in allow is not an origin: that is like "https://example.com:8443", without a '
                    f'path, an international name in its xn-- form; or "file://", "*" or "null"'
                )


@hookimpl
def eventbus_options() -> type[Options]:
    return Options


@hookimpl
def eventbus_connect(options: Options) -> Middleware:
    """The link that lets a connection pass or refuses it with 403, before anything behind it runs."""
    listed = frozenset(parse_origin(text) for text in options.allow if text not in (ANY, NULL))
    allow_any, allow_null = ANY in options.allow, NULL in options.allow

    def allowed(text: str, ctx: Context) -> bool:
        if text == NULL:
            return allow_null
        origin = parse_origin(text)
        return origin is not None and (allow_any or origin in listed or origin == own_origin(ctx))

    async def check(ctx: Context, call_next: Next) -> Context:
        match ctx.request.headers.getall("Origin", []):
            case []:
                if options.required:
                    raise Reject(403, "an Origin header is required")
            case [text] if allowed(text, ctx):
                pass
            case _:
                raise Reject(403, "this origin is not allowed")
        return await call_next(ctx)

    return check


def own_origin(ctx: Context) -> Origin | None:
    """What the client itself called this server, or None where it doesn't say.

    It is `https` if the client came that way, here or to a trusted proxy, or if the configured URL says so:
    then a proxy ends TLS and tells nobody.
    """
    host = host_header(ctx.request)
    secure = ctx.request.scheme == "https" or ctx.socket.url.startswith("wss:")
    return parse_host("https" if secure else "http", host) if host is not None else None


def host_header(request: Request) -> str | None:
    """The one Host header, or None where there is none or more than one."""
    hosts = request.headers.getall("Host", [])
    return hosts[0] if len(hosts) == 1 else None
