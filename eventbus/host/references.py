"""Which modules a module imports, as its source says."""

from __future__ import annotations

import ast


def imported(source: bytes, name: str, package: bool) -> frozenset[str]:
    """The absolute names of all modules that the source may import, in functions too.

    `from a import b` gives `a` and `a.b`, whether that is a module or not. Nothing for a source that can't be
    read.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                found.update(".".join(parts[:length]) for length in range(1, len(parts) + 1))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = name.split(".") if package else name.split(".")[:-1]
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            if base:
                found.add(base)
                found.update(f"{base}.{alias.name}" for alias in node.names if alias.name != "*")
    return frozenset(found)
