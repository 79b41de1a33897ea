"""From an attempt to a result: what it begins with, and its promotion."""

from __future__ import annotations

import os
import shutil
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from left import (
    FAILING_STUDY,
    begin,
    complete_run,
    names_in,
    with_steps,
    write_archive,
)
from nbstudy.records import attempts, runs
from nbstudy.records.results import load_results
from nbstudy.records.runs import Task
from nbstudy.records.states import State
from project import TINY_STUDY, Project, begun, change, read_run, rows

TWO_DAYS = 2 * 24 * 3600  # seconds


# --- what an attempt begins with ---
BEGUN = {"long.ipynb", "run.json"}  # what lies in an attempt before its first cell has run
LEFT = {"history.csv", "model.keras", "state"}


@pytest.mark.parametrize("error", [None, "RuntimeError: asked to fail"])
def test_whole_checkpoint_carries_over_with_what_lies_beside_it(task: Task, error: str | None) -> None:
    first = begin(task, 3)
    (first / "state").mkdir()
    (first / "state" / "sampler.bin").write_bytes(b"7")
    (first / "other.ipynb").write_text("{}")  # logs do not
    if error:
        attempts.finish_attempt(first, 5.0, error, None)
    assert runs.find(task).left == 0.25
    second = attempts.begin_attempt(task, cores=1, environment={})
    assert names_in(second) == BEGUN | LEFT
    assert (second / "state" / "sampler.bin").read_bytes() == b"7"
    assert rows(second / "history.csv") == 3


def test_whole_checkpoint_of_a_complete_run_carries_over_to_lengthen_it(task: Task) -> None:
    complete_run(task)
    longer = with_steps(task, 8)
    finding = runs.find(longer)
    assert (finding.state, finding.left) == (State.STALE, 0.5)
    assert finding.reason == "steps 4 -> 8, resumes after epoch 4"
    attempt = attempts.begin_attempt(longer, cores=1, environment={})
    assert names_in(attempt) == BEGUN | {"history.csv", "model.keras"}
    assert read_run(attempt)["attempts"] == 2


@pytest.mark.parametrize("damaged", [False, True])
def test_attempt_without_a_whole_checkpoint_begins_with_no_files(task: Task, damaged: bool) -> None:
    first = begin(task, 3, checkpoint=False)
    if damaged:
        (first / "model.keras").write_bytes(b"PK")
    finding = runs.find(task)
    assert (finding.state, finding.left) == (State.UNFINISHED, 1.0)
    why = "damaged" if damaged else "not here"
    assert finding.reason == f"interrupted at epoch 3, starts over: model.keras is {why}"
    second = attempts.begin_attempt(task, cores=1, environment={})
    assert names_in(second) == BEGUN
    assert read_run(second)["attempts"] == 2  # the time of the first was spent all the same
    assert read_run(second)["started"] == read_run(first)["started"]


def test_complete_run_without_its_checkpoint_is_no_beginning_of_a_longer_one(task: Task) -> None:
    (complete_run(task) / "model.keras").unlink()
    longer = with_steps(task, 8)
    assert runs.find(longer).reason == "steps 4 -> 8, starts over: model.keras is not here"
    attempt = attempts.begin_attempt(longer, cores=1, environment={})
    assert names_in(attempt) == BEGUN
    assert (read_run(attempt)["attempts"], read_run(attempt)["seconds"]) == (1, 0.0)


