"""Which middleware can be seen to return a context, so that nobody has to look at what it returned."""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import CodeType, FunctionType, MethodType


def returns_context(middleware: object) -> bool:
    """Whether the source shows that all it can ever return is its `ctx` or what `call_next` gave.

    That holds when each `return` gives `ctx` or awaits `call_next`, `ctx` is assigned nothing but an awaited
    `call_next`, and no way leads to the end without a `return`. False says only that it can't be seen.
    """
    function = middleware.__func__ if isinstance(middleware, MethodType) else middleware
    if not isinstance(function, FunctionType) or not inspect.iscoroutinefunction(function):
        return False
    code = function.__code__
    if code.co_argcount != 2 + isinstance(middleware, MethodType) or code.co_flags & inspect.CO_VARARGS:
        return False
    node = definition(code)
    if node is None:
        return False
    names = code.co_varnames[code.co_argcount - 2 : code.co_argcount]
    return Proof(*names).holds(node)


def definition(code: CodeType) -> ast.AsyncFunctionDef | None:
    """The syntax tree of the function with this code, or None without source."""
    try:
        lines, first = inspect.getsourcelines(code)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, SyntaxError, ValueError):
        return None
    if first != code.co_firstlineno or not tree.body or not isinstance(tree.body[0], ast.AsyncFunctionDef):
        return None
    return tree.body[0] if tree.body[0].name == code.co_name else None


class Proof:
    """The rules, for a function whose parameters have these names."""

    def __init__(self, ctx: str, call_next: str) -> None:
        self.ctx = ctx
        self.names = {ctx, call_next}
        self.call_next = call_next

    def holds(self, function: ast.AsyncFunctionDef) -> bool:
        """Whether every rule holds."""
        return ends(function.body) and all(map(self.sound, function.body))

    def sound(self, node: ast.AST) -> bool:
        """Whether neither this node nor one below it breaks a rule."""
        match node:
            case ast.Return(value) if not self.is_context(value):
                return False
            case ast.Assign([ast.Name(name)], value) if name == self.ctx:
                return self.is_next(value) and self.sound(value)
            case ast.Name(name, ast.Store() | ast.Del()):
                return name not in self.names
            case ast.ExceptHandler(name=name) | ast.MatchAs(name=name) | ast.MatchStar(name=name):
                if name in self.names:
                    return False
            case ast.MatchMapping(rest=name) if name in self.names:
                return False
            case ast.alias(name, other):
                return (other or name.partition(".")[0]) not in self.names
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                return name not in self.names and not self.rebound(node)
            case ast.Lambda():
                return not self.rebound(node)
        return all(map(self.sound, ast.iter_child_nodes(node)))

    def rebound(self, inner: ast.AST) -> bool:
        """Whether a function within the function may change its variables."""
        for node in ast.walk(inner):
            match node:
                case ast.Nonlocal(names) if not self.names.isdisjoint(names):
                    return True
                case ast.NamedExpr(ast.Name(name)) if name in self.names:
                    return True
        return False

    def is_next(self, value: ast.expr | None) -> bool:
        """`await call_next(…)`."""
        match value:
            case ast.Await(ast.Call(ast.Name(name))):
                return name == self.call_next
        return False

    def is_context(self, value: ast.expr | None) -> bool:
        """`ctx` or `await call_next(…)`."""
        return (isinstance(value, ast.Name) and value.id == self.ctx) or self.is_next(value)


def ends(body: list[ast.stmt]) -> bool:
    """Whether no way leads behind the last statement."""
    match body[-1] if body else None:
        case ast.Return() | ast.Raise():
            return True
        case ast.If(_, then, otherwise):
            return ends(then) and ends(otherwise)
        case ast.Try(tried, handlers, otherwise, final):
            return ends(final) or (ends(otherwise or tried) and all(ends(each.body) for each in handlers))
    # A `with` may swallow an exception, and a loop may not run.
    return False
