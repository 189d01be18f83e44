"""What an import may not change for everybody else: the working directory, and where modules are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..signals.signals import signals


@contextmanager
def kept_in_order(who: str) -> Iterator[None]:
    """Put back what the code within has taken away. What it adds to the import system stays.

    That `who` has changed the working directory is said, as its own relative paths may count on that.
    """
    path, entries = sys.path, list(sys.path)
    finders: list[Any] = sys.meta_path
    hooks: list[Any] = sys.path_hooks
    found, hooked = list(finders), list(hooks)
    modules, known = sys.modules, dict(sys.modules)
    folder = working_directory()
    try:
        yield
    finally:
        added = [entry for entry in sys.path if isinstance(entry, str)] if type(sys.path) is list else []
        if sys.path is not path or not set(entries) <= set(added) or len(added) != len(sys.path):
            sys.path = path
            path[:] = [*entries, *(entry for entry in added if entry not in entries)]
        for kept, listed in ((finders, found), (hooks, hooked)):
            kept += [each for each in listed if not any(each is other for other in kept)]
        sys.meta_path, sys.path_hooks, sys.modules = finders, hooks, modules
        for name, module in known.items():
            # Another module in the place of one is a known trick; one that is gone, or None, is damage.
            if modules.get(name) is None:
                modules[name] = module
        if folder:
            with suppress(OSError):
                now = working_directory()
                os.chdir(folder)
                if now != folder:
                    signals.tell(
                        f"{who} changed the working directory to {now or 'one that is gone'} at its import; "
                        f"it is {folder} again, where relative paths count from"
                    )


def working_directory() -> str:
    """The working directory; empty where it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return ""
