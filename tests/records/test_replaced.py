"""Nothing that was trained is lost: what another run takes the place of is kept, and told of beforehand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from left import begin, complete_run, names_in, with_code, with_steps, write_history
from nbstudy.records import attempts, runs
from nbstudy.records.results import load_results
from nbstudy.records.runs import Task
from nbstudy.records.states import State
from project import STRAIGHT_STUDY, TINY_STUDY, Project, change, read_run, rows


def kept_of(task: Task) -> list[Path]:
    """Return what was replaced of a task, the oldest first."""
    return sorted((task.context.lease.outputs / "replaced" / task.name).glob("*"))


def test_complete_run_that_is_replaced_is_kept_without_its_checkpoint(task: Task) -> None:
    complete_run(task)
    was = names_in(task.place)
    shorter = with_steps(task, 3)
    assert runs.find(shorter).replaces
    complete_run(shorter)
    complete_run(with_code(task, "x = 1"))
    first, second = kept_of(task)
    assert [rows(each / "history.csv") for each in (first, second)] == [4, 3]
    assert names_in(first) == was - {"model.keras"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z", first.name)
    assert runs.extras([task.name], task.context.lease.outputs) == []
    assert not task.incomplete.exists()


def test_lengthening_replaces_nothing(task: Task) -> None:
    complete_run(task)
    longer = with_steps(task, 8)
    assert not runs.find(longer).replaces
    begin(longer, 6)  # and is killed
    assert not runs.find(longer).replaces
    complete_run(longer)
    assert rows(longer.place / "history.csv") == 8
    assert kept_of(task) == []
    (longer.place / "model.keras").unlink()
    longest = with_steps(task, 9)
    assert runs.find(longest).replaces  # it starts over
    complete_run(longest)
    assert len(kept_of(task)) == 1


def test_attempt_that_no_later_one_trains_again_is_kept(task: Task) -> None:
    begin(with_code(task, "x = 1"), 3)
    begin(with_code(task, "x = 2"), 0)  # which has trained nothing
    begin(task, 2, checkpoint=False)  # which is trained again
    begin(task, 2)
    complete_run(task)
    (kept,) = kept_of(task)
    assert rows(kept / "history.csv") == 3
    assert not (kept / "model.keras").exists()


@pytest.mark.parametrize("moved", [True, False])
def test_old_result_is_kept_by_whoever_finishes_a_promotion(task: Task, moved: bool) -> None:
    complete_run(task)
    today = with_steps(task, 3)
    attempt = begin(today, 3)
    attempts.finish_attempt(attempt, 5.0, None, None)
    task.place.rename(task.incomplete / "replaced")
    if moved:
        attempt.rename(task.place)
    attempts.finish_promotion(today)
    assert rows(today.place / "history.csv") == 3
    assert [rows(each / "history.csv") for each in kept_of(task)] == [4]
    assert not task.incomplete.exists()
    attempts.finish_promotion(today)
    assert len(kept_of(task)) == 1


def test_empty_directory_is_no_run_that_takes_the_place_of_one(task: Task) -> None:
    complete_run(task)
    task.incomplete.mkdir(parents=True)
    task.place.rename(task.incomplete / "replaced")
    task.place.mkdir()  # a power loss came between
    assert runs.find(task).state is State.COMPLETE
    attempts.finish_promotion(task)
    assert rows(task.place / "history.csv") == 4
    assert not task.incomplete.exists() and not kept_of(task)


def test_empty_directory_is_never_kept(task: Task) -> None:
    task.place.mkdir()
    assert not runs.find(task).replaces
    complete_run(task)
    assert rows(task.place / "history.csv") == 4 and not kept_of(task)
    (task.incomplete / "replaced").mkdir(parents=True)
    attempts.finish_promotion(task)
    assert not task.incomplete.exists() and not kept_of(task)


def test_dry_run_says_what_will_be_replaced_and_how_it_stays(complete: Project) -> None:
    study = complete.study(TINY_STUDY.replace("steps: 2", "steps: 1"))
    kept = complete.outputs("mine", "replaced").relative_to(complete.root)
    news = f"1 run will be replaced and kept in {kept}, without checkpoints"
    assert f"{news}\n" in complete.run(study, "--dry-run")
    complete.edit("tiny.ipynb", "1 / step", "2 / step")
    two = news.replace("1 run", "2 runs")
    assert f"{two}; `--accept` keeps 1 of them current instead\n" in complete.run(study, "--dry-run")
    printed = complete.run(study, "--accept")
    (place,) = complete.outputs("mine", "replaced", "short").iterdir()
    assert f"the earlier run is in {place.relative_to(complete.root)}" in printed
    assert read_run(place)["parameters"]["steps"] == 2
    assert not complete.outputs("mine", "replaced", "long").exists()
    assert "extra" not in printed


def test_results_show_what_was_replaced_where_that_is_asked_for(complete: Project) -> None:
    place = complete.outputs("mine", "short")
    for when, steps in (("2026-01-01T00-00-00.000Z", 2), ("2026-01-02T00-00-00.000Z", 1)):
        kept = complete.outputs("mine", "replaced", "short", when)
        shutil.copytree(place, kept)
        change(kept / "run.json", parameters=read_run(place)["parameters"] | {"steps": steps}, files={})
        write_history(kept, steps)
    (complete.outputs("mine", "replaced") / "gone" / "x").mkdir(parents=True)
    plain = load_results(complete.outputs("mine"))
    results = load_results(complete.outputs("mine"), replaced=True)
    assert list(plain.table.index) == ["short", "long"] == list(results.runs)
    first, second = "short@2026-01-01T00-00-00.000Z", "short@2026-01-02T00-00-00.000Z"
    assert list(results.table.index) == ["short", "long", first, second]
    assert results.table.loc[second, ["state", "reason", "param_steps"]].tolist() == [
        "replaced",
        "steps 1 -> 2",
        1,
    ]
    assert list(results.curve(first, "val_loss")) == [1.0, 0.5]
    assert repr(results.choose()) == repr(plain.choose())


def test_change_of_the_metric_loses_nothing(project: Project, unfolded: Project) -> None:
    project.copy_outputs(unfolded)
    outputs = project.outputs("mine")
    trained = [path.read_bytes() for path in outputs.glob("*/history.csv")]
    study = STRAIGHT_STUDY.replace("metric: val_loss", "metric: val_loss\n  better: higher")
    project.run(project.study(study), "--jobs", "1")
    left = [path.read_bytes() for path in outputs.rglob("history.csv")]
    for history in trained:
        assert any(content.startswith(history) for content in left)  # which may be longer now
    (final,) = outputs.glob("replaced/*/*/history.csv")
    assert final.read_bytes() == unfolded.outputs("mine", "final", "history.csv").read_bytes()
