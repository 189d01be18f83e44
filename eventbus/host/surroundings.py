"""What a plugin's import may not change for everybody else: the working directory, and where modules are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def kept_in_order() -> Iterator[None]:
    """Put back what the code within has taken away. What it adds to the import system stays."""
    path, entries = sys.path, list(sys.path)
    finders: list[Any] = sys.meta_path
    hooks: list[Any] = sys.path_hooks
    found, hooked = list(finders), list(hooks)
    modules, known = sys.modules, dict(sys.modules)
    try:
        folder = os.getcwd()
    except OSError:
        folder = ""
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
                os.chdir(folder)
