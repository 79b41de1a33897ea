"""What a watch notes of a project's files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbstudy.execution.directories import temporary_directory
from nbstudy.execution.watch import MOST, Watch

NOTES = "notes"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with code and data."""
    root = tmp_path / "project"
    for path in ("src/helper.py", "src/table.csv", "data/houses.csv"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("value = 1\n")
    return root


def watch(project: Path, *inputs: str) -> Watch:
    """Return a watch whose notes have a place, which is told of files as Python's audit hook is."""
    watched = Watch(str(project), str(project / "outputs"))
    watched.write_to(str(project.parent / NOTES), str(project / "modules"), list(inputs))
    return watched


def read(watched: Watch, path: Path) -> None:
    """Tell a watch that a file is about to be read."""
    watched.see("open", (str(path), "r", os.O_RDONLY))


def noted(project: Path) -> list[dict[str, Any]]:
    """Return the notes."""
    return [json.loads(line) for line in (project.parent / NOTES).read_text().splitlines()]


def test_directories_of_kernels_are_not_the_project_s(project: Path) -> None:
    with temporary_directory(project) as private:
        (private / "modules").mkdir()
        (private / "modules" / "helper.py").touch()
        (private / "modules" / "table.csv").symlink_to(project / "src" / "table.csv")
        (private / "watch.py").touch()
        watched = Watch(str(project), str(project / "outputs"))
        read(watched, private / "watch.py")
        watched.write_to(str(project.parent / NOTES), str(private / "modules"), [])
        read(watched, private / "modules" / "helper.py")
        read(watched, private / "modules" / "table.csv")
    assert [note["path"] for note in noted(project)] == ["src/table.csv"]


def in_a_fork(act: Callable[[], None]) -> None:
    """Do something in a forked process, and wait for it."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            act()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def test_process_that_closed_its_files_notes_into_none_of_its_own(project: Path, tmp_path: Path) -> None:
    watched = watch(project)
    read(watched, project / "src" / "helper.py")
    assert watched.file is not None
    number = watched.file[0]

    def close_and_read() -> None:
        os.close(number)
        own = os.open(tmp_path / "own", os.O_WRONLY | os.O_CREAT)
        os.dup2(own, number)
        read(watched, project / "src" / "table.csv")

    in_a_fork(close_and_read)
    os.close(number)
    read(watched, project / "data" / "houses.csv")
    assert (tmp_path / "own").read_bytes() == b""
    assert [note["path"] for note in noted(project)] == ["src/helper.py", "src/table.csv", "data/houses.csv"]


def test_forked_processes_note_data_once_and_not_without_end(project: Path) -> None:
    named = project / "data" / "named.csv"
    many = [project / "data" / f"{number}.csv" for number in range(2 * MOST["read"])]
    for path in (named, *many):
        path.touch()
    watched = watch(project, "data/named.csv")

    def read_all() -> None:
        for path in (named, *many):
            read(watched, path)

    for _ in range(2):
        in_a_fork(read_all)
    names = [note["path"] for note in noted(project)]
    assert len(set(names)) == len(names) <= MOST["read"]
    assert "data/named.csv" not in names
    assert len(names) > MOST["read"] / 2


def test_forked_processes_note_code_once_as_long_as_it_is_the_same(project: Path) -> None:
    watched = watch(project)
    code = project / "src" / "helper.py"
    for text in ("value = 1\n", "value = 23\n"):
        code.write_text(text)
        for _ in range(2):
            in_a_fork(lambda: read(watched, code))
    assert [note["text"] for note in noted(project)] == ["value = 1\n", "value = 23\n"]


def test_path_is_the_project_s_however_it_is_written(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "data")
    watched = watch(project)
    for path in ("houses.csv", f"{project}/./data//houses.csv", f"/..{project}/data/houses.csv"):
        assert watched.path_of(path) == "data/houses.csv"
    for path in ("../../other/houses.csv", f"{project}/../other.csv", f"{project}s/houses.csv", "/"):
        assert watched.path_of(path) is None
