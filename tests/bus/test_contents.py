"""Files that hang: pipes that nobody writes to, devices, and what takes longer than it may."""

from __future__ import annotations

import asyncio
import os
import threading
from functools import partial
from pathlib import Path

import pytest

from eventbus.tasks.contents import Files, apart, contents, within

LONG = 3600.0


def pipe(folder: Path) -> Path:
    """A pipe with a name, and nobody at its ends."""
    path = folder / "pipe"
    os.mkfifo(path)
    return path


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 200_000)
    assert contents(path, 300_000) == b"x" * 200_000
    assert contents(path, 100_001) == b"x" * 100_001
    path.write_bytes(b"")
    assert contents(path, 10) == b""
    assert contents(Path("/dev/zero"), 5) == b"\0" * 5
    assert contents(Path("/dev/null"), 5) == b""


def test_a_pipe_that_nobody_writes_to_is_given_up(tmp_path: Path) -> None:
    path = pipe(tmp_path)
    with pytest.raises(TimeoutError, match="nothing comes out of it"):
        contents(path, 10, 0.1)
    with pytest.raises(OSError, match="no regular file"):
        contents(path, 10, LONG, pipes=False)


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    path = pipe(tmp_path)

    def write() -> None:
        with path.open("wb") as file:
            for _ in range(3):
                file.write(b"x" * 50_000)
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()
    assert contents(path, 1_000_000, LONG) == b"x" * 150_000
    writer.join()


def test_a_writer_that_stops_in_the_middle_is_given_up(tmp_path: Path) -> None:
    path = pipe(tmp_path)
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.write(descriptor, b"half")
        with pytest.raises(TimeoutError):
            contents(path, 10, 0.2)
    finally:
        os.close(descriptor)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        contents(tmp_path, 10)
    with pytest.raises(FileNotFoundError):
        contents(tmp_path / "absent", 10)
    with pytest.raises(ValueError, match="null byte"):
        contents(Path("a\0b"), 10)


async def test_what_hangs_is_left_to_itself() -> None:
    leave = threading.Event()
    with pytest.raises(TimeoutError, match=r"it took longer than 0\.05 s"):
        within(0.05, leave.wait)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(apart(leave.wait), 0.05)
    leave.set()
    assert await apart(lambda: 5) == within(LONG, lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        await apart(partial(divmod, 1, 0))
    with pytest.raises(ZeroDivisionError):
        within(LONG, partial(divmod, 1, 0))


def test_the_files_of_a_document_are_read_once_and_share_their_time(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    files = Files(0.1)
    assert files.read(path, 10) == b"one"
    path.write_bytes(b"two")
    assert files.read(path, 10) == b"one"
    empty = pipe(tmp_path)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            files.read(empty, 10)
    assert files.seconds <= 0
    with pytest.raises(FileNotFoundError):
        files.read(tmp_path / "absent", 10)
