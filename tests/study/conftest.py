"""Fixtures: studies of a template of a test's own."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from asked import PARAMETERS, MakeStudy
from nbstudy.study.study import Study, load_study


@pytest.fixture
def make_study(tmp_path: Path) -> MakeStudy:
    """Return a function that writes a template, notebooks/mine.ipynb, and loads a study of it."""
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()

    def make(
        text: str,
        overrides: list[tuple[str, str]] | None = None,
        *,
        parameters: str | None = PARAMETERS,
        preflight: str = "",
    ) -> Study:
        cells = [new_code_cell(preflight, metadata={"tags": ["preflight"]})]
        if parameters is not None:
            cells.insert(0, new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        nbformat.write(new_notebook(cells=cells), notebooks / "mine.ipynb")
        if "notebooks" not in text:
            text = f"notebooks: {{run: mine.ipynb}}\n{text}"
        file = tmp_path / "mine.yaml"
        file.write_text(text, encoding="utf-8")
        return load_study(file, overrides or [])

    return make
