"""Imports with a deadline: a plugin that raises or hangs while it is imported becomes a PluginBroken."""

from __future__ import annotations

import importlib
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import PluginBroken
from .discovery import Installed

STANDARD_LIBRARY = sysconfig.get_path("stdlib")


def load_entry_point(plugin: Installed, timeout: float) -> Any:
    """The module or object that the entry point names. Raises PluginBroken; `timeout` in seconds."""
    return import_within(plugin.name, plugin.entry_point.load, timeout)


def load_attribute(reference: str, folder: Path, timeout: float) -> Any:
    """The attribute that `module:attribute` names; the module is found in `folder` first.

    Raises PluginBroken when it can't be imported, has no such attribute, or takes longer than `timeout`
    seconds.
    """
    module_name, _, attribute = reference.partition(":")

    def load() -> Any:
        with first_on_path(folder):
            value: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            value = getattr(value, part)
        return value

    return import_within(reference, load, timeout)


@contextmanager
def first_on_path(folder: Path) -> Iterator[None]:
    """Modules are looked for in the folder before anywhere else."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def import_within(name: str, load: Callable[[], Any], timeout: float) -> Any:
    """Run the import in a thread of its own and wait for it. Raises PluginBroken.

    A thread, because an import that hangs can't be interrupted: it is left behind as a daemon, which holds up
    neither the findings nor the end of the process.
    """
    values: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            values.append(load())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name=f"import {name}", daemon=True)
    thread.start()
    thread.join(timeout)
    if thread.is_alive():
        raise PluginBroken(name, f"its import hangs for {timeout:g} s{where_now(thread)}")
    if errors:
        raise PluginBroken(name, f"its import failed: {describe(errors[0])}") from errors[0]
    return values[0]


def where_now(thread: threading.Thread) -> str:
    """The file and line that a hanging import is at."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and not authored(frame.f_code.co_filename):
        frame = frame.f_back
    return f", at {frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""


def authored(file: str) -> bool:
    """Whether a file is neither frozen, nor this one, nor of Python's own library."""
    own = file.startswith(STANDARD_LIBRARY) and "site-packages" not in file and "dist-packages" not in file
    return not (own or file.startswith("<frozen") or file == __file__)


def describe(error: BaseException) -> str:
    """The exception in one line, with the last place outside Python's own library."""
    text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    places = [f for f in traceback.extract_tb(error.__traceback__) if authored(f.filename)]
    return f"{text} (at {places[-1].filename}:{places[-1].lineno})" if places else text
