"""The format of notebook files, as it is known without nbformat: held against nbformat itself."""

from __future__ import annotations

import itertools
from typing import Any

import nbformat
import pytest

from nbstudy.study.notebook_format import CELL, LANGUAGE, NOTEBOOK, is_surely_valid, text_of_notebook
from project import ROOT

KERNEL = {"name": "python3", "display_name": "Python 3"}
VALUES: list[Any] = [
    *("", "x", "auto", "two\nlines", 0, 1, True, None, [], ["x"], {}, {"x": "y"}, {"x": 1}, {"name": 1}),
    *(KERNEL, KERNEL | {"display_name": None}, {"name": "python", "codemirror_mode": {"version": 3}}),
]
LANGUAGES = [{"name": "python"} | {field: value} for field in LANGUAGE for value in VALUES]
CELL_TYPES = ("code", "markdown", "raw")


def notebook(kind: str, of_notebook: Any = None, of_cell: Any = None, **fields: Any) -> dict[str, Any]:
    """Return a notebook of one cell as it is when it was put in order."""
    cell = {"id": "one", "cell_type": kind, "metadata": of_cell or {}, "source": "a = 1\r\nb = 'é\x0c'\n"}
    if kind == "code":
        cell |= {"outputs": [], "execution_count": None}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": of_notebook or {}, "cells": [cell | fields]}


def is_valid(document: dict[str, Any]) -> bool:
    """Tell what nbformat says."""
    return bool(nbformat.validator.isvalid(document))


def test_what_is_surely_valid_is_valid() -> None:
    documents = [notebook("code", {"language_info": language}) for language in LANGUAGES]
    for field, value in itertools.product([*NOTEBOOK, "unknown"], VALUES):
        documents.append(notebook("code", {field: value}))
    for kind, field, value in itertools.product(CELL_TYPES, [*CELL, "unknown"], VALUES):
        documents.append(notebook(kind, None, {field: value}))
    sure = [document for document in documents if is_surely_valid(document)]
    assert len(sure) > len(documents) / 4
    assert [document for document in sure if not is_valid(document)] == []


def test_what_jupyter_writes_is_surely_valid() -> None:
    language = {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
        "version": "3.13.1",
    }
    of_cell = {
        "collapsed": True,
        "execution": {"iopub.status.busy": "2025-01-01T00:00:00.000000Z"},
        "jupyter": {"outputs_hidden": True, "source_hidden": True},
        "scrolled": False,
        "tags": ["parameters"],
    }
    assert is_surely_valid(notebook("code", {"kernelspec": KERNEL, "language_info": language}, of_cell))


def test_attachments_are_left_to_nbformat() -> None:
    for attachments in ({}, {"a.png": {"image/png": 1}}):
        assert not is_surely_valid(notebook("markdown", attachments=attachments))


def test_schema_knows_no_other_field() -> None:
    schema = nbformat.validator.get_validator(4, 5)._schema
    of_notebook = schema["properties"]["metadata"]["properties"]
    assert of_notebook.keys() - NOTEBOOK == {"orig_nbformat"}  # which is left out of what is read
    assert of_notebook["language_info"]["properties"].keys() == LANGUAGE.keys()
    for kind in CELL_TYPES:
        of_cell = schema["definitions"][f"{kind}_cell"]["properties"]
        assert of_cell["metadata"]["properties"].keys() - CELL == {"tags"}  # which are put in order
        assert of_cell.keys() - notebook(kind)["cells"][0] <= {"attachments"}


@pytest.mark.parametrize("kind", CELL_TYPES)
def test_text_is_what_nbformat_writes(kind: str) -> None:
    documents = [notebook(kind, {"title": "é", "a": [1, {}]}, {"tags": ["x"], "b": None})]
    documents.append(notebook(kind, source=""))
    for document in documents:
        assert text_of_notebook(document) == nbformat.v4.writes(nbformat.from_dict(document))


def test_text_of_a_published_template_is_its_file() -> None:
    text = (ROOT / "notebooks" / "train.ipynb").read_text(encoding="utf-8").rstrip("\n")
    assert text_of_notebook(nbformat.v4.reads(text)) == text
