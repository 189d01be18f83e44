"""What can be used as middleware: whatever takes (ctx, call_next) and gives something to await."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from ..description import describe, is_a, type_name

DEPTH = 20
"""How many wrappers around a function are looked through."""

AWAITABLE = ("Awaitable[", "Coroutine[", "Future[", "Task[")
"""How the annotation of a sync function says that what it returns is to be awaited."""


def middleware_problem(value: Any) -> str:
    """What is wrong with a middleware, or an empty string. Nothing is called."""
    try:
        return signature_problem(value) or kind_problem(value)
    except Exception as error:
        return f"{type_name(value)}, which can't be looked at: {describe(error)}"


def signature_problem(value: Any) -> str:
    """What is wrong with how it is called."""
    if is_a(value, type):
        return f"the class {value.__name__}, which is no middleware: name an instance of it, or a function"
    if not callable(value):
        return f"{type_name(value)}, which is no middleware: return an `async def (ctx, call_next)`"
    try:
        inspect.signature(value, follow_wrapped=False).bind(None, None)
    except TypeError:
        return "a function that does not take (ctx, call_next)"
    except ValueError:  # a function in C that does not tell
        pass
    return ""


def kind_problem(value: Any) -> str:
    """What is wrong with what it gives back, as far as its code shows."""
    if inspect.iscoroutinefunction(value):  # or marked as one
        return ""
    function = innermost(value)
    if inspect.isasyncgenfunction(function):
        return "an async generator; a middleware awaits `call_next(ctx)` once and returns, it does not yield"
    if inspect.isgeneratorfunction(function):
        coroutine = function.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE
        return "" if coroutine else "a generator; a middleware is an `async def (ctx, call_next)`"
    if type(function) is FunctionType and not gives_awaitable(function, DEPTH):
        return (
            "a sync function; a middleware is an `async def (ctx, call_next)`, or says that what it returns "
            "is to be awaited, with functools.wraps or `-> Awaitable[Context]`"
        )
    return ""


def innermost(value: Any) -> Any:
    """The function that a call of the value runs first: of a partial, a method, an object with `__call__`."""
    for _ in range(DEPTH):
        if type(value) is functools.partial:
            value = value.func
        elif type(value) is MethodType or type(value) in (staticmethod, classmethod):
            value = value.__func__
        elif type(value) in (FunctionType, BuiltinFunctionType) or is_a(value, type):
            return value
        else:
            call = inspect.getattr_static(type(value), "__call__", None)
            if call is None or type(call) not in (FunctionType, MethodType, staticmethod, classmethod):
                return value
            value = call
    return value


def gives_awaitable(function: Any, depth: int) -> bool:
    """Whether a call gives something to await: it is async, says that it does, or returns such a call's."""
    function = innermost(function)
    if inspect.iscoroutinefunction(function) or type(function) is not FunctionType:
        return True
    if depth == 0:
        return False
    fields = vars(function)
    wrapped = fields.get("__wrapped__")
    if wrapped is not None and wrapped is not function:
        return gives_awaitable(wrapped, depth - 1)
    if "_is_coroutine" in fields or "_is_coroutine_mark" in fields:  # marked as one
        return True
    if (annotation := function.__annotations__.get("return")) is not None:
        text = annotation if type(annotation) is str else repr(annotation)
        return any(each in text for each in AWAITABLE)
    calls = list(returned_calls(function))
    return bool(calls) and all(name is not None and awaited(function, name, depth) for name in calls)


def awaited(function: FunctionType, name: str, depth: int) -> bool:
    """Whether what a function calls by that name gives something to await."""
    code = function.__code__
    name, *path = name.split(".")
    parameters = code.co_varnames[: code.co_argcount]
    if name in parameters:
        # call_next, the last parameter; or an attribute of the instance, which may be anything
        return name not in parameters[-2:] if path else name == parameters[-1]
    if name in code.co_freevars and function.__closure__ is not None:
        try:
            value = function.__closure__[code.co_freevars.index(name)].cell_contents
        except ValueError:  # not assigned yet
            return False
    elif name in function.__globals__:
        value = function.__globals__[name]
    else:
        return False
    for part in path:
        value = inspect.getattr_static(value, part, None)
    return gives_awaitable(value, depth - 1)


def returned_calls(function: FunctionType) -> Iterator[str | None]:
    """For each `return`, the name that is called for it; None where it is something else."""
    code = function.__code__
    source = "".join(linecache.getlines(code.co_filename, function.__globals__))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno and code.co_name == "<lambda>":
            yield called(node.body)
        elif isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            lines = [node.lineno, *(each.lineno for each in node.decorator_list)]
            if code.co_firstlineno == min(lines):
                yield from returns_of(node)


def returns_of(function: ast.FunctionDef) -> Iterator[str | None]:
    """The same for one definition; the end without a `return` is one, too."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Return):
            yield called(node.value)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    if not isinstance(function.body[-1], ast.Return | ast.If | ast.Try | ast.With | ast.Match | ast.Raise):
        yield None


def called(value: ast.expr | None) -> str | None:
    """The name that an expression calls, dotted for an attribute of a name."""
    parts: list[str] = []
    callee = value.func if isinstance(value, ast.Call) else None
    while isinstance(callee, ast.Attribute):
        parts.append(callee.attr)
        callee = callee.value
    return ".".join([callee.id, *reversed(parts)]) if isinstance(callee, ast.Name) else None
