"""One HTTP route of a plugin, whose handler can be exchanged while it is served."""

from __future__ import annotations

import inspect
from typing import Any

from aiohttp import web
from aiohttp.web_routedef import AbstractRouteDef


class Served:
    """One route of a plugin."""

    def __init__(self, definition: AbstractRouteDef) -> None:
        self.definition = definition
        self.handler: Any = getattr(definition, "handler", None)
        """What is called for a request, now."""

    @property
    def route(self) -> AbstractRouteDef:
        """The route as aiohttp gets it."""
        made = self.definition
        if not isinstance(made, web.RouteDef) or not exchangeable(made):
            return made

        async def serve(request: web.Request) -> web.StreamResponse:
            response: web.StreamResponse = await self.handler(request)
            return response

        return web.RouteDef(made.method, made.path, serve, made.kwargs)


def exchangeable(definition: AbstractRouteDef) -> bool:
    """Whether a route can be given another handler: one for a path, with a function or a view that awaits."""
    if not isinstance(definition, web.RouteDef):
        return False
    handler = definition.handler
    is_view = isinstance(handler, type) and issubclass(handler, web.View)
    return is_view or inspect.iscoroutinefunction(handler)


def shape(definition: AbstractRouteDef) -> object:
    """What is fixed of a route."""
    if isinstance(definition, web.RouteDef) and exchangeable(definition):
        return (definition.method, definition.path, definition.kwargs)
    return definition
