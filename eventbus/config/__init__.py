"""The configuration: from a TOML file to a frozen model, with every mistake found at once and placed.

`find_config` says which file (`BUILT_IN` is for where there is none), `load` reads it; `read_document` and
`parse` are its two steps, for whoever goes on in spite of findings. `convert_options` makes plugin options,
`json_schema` describes the whole file.
"""

from .document import Document, read_document
from .find import BUILT_IN, find_config, find_config_or_default
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
from .schema import OptionsSchema, json_schema, options_schema, whole_schema
from .secrets import Secret

__all__ = [
    "BUILT_IN",
    "BackendConfig",
    "CompressionConfig",
    "Config",
    "Document",
    "HealthConfig",
    "LinkConfig",
    "LogConfig",
    "OptionsSchema",
    "RollbackConfig",
    "RoutesConfig",
    "Secret",
    "ServerConfig",
    "SocketConfig",
    "TlsConfig",
    "convert_options",
    "find_config",
    "find_config_or_default",
    "json_schema",
    "load",
    "options_schema",
    "parse",
    "read_document",
    "whole_schema",
]
