"""From a configuration and its plugins to what the bus runs: a frozen plan, and every finding on the way."""

from .build import plan, plan_plugins
from .model import Plan, socket_options

__all__ = ["Plan", "plan", "plan_plugins", "socket_options"]
