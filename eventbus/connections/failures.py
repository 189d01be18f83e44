"""What an exception that a chain has raised is about, by itself, within a group or as a cause."""

from __future__ import annotations

from ..description import causes, is_a, leaves, members
from ..errors import ConnectionGone, InvalidRequest, NotFound, PermissionDenied, Reject, StoreError
from ..store.validation import Damaged

MISUSE = (NotFound, PermissionDenied, InvalidRequest, Damaged)
"""What the store raises though it works: the same would come again."""


def store_failed(error: BaseException | None) -> bool:
    """Whether the store is the cause of it, rather than a plugin."""
    seen: set[int] = set()
    waiting = [] if error is None else [error]
    while waiting:
        for each in causes(waiting.pop()):
            if id(each) in seen:
                break
            seen.add(id(each))
            if is_a(each, StoreError) and not any(is_a(each, kind) for kind in MISUSE):
                return True
            waiting.extend(members(each))
    return False


def only_reject(error: BaseException) -> Reject | None:
    """The Reject that a group of exceptions, such as a TaskGroup raises, is about; None if more is in it."""
    found = leaves(error)
    return found[0] if all(is_a(each, Reject) for each in found) else None  # type: ignore[return-value]


def only_gone(connection_id: str, error: BaseException) -> bool:
    """Whether it says that this connection is gone, and nothing else, by itself or in a group."""
    return all(type(each) is ConnectionGone and each.connection_id == connection_id for each in leaves(error))
