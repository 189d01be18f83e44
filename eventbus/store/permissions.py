"""What a collection can be granted."""

from __future__ import annotations

from ..errors import InvalidRequest, PermissionDenied
from .protocol import Place

READING = "reading"
WRITING = "writing"
DELETING = "deleting"

EVERYTHING = frozenset((READING, WRITING, DELETING))


def narrow(granted: frozenset[str], wanted: tuple[str, ...]) -> frozenset[str]:
    """What is both granted and wanted. Raises InvalidRequest for a name that is no permission."""
    for name in wanted:
        if not isinstance(name, str) or name not in EVERYTHING:
            raise InvalidRequest(f"no permission {name!r}; there are {READING}, {WRITING} and {DELETING}")
    return granted & frozenset(wanted)


def check_granted(granted: frozenset[str], permission: str, place: Place) -> None:
    """Raise PermissionDenied unless the permission is granted."""
    if permission not in granted:
        name = f"{place.collection}/{place.parent}/{place.child}" if place.child else place.collection
        raise PermissionDenied(f"{permission} was not granted for the collection {name!r}")
