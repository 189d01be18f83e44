"""Which file to read when the command line need not say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import ConfigError, Finding

VARIABLE = "EVENTBUS_CONFIG"
CANDIDATES = ("eventbus.toml", "config/eventbus.toml")
BUILT_IN = Path(__file__).with_name("builtin") / "eventbus.toml"
"""What runs where there is no other; in a folder of its own, as Python files beside a configuration are the
application's."""


def find_config(argument: str | None, environ: Mapping[str, str], cwd: Path) -> Path:
    """The configuration file: the argument, else $EVENTBUS_CONFIG, else the first candidate below `cwd`.

    What was named explicitly comes back as it was given, whether there is such a file or not: `read_document`
    has the better finding for that. Raises ConfigError if nothing was named and no candidate is a file, and
    if the argument is empty; an empty variable counts as none.
    """
    if argument == "":
        raise ConfigError([Finding("the name of the configuration is empty", hint="is a variable not set?")])
    if named := argument or environ.get(VARIABLE):
        return Path(named)
    for candidate in CANDIDATES:
        if (path := cwd / candidate).is_file():
            return path
    tried = " and ".join(f"./{candidate}" for candidate in CANDIDATES)
    raise ConfigError(
        [
            Finding(
                f"no configuration file: no argument, ${VARIABLE} is not set, and {tried} do not exist",
                hint=f"name a file on the command line or in ${VARIABLE}; `eventbus init` writes one",
            )
        ]
    )


def find_config_or_default(argument: str | None, environ: Mapping[str, str], cwd: Path) -> Path:
    """The same, and BUILT_IN where nothing was named and no candidate is a file."""
    try:
        return find_config(argument, environ, cwd)
    except ConfigError:
        if argument is not None:
            raise
        return BUILT_IN