def test_template_can_name_its_checkpoint(task: Task) -> None:
    task = replace(task, context=replace(task.context, checkpoint="state.pt"))
    first = begin(task, 3, checkpoint=False)
    write_archive(first / "model.keras")  # which it does not resume from
    assert runs.find(task).reason == "interrupted at epoch 3, starts over: state.pt is not here"
    (first / "state.pt").write_bytes(b"weights")
    assert runs.find(task).beginning == "resumes (interrupted at epoch 3)"
    assert "state.pt" in names_in(attempts.begin_attempt(task, cores=1, environment={}))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("model.keras", b"", False),
        ("model.keras", b"weights", False),
        ("arrays.npz", b"weights", False),
        ("state.pt", b"", False),
        ("state.pt", b"weights", True),
        ("state.pt", b"PK: an archive that was cut short", False),
    ],
)
def test_checkpoint_is_whole_as_far_as_can_be_told(
    tmp_path: Path, name: str, content: bytes, expected: bool
) -> None:
    assert not runs.is_whole(tmp_path / name)
    (tmp_path / name).write_bytes(content)
    assert runs.is_whole(tmp_path / name) is expected
    write_archive(tmp_path / name)
    assert runs.is_whole(tmp_path / name)


# --- the time that runs took ---
@pytest.mark.parametrize("ahead", ["history.csv", "run.json"])
def test_clock_that_jumped_counts_for_nothing(task: Task, ahead: str) -> None:
    first = begin(task, 3)
    moment = time.time() + TWO_DAYS
    os.utime(first / ahead, (moment, moment))
    assert 0 <= read_run(attempts.begin_attempt(task, cores=1, environment={}))["seconds"] < TWO_DAYS / 2


def test_killed_attempt_lived_to_its_last_file(task: Task) -> None:
    first = begin(task, 3)
    for file, before in [("run.json", 500), ("model.keras", 400), ("history.csv", 100), ("long.ipynb", 300)]:
        moment = time.time() - before
        os.utime(first / file, (moment, moment))
    assert read_run(attempts.begin_attempt(task, cores=1, environment={}))["seconds"] == pytest.approx(
        400, abs=1
    )


# --- attempts and promotion ---
def test_attempts_beyond_the_last_two_are_removed(project: Project, failed: Project) -> None:
    project.copy_outputs(failed)  # with the first
    study = project.study(FAILING_STUDY)
    for _ in range(2):
        project.run(study, "--only", "bad", status=1)
    kept = {path.name for path in project.outputs("mine", "incomplete", "bad").iterdir()}
    assert kept == {"2", "3"}


@pytest.mark.parametrize("cut", ["before", "between", "after"])
def test_promotion_cut_short_is_finished(complete: Project, cut: str) -> None:
    place = complete.outputs("mine", "short")
    home = complete.outputs("mine", "incomplete", "short")
    home.mkdir()
    # the runner was killed while it replaced `place` by the successful attempt 2
    if cut in ("before", "between"):
        shutil.copytree(place, home / "2")
        change(home / "2" / "run.json", attempts=7)
    if cut == "between":
        place.rename(home / "replaced")
    if cut == "before":
        shutil.rmtree(place)
    if cut == "after":
        shutil.copytree(place, home / "replaced")
    assert "2 complete" in complete.run("params/mine.yaml", "--dry-run")
    results = load_results(complete.outputs("mine"))
    assert results.complete == ["short", "long"] and results.table.loc["short", "epochs"] == 2
    printed = complete.run("params/mine.yaml")
    assert "2 of 2 complete" in printed and begun(printed) == []
    assert read_run(place)["attempts"] == (1 if cut == "after" else 7)
    assert not home.exists()


def test_run_killed_after_its_last_epoch_is_finished_beside_others(complete: Project) -> None:
    killed = complete.attempt("short")
    killed.parent.mkdir(parents=True)
    complete.outputs("mine", "short").rename(killed)
    with zipfile.ZipFile(killed / "model.keras", "w") as checkpoint:  # tiny.ipynb writes none
        checkpoint.writestr("weights", b"")
    change(killed / "run.json", finished=False, files={})
    study = complete.study(TINY_STUDY + "  other: {steps: 3}\n")
    printed = complete.run(study)
    assert "short: resumes (interrupted at epoch 2)" in printed and "other: started\n" in printed
    assert "short: 2 epochs" in printed and "3 of 3 complete" in complete.run(study)
