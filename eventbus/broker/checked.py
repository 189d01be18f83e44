"""A broker of others: what it brings is looked at, and it neither hangs nor raises whatever it likes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from ..description import describe, is_a, type_name
from ..errors import EventBusError
from ..supervision import stopped
from .protocol import Broker, Publication, Receiver

DEADLINE = 5.0
"""Seconds that a broker has to take a publication."""

Complain = Callable[[BaseException], None]


class CheckedBroker:
    """The broker that the bus uses; `inner` is the one behind it, and `name` begins what is said of it.

    What it brings that is no publication goes to `complain`: another node, or another program that publishes
    there, has made it, and it says nothing about whether this node works.
    """

    def __init__(self, inner: Broker, name: str = "") -> None:
        self.inner = inner
        self.name = name or f"broker {type_name(inner)}"
        self.complain: Complain | None = None

    async def start(self, receiver: Receiver) -> None:
        """For as long as the caller allows. Raises EventBusError for whatever it raises."""
        await self._ask("start", partial(self._receive, receiver))

    async def stop(self) -> None:
        """For as long as the caller allows."""
        await self._ask("stop")

    async def publish(self, publication: Publication) -> None:
        """Raises EventBusError for whatever it raises, and when its time is over."""
        limit = asyncio.timeout(DEADLINE)
        try:
            async with limit:
                await self._ask("publish", publication)
        except TimeoutError:
            raise EventBusError(f"{self.name}: its publish did not answer within {DEADLINE:g} s") from None

    async def _ask(self, method: str, *arguments: object) -> Any:
        try:
            return await getattr(self.inner, method)(*arguments)
        except BaseException as error:
            if stopped(error) or is_a(error, EventBusError):
                raise
            raise EventBusError(f"{self.name}: its {method} raised {describe(error)}") from error

    def _receive(self, receiver: Receiver, publication: Publication) -> None:
        problem = problem_of(publication)
        if not problem:
            receiver(publication)
        elif self.complain is not None:
            self.complain(ValueError(f"{self.name} brought what can't be delivered: {problem}"))


def problem_of(publication: object) -> str:
    """What is wrong with what a broker brings, if anything is. No code of it runs."""
    if type(publication) is not Publication:
        return f"{type_name(publication)}, which is no Publication"
    for field in ("space", "channel", "data", "key"):
        value = getattr(publication, field)
        if type(value) is str:
            try:
                value.encode()
            except UnicodeEncodeError:
                return f"its {field} has a lone surrogate, so it is no UTF-8"
        elif not (field == "data" and type(value) is bytes) and not (field == "key" and value is None):
            return f"its {field} can't be {type_name(value)}"
    if type(publication.exclude) not in (frozenset, set):
        return f"its exclude can't be {type_name(publication.exclude)}"
    return ""
