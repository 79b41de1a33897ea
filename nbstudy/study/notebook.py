"""A notebook file: read in whatever state people leave one, and its cells as Python code.

What Jupyter opens is accepted and put in order: cell identifiers, outputs, older formats. What could never run
is refused, all of it at once: another language than Python, a file that is no text, a cell with a syntax error.
"""

from __future__ import annotations

import ast
import json
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

from nbstudy.checks import Faults, StudyError, fail, shorten

CELL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
BLANK_LINES = re.compile(r"(?:[^\S\n]*\n)*")  # at the beginning of a cell
CELLS = ["code", "markdown", "raw"]
PYTHON_MAGICS = {"%%capture", "%%prun", "%%time", "%%timeit"}  # the rest of such a cell is Python


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook, and what it says as Python."""

    number: int  # from 1, cells of text counted
    place: str  # file and number
    is_code: bool
    tags: frozenset[str]
    source: str
    tree: ast.Module  # empty where it is no code, or none that can be parsed


@dataclass(frozen=True)
class Notebook:
    """A notebook, ready to be executed."""

    file: str
    text: str  # valid in today's format, without outputs
    cells: list[Cell]

    def tagged(self, tag: str) -> list[Cell]:
        """Return the cells with a tag."""
        return [cell for cell in self.cells if tag in cell.tags]


def read_notebook(path: Path, faults: Faults) -> Notebook:
    """Read a notebook; add to the faults what is wrong in its cells.

    Raise StudyError where nothing can be read, or where it is written in another language than Python.
    """
    import nbformat

    document = read_document(path)
    check_language(document["metadata"], path.name)
    tidy = put_in_order(document, path.name)
    cells = []
    for number, cell in enumerate(tidy["cells"], 1):
        place = f"{path.name}: cell {number}"
        is_code = cell["cell_type"] == "code"
        tree = ast.Module([], [])
        if is_code:
            with faults:
                tree = parse_or_refuse(cell["source"], place)
        tags = frozenset(cell["metadata"].get("tags", []))
        cells.append(Cell(number, place, is_code, tags, cell["source"], tree))
    text = nbformat.v4.writes(nbformat.from_dict(tidy))
    check_characters(text, f"{path.name}: metadata")
    return Notebook(path.name, text, cells)


# --- the file ---
def read_document(path: Path) -> dict[str, Any]:
    """Return what a notebook file holds, in the fourth format; refuse what is none."""
    import nbformat

    if not path.is_file():
        fail(path.name, "is a directory, a link to nothing, or not there; put a notebook in its place")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        fail(path.name, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        fail(path.name, "is not UTF-8 text, as notebooks are; save it as UTF-8")
    try:
        document = json.loads(text)
        if not isinstance(document, dict) or document.get("nbformat", 1) > 4:
            fail(path.name, "is not a notebook of the formats 1 to 4; save it with Jupyter")
        if document.get("nbformat", 1) < 4:
            with silence():
                document = nbformat.convert(nbformat.reader.reads(text), 4)
    except StudyError:
        raise
    except Exception as error:  # noqa: BLE001 - json's and nbformat's, of all kinds
        reason = str(error).partition("\n")[0]
        fail(path.name, f"is not a notebook: {reason}")
    if not isinstance(document.get("cells"), list) or not isinstance(document.get("metadata"), dict):
        fail(path.name, "is not a notebook: it has no list of cells, or no metadata")
    return dict(document)


@contextmanager
def silence() -> Iterator[None]:
    """Keep what nbformat logs, and what it and Python's parser warn of, from the terminal."""
    logger = logging.getLogger("traitlets")  # nbformat's
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def check_language(metadata: dict[str, Any], file: str) -> None:
    """Refuse a notebook that says it is written in another language than Python."""
    for key, field in (("language_info", "name"), ("kernelspec", "language")):
        given = metadata.get(key)
        if isinstance(given, dict) and isinstance(given.get(field), str) and given[field]:
            if not given[field].lower().startswith(("python", "ipython")):
                fail(file, f"is written in {given[field]}; only notebooks in Python can be run")
            return


