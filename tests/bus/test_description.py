"""Exceptions of any class are described and logged, and no code of theirs stops that."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventbus.description import MOST, describe, is_a, log_error, trace
from eventbus.logs import JsonFormatter, TextFormatter


def worst() -> BaseException:
    """An exception each of whose fields raises, and those of its class too."""

    class Hostile(type):
        """A class that doesn't want to be looked at."""

        @property
        def __name__(cls) -> str:  # type: ignore[override]
            raise SystemExit("the name")

        def __instancecheck__(cls, instance: object) -> bool:
            raise SystemExit("the check")

        def __eq__(cls, other: object) -> bool:
            raise SystemExit("the comparison")

        def __hash__(cls) -> int:
            raise SystemExit("the hash")

        def __getattribute__(cls, name: str) -> Any:
            raise SystemExit("the class")

    class Worst(BaseException, metaclass=Hostile):
        """Each of its own fields raises."""

        def __str__(self) -> str:
            raise KeyboardInterrupt

        __repr__ = __str__

        def __getattribute__(self, name: str) -> Any:
            raise SystemExit(name)

    return Worst()


class Text(str):
    """A str with code of its own."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)

    def __len__(self) -> int:
        raise SystemExit("its length")


def saying(said: object) -> BaseException:
    """An exception whose message is this."""

    class Saying(Exception):
        def __str__(self) -> str:
            if issubclass(type(said), BaseException):
                raise said  # type: ignore[misc]
            return said  # type: ignore[return-value]

    return Saying()


def endless() -> BaseException:
    class Endless(Exception):
        def __str__(self) -> str:
            return str(self)

    return Endless()


@pytest.mark.parametrize(
    ("make", "described"),
    [
        (lambda: ValueError("no\tsuch\nfile"), "ValueError: no such file"),
        (lambda: KeyError("a"), "KeyError: 'a'"),
        (ValueError, "ValueError"),
        (worst, "Worst: (no message: its __str__ raised KeyboardInterrupt)"),
        (lambda: saying(SystemExit(1)), "Saying: (no message: its __str__ raised SystemExit)"),
        (lambda: saying(asyncio.CancelledError()), "Saying: (no message: its __str__ raised CancelledError)"),
        (lambda: saying(None), "Saying: (no message: its __str__ raised TypeError)"),
        (lambda: saying(Text("by itself")), "Saying: by itself"),
        (lambda: saying("half \ud800 of it\x1b[2J\x00"), "Saying: half \\ud800 of it\\x1b[2J\\x00"),
        (endless, "Endless: (no message: its __str__ raised RecursionError)"),
        (lambda: ExceptionGroup("two", [ValueError(), KeyError()]), "ExceptionGroup: two (2 sub-exceptions)"),
    ],
)
def test_an_exception_is_described_in_one_line(make: Callable[[], BaseException], described: str) -> None:
    assert describe(make()) == described


def test_a_description_has_a_length() -> None:
    assert describe(ValueError("x" * 10_000_000)) == "ValueError: " + "x" * (MOST - 1) + "…"
    assert len(describe(type("Long" * 1000, (Exception,), {})())) < 200


def test_a_dead_proxy_and_a_liar_are_what_they_are() -> None:
    class Thing:
        pass

    class Liar:
        __class__ = ValueError  # type: ignore[assignment]

    thing = Thing()
    proxy = weakref.proxy(thing)
    del thing
    assert not is_a(proxy, Exception)
    assert not is_a(Liar(), ValueError)
    assert is_a(worst(), BaseException)


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """The exception with a traceback."""
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def test_a_traceback_is_that_of_python() -> None:
    error = raised(ValueError("outer"), raised(KeyError("inner")))
    error.add_note("and a note")
    shown = trace(error)
    assert shown.startswith("Traceback (most recent call last):\n  File ")
    assert shown.index("KeyError: 'inner'") < shown.index("direct cause") < shown.index("ValueError: outer")
    assert "in raised\n    raise error from cause" in shown
    assert shown.endswith("ValueError: outer\nand a note")


def test_the_members_of_a_group_are_shown() -> None:
    shown = trace(raised(BaseExceptionGroup("two", [raised(endless()), raised(ValueError("one"))])))
    assert "  + in the group:\n    Traceback" in shown
    assert "    Endless: (no message" in shown
    assert "    ValueError: one" in shown


def test_a_circle_of_causes_a_deep_stack_and_a_pipe_as_source_come_to_an_end(tmp_path: Path) -> None:
    first, second = raised(ValueError("first")), raised(ValueError("second"))
    first.__cause__, second.__cause__ = second, first
    assert trace(first).count("ValueError: first") == 1
    assert len(trace(raised(endless())).splitlines()) < 20

    def deeper() -> None:
        deeper()

    with pytest.raises(RecursionError) as caught:
        deeper()
    assert len(trace(caught.value).splitlines()) < 150

    pipe = tmp_path / "pipe.py"
    os.mkfifo(pipe)
    with pytest.raises(ZeroDivisionError) as divided:
        exec(compile("1 / 0", str(pipe), "exec"))
    assert f'File "{pipe}", line 1' in trace(divided.value)


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter(), logging.Formatter()])
def test_a_record_carries_text_alone(formatter: logging.Formatter) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.Logger("test")
    logger.addHandler(handler)
    log_error(logger, "it failed", raised(worst(), raised(ValueError("why"))), extra={"plugin": "p"})
    assert "it failed" in stream.getvalue()
    assert "ValueError: why" in stream.getvalue()
    assert "Worst: (no message" in stream.getvalue()


def test_a_handler_that_raises_is_not_the_trouble_of_who_logs() -> None:
    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("broken")

    logger = logging.Logger("test")
    logger.addHandler(Broken())
    log_error(logger, "it failed", ValueError())
