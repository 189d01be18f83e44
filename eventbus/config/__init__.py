"""The configuration: from a TOML file to a frozen model, with every mistake found at once and placed.

`find_config` says which file, `load` reads it; `read_document` and `parse` are its two steps, for whoever
goes on checking in spite of findings. `convert_options` makes a plugin's options, `json_schema` describes the
whole file.
"""

from .document import Document, read_document
from .find import find_config
from .load import load, parse
from .model import (
    BackendConfig,
    CompressionConfig,
    Config,
    HealthConfig,
    LinkConfig,
    LogConfig,
    RollbackConfig,
    RoutesConfig,
    ServerConfig,
    SocketConfig,
    TlsConfig,
)
from .options import convert_options
from .schema import json_schema
from .secrets import Secret

__all__ = [
    "BackendConfig",
    "CompressionConfig",
    "Config",
    "Document",
    "HealthConfig",
    "LinkConfig",
    "LogConfig",
    "RollbackConfig",
    "RoutesConfig",
    "Secret",
    "ServerConfig",
    "SocketConfig",
    "TlsConfig",
    "convert_options",
    "find_config",
    "json_schema",
    "load",
    "parse",
    "read_document",
]
