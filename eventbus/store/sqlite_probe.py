"""Whether a file can become the store, found out without touching it: nothing is left behind."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import tempfile
from pathlib import Path
from urllib.parse import quote

from .sqlite_file import APPLICATION_ID, SCHEMA_VERSION

MAGIC = b"SQLite format 3\0"

COMPANIONS = ("-wal", "-shm", "-journal")
"""What the names of the files end in that SQLite makes beside its own (https://www.sqlite.org/tempfiles.html)."""


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
        if path.is_symlink():
            path = target(path)
        if not path.parent.is_dir():
            return f"there is no directory {path.parent}; make it or change the path"
        if beside := companion_problem(path):
            return beside
        if not path.exists():
            return folder_problem(path.parent)
        if not path.is_file():
            return "it is no regular file; name another path"
        if not (os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)):
            return "it can't be written to; check the permissions of the file and its directory"
        with path.open("rb") as file:
            head = file.read(100)
        return (_head_problem(path, head) if head else "") or folder_problem(path.parent)
    except OSError as error:
        return f"{error.strerror}; check the path and its permissions"
    except ValueError:  # a NUL in the path
        return "this can't be the path of a file"


def target(path: Path) -> Path:
    """The file that links lead to, whether it is there or not. Raises OSError where they lead in a circle."""
    try:
        return path.resolve(strict=True)
    except FileNotFoundError:
        return path.resolve()
    except RuntimeError:  # what older Pythons raise for a circle
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None


def companion_problem(path: Path) -> str:
    """What is in the way of the files that SQLite makes beside its own. Raises OSError."""
    for ending in COMPANIONS:
        other = path.with_name(path.name + ending)
        try:
            mode = os.stat(other).st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(mode):
            return f"{other} is no regular file, and SQLite needs one of that name; move it away"
        if not os.access(other, os.R_OK | os.W_OK):
            return f"{other} can't be written to, and SQLite needs that; check its permissions"
    return ""


def folder_problem(folder: Path) -> str:
    """Why no file can be made in a folder; empty if one can. It is tried, because rights are not all."""
    try:
        # A name of our own, as nobody else's may be touched.
        descriptor, name = tempfile.mkstemp(prefix=".check-", dir=folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE):
            return ""  # that is so at the moment
        where = os.path.abspath(folder)
        return f"no file can be made in {where} ({error.strerror}); check the permissions of the directory"
    os.close(descriptor)
    os.unlink(name)
    return ""


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
