"""What is installed: entry points of the group `eventbus`, without importing any of them.

Each distribution is read by itself and by exact steps: one that is damaged says so, and hides none of the
others, which it does where importlib.metadata reads them all at once.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import re
from collections.abc import Iterator

from ..description import describe, exact, one_line
from .bundled import DISTRIBUTION, bundled, own_version

GROUP = "eventbus"

TARGET = re.compile(r"(?P<module>\w+(\.\w+)*)\s*(:\s*\w+(\.\w+)*)?\s*(\[.*\])?", re.ASCII)
"""`module` or `module:attribute`, with extras behind it or not."""


@dataclasses.dataclass(frozen=True, slots=True)
class Installed:
    """A plugin that is installed. `others` are further distributions that claim the same name.

    `problem` says why it can't be used, `note` what else is wrong with its distribution.
    """

    name: str
    distribution: str
    version: str
    entry_point: importlib.metadata.EntryPoint
    others: tuple[str, ...] = ()
    problem: str = ""
    note: str = ""

    @property
    def module(self) -> str:
        """The name of its module, empty where the entry point names none."""
        match = TARGET.fullmatch(self.entry_point.value)
        return "" if match is None else match["module"]


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """A distribution: its name and version as far as they can be known, and what is wrong with it."""

    name: str
    version: str
    problem: str


def installed() -> dict[str, Installed]:
    """Every installed plugin by its entry point's name, sorted. Never raises an Exception.

    A distribution goes before what is bundled with the server under the same name.
    """
    found: dict[str, Installed] = {}
    for each in entries():
        known = found.get(each.name)
        if known is None:
            found[each.name] = each
        elif each.distribution != known.distribution:
            # An editable install is sometimes listed twice under one name; two owners are a conflict.
            found[each.name] = dataclasses.replace(known, others=(*known.others, each.distribution))
        elif each.entry_point.value != known.entry_point.value:
            problem = f"{known.distribution} names it twice, as {shown(known)} and as {shown(each)}"
            found[each.name] = dataclasses.replace(known, problem=known.problem or problem)
        elif each.version != known.version:
            note = f"{known.distribution} is installed twice, as {known.version} and as {each.version}"
            found[each.name] = dataclasses.replace(known, note=known.note or note)
    version = own_version()
    for point in bundled(GROUP):
        found.setdefault(point.name, Installed(point.name, DISTRIBUTION, version, point))
    return dict(sorted(found.items()))


def shown(each: Installed) -> str:
    """What an entry point names, for a message."""
    return repr(one_line(each.entry_point.value))


def entries() -> Iterator[Installed]:
    """What each distribution says of plugins, the first on the path first."""
    for distribution in distributions():
        try:
            text = distribution.read_text("entry_points.txt")
        except Exception as error:  # bytes that are no UTF-8 too, where Python reads strictly
            text = undecoded(distribution)
            if text is None:
                owner = owner_of(distribution)
                yield unreadable(owner, f"its entry_points.txt can't be read: {describe(error)}")
                continue
        lines = list(section(exact(text, 1_000_000) or ""))
        if lines:
            owner = owner_of(distribution)
            yield from (entry(owner, line) for line in lines)


def distributions() -> Iterator[importlib.metadata.Distribution]:
    """Every distribution; a finder that raises has no more."""
    try:
        found = iter(importlib.metadata.distributions())
    except Exception:
        return
    while True:
        try:
            distribution = next(found, None)
        except Exception:
            return
        if distribution is None:
            return
        yield distribution


def undecoded(distribution: importlib.metadata.Distribution) -> str | None:
    """Entry points that are not UTF-8, with marks in the place of what isn't; None without a file."""
    try:
        path = distribution._path / "entry_points.txt"  # type: ignore[attr-defined]
        content = path.read_bytes()
    except Exception:
        return None
    return str(content, errors="replace")


def section(text: str) -> Iterator[str]:
    """The lines of the group, without comments."""
    inside = False
    for line in map(str.strip, text.split("\n")):
        if line.startswith("["):
            inside = line.removeprefix("[").partition("]")[0].strip() == GROUP
        elif inside and line and not line.startswith(("#", ";")):
            yield line


def entry(owner: Owner, line: str) -> Installed:
    """A plugin from its line `name = module:attribute`."""
    name, equals, value = (part.strip() for part in line.partition("="))
    clear = one_line(name)
    problem = ""
    if not equals or not name:
        problem = f"a line of its entry_points.txt is no `name = module`: {one_line(line)[:100]!r}"
    elif "\N{REPLACEMENT CHARACTER}" in line:
        problem = "its entry_points.txt is not UTF-8"
    elif clear != name:
        problem = "its name has characters that can't be printed"
    elif TARGET.fullmatch(value) is None:
        problem = f"its entry point names no module: {one_line(value)[:100]!r}"
    point = importlib.metadata.EntryPoint(clear, value, GROUP)
    name = clear or owner.name
    return Installed(name, owner.name, owner.version, point, problem=problem, note=owner.problem)


def unreadable(owner: Owner, problem: str) -> Installed:
    """A row for a distribution whose plugins can't be known; it has the distribution's own name."""
    point = importlib.metadata.EntryPoint(owner.name, "", GROUP)
    return Installed(owner.name, owner.name, owner.version, point, problem=problem)


def owner_of(distribution: importlib.metadata.Distribution) -> Owner:
    """The name and version that it says, else those of its folder."""
    name = said(distribution, "Name")
    version = said(distribution, "Version")
    complete = name and version
    problem = "" if complete else "its distribution has no METADATA with name and version: reinstall it"
    try:
        stem = str(distribution._path.stem)  # type: ignore[attr-defined]
    except Exception:
        stem = "unknown"
    folder, _, number = stem.partition("-")
    return Owner(one_line(name or folder), one_line(version or number), problem)


def said(distribution: importlib.metadata.Distribution, field: str) -> str | None:
    """A field of the metadata; None where there is none."""
    try:
        value = distribution.metadata[field]
    except Exception:
        return None
    return (exact(value, 200) or "").strip() or None
