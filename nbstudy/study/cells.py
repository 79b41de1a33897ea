"""Cells as Python code: what Python or IPython would run, parsed; the rest is refused by its line."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType

from nbstudy.checks import fail

BLANK_LINES = re.compile(r"(?:[^\S\n]*\n)*")  # at the beginning of a cell
PYTHON_MAGICS = {"%%capture", "%%prun", "%%time", "%%timeit"}  # the rest of such a cell is Python


def parse_or_refuse(source: str, place: str) -> ast.Module:
    """Return a cell as Python code; refuse one with a syntax error by its line."""
    try:
        return parse_cell(source)
    except SyntaxError as error:
        fail(f"{place}, line {error.lineno or 1}", f"is not Python: {error.msg}; correct it")


def parse_cell(source: str) -> ast.Module:
    """Return a cell as Python code, its magics as the calls that IPython makes of them.

    Line numbers are those of the cell. Raise SyntaxError where there is one.
    """
    try:
        return parse(source)
    except SyntaxError:
        blank = BLANK_LINES.match(source)
    assert blank is not None  # it matches nothing as well
    above = "\n" * blank[0].count("\n")
    head, _, body = source[blank.end() :].partition("\n")
    if head.partition(" ")[0].rstrip() in PYTHON_MAGICS:
        magic = ast.Expr(ast.Constant(" ".join(head.split())))
        return ast.Module([magic, *parse_cell(f"{above}\n{body}").body], [])
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        with without_warnings():
            transformed = TransformerManager().transform_cell(source[blank.end() :])
    except IndexError as error:  # of quotes that are not closed after a magic
        raise SyntaxError("IPython cannot read it") from error
    return parse(above + transformed)


def parse(source: str) -> ast.Module:
    """Return Python code parsed; raise SyntaxError for all that Python would not run, with the reason."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as IPython allows it
    try:
        with without_warnings():
            tree = compile(source, "cell", "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
            compile(tree, "cell", "exec", flags, dont_inherit=True)  # finds a `return` outside of functions
    except (ValueError, RecursionError, MemoryError) as error:  # NUL, or brackets in brackets in brackets
        raise SyntaxError(str(error) or "it is too deeply nested") from error
    assert isinstance(tree, ast.Module)
    return tree


def compile_plain(source: str, name: str) -> CodeType:
    """Return code that any Python runs; raise SyntaxError where a cell holds magics or `await`."""
    with without_warnings():
        return compile(source, name, "exec", dont_inherit=True)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keep what Python's parser warns of from the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
