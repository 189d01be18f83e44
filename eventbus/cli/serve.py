"""`eventbus serve`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path

from ..config import BUILT_IN, Config, find_config_or_default
from ..errors import ConfigError
from ..host import leave_what_hangs
from ..logs import Streams
from ..run.configured import configured, read, warn
from ..run.ending import FAREWELL
from ..run.preflight import files, preflight
from ..run.reloader import Reloader
from ..run.run import run
from ..signals.signals import Stopped, signals
from .logs import ServerLog

logger = logging.getLogger("eventbus")


FLUSH = 1.0
"""Seconds that what waits to be written has at the end."""


def serve(arguments: argparse.Namespace) -> int:
    """Check, then serve until a signal. Raises ConfigError for findings, EventBusError for a failed start."""
    streams = Streams()
    try:
        return run_server(arguments, streams)
    except Stopped as stopped:
        signals.finish(FAREWELL, 0)
        print(f"eventbus: stopped while starting ({stopped})", file=sys.stderr)
        return 0
    finally:
        streams.close(FLUSH)


def run_server(arguments: argparse.Namespace, streams: Streams) -> int:
    """The same, with streams that nobody waits for."""
    leave_what_hangs()
    path = find_config_or_default(arguments.config, os.environ, Path.cwd())
    taken: list[str] = []
    signals.tell = taken.append  # nobody has said yet how and where the log is written
    began = time.time()
    with signals.interrupting():
        config, made, findings = read(path)
        if not findings:
            # In the words of `check`; where the command line says where to listen, that is not the file's.
            overridden = arguments.host is not None or arguments.port is not None
            findings = files(config) if overridden else preflight(config)[0]
    streams.mend()
    if findings:
        raise ConfigError(findings)

    def wanted(config: Config) -> tuple[str, str]:
        return arguments.log_format or config.log.format, arguments.log_level or config.log.level

    log = ServerLog(streams.error, *wanted(config))

    def last_words(why: str) -> None:
        log.say(why)
        streams.flush(FLUSH / 2)

    signals.end.last_words = last_words
    signals.tell = logger.warning
    for each in taken:
        logger.warning("%s", each)
    if path == BUILT_IN:
        logger.info(
            "no eventbus.toml here, so this is the built-in default; `eventbus init` writes it to change"
        )
    with signals.interrupting():
        bus = configured(config, made)
    warn(made)
    host = config.server.host if arguments.host is None else arguments.host
    port = config.server.port if arguments.port is None else arguments.port
    reloader = Reloader(bus, path, config, made, began, lambda config: log.use(*wanted(config)))
    run(bus, host, port, reloader, watch=arguments.reload)
    return 1 if bus.shutdown.was_cut else 0
