"""The HTTP routes of plugins, tried against each other and against what the server itself is asked for."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import hdrs, web
from aiohttp.abc import AbstractMatchInfo
from aiohttp.web_routedef import AbstractRouteDef
from yarl import URL

from ..description import describe

SAMPLES = ("x", "1")
"""What stands for the variable part of a path where it is tried."""

METHODS = (hdrs.METH_GET, hdrs.METH_POST, hdrs.METH_PUT, hdrs.METH_PATCH, hdrs.METH_DELETE, hdrs.METH_OPTIONS)
"""What a route for every method is tried with."""


@dataclasses.dataclass(frozen=True, slots=True)
class Conflict:
    """Why a route does not serve what it was made for, or takes what belongs to another."""

    plugin: str
    message: str
    hint: str = ""
    harmless: bool = False
    """Whether it runs as the documentation says, so that a warning will do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """As much of a request as aiohttp looks at to choose a route."""

    method: str
    rel_url: URL
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


def conflicts(
    routes: Sequence[tuple[str, AbstractRouteDef]], sockets: Mapping[str, str], pages: Sequence[str]
) -> Iterator[Conflict]:
    """What is wrong with the routes, each with the plugin that it is of.

    `sockets` are their names by their paths, `pages` the paths of what is built in.
    """
    app = web.Application()
    owners: dict[web.AbstractRoute, str] = {}
    for plugin, route in routes:
        try:
            added = route.register(app.router)
        except RuntimeError:
            yield Conflict(plugin, f"{named(route)} is another route's already", "take one of them out")
        except BaseException as error:
            yield Conflict(plugin, f"{named(route)} can't be served: {describe(error)}")
        else:
            owners |= dict.fromkeys(added, plugin)
    yield from between(app.router, owners)
    for path, socket in sockets.items():
        if (taken := taker(app.router, path)) is not None:
            message = f"its route {shown(taken)} takes what comes for {path}, where socket {socket!r} is"
            yield Conflict(owners[taken], message, "change the path of one of them")
    for path in pages:
        taken = None if path in sockets else taker(app.router, path)
        if taken is None:
            continue
        if taken.resource is not None and taken.resource.canonical == path:
            message = f"its route {shown(taken)} is served in place of the page that is built in"
            yield Conflict(owners[taken], message, "[server] can say that it is not wanted", harmless=True)
        else:
            message = f"its route {shown(taken)} takes what comes for {path}, which is built in"
            yield Conflict(owners[taken], message, "give the route a path of its own, or the page another")


def between(router: web.UrlDispatcher, owners: Mapping[web.AbstractRoute, str]) -> Iterator[Conflict]:
    """Routes that never run, because another one takes all that they are for."""
    for route, plugin in owners.items():
        if route.resource is None or (route.method == hdrs.METH_HEAD and twin(route, owners)):
            continue
        for path in samples(route.resource):
            methods = METHODS if route.method == hdrs.METH_ANY else (route.method,)
            others = [found for method in methods if (found := match(router, method, path)) is not route]
            if len(others) < len(methods) or not matches(route.resource, methods[0], path):
                continue
            taken = next((other for other in others if other is not None), None)
            if taken is not None:
                message = f"its route {shown(route)} never runs: {shown(taken)} of {owners[taken]!r} is first"
                yield Conflict(plugin, message, "change the path of one of them")
                break


def twin(route: web.AbstractRoute, owners: Mapping[web.AbstractRoute, str]) -> bool:
    """Whether aiohttp has made this route for HEAD by itself, beside one for GET."""
    return any(other.resource is route.resource and other.method == hdrs.METH_GET for other in owners)


def samples(resource: web.AbstractResource) -> list[str]:
    """Paths that a resource may be meant for."""
    if isinstance(resource, web.StaticResource):
        return [f"{resource.canonical}/x"]
    if "{" not in resource.canonical:
        return [resource.canonical]
    return [re.sub(r"\{[^{}]*\}", sample, resource.canonical) for sample in SAMPLES]


def taker(router: web.UrlDispatcher, path: str) -> web.AbstractRoute | None:
    """The route that a GET of the path goes to; None if there is none."""
    return match(router, hdrs.METH_GET, path)


def match(router: web.UrlDispatcher, method: str, path: str) -> web.AbstractRoute | None:
    """The route that a request goes to; None if there is none."""
    found: AbstractMatchInfo = finished(router.resolve(request(method, path)))
    return None if found.http_exception is not None else getattr(found, "route", None)


def matches(resource: web.AbstractResource, method: str, path: str) -> bool:
    """Whether the resource by itself takes the request."""
    return finished(resource.resolve(request(method, path)))[0] is not None


def request(method: str, path: str) -> Any:
    """A request of that path, as far as it is looked at."""
    return Probe(method, URL.build(path=path))


def finished(awaitable: Any) -> Any:
    """The result of a coroutine that waits for nothing: aiohttp chooses routes in one, but without a loop."""
    try:
        awaitable.send(None)
    except StopIteration as done:
        return done.value
    awaitable.close()
    raise RuntimeError("a route waits before it is chosen")


def shown(route: web.AbstractRoute) -> str:
    """`GET /users/{name}`."""
    path = "" if route.resource is None else route.resource.canonical
    return f"{route.method} {path}"


def named(definition: AbstractRouteDef) -> str:
    """The same, of a route that could not be added."""
    path = getattr(definition, "path", "") or getattr(definition, "prefix", "")
    return f"its route {getattr(definition, 'method', 'GET')} {path}"
