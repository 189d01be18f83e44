"""Whether a plugin leaves tasks behind when the bus has stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any


def check_tasks(plugins: Sequence[Any]) -> None:
    """Raise RuntimeError for tasks that run code of these modules, and that nobody has cancelled.

    A plugin that is an object of the test's own is not looked at: its file has tasks of the test, too.
    """
    files = tuple(map(place_of, (plugin for plugin in plugins if isinstance(plugin, ModuleType))))
    left = [
        f"{task.get_name()} in {code.co_qualname}, {code.co_filename}:{code.co_firstlineno}"
        for task in asyncio.all_tasks()
        if not task.cancelling() and (code := getattr(task.get_coro(), "cr_code", None)) is not None
        if any(code.co_filename.startswith(file) for file in files)
    ]
    if left:
        raise RuntimeError(
            f"the bus has stopped, and tasks of its plugins go on: {'; '.join(left)}. "
            "Cancel them in a disconnect chain or a lifespan, or start them with bus.supervise"
        )


def place_of(plugin: ModuleType) -> str:
    """The folder of a package, the file of any other module; what never matches where there is none."""
    file = getattr(plugin, "__file__", None)
    if file is None:
        return "\0"
    return f"{Path(file).parent}/" if hasattr(plugin, "__path__") else file
