"""What nbformat alone knows of notebook files: their older formats, and all that today's asks for.

It is imported only for a notebook that is not plainly in today's format, since it takes long: see notebook_format.py.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import nbformat


def in_fourth_format(text: str) -> dict[str, Any]:
    """Return a notebook of the formats 1 to 3 in the fourth; raise whatever nbformat raises."""
    with silence():
        return dict(nbformat.convert(nbformat.reader.reads(text), 4))


def without_invalid_metadata(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook without what it and its cells say of themselves in a way the format does not know.

    Raise nbformat's ValidationError where it is not valid even then.
    """
    with silence():
        try:
            nbformat.validate(notebook)
        except nbformat.ValidationError:
            _, notebook = nbformat.validator.normalize(notebook, strip_invalid_metadata=True)
            nbformat.validate(notebook)
    return notebook


@contextmanager
def silence() -> Iterator[None]:
    """Keep what nbformat logs and warns of from the terminal."""
    logger = logging.getLogger("traitlets")  # nbformat's
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
