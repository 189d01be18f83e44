"""A broker of others: what it brings is looked at, and it neither hangs nor raises whatever it likes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import get_ident

from ..description import type_name
from ..errors import EventBusError, WrongThread
from ..tasks.calls import Calls
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
        self._calls = Calls(inner, self.name, EventBusError, EventBusError)
        self._thread = 0

    async def start(self, receiver: Receiver) -> None:
        """For as long as the caller allows. Raises EventBusError for whatever it raises."""
        self._thread = get_ident()
        await self._calls.ask("start", None, partial(self._receive, receiver))

    async def stop(self) -> None:
        """For as long as the caller allows."""
        await self._calls.ask("stop", None)

    async def publish(self, publication: Publication) -> None:
        """Raises EventBusError for whatever it raises, and when its time is over."""
        await self._calls.ask("publish", DEADLINE, publication)

    def _receive(self, receiver: Receiver, publication: Publication) -> None:
        if get_ident() != self._thread:
            self._stray()
        problem = problem_of(publication)
        if not problem:
            receiver(publication)
        elif self.complain is not None:
            self.complain(ValueError(f"{self.name} brought what can't be delivered: {problem}"))

    def _stray(self) -> None:
        """Raise WrongThread, and say so: the broker's own thread may keep that to itself."""
        if self.complain is not None:
            called = "called the receiver in a thread of its own, so nothing is delivered"
            advice = "it has to use loop.call_soon_threadsafe(receiver, publication)"
            self.complain(EventBusError(f"{self.name} {called}; {advice}"))
        raise WrongThread


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
