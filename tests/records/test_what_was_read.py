"""What a run read of its project: what its kernel noted, what it was told to read, and whether that is as it was."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from left import begin, with_steps, write_archive
from nbstudy.files import write_json
from nbstudy.records import attempts, runs
from nbstudy.records.inputs import CHANGED, NOTES, imported_by, what_was_read
from nbstudy.records.runs import Task
from nbstudy.records.states import State
from nbstudy.study.inputs import LARGE, ProjectFiles
from project import change, names_of_files, read, read_run

CODE = "src/helper.py"
DATA = "data/houses.csv"


@pytest.fixture
def reading(task: Task, tmp_path: Path) -> Task:
    """A task in a project with a module and data."""
    for path in (CODE, DATA):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("value = 1\n")
    return with_inputs(task, "data/*.csv")


def with_inputs(task: Task, *patterns: str) -> Task:
    """Return the task as a new command sees it, whose study file names these inputs."""
    files = ProjectFiles(task.context.lease.outputs.parent, patterns)
    files.look()
    template = replace(task.context.template, imported={}, same_code={task.context.template.hash: True})
    return replace(task, context=replace(task.context, files=files, template=template))


def note(attempt: Path, **content: object) -> None:
    """Note what a kernel read."""
    with (attempt / NOTES).open("a") as notes:
        notes.write(json.dumps(content) + "\n")


def import_code(task: Task, attempt: Path) -> None:
    """Note that a kernel imported the module."""
    files = task.context.files
    assert files.root is not None
    note(attempt, path=CODE, hash=files.hash_of(CODE), text=(files.root / CODE).read_text())


def complete(task: Task, while_it_runs: Callable[[Path], None] | None = None) -> list[str]:
    """Run a task that imports the module to its end; return what else it read."""
    attempt = begin(task, task.parameters["steps"])
    import_code(task, attempt)
    if while_it_runs:
        while_it_runs(attempt)
    found, others = what_was_read(attempt, read_run(attempt), task.context.files)
    attempts.finish_attempt(attempt, 5.0, None, None, found)
    attempts.promote(task, attempt)
    return others


def reason_of(task: Task, *patterns: str) -> str:
    """Return why a new command takes a run for stale, empty where it is complete."""
    finding = runs.find(with_inputs(task, *patterns))
    return finding.reason.removesuffix(", starts over")


def test_run_is_stale_when_a_file_that_it_read_has_changed(reading: Task, tmp_path: Path) -> None:
    complete(reading)
    assert reason_of(reading, "data/*.csv") == ""
    (tmp_path / CODE).write_text("value  =  1  # of them\n")
    (tmp_path / DATA).write_bytes(b"value = 1\r\n")  # as git checks it out elsewhere
    assert reason_of(reading, "data/*.csv") == ""
    (tmp_path / CODE).write_text("value = 2\n")
    (tmp_path / DATA).write_text("value = 2\n")
    assert reason_of(reading, "data/*.csv") == f"{DATA} changed, {CODE} changed"
    (tmp_path / CODE).unlink()
    (tmp_path / DATA).unlink()
    (tmp_path / "data" / "more.csv").touch()
    assert reason_of(reading, "data/*.csv") == f"{DATA} is gone, data/more.csv is new, {CODE} is gone"


def test_what_is_named_only_now_or_no_longer_makes_nothing_stale(reading: Task, tmp_path: Path) -> None:
    complete(reading)
    (tmp_path / "more.txt").touch()
    assert reason_of(reading, "data/*.csv", "more.txt") == ""
    (tmp_path / DATA).write_text("value = 2\n")
    assert reason_of(reading, "more.txt") == ""
    assert reason_of(reading, "data/*.csv", "more.txt") == f"{DATA} changed"


def test_older_record_lacks_what_was_read_and_is_complete(reading: Task) -> None:
    complete(reading)
    record = read(reading.place / "run.json")
    for name in ("imported", "inputs", "input_patterns", "continued"):
        del record[name]
    write_json(reading.place / "run.json", record)
    assert reason_of(reading, "data/*.csv") == ""


def test_file_that_changes_while_it_is_used_is_not_on_record_as_it_is_later(
    reading: Task, tmp_path: Path
) -> None:
    def edit(attempt: Path) -> None:
        (tmp_path / DATA).write_text("value = 2\n")
        (tmp_path / CODE).write_text("value = 2\n")
        import_code(reading, attempt)  # again

    complete(reading, edit)
    run = read_run(reading.place)
    assert (run["inputs"], run["imported"]) == ({DATA: CHANGED}, {CODE: CHANGED})
    assert reason_of(reading, "data/*.csv") == f"{DATA} {CHANGED}, {CODE} {CHANGED}"


def test_files_that_a_run_wrote_itself_do_not_count(reading: Task) -> None:
    def write(attempt: Path) -> None:
        note(attempt, path="src/made.py", written=True)
        note(attempt, path="src/made.py", hash="0123456789abcdef", text="")
        note(attempt, path="cache.npz", written=True)
        note(attempt, path="cache.npz")
        note(attempt, path=DATA)
        note(attempt, path="notes.txt")
        with (attempt / NOTES).open("a") as notes:
            notes.write('{"path": "cut')

    assert complete(reading, write) == ["notes.txt"]
    assert read_run(reading.place)["imported"].keys() == {CODE}
    assert names_of_files(reading.place / "imported") == {CODE}


def test_attempt_is_resumed_as_long_as_what_it_imported_is_the_same(reading: Task, tmp_path: Path) -> None:
    killed = begin(reading, 2)
    import_code(reading, killed)
    assert runs.find(with_inputs(reading, "data/*.csv")).resumes
    second = attempts.begin_attempt(reading, cores=1, environment={})
    assert read_run(second)["imported"].keys() == {CODE}
    assert not (second / NOTES).exists()
    (tmp_path / CODE).write_text("value = 2\n")
    finding = runs.find(with_inputs(reading, "data/*.csv"))
    assert (finding.state, finding.resumes) == (State.MISSING, False)


def test_comment_is_told_from_a_change_by_whichever_run_kept_a_copy(reading: Task, tmp_path: Path) -> None:
    complete(reading)
    (reading.place / "imported" / CODE).rename(tmp_path / "copy")
    (tmp_path / CODE).write_text("value = 1  # of them\n")
    today = with_inputs(reading, "data/*.csv")
    assert runs.find(today).state is State.STALE
    (tmp_path / "copy").rename(reading.place / "imported" / CODE)
    assert runs.find(today).state is State.COMPLETE
    (tmp_path / CODE).write_text("value = 2\n")
    assert runs.find(today).state is State.STALE


def test_comment_leaves_a_killed_attempt_its_checkpoint(reading: Task, tmp_path: Path) -> None:
    killed = begin(reading, 2)
    import_code(reading, killed)
    (tmp_path / CODE).write_text("value = 1  # of them\n")
    assert runs.find(with_inputs(reading, "data/*.csv")).resumes


def test_attempt_resumes_with_what_was_imported_where_the_project_is_not_seen(
    reading: Task, tmp_path: Path
) -> None:
    import_code(reading, killed := begin(reading, 2))
    was = reading.context.files.hash_of(CODE)
    elsewhere = replace(reading.context, files=ProjectFiles(tmp_path / "gone"))
    second = attempts.begin_attempt(replace(reading, context=elsewhere), cores=1, environment={})
    assert second != killed
    assert read_run(second)["imported"] == {CODE: was}


@pytest.mark.parametrize("path", ["imported", "imported/src", f"imported/{CODE}/x"])
def test_template_may_write_what_is_called_as_the_copies(reading: Task, path: str) -> None:
    def write(attempt: Path) -> None:
        (attempt / path).parent.mkdir(parents=True, exist_ok=True)
        (attempt / path).write_text("the template's")

    complete(reading, write)
    assert read_run(reading.place)["imported"].keys() == {CODE}
    assert (reading.place / path).read_text() == "the template's"
    assert reason_of(reading, "data/*.csv") == ""


def test_notes_stay_until_the_record_tells_what_was_imported(reading: Task) -> None:
    attempt = begin(reading, reading.parameters["steps"])
    import_code(reading, attempt)
    found, _ = what_was_read(attempt, read_run(attempt), reading.context.files)
    assert imported_by(attempt, read_run(attempt)).keys() == {CODE}  # as if it were killed here
    attempts.finish_attempt(attempt, 5.0, None, None, found)
    assert imported_by(attempt, read_run(attempt)).keys() == {CODE}
    assert not (attempt / NOTES).exists()


def test_changed_files_can_be_accepted(reading: Task, tmp_path: Path) -> None:
    complete(reading)
    (tmp_path / CODE).write_text("value = 2\n")
    (tmp_path / DATA).write_text("value = 2\n")
    (tmp_path / "data" / "more.csv").touch()
    today = with_inputs(reading, "data/*.csv")
    assert runs.find(today).can_be_accepted
    attempts.accept_run(today)
    assert reason_of(reading, "data/*.csv") == ""
    assert len(read_run(reading.place)["accepted"]) == 3
    for path in (CODE, DATA):
        (tmp_path / path).write_text("value = 1\n")
    (tmp_path / "data" / "more.csv").unlink()
    assert reason_of(reading, "data/*.csv") == ""  # as it was made
    (tmp_path / CODE).write_text("value = 3\n")
    assert reason_of(reading, "data/*.csv") == f"{CODE} changed"


def test_project_that_is_not_here_makes_nothing_stale(reading: Task, tmp_path: Path) -> None:
    complete(reading)
    elsewhere = replace(reading.context, files=ProjectFiles(tmp_path / "gone", ("data/*.csv",)))
    assert runs.find(replace(reading, context=elsewhere)).state is State.COMPLETE


def test_large_file_is_hashed_once_for_its_size_and_time(tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(b"1" * LARGE)
    before = time.time() - 60
    os.utime(large, (before, before))
    files = ProjectFiles(tmp_path, ("large.bin",))
    files.look()
    files.remember(tmp_path)
    remembered = (tmp_path / ".hashes.json").read_bytes()
    large.write_bytes(b"2" * LARGE)
    os.utime(large, (before, before))  # so that nobody can tell
    again = ProjectFiles(tmp_path, ("large.bin",))
    again.recall(tmp_path)
    again.look()
    assert again.inputs == files.inputs
    again.remember(tmp_path)
    assert (tmp_path / ".hashes.json").read_bytes() == remembered
    os.utime(large, (before, before + 1))
    again.look()
    assert again.inputs != files.inputs
    change(tmp_path / ".hashes.json", **{"large.bin": "damaged"})
    again.recall(tmp_path)


def test_lengthened_run_keeps_what_it_imported(reading: Task) -> None:
    complete(reading)
    write_archive(reading.place / "model.keras")
    longer = with_steps(reading, 8)
    assert read_run(attempts.begin_attempt(longer, cores=1, environment={}))["imported"].keys() == {CODE}
