"""`eventbus init [FOLDER]`: the default configuration to change, and a first handler beside it."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from ..config import BUILT_IN
from ..config.find import CANDIDATES
from ..errors import EventBusError

CONFIGURATION = "eventbus.toml"
HANDLERS = "handlers.py"
LINK = '"handlers:greet"'


def init(folder: Path) -> int:
    """Write both files and say what comes next.

    Raises EventBusError where one of them is there already or can't be written; nothing is left half done.
    """
    files = {CONFIGURATION: configuration(), HANDLERS: handlers()}
    for name in (*CANDIDATES, HANDLERS):
        if (folder / name).exists() or (folder / name).is_symlink():
            raise EventBusError(f"{folder / name} exists already, nothing was written; choose another folder")
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            with (folder / name).open("x", encoding="utf-8", newline="\n") as file:
                written.append(folder / name)
                file.write(text)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise EventBusError(f"can't write into {folder}: {error.strerror or error}") from error
    print(f"wrote {folder / CONFIGURATION}, the configuration, and {folder / HANDLERS}, a first handler")
    print("next:")
    if folder != Path():
        print(f"  cd {folder}")
    print("  eventbus serve --reload    # and open http://127.0.0.1:8000/")
    print('  send {"type": "hello", "name": "Ada"} from the page; then change handlers.py')
    print("  eventbus check             # finds every mistake in eventbus.toml, before the server does")
    return 0


def configuration() -> str:
    """The built-in default, with the link of the first handler taken in."""
    text = BUILT_IN.read_text(encoding="utf-8")
    return text.replace(f"# {LINK},  ", f"{LINK},    ")


def handlers() -> str:
    """The module of the first handler."""
    templates = importlib.resources.files(__package__) / "templates"
    return (templates / "handlers.py.tmpl").read_text(encoding="utf-8")
