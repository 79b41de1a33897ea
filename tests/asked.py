"""Studies of this project's templates, written and loaded.

Helpers only.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import pytest

from nbstudy.checks import StudyError
from nbstudy.study.study import Study, load_study
from project import ROOT


def load_whole(place: Path, text: str, overrides: Iterable[tuple[str, str]] = ()) -> Study:
    """Write and load a study, with the notebooks of this project beside it."""
    with_notebooks(place)
    file = place / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return load_study(file, overrides)


def with_notebooks(place: Path) -> Path:
    """Return a directory in which the notebooks of this project lie as in it."""
    shutil.copytree(ROOT / "notebooks", place / "notebooks", dirs_exist_ok=True)
    return place


def load(place: Path, text: str, overrides: Iterable[tuple[str, str]] = ()) -> Study:
    """Write and load a study of train.ipynb."""
    return load_whole(place, f"notebooks: {{run: train.ipynb}}\n{text}", overrides)


def refusal_of(place: Path, text: str, overrides: Iterable[tuple[str, str]] = ()) -> str:
    """Return why a study of train.ipynb is refused."""
    with pytest.raises(StudyError) as refusal:
        load(place, text, overrides)
    assert refusal.value.exit_code == 2
    return refusal.value.message


PARAMETERS = """
steps = 3
rate = 0.1
word = "x"
note: str | None = None
limit = None
hidden: list[int] = [16]
options = {}
matrix = [[1]]
"""


class MakeStudy(Protocol):
    """Write and load a study of a template with these parameters, None for no cell of them."""

    def __call__(
        self,
        text: str,
        overrides: list[tuple[str, str]] | None = None,
        *,
        parameters: str | None = PARAMETERS,
        preflight: str = "",
    ) -> Study: ...
