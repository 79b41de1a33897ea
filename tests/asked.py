"""Studies of train.ipynb, written and loaded.

Helpers only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from nbstudy.checks import StudyError
from nbstudy.study.study import Study, load_study


def load(place: Path, text: str, overrides: list[tuple[str, str]] | None = None) -> Study:
    """Write and load a study of train.ipynb, unless it names its notebooks itself."""
    file = place / "mine.yaml"
    if "notebooks:" not in text:
        text = f"notebooks: {{run: train.ipynb}}\n{text}"
    file.write_text(text, encoding="utf-8")
    return load_study(file, overrides or [])


def refusal_of(place: Path, text: str, overrides: list[tuple[str, str]] | None = None) -> str:
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
