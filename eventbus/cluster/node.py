"""Which process this is, and whether another one still lives."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

import msgspec

from ..description import printable


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A server process as the others see it, through the store."""

    id: str
    name: str
    host: str
    boot: str
    """Which run of the machine it belongs to, empty where that can't be known."""
    namespace: str
    """Where its process id means something."""
    pid: int
    started: str
    """When the process began, in the kernel's own count: process ids are used again."""
    generation: int = 0
    """Counts up where a write got no answer, so that it is not made later."""


NOBODY = Node(id="nobody", name="", host="", boot="", namespace="", pid=0, started="never")
"""Answers for what a process has left that could not run all of it: any other may claim that."""


def this_node(name: str = "") -> Node:
    """This process; each call makes another id. Reads a few small files of /proc."""
    # The kernel takes any bytes for a name, and the store takes text.
    host = printable(socket.gethostname())
    return Node(
        id=f"{name or host}-{secrets.token_hex(8)}",
        name=name or host,
        host=host,
        boot=read("/proc/sys/kernel/random/boot_id"),
        namespace=link("/proc/self/ns/pid"),
        pid=os.getpid(),
        started=start_of(os.getpid()),
    )


def lives(node: Node, here: Node) -> bool | None:
    """Whether that process lives, as seen from this one; None where only its beat can tell."""
    if not (here.boot and here.namespace and here.started):
        return None
    if (node.host, node.boot, node.namespace) != (here.host, here.boot, here.namespace):
        return None
    return start_of(node.pid) == node.started


def start_of(pid: int) -> str:
    """When a process began, in clock ticks since the machine did; empty if there is none (proc(5), stat)."""
    # The name of the program is in parentheses and may contain anything; the start is field 22.
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in ("Z", "X") else ""


def read(path: str) -> str:
    """The text of a small file, or nothing where there is none."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def link(path: str) -> str:
    """Where a symbolic link leads, or nothing where there is none."""
    try:
        return os.readlink(path)
    except OSError:
        return ""
