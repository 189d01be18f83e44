"""Whether a file can become the store, found out without touching it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from .sqlite_file import APPLICATION_ID, SCHEMA_VERSION

MAGIC = b"SQLite format 3\0"


def problem(path: Path) -> str:
    """Why the store could not be opened here, and what to do; empty if nothing speaks against it.

    What only opening can tell, such as a lock of another process, is not looked at.
    """
    if path.name == ":memory:" or path.name.startswith("file:") or str(path).startswith("file:"):
        return "the store is a file, as it outlives the process; name one, in a temporary folder for a trial"
    if not str(path).isprintable():
        return "there is a control character in the path; write a backslash in 'single quotes', or use /"
    try:
        if path.is_dir():
            return "it is a directory; name a file in it"
        if not path.parent.is_dir():
            return f"there is no directory {path.parent}; make it or change the path"
        if not path.exists():
            if os.access(path.parent, os.W_OK | os.X_OK):
                return ""
            return f"no file can be made in {path.parent}; check the permissions of the directory"
        if not path.is_file():
            return "it is no regular file; name another path"
        if not (os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)):
            return "it can't be written to; check the permissions of the file and its directory"
        with path.open("rb") as file:
            head = file.read(100)
        return _head_problem(path, head) if head else ""
    except OSError as error:
        return f"{error.strerror}; check the path and its permissions"
    except ValueError:  # a NUL in the path
        return "this can't be the path of a file"


def _head_problem(path: Path, head: bytes) -> str:
    """What the head of the file says (https://www.sqlite.org/fileformat.html, section 1.3)."""
    if len(head) < 100 or not head.startswith(MAGIC):
        return "it is no SQLite database; move it away or choose another path"
    version, application = (int.from_bytes(head[at : at + 4], signed=True) for at in (60, 68))
    if application not in (0, APPLICATION_ID) or (version == 0 and _has_tables(path)):
        return "it is the database of another program; choose another path"
    if version > SCHEMA_VERSION:
        return (
            f"it was written by a newer eventbus (schema {version}, this one knows {SCHEMA_VERSION}); "
            f"update eventbus or choose another path"
        )
    return ""


def _has_tables(path: Path) -> bool:
    # Immutable: SQLite takes no lock then and makes no files beside this one.
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", uri=True)
    try:
        return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is not None
    except sqlite3.Error:
        return False
    finally:
        connection.close()
