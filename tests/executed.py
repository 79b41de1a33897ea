"""Cells that are executed in a kernel of their own, and the log that it leaves.

Helpers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from nbstudy.execution import kernel
from nbstudy.execution.host import Share
from project import PATIENCE


def execute(
    directory: Path, *cells: str, metadata: Mapping[str, Any] | None = None, **parameters: Any
) -> str | None:
    """Execute code cells in a directory, which keeps the log; return their error."""
    log = directory / "log.ipynb"
    nbformat.write(notebook_of(*cells, metadata=metadata), log)
    share = Share(jobs=1)
    return kernel.execute(log, directory, parameters, share, lambda: True, PATIENCE / 60).error


def notebook_of(*cells: str, metadata: Mapping[str, Any] | None = None) -> nbformat.NotebookNode:
    """Return a notebook of code cells."""
    return new_notebook(metadata=dict(metadata or {}), cells=[new_code_cell(source) for source in cells])


def log_in(directory: Path) -> nbformat.NotebookNode:
    """Return the log of the cells that were executed in a directory."""
    return nbformat.read(directory / "log.ipynb", as_version=4)
