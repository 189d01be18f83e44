"""Chains: middleware composed once, in the order of a list. Pure functions, nothing mutable."""

from .chain import Chain, Link, blamed, build, link_of, name_of, request_of
from .compose import Composed, compose, flatten
from .routes import route

__all__ = [
    "Chain",
    "Composed",
    "Link",
    "blamed",
    "build",
    "compose",
    "flatten",
    "link_of",
    "name_of",
    "request_of",
    "route",
]
