"""The schema and the parser agree on what is a good configuration."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
import tomli
from msgspec import Meta

from eventbus.config import json_schema


class Scope(msgspec.Struct):
    name: str = ""


class Jwt(msgspec.Struct, frozen=True):
    secret: str
    leeway: Annotated[float, Meta(ge=0)] = 0
    scopes: list[Scope] = []


@dataclasses.dataclass
class Validate:
    schema: str
    strict: bool = True


PLUGINS = {"jwt": Jwt, "validate": Validate, "echo": None}

SOCKET = "[sockets.a]\nconnect = []\nmessage = []\ndisconnect = []\n"


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json_schema(PLUGINS)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


GOOD = [
    SOCKET,
    SOCKET + "path = '/'\nsubprotocols = ['v1.chat']\nspace = 'shop'\nroutes = {key = 'a', 'b.c' = []}",
    SOCKET + "[server]\nhost = '::1'\nport = 0\nurl = 'wss://a.example'\nblocked = ['x']\n",
    SOCKET
    + "[plugins.jwt]\nsecret = { env = 'JWT' }\nleeway = 1\nscopes = [{ name = 'x' }]\n[plugins.echo]\n",
    SOCKET
    + "[plugins.jwt]\nsecret = { file = 'a' }\n[broker]\ntype = 'redis'\nurl = 'x'\n[store]\npath = 'x'\n",
    SOCKET + "[log]\nlevel = 'error'\nformat = 'json'\n",
    SOCKET.replace(
        "message = []", "message = ['echo', 'shop.orders:handle', {use = 'validate', schema = 'a'}]"
    ),
    SOCKET.replace("message = []", "message = [{use = 'jwt'}, {use = 'a:b', any = 1}, {use = 'echo'}]"),
]
BAD = [
    "",
    "[sockets]\n",
    SOCKET + "[serve]\n",
    SOCKET + "[server]\nprot = 1\n",
    SOCKET + "[server]\nport = 65536\n",
    SOCKET + "[server]\nport = '1'\n",
    SOCKET + "[server]\nurl = 'http://a'\n",
    SOCKET + "[log]\nlevel = 'verbose'\n",
    SOCKET + "[broker]\ntype = 1\n",
    SOCKET + "odd = 1\n",
    SOCKET + "path = 'a'\n",
    SOCKET + "path = '/a?b'\n",
    SOCKET + "subprotocols = ['a b']\n",
    SOCKET + "grace = -1\n",
    SOCKET + "routes = {}\n",
    SOCKET + "routes = {key = 'a', b = 'c'}\n",
    SOCKET + "[plugins.jtw]\n",
    SOCKET + "[plugins.jwt]\nsecret = 1\n",
    SOCKET + "[plugins.jwt]\nsecret = { env = 'A', file = 'b' }\n",
    SOCKET + "[plugins.jwt]\nleeway = { env = 'A' }\n",
    SOCKET + "[plugins.jwt]\nscopes = [{ nam = 'x' }]\n",
    SOCKET + "[plugins.echo]\nx = 1\n",
    SOCKET.replace("disconnect = []", ""),
    SOCKET.replace("message = []", "message = 'echo'"),
    SOCKET.replace("message = []", "message = ['ehco']"),
    SOCKET.replace("message = []", "message = ['']"),
    SOCKET.replace("message = []", "message = [{schema = 'a'}]"),
    SOCKET.replace("message = []", "message = [{use = 'validate', schem = 'a'}]"),
    SOCKET.replace("message = []", "message = [{use = 'echo', x = 1}]"),
    SOCKET.replace("sockets.a", "sockets.'a b'"),
]


@pytest.mark.parametrize("text", GOOD)
def test_good(validator: Any, text: str) -> None:
    validator.validate(tomli.loads(text))


@pytest.mark.parametrize("text", BAD)
def test_bad(validator: Any, text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(tomli.loads(text))


def test_types_of_one_name_are_kept_apart() -> None:
    def options(type_: Any) -> type[Any]:
        return msgspec.defstruct("Options", [("value", type_)], module=f"plugin_{type_.__name__}")

    schema = json_schema({"a": options(int), "b": options(bool)})
    plugins = schema["properties"]["plugins"]["properties"]
    assert plugins["a"]["properties"]["value"] == {"type": "integer"}
    assert plugins["b"]["properties"]["value"] == {"type": "boolean"}


def test_two_plugins_may_share_a_type() -> None:
    plugins = json_schema({"a": Jwt, "b": Jwt})["properties"]["plugins"]["properties"]
    assert plugins["a"] == json.loads(json.dumps(plugins["b"]).replace("/b.Scope", "/a.Scope"))


def test_no_plugins() -> None:
    schema = json_schema({})
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(tomli.loads(SOCKET), schema)


def test_a_type_that_can_t_hold_options() -> None:
    with pytest.raises(TypeError):
        json_schema({"a": int})


def test_a_type_of_its_own_may_be_anything() -> None:
    schema = json_schema({"a": msgspec.defstruct("Own", [("value", Path)])})
    jsonschema.validate(tomli.loads(SOCKET + "[plugins.a]\nvalue = 1"), schema)
