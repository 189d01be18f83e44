"""Finds, loads and holds plugins. The only room that talks to pluggy's manager."""

from .discovery import Installed, installed
from .host import Host, Plugin
from .importing import load_attribute, load_entry_point

__all__ = ["Host", "Installed", "Plugin", "installed", "load_attribute", "load_entry_point"]
