"""The format of notebook files: whether a notebook is surely valid, and its text.

nbformat knows more, and takes 0.2 to 2.3 s of processor time to import, so it is asked only where it is not sure: see
foreign.py. `tests/test_notebook_format.py` holds this against nbformat.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any


# --- what the schema of version 4.5 says of metadata; other fields may hold anything ---
def is_text(value: Any) -> bool:
    """Tell whether a field holds text."""
    return isinstance(value, str)


def is_line(value: Any) -> bool:
    """Tell whether a field holds a line of text, not an empty one."""
    return isinstance(value, str) and value.isprintable() and value != ""


def is_flag(value: Any) -> bool:
    """Tell whether a field holds true or false."""
    return isinstance(value, bool)


def is_mapping(value: Any) -> bool:
    """Tell whether a field holds a mapping."""
    return isinstance(value, dict)


def is_mapping_of_texts(value: Any) -> bool:
    """Tell whether a field holds a mapping of which all values are texts."""
    return isinstance(value, dict) and all(map(is_text, value.values()))


def is_kernel(value: Any) -> bool:
    """Tell whether a field names a kernel."""
    return isinstance(value, dict) and is_text(value.get("name")) and is_text(value.get("display_name"))


def is_language(value: Any) -> bool:
    """Tell whether a field names a language."""
    return isinstance(value, dict) and "name" in value and has_valid_fields(value, LANGUAGE)


def is_mode(value: Any) -> bool:
    """Tell whether a field holds the mode of an editor."""
    return isinstance(value, str | dict)


def is_list(value: Any) -> bool:
    """Tell whether a field holds a list."""
    return isinstance(value, list)


LANGUAGE = {
    "name": is_text,
    "codemirror_mode": is_mode,
    "file_extension": is_text,
    "mimetype": is_text,
    "pygments_lexer": is_text,
}
NOTEBOOK = {"kernelspec": is_kernel, "language_info": is_language, "title": is_text, "authors": is_list}
CELL = {  # of code, Markdown or raw text; of some the schema asks less
    "jupyter": is_mapping,
    "execution": is_mapping_of_texts,
    "collapsed": is_flag,
    "scrolled": is_flag,
    "name": is_line,
    "format": is_text,
}


def has_valid_fields(metadata: Mapping[str, Any], fields: Mapping[str, Callable[[Any], bool]]) -> bool:
    """Tell whether all known fields of metadata that are there hold what they may hold."""
    return all(is_valid(metadata[name]) for name, is_valid in fields.items() if name in metadata)


def is_surely_valid(notebook: Mapping[str, Any]) -> bool:
    """Tell whether a notebook is valid that was put in order: what remains to be checked is what it says of itself.

    False where that needs the whole schema, too.
    """
    if not has_valid_fields(notebook["metadata"], NOTEBOOK):
        return False
    return all(
        "attachments" not in cell and has_valid_fields(cell["metadata"], CELL) for cell in notebook["cells"]
    )


def text_of_notebook(notebook: Mapping[str, Any]) -> str:
    """Return a notebook as Jupyter writes it: its cells as lists of lines, its keys sorted."""
    cells = []
    for cell in notebook["cells"]:
        cells.append(cell | {"source": cell["source"].splitlines(keepends=True)})
    return json.dumps({**notebook, "cells": cells}, ensure_ascii=False, indent=1, sort_keys=True)
