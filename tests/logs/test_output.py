"""Who writes never waits; what can't be written is counted, and said."""

from __future__ import annotations

import gc
import os
import pty
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventbus.logs import Output
from eventbus.logs.output import BYTES, PIECES


def notice(count: int) -> bytes:
    return b"(%d dropped)\n" % count


Open = Callable[[int], Output]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Open outputs; each is closed when the test ends."""
    made: list[Output] = []

    def start(descriptor: int) -> Output:
        made.append(Output(descriptor, notice))
        return made[-1]

    yield start
    for each in made:
        each.close(5)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def read(descriptor: int, end: bytes) -> bytes:
    """What comes until then."""
    found = b""
    while not found.endswith(end):
        more = os.read(descriptor, 1 << 20)
        assert more, found[-200:]
        found += more
    return found


def test_lines_arrive_in_their_order(opened: Open, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        output = opened(file.fileno())
        for number in range(5000):
            output.write(b"%d\n" % number)
        assert output.flush(10)
    assert (tmp_path / "log").read_bytes().split() == [b"%d" % number for number in range(5000)]
    assert (output.dropped, output.waiting) == (0, 0)


@pytest.mark.parametrize("blocking", [True, False])
def test_a_pipe_that_nobody_reads_holds_up_nobody_and_what_it_costs_is_said(
    opened: Open, pipe: tuple[int, int], blocking: bool
) -> None:
    os.set_blocking(pipe[1], blocking)
    output = opened(pipe[1])
    size = 2000
    total = BYTES // size * 2
    for number in range(total):
        output.write((b"%d " % number).ljust(size - 1, b".") + b"\n")
    assert output.dropped > 1000
    assert output.waiting * size <= BYTES
    output_was = output.dropped
    got = threading.Thread(target=lambda: found.append(read(pipe[0], b"end\n")))
    found: list[bytes] = []
    got.start()
    while output.waiting > 100:
        time.sleep(0.01)
    output.write(b"end\n")
    got.join(20)
    lines = found[0].split(b"\n")
    numbers = [int(line.split()[0]) for line in lines if b"." in line]
    assert numbers == list(range(len(numbers))), "the first ones, in order"
    assert len(numbers) + output_was == total
    told = [line for line in lines if line.startswith(b"(")]
    assert told == [notice(output_was).strip()]


def test_what_was_dropped_is_said_even_when_nothing_follows(opened: Open, pipe: tuple[int, int]) -> None:
    output = opened(pipe[1])
    for _ in range(PIECES + 2000):
        output.write(b"x" * 100 + b"\n")
    assert output.dropped
    text = read(pipe[0], b"dropped)\n")
    assert text.endswith(notice(output.dropped))


def test_a_full_disk_costs_what_does_not_fit_and_no_line_is_joined_to_half_of_another(
    opened: Open, pipe: tuple[int, int]
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        output = opened(full)
        output.write(b"lost\n")
        assert output.flush(10)
        assert output.dropped == 1
        os.dup2(pipe[1], full)
        output.write(b"kept\n")
        assert read(pipe[0], b"kept\n") == b"(1 dropped)\nkept\n"
    finally:
        output.close(5)
        os.close(full)


def test_a_pipe_whose_reader_ended_and_a_terminal_that_went_away(opened: Open, pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    output = opened(pipe[1])
    leader, terminal = pty.openpty()
    os.close(leader)
    other = opened(terminal)
    for each in (output, other):
        for _ in range(10):
            each.write(b"nobody\n")
        assert each.flush(10)
        assert (each.dropped, each.waiting) == (10, 0)
    os.close(terminal)


def test_a_closed_output_writes_at_once(pipe: tuple[int, int]) -> None:
    output = Output(pipe[1])
    output.write(b"before\n")
    output.close(5)
    output.write(b"after\n")
    assert read(pipe[0], b"after\n") == b"before\nafter\n"


def test_the_end_does_not_wait_for_a_reader(pipe: tuple[int, int]) -> None:
    output = Output(pipe[1])
    for _ in range(1000):
        output.write(b"x" * 1000)
    output.close(0.1)
    output.write(b"later")
    assert output.dropped


def test_a_finalizer_that_logs_in_the_midst_of_it(opened: Open, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        output = opened(file.fileno())

        class Talking:
            def __init__(self) -> None:
                self.me = self

            def __del__(self) -> None:
                output.write(b"finalizer\n")

        before = gc.get_threshold()
        gc.set_threshold(1)
        try:
            for _ in range(500):
                Talking()
                output.write(b"line\n")
        finally:
            gc.set_threshold(*before)
        assert output.flush(10)
    assert (tmp_path / "log").read_bytes().count(b"line\n") == 500


def test_a_process_that_was_forked_off_writes_itself(opened: Open, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        output = opened(file.fileno())
        output.write(b"parent\n")
        assert output.flush(10)
        child = os.fork()
        if child == 0:
            output.write(b"child\n")
            os._exit(0)
        os.waitpid(child, 0)
        output.write(b"parent again\n")
        assert output.flush(10)
    assert (tmp_path / "log").read_bytes() == b"parent\nchild\nparent again\n"
