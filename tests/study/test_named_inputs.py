"""What `inputs` names: patterns of files of the project, and nothing that runs leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbstudy.execution.directories import temporary_directory
from nbstudy.study.inputs import ProjectFiles


@pytest.mark.parametrize("pattern", ["**", "./**", "*/../**"])
def test_pattern_names_no_kernel_s_files_and_none_of_the_outputs(tmp_path: Path, pattern: str) -> None:
    for path in ("data/a.csv", "outputs/mine/b.csv", "results/c.csv", "results.csv", "data/results/d.csv"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    files = ProjectFiles(tmp_path, (pattern,), tmp_path / "results")
    with temporary_directory(tmp_path) as private:
        (private / "e.csv").touch()
        files.look()
    assert list(files.inputs) == ["data/a.csv", "data/results/d.csv", "results.csv"]
