"""What can be done to a user: bar for a time, lift that, or only disconnect.

Times are in seconds since the epoch.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import msgspec

from eventbus import Bus, InvalidRequest, NotFound

from . import clock
from .options import Options
from .sessions import BARRED, EXPIRED
from .state import state_of

logger = logging.getLogger("eventbus.jwt")

TOPIC = "jwt.users"
DAY = 86_400.0


class Order(msgspec.Struct, frozen=True):
    """A message on the topic. `seconds` is how long a bar lasts."""

    action: str
    user: str
    seconds: float = 0.0


class Users:
    """The users of a bus, as far as this node and the store know of them."""

    def __init__(self, bus: Bus, options: Options) -> None:
        self.bus = bus
        self.barred = bus.collection(options.barred)

    async def is_barred(self, user: str) -> bool:
        """Whether the user may not come in now. Raises StoreError: then nobody comes in."""
        try:
            document = await self.barred.doc(user).get()
        except NotFound:
            return False
        until = document.get("until")
        # What is no number was not written here; whoever wrote it meant to bar the user.
        return not isinstance(until, int | float) or until > clock.now()

    async def bar(self, user: str, seconds: float) -> tuple[float, int]:
        """Keep a user out, on every node with this store, and disconnect those on this one.

        Returns until when, and how many connections were closed. Raises ValueError for the user or the time.
        """
        if isinstance(seconds, bool) or not (math.isfinite(seconds) and seconds > 0):
            raise ValueError("seconds is a number above 0")
        until = clock.now() + seconds
        # Stored before anybody is disconnected, so that who connects meanwhile finds it.
        await self.barred.doc(user).set({"until": until})
        return until, await state_of(self.bus).sessions.close(user, BARRED, "barred")

    async def lift(self, user: str) -> None:
        """Let a user in again. Raises ValueError for the user."""
        await self.barred.doc(user).delete()

    async def disconnect(self, user: str) -> int:
        """Close the user's connections on this node; how many there were. The user may come again at once."""
        return await state_of(self.bus).sessions.close(user, EXPIRED, "disconnected")

    async def clear(self) -> None:
        """Delete the bars that have been over for a day."""
        query = self.barred.query().where("until", "<", clock.now() - DAY)
        for user in [user async for user, _ in query.stream()]:
            await self.barred.doc(user).delete()

    async def obey(self, data: Any) -> None:
        """Do what a message on the topic asks for; one that makes no sense is logged."""
        try:
            order = msgspec.convert(data, Order)
            match order.action:
                case "bar":
                    await self.bar(order.user, order.seconds)
                case "lift":
                    await self.lift(order.user)
                case "disconnect":
                    await self.disconnect(order.user)
                case _:
                    raise ValueError("there is no such action")
        except (InvalidRequest, ValueError) as error:
            logger.warning("topic %r: a message that makes no sense: %s", TOPIC, type(error).__name__)
