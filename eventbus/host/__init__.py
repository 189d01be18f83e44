"""Finds, loads and holds plugins and the application's modules. Only this room talks to pluggy's manager."""

from .application import application
from .deadline import leave_what_hangs, run_within, serving
from .discovery import Installed, installed
from .host import TIMEOUT, Host, Plugin, looked_at
from .importing import load_attribute, load_entry_point
from .readings import Reading, one_reading
from .renewal import Renewal, changed
from .shadows import problems
from .sources import source_files

__all__ = [
    "TIMEOUT",
    "Host",
    "Installed",
    "Plugin",
    "Reading",
    "Renewal",
    "application",
    "changed",
    "installed",
    "leave_what_hangs",
    "load_attribute",
    "load_entry_point",
    "looked_at",
    "one_reading",
    "problems",
    "run_within",
    "serving",
    "source_files",
]
