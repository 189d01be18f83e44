"""What the links, the lifespan and the routes of one bus share."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable

from eventbus import Bus

from .jwks import Jwks
from .options import Options
from .sessions import Sessions
from .verify import Keys, OneKey

# A plugin's hooks are called apart, once for each link and again at a reload; only the bus is the same.
_states: weakref.WeakKeyDictionary[Bus, State] = weakref.WeakKeyDictionary()


class State:
    """The connections with a token, and the sets of keys."""

    def __init__(self, bus: Bus) -> None:
        # Weakly, as the bus is what this is kept for.
        self._bus = weakref.ref(bus)
        self.sessions = Sessions()
        self._keys: dict[tuple[object, ...], Keys] = {}
        self._lifespans = 0
        self._task: asyncio.Future[None] | None = None

    def keys(self, options: Options) -> Keys:
        """Where the keys of a link are; links that say the same of it share what was fetched."""
        how = (
            options.secret,
            options.public_key,
            options.jwks,
            options.jwks_min_refresh,
            options.jwks_max_age,
            options.jwks_timeout,
            options.jwks_max_size,
        )
        keys = self._keys.get(how)
        if keys is None:
            keys = self._keys[how] = (
                OneKey(options) if options.jwks is None else Jwks(options, self._supervise)
            )
        return keys

    def _supervise(self, name: str, work: Callable[[], Awaitable[object]]) -> asyncio.Future[None]:
        """`Bus.supervise`."""
        bus = self._bus()
        assert bus is not None, "the bus runs"
        return bus.supervise(name, work)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch over the tokens while any lifespan is open: at a reload there are two for a moment."""
        self._lifespans += 1
        if self._task is None:
            self._task = self._supervise("jwt: tokens that run out", self.sessions.run)
        try:
            yield
        finally:
            self._lifespans -= 1
            if not self._lifespans:
                await self._stop()

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        for keys in self._keys.values():
            if isinstance(keys, Jwks):
                await keys.close()
        self._keys.clear()


def state_of(bus: Bus) -> State:
    """The state of a bus; the same object every time."""
    state = _states.get(bus)
    if state is None:
        state = _states[bus] = State(bus)
    return state
