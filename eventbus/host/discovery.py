"""What is installed: entry points of the group `eventbus`, without importing any of them."""

from __future__ import annotations

import dataclasses
import importlib.metadata

from .bundled import DISTRIBUTION, bundled, own_version

GROUP = "eventbus"


@dataclasses.dataclass(frozen=True, slots=True)
class Installed:
    """A plugin that is installed. `others` are further distributions that claim the same name."""

    name: str
    distribution: str
    version: str
    entry_point: importlib.metadata.EntryPoint
    others: tuple[str, ...] = ()


def installed() -> dict[str, Installed]:
    """Every installed plugin by its entry point's name, sorted.

    A distribution goes before what is bundled with the server under the same name.
    """
    found: dict[str, Installed] = {}
    for entry_point in importlib.metadata.entry_points(group=GROUP):
        distribution = entry_point.dist
        owner = distribution.name if distribution is not None else "unknown"
        version = distribution.version if distribution is not None else ""
        known = found.get(entry_point.name)
        if known is None:
            found[entry_point.name] = Installed(entry_point.name, owner, version, entry_point)
        elif owner != known.distribution:
            # An editable install is sometimes listed twice under one name; two owners are a conflict.
            found[entry_point.name] = dataclasses.replace(known, others=(*known.others, owner))
    version = own_version()
    for entry_point in bundled(GROUP):
        found.setdefault(entry_point.name, Installed(entry_point.name, DISTRIBUTION, version, entry_point))
    return dict(sorted(found.items()))
