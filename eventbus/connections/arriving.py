"""Whose connect chain runs, for what is called within it."""

from __future__ import annotations

import weakref
from contextvars import ContextVar

from .connection import ClientConnection

arriving: ContextVar[weakref.ref[ClientConnection] | None] = ContextVar("arriving", default=None)
"""The connection whose connect chain runs. Weak: cancelled timers keep their context."""