def put_in_order(document: dict[str, Any], file: str) -> dict[str, Any]:
    """Return a notebook as the format asks for it, without outputs and without what they alone need."""
    metadata = dict(document["metadata"])
    metadata.pop("widgets", None)  # the state of outputs; nbconvert fails on that of Colab
    cells: list[dict[str, Any]] = []
    identifiers: set[str] = set()
    for number, cell in enumerate(document["cells"], 1):
        tidy = tidy_cell(cell, f"{file}: cell {number}")
        tidy["id"] = identifier(cell.get("id"), number, identifiers)
        identifiers.add(tidy["id"])
        cells.append(tidy)
    notebook: dict[str, Any] = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
    try:
        with silence():
            return without_invalid_metadata(notebook)
    except Exception as error:  # noqa: BLE001 - nbformat's and jsonschema's
        reason = str(error).partition("\n")[0]
        fail(file, f"is not a valid notebook: {reason}")


def without_invalid_metadata(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook without what it and its cells say of themselves in a way the format does not know.

    Raise nbformat's ValidationError where it is not valid even then.
    """
    import nbformat

    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError:
        _, notebook = nbformat.validator.normalize(notebook, strip_invalid_metadata=True)
        nbformat.validate(notebook)
    return notebook


def tidy_cell(cell: Any, place: str) -> dict[str, Any]:
    """Return a cell with what the format knows of it, its outputs left out."""
    if not isinstance(cell, dict) or cell.get("cell_type") not in CELLS:
        fail(place, f"must be a cell of code, markdown or raw text, not {shorten(cell)}")
    tidy = {"cell_type": cell["cell_type"], "metadata": {}, "source": joined(cell.get("source"), place)}
    if isinstance(cell.get("metadata"), dict):
        tidy["metadata"] = dict(cell["metadata"])
    if "tags" in tidy["metadata"]:
        tidy["metadata"]["tags"] = tags_of(tidy["metadata"]["tags"], place)
    if tidy["cell_type"] == "code":
        tidy |= {"outputs": [], "execution_count": None}
    elif "attachments" in cell:
        tidy["attachments"] = cell["attachments"]
    return tidy


def joined(source: Any, place: str) -> str:
    """Return the text of a cell, which may be a list of lines."""
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        fail(place, f"must hold text, not {shorten(source)}")
    check_characters(source, place)
    return source


def tags_of(given: Any, place: str) -> list[str]:
    """Return the tags of a cell, each once."""
    if not isinstance(given, list) or not all(isinstance(tag, str) for tag in given):
        fail(place, f"its tags must be a list of names, not {shorten(given)}")
    return [tag for tag in dict.fromkeys(",".join(given).split(",")) if tag]


def check_characters(text: str, place: str) -> None:
    """Refuse a text that cannot be written to a file."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        fail(f"{place}, line {line}", "holds half of a character (a lone surrogate); delete it")


def identifier(given: Any, number: int, taken: set[str]) -> str:
    """Return a cell's own identifier if it is one and not taken, else one that is made of its number."""
    if isinstance(given, str) and CELL_ID.fullmatch(given) and given not in taken:
        return given
    made = f"cell-{number}"
    while made in taken:
        made += "-"
    return made


# --- cells as Python ---
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
        with silence():
            transformed = TransformerManager().transform_cell(source[blank.end() :])
    except IndexError as error:  # of quotes that are not closed after a magic
        raise SyntaxError("IPython cannot read it") from error
    return parse(above + transformed)


def parse(source: str) -> ast.Module:
    """Return Python code parsed; raise SyntaxError for all that Python would not run, with the reason."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as IPython allows it
    try:
        with silence():
            tree = compile(source, "cell", "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
            compile(tree, "cell", "exec", flags, dont_inherit=True)  # finds a `return` outside of functions
    except (ValueError, RecursionError, MemoryError) as error:  # NUL, or brackets in brackets in brackets
        raise SyntaxError(str(error) or "it is too deeply nested") from error
    assert isinstance(tree, ast.Module)
    return tree


def compile_plain(source: str, name: str) -> CodeType:
    """Return code that any Python runs; raise SyntaxError where a cell holds magics or `await`."""
    with silence():
        return compile(source, name, "exec", dont_inherit=True)
