"""Chains: middleware composed once, in the order of a list. Pure functions, nothing mutable."""

from .chain import Chain, Link, blamed, build
from .compose import Composed, compose, flatten
from .routes import route

__all__ = ["Chain", "Composed", "Link", "blamed", "build", "compose", "flatten", "route"]
