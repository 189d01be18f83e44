"""Log output that never holds up the event loop, and that no configuration of logging silences."""

from .formats import JsonFormatter, TextFormatter, line_of, record_of
from .loggers import Outlet, Root, adopt
from .output import Output, totals
from .streams import Streams

__all__ = [
    "JsonFormatter",
    "Outlet",
    "Output",
    "Root",
    "Streams",
    "TextFormatter",
    "adopt",
    "line_of",
    "record_of",
    "totals",
]
