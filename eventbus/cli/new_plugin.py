"""`eventbus new-plugin NAME`: a package that installs, type-checks and passes its own tests as written."""

from __future__ import annotations

import importlib.resources
import keyword
import re
from pathlib import Path
from string import Template

NAME = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
RESERVED = ("server",)
"""Names whose distribution is taken: eventbus-server is eventbus itself."""

FILES = {
    "pyproject.toml": "pyproject.toml.tmpl",
    "README.md": "README.md.tmpl",
    "$module/__init__.py": "plugin.py.tmpl",
    "$module/py.typed": "py.typed.tmpl",
    "tests/test_$identifier.py": "test_plugin.py.tmpl",
}
"""The path of each file, and the template of its content."""


def create(name: str, folder: Path) -> Path:
    """Write the plugin `name` into `folder`/eventbus-`name`, and return that path.

    Raises ValueError for a name that no plugin can have, FileExistsError where something is at the path.
    """
    check_name(name)
    target = folder / f"eventbus-{name}"
    if target.exists() or target.is_symlink():
        raise FileExistsError(f"{target} exists already; choose another name, or another folder")
    identifier = name.replace("-", "_")
    names = {"name": name, "identifier": identifier, "module": f"eventbus_{identifier}"}
    templates = importlib.resources.files(__package__) / "templates"
    for path, template in FILES.items():
        file = target / Template(path).substitute(names)
        file.parent.mkdir(parents=True, exist_ok=True)
        content = (templates / template).read_text(encoding="utf-8")
        file.write_text(Template(content).substitute(names), encoding="utf-8", newline="\n")
    return target


def check_name(name: str) -> None:
    """Raise ValueError, with a reason, for a name that no plugin can have."""
    if not re.fullmatch(NAME, name):
        raise ValueError(
            f"{name!r} can't be the name of a plugin: use lower-case letters, digits and single hyphens "
            "between them, and a letter first, such as `greet` or `chat-rooms`"
        )
    if keyword.iskeyword(name):
        raise ValueError(f"{name!r} can't be the name of a plugin: it is a keyword of Python")
    if name in RESERVED:
        raise ValueError(f"{name!r} can't be the name of a plugin: eventbus-{name} is eventbus itself")
