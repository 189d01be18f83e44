"""Checks each message against JSON Schema before the links behind see it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from eventbus import Context, Middleware, Next, Request, hookimpl

from .schema import read_schema

POLICY_VIOLATION = 1008
MAX_ID_LENGTH = 128
MAX_ID_NUMBER = 2**53
DEFAULT_MAX_SIZE = 262_144
"""Bytes. What a schema costs grows with the message, and nobody else is served meanwhile."""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a message must be; README.md has a table."""

    schema: str = ""
    schemas: dict[str, str] = {}
    key: Annotated[str, msgspec.Meta(min_length=1)] = "type"
    strict: bool = False
    deny: tuple[str, ...] = ()
    max_size: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = DEFAULT_MAX_SIZE
    """Bytes; 0 for no limit but the socket's."""
    on_invalid: Literal["error", "drop", "close"] = "error"


@hookimpl
def eventbus_options() -> type[Options]:
    return Options


@hookimpl
def eventbus_message(options: Options) -> Middleware:
    """The link that lets valid messages pass. Raises ValueError for a schema that can't be used."""
    rules = Rules(options)

    async def validate(ctx: Context, call_next: Next) -> Context:
        try:
            rules.check(ctx.request)
        except Invalid as invalid:
            if options.on_invalid == "close":
                await ctx.connection.close(POLICY_VIOLATION, "invalid message")
            elif options.on_invalid == "error":
                ctx.connection.send(answer(invalid))
            return ctx
        return await call_next(ctx)

    return validate


class Invalid(Exception):
    """A message that doesn't pass; `message` is the parsed message as far as there is one."""

    def __init__(self, problem: str, message: Any = None) -> None:
        self.problem = problem
        self.message = message
        super().__init__(problem)


class Rules:
    """The options of one link, with the schemas read."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.deny = frozenset(options.deny)
        self.default = read_schema(options.schema) if options.schema else None
        self.by_type = {name: read_schema(path) for name, path in options.schemas.items()}

    def check(self, request: Request) -> None:
        """Raise Invalid for a message that may not pass."""
        size, max_size = len(request.data), self.options.max_size
        if max_size and size > max_size:
            raise Invalid(f"a message has at most {max_size} bytes")
        try:
            message = request.json()
        except (ValueError, RecursionError):
            raise Invalid("a message is JSON, and not nested too deeply") from None
        name = message.get(self.options.key) if isinstance(message, dict) else None
        if not isinstance(name, str):
            name = None
        if name in self.deny:
            raise Invalid("messages of this type are not accepted", message)
        schema = self.default if name is None else self.by_type.get(name, self.default)
        if schema is not None:
            problem = schema.problem(message, size)
        else:
            problem = "messages of this type are not known" if self.options.strict else None
        if problem is not None:
            raise Invalid(problem, message)


def answer(invalid: Invalid) -> str:
    """The error frame, with the message's id where it has one that is short enough to send back."""
    frame: dict[str, Any] = {"type": "error", "code": "invalid", "message": invalid.problem}
    if isinstance(invalid.message, dict):
        match invalid.message.get("id"):
            case bool():
                pass
            case str() as id if len(id) <= MAX_ID_LENGTH:
                frame["id"] = id
            case int() | float() as id if abs(id) <= MAX_ID_NUMBER:
                frame["id"] = id
    return msgspec.json.encode(frame).decode()
