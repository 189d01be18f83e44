"""Notices changes of the files that a reload would read, for `--reload`."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import stat
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..config import Config
from ..host import source_files
from ..tasks.threads import in_thread
from .reloader import Reloader

logger = logging.getLogger("eventbus")

INTERVAL = 0.5
"""Seconds between two looks at the files."""

LONGEST = 1024
"""Characters of an option that may be the path of a file."""

ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}
"""Why there is no file: most options are no paths."""

Stamp = tuple[int, int, int, int]
"""What differs when a file was written, or another one or another link has taken its place."""


async def watch_files(reloader: Reloader, request: Callable[[str], Awaitable[None]]) -> None:
    """Ask for a reload when something that it reads has changed."""
    look = Look()
    seen = await in_thread(look.stamps, reloader)
    # Something may have been saved after it was read and before the first look.
    if await in_thread(reloader.is_outdated) or await in_thread(newer, seen, reloader.began):
        await request("a file changed")
    while True:
        await asyncio.sleep(INTERVAL)
        now = await in_thread(look.stamps, reloader)
        changed = {path for path in now.keys() | seen.keys() if now.get(path) != seen.get(path)}
        seen = now
        if changed and not changed <= await in_thread(written_here):
            await request("a file changed")


class Look:
    """Looks at files. What it can't look at is left out, and said once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def stamps(self, reloader: Reloader) -> dict[str, Stamp]:
        """The files that a reload reads, as they are now."""
        folder = working_directory()
        if not folder:
            self._say("the working directory is gone: files whose paths begin there are no longer watched")
        own = {str(path) for path in reloader.files} | source_files()
        found = {}
        for path in own | set(named_files(reloader.config, folder)):
            try:
                status = os.stat(path)
            except ValueError:
                continue
            except OSError as error:
                if error.errno not in ABSENT:
                    self._say(f"{path} can't be looked at ({error.strerror}): no change of it is noticed")
                continue
            if stat.S_ISREG(status.st_mode):
                found[path] = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev)
        return found

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            logger.warning("%s", text)


def newer(files: Iterable[str], since: float) -> bool:
    """Whether one of the files was written or put there after that time, in seconds since the epoch."""
    ours = written_here()
    for path in files:
        with contextlib.suppress(OSError):
            if os.stat(path).st_ctime >= since and path not in ours:
                return True
    return False


def working_directory() -> str:
    """The working directory; empty where it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def named_files(config: Config, folder: str) -> Iterator[str]:
    """What may be the path of a file in the options of plugins and links, and the files of secrets.

    `folder` is the working directory, empty if there is none.
    """
    data = config.document.data
    for text in texts(data, file=True):
        yield str(config.folder / text)
    # A plugin starts at the working directory or at the configuration.
    for text in texts([data.get("plugins"), data.get("sockets")]):
        if text and len(text) <= LONGEST and text.isprintable():
            if folder or os.path.isabs(text):
                yield os.path.normpath(os.path.join(folder, text))
            yield str(config.folder / text)


def texts(value: Any, file: bool = False) -> Iterator[str]:
    """Every text in tables and arrays; with `file` those of references to a secret in a file."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not file or key == "file" or not isinstance(item, str):
                yield from texts(item, file)
    elif isinstance(value, list):
        for item in value:
            if not file or not isinstance(item, str):
                yield from texts(item, file)
    elif isinstance(value, str):
        yield value


def written_here() -> set[str]:
    """The files that this process has open to write: a log, a database. Empty where that can't be seen."""
    found: set[str] = set()
    try:
        numbers = os.listdir("/proc/self/fd")
    except OSError:
        return found
    for number in numbers:
        try:
            flags = Path(f"/proc/self/fdinfo/{number}").read_text().partition("flags:")[2].split()[0]
            if int(flags, 8) & (os.O_WRONLY | os.O_RDWR):
                found.add(os.readlink(f"/proc/self/fd/{number}"))
        except (OSError, IndexError, ValueError):
            continue
    return found
