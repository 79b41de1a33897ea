"""A notebook file: read in whatever state people leave one.

What Jupyter opens is accepted and put in order: cell identifiers, outputs, older formats. What could never run
is refused, all of it at once: another language than Python, a file that is no text, a cell with a syntax error.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbstudy.checks import Faults, StudyError, fail, shorten
from nbstudy.study.cells import parse_or_refuse
from nbstudy.study.notebook_format import is_surely_valid, text_of_notebook

CELL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
CELLS = ["code", "markdown", "raw"]
# Of the metadata of a notebook, what is never written: the state of outputs, at which of Colab nbconvert fails, and
# what nbformat keeps for itself. Of a cell likewise.
LEFT_OUT = {"widgets", "orig_nbformat", "orig_nbformat_minor", "signature"}
LEFT_OUT_OF_CELLS = {"trusted"}


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
    text = text_of_notebook(tidy)
    check_characters(text, f"{path.name}: metadata")
    return Notebook(path.name, text, cells)


# --- the file ---
def read_document(path: Path) -> dict[str, Any]:
    """Return what a notebook file holds, in the fourth format; refuse what is none."""
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
            from nbstudy.study.foreign import in_fourth_format  # slow to import

            document = in_fourth_format(text)
    except StudyError:
        raise
    except Exception as error:  # noqa: BLE001 - json's and nbformat's, of all kinds
        reason = str(error).partition("\n")[0]
        fail(path.name, f"is not a notebook: {reason}")
    if not isinstance(document.get("cells"), list) or not isinstance(document.get("metadata"), dict):
        fail(path.name, "is not a notebook: it has no list of cells, or no metadata")
    return dict(document)


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
    metadata = {key: value for key, value in document["metadata"].items() if key not in LEFT_OUT}
    cells: list[dict[str, Any]] = []
    identifiers: set[str] = set()
    for number, cell in enumerate(document["cells"], 1):
        tidy = tidy_cell(cell, f"{file}: cell {number}")
        tidy["id"] = identifier(cell.get("id"), number, identifiers)
        identifiers.add(tidy["id"])
        cells.append(tidy)
    notebook: dict[str, Any] = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
    if is_surely_valid(notebook):
        return notebook
    from nbstudy.study.foreign import without_invalid_metadata  # slow to import

    try:
        return without_invalid_metadata(notebook)
    except Exception as error:  # noqa: BLE001 - nbformat's and jsonschema's
        reason = str(error).partition("\n")[0]
        fail(file, f"is not a valid notebook: {reason}")


def tidy_cell(cell: Any, place: str) -> dict[str, Any]:
    """Return a cell with what the format knows of it, its outputs left out."""
    if not isinstance(cell, dict) or cell.get("cell_type") not in CELLS:
        fail(place, f"must be a cell of code, markdown or raw text, not {shorten(cell)}")
    tidy = {"cell_type": cell["cell_type"], "metadata": {}, "source": joined(cell.get("source"), place)}
    if isinstance(cell.get("metadata"), dict):
        metadata = cell["metadata"].items()
        tidy["metadata"] = {key: value for key, value in metadata if key not in LEFT_OUT_OF_CELLS}
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
