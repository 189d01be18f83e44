"""The files that the application's modules are, or could be."""

from __future__ import annotations

import os

from .application import Application, application

LIMIT = 10_000
"""Files that are looked at."""


def source_files(home: Application = application) -> set[str]:
    """Every file that a loaded module of the application is, and those that an import could find beside them.

    Names that no import can find, such as the temporary files of editors, are left out, and so are folders
    that hold what was installed. Any thread may ask.
    """
    found = {entry.path for entry in list(home.loaded.values())}
    for root, folders, files in os.walk(home.folder) if home.folder.is_absolute() else ():
        folders[:] = [
            name for name in folders if name.isidentifier() and home.owned.contains(os.path.join(root, name))
        ]
        found |= {
            os.path.join(root, name) for name in files if name.endswith(".py") and name[:-3].isidentifier()
        }
        if len(found) > LIMIT:
            break
    return found
