"""Tell which statements of a template can be executed before its runs begin: its imports, and what they depend on.

A program's part, for hosts that have nothing of this project: it imports nothing of it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

CHANGING = {"setdefault", "update", "pop", "popitem", "clear"}  # methods of os.environ


@dataclass(frozen=True)
class Early:
    """A statement to execute before anything is forked."""

    statement: ast.stmt
    may_fail: bool = False  # the template goes on where a library is not installed


def early_statements(cells: list[str], own_modules: set[str]) -> Iterator[Early]:
    """Yield the imports that every run does, and what sets environment variables to plain values between.

    Whatever else changes the environment or the module path may depend on the run's parameters, and imports may
    depend on it: what comes after is left to the run.
    """
    for source in cells:
        for each in surely_run(parse_early(source).body):
            if isinstance(each.statement, ast.Import | ast.ImportFrom):
                if gives_environment(each.statement):
                    return
                for statement in without(own_modules, each.statement):
                    yield Early(statement, each.may_fail)
            elif changes_what_imports_read(each.statement):
                if not is_plain(each.statement):
                    return
                yield each


def parse_early(source: str) -> ast.Module:
    """Parse a cell's code, its magics as IPython does; empty where that fails, which the run will say."""
    from IPython.core.inputtransformer2 import TransformerManager

    with suppress(SyntaxError, ValueError):
        return ast.parse(str(TransformerManager().transform_cell(source)))
    return ast.Module([], [])


def surely_run(body: list[ast.stmt], may_fail: bool = False) -> Iterator[Early]:
    """Yield the statements of code that are run whatever the parameters, in the order of the text.

    What stands in the body of a `with` or a `try` is; an `if`, a loop or a function is yielded as a whole.
    """
    for statement in body:
        if isinstance(statement, ast.With):
            yield from surely_run(statement.body, may_fail)
        elif isinstance(statement, ast.Try):
            yield from surely_run(statement.body, may_fail or handles_import_errors(statement))
            yield from surely_run(statement.finalbody, may_fail)
        else:
            yield Early(statement, may_fail)


def handles_import_errors(statement: ast.Try) -> bool:
    """Tell whether a `try` goes on where a library is not installed."""
    handled: set[str] = set()
    for handler in statement.handlers:
        if handler.type is None:
            return True
        handled.update(node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name))
    return bool(handled & {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def gives_environment(statement: ast.Import | ast.ImportFrom) -> bool:
    """Tell whether an import may change the environment, or gives it a name by which it is not known here."""
    if isinstance(statement, ast.ImportFrom) and statement.module == "os":
        return any(alias.name == "environ" and alias.asname for alias in statement.names)
    modules = [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        modules = [str(statement.module)]
    return any(module.partition(".")[0] == "dotenv" for module in modules)


def without(own_modules: set[str], statement: ast.Import | ast.ImportFrom) -> Iterator[ast.stmt]:
    """Yield an import statement without the modules that travel with a template."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            if alias.name.partition(".")[0] not in own_modules:
                yield ast.copy_location(ast.Import([alias]), statement)
    elif not statement.level:
        package = str(statement.module).partition(".")[0]
        if package not in own_modules | {"__future__"}:
            yield statement


def changes_what_imports_read(statement: ast.stmt) -> bool:
    """Tell whether a statement changes the environment or the module path, or may let others do so."""
    for node in ast.walk(statement):
        match node:
            case ast.Attribute(attr="path", value=ast.Name("sys")):
                return True
            case ast.Attribute(attr="putenv" | "unsetenv") | ast.Constant("env" | "set_env"):  # the magics
                return True
            case ast.Attribute(value=environment, attr=method) if method in CHANGING:
                if is_environment(environment):
                    return True
            case ast.Subscript(value=environment, ctx=ast.Store() | ast.Del()) if is_environment(environment):
                return True
            case ast.AugAssign(target=environment) if is_environment(environment):
                return True
            case ast.Assign(value=value) | ast.AnnAssign(value=value) | ast.NamedExpr(value=value):
                if value is not None and is_environment(value):  # by another name
                    return True
            case ast.Call(args=arguments, keywords=keywords):
                given = [*arguments, *(keyword.value for keyword in keywords)]
                if any(map(is_environment, given)):
                    return True
    return False


def is_environment(node: ast.AST) -> bool:
    """Tell whether an expression is os.environ, by whatever name os goes."""
    match node:
        case ast.Attribute(attr="environ") | ast.Name("environ"):
            return True
    return False


def is_plain(statement: ast.stmt) -> bool:
    """Tell whether a statement changes os.environ, in any case, with nothing but values that stand in it."""
    if not isinstance(statement, ast.Expr | ast.Assign | ast.AugAssign | ast.Delete):
        return False
    nodes = list(ast.walk(statement))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return names <= {"os", "environ"} and attributes <= CHANGING | {"environ"}
