"""Runs on disk: what they leave, their states, attempts, promotion, the format of their records."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest

from left import (
    FAILING_STUDY,
    begin,
    with_steps,
    write_history,
)
from nbstudy.files import read_json, write_json
from nbstudy.records import attempts, progress, runs
from nbstudy.records.results import load_results
from nbstudy.records.runs import Task
from nbstudy.records.states import State
from nbstudy.report import phrases
from project import TINY_STUDY, Project, begun, change, content_of, read, read_run, rows

TWO_DAYS = 2 * 24 * 3600  # seconds


# --- what a run leaves ---
def test_run_leaves_its_files_and_nothing_incomplete(ran: Project) -> None:
    files = {path.name for path in ran.outputs("mine", "short").iterdir()}
    assert files == {"short.ipynb", "history.csv", "result.json", "run.json"}
    assert list(ran.outputs("mine", "incomplete").iterdir()) == []


def test_run_leaves_its_record(ran: Project) -> None:
    run = read_run(ran.outputs("mine", "short"))
    assert run["parameters"] == {"steps": 2, "seconds": 0.0, "text": "", "flag": False}
    assert (run["configuration"], run["attempts"], run["error"]) == ("short", 1, None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", run["started"])


def test_run_leaves_its_log_without_paths(ran: Project) -> None:
    path = ran.outputs("mine", "short", "short.ipynb")
    log = nbformat.read(path, as_version=4)
    nbformat.validate(log)
    (injected,) = [cell for cell in log.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    assert "steps = 2" in injected.source
    assert log.metadata.papermill.parameters == read_run(path.parent)["parameters"]
    assert str(ran.root) not in path.read_text()


def test_runs_are_said_costliest_first_with_what_they_came_to(ran: Project) -> None:
    printed = ran.printed()
    assert "0 of 2 complete" in printed
    assert begun(printed) == ["long", "short"]
    assert "long: 4 epochs, val_loss 0.25" in printed


# --- states ---
def test_complete_run_is_left_as_it_is(complete: Project) -> None:
    before = {path: path.stat().st_mtime_ns for path in complete.outputs().glob("*/*/*")}
    printed = complete.run("params/mine.yaml")
    assert "2 of 2 complete" in printed and begun(printed) == []
    assert before == {path: path.stat().st_mtime_ns for path in complete.outputs().glob("*/*/*")}


def test_missing_run_alone_runs_again(complete: Project) -> None:
    shutil.rmtree(complete.outputs("mine", "short"))
    assert begun(complete.run("params/mine.yaml")) == ["short"]


def test_changed_parameter_makes_stale_and_says_why(complete: Project) -> None:
    text = TINY_STUDY.replace("steps: 4", "steps: 4, text: new").replace("steps: 2", "steps: 1")
    study = complete.study(text)
    printed = complete.run(study, "--dry-run")
    assert re.search(r"short +stale .* steps 2 -> 1, starts over\n", printed)
    assert re.search(r"long +stale .* text  -> new, starts over\n", printed)


def test_stale_run_is_replaced_by_one_with_the_new_parameters(complete: Project) -> None:
    old = read_run(complete.outputs("mine", "long"))
    text = TINY_STUDY.replace("steps: 4", "steps: 4, text: new").replace("steps: 2", "steps: 1")
    complete.run(complete.study(text))
    assert old["parameters"]["text"] == ""
    assert read_run(complete.outputs("mine", "long"))["parameters"]["text"] == "new"
    assert rows(complete.outputs("mine", "short", "history.csv")) == 1


def test_failure_is_kept_and_stops_nothing_else(failed: Project) -> None:
    printed = failed.printed()
    log = failed.attempt("bad") / "bad.ipynb"
    assert f"bad: RuntimeError: asked to fail ({log.relative_to(failed.root)})" in printed
    assert "1 failed" in printed and "short: 2 epochs" in printed
    assert "RuntimeError" in log.read_text()
    printed = failed.run("params/mine.yaml", "--dry-run")
    assert re.search("bad +unfinished .*RuntimeError: asked to fail", printed)


def test_failed_run_begins_anew_with_other_code(project: Project, failed: Project) -> None:
    project.copy_outputs(failed)
    study = project.study(FAILING_STUDY)
    project.edit("tiny.ipynb", 'if text == "fail":', "if False:")
    project.run(study)
    assert read_run(project.outputs("mine", "bad"))["attempts"] == 1
    assert not project.outputs("mine", "incomplete", "bad").exists()


def test_extra_run_is_named_and_left_alone(complete: Project) -> None:
    complete.outputs("mine", "short").rename(complete.outputs("mine", "gone"))
    assert "extra, not in the study: gone" in complete.run("params/mine.yaml")
    assert read_run(complete.outputs("mine", "gone"))["configuration"] == "short"


def rename(project: Project, printed: str) -> None:
    """Rename a directory as a command advises, and remove what it says to remove."""
    (paths,) = re.findall(r"rename (\S+) to (\S+?),? and", printed)
    (project.root / paths[0]).rename(project.root / paths[1])
    for file in re.findall(r" and remove (\S+), and they count", printed):
        (project.root / file).unlink()


@pytest.mark.parametrize("edited", [False, True])
def test_renamed_configuration_says_what_to_rename(complete: Project, edited: bool) -> None:
    if edited:  # only the log tells then that the code is the same
        complete.edit("tiny.ipynb", "import json, time", "import  json, time  # as ever")
    study = complete.study(TINY_STUDY.replace("short:", "brief:"))
    printed = complete.run(study, "--dry-run")
    assert "extra, not in the study: short; it is as brief is asked for: rename " in printed
    rename(complete, printed)
    printed = complete.run(study)
    assert "2 of 2 complete" in printed and begun(printed) == [] and "extra" not in printed
    link = phrases.link(load_results(complete.outputs("mine")).runs["brief"])
    assert re.search(r"\((.*)\)", link)[1] == str(complete.outputs("mine", "brief", "short.ipynb"))
    longer = complete.run(complete.study(TINY_STUDY.replace("short: {steps: 2", "brief: {steps: 3")))
    assert begun(longer) == ["brief"] and complete.outputs("mine", "brief", "brief.ipynb").exists()


@pytest.mark.parametrize("difference", ["steps: 3", "steps: 2, text: new"])
def test_extra_run_that_would_not_be_complete_under_another_name_is_not_to_be_renamed(
    complete: Project, difference: str
) -> None:
    study = complete.study(TINY_STUDY.replace("short: {steps: 2", f"brief: {{{difference}"))
    printed = complete.run(study, "--dry-run")
    assert "extra, not in the study: short\n" in printed and "rename" not in printed


def test_renamed_study_says_what_to_rename(complete: Project) -> None:
    study = complete.study(TINY_STUDY, "ours")
    assert "rename" not in complete.run(study, "--dry-run")  # a copy is another study
    (complete.root / "params" / "mine.yaml").unlink()
    printed = complete.run(study, "--dry-run")
    assert "outputs/mine holds runs of this study, and its params/mine.yaml is gone: rename " in printed
    assert "rename" not in complete.run(study, "--dry-run", "-p", "steps", "1")
    rename(complete, printed)
    printed = complete.run(study)
    assert "2 of 2 complete" in printed and begun(printed) == [] and "rename" not in printed
    assert read(complete.outputs("ours", "study.json"))["name"] == "ours"


def test_directory_in_the_way_that_is_no_run_is_refused_and_left_alone(project: Project) -> None:
    study = project.study(TINY_STUDY)
    place = project.outputs("mine", "short")
    place.mkdir(parents=True)
    (place / "thesis.txt").write_text("years of work")
    assert "short: is in the way" in project.run(study, status=2)
    assert [path.name for path in place.iterdir()] == ["thesis.txt"]
    assert "long: 4 epochs" in project.run(study, "--only", "long")


def test_directory_of_another_name_is_left_alone(project: Project) -> None:
    other = project.outputs("mine", "photos")
    other.mkdir(parents=True)
    project.run(project.study(TINY_STUDY), "--only", "long")
    assert other.exists()


# --- complete means complete ---
@pytest.mark.parametrize(
    ("epochs", "result", "expected"),
    [
        (4, {}, None),
        (3, {"diverged": 3}, None),
        (3, {"ended": "val_loss has not fallen for two epochs"}, None),
        (3, {"diverged": None, "ended": " "}, "history.csv has 3 of 4 epochs"),
        (0, {}, "history.csv has 0 of 4 epochs"),
    ],
)
def test_history_is_as_long_as_asked_or_says_why_not(
    task: Task, epochs: int, result: dict[str, Any], expected: str | None
) -> None:
    attempt = begin(task, epochs)
    (attempt / "result.json").write_text(json.dumps(result))
    attempts.finish_attempt(attempt, 5.0, None, None)
    attempts.finish_promotion(task)  # as after a runner that was killed here
    assert task.place.exists() is (expected is None)
    if expected:
        why = runs.why_incomplete(task, attempt)
        assert why == f"{expected}, and result.json does not say why (`diverged` or `ended`)"


ENDED = [{"ended": "val_loss has not fallen for two epochs"}, {"diverged": 3}]


@pytest.mark.parametrize("result", ENDED)
@pytest.mark.parametrize(
    ("steps", "state"), [(3, State.COMPLETE), (5, State.COMPLETE), (99, State.COMPLETE), (2, State.STALE)]
)
def test_run_that_ended_early_is_complete_for_any_larger_number(
    task: Task, result: dict[str, Any], steps: int, state: State
) -> None:
    attempt = begin(task, 3)
    write_json(attempt / "result.json", result)
    attempts.finish_attempt(attempt, 5.0, None)
    attempts.promote(task, attempt)
    assert runs.find(with_steps(task, steps)).state is state


def test_run_that_ended_early_is_not_complete_with_another_parameter(task: Task) -> None:
    attempt = begin(task, 3)
    write_json(attempt / "result.json", ENDED[0])
    attempts.finish_attempt(attempt, 5.0, None)
    attempts.promote(task, attempt)
    other = replace(task, parameters=task.parameters | {"steps": 9, "text": "new"})
    assert runs.find(other).reason == "text  -> new, starts over"


def test_attempt_that_ended_early_is_promoted_where_more_are_asked_for_meanwhile(task: Task) -> None:
    attempt = begin(task, 3)
    write_json(attempt / "result.json", ENDED[0])
    attempts.finish_attempt(attempt, 5.0, None)  # the runner was killed here
    longer = with_steps(task, 9)
    attempts.finish_promotion(longer)
    assert runs.find(longer).state is State.COMPLETE


@pytest.mark.parametrize(
    ("text", "is_complete"),
    [
        ('{"val_loss": 0.5}', True),
        ("{}", True),
        ('{"val_loss": NaN}', True),
        ('{"a": ', False),
        ("[1]", False),
    ],
)
def test_result_is_a_json_object(task: Task, text: str, is_complete: bool) -> None:
    attempt = begin(task, 4)
    (attempt / "result.json").write_text(text)
    why = runs.why_incomplete(task, attempt)
    assert why == (
        None if is_complete else "result.json is not a JSON object; write one with json.dump({...})"
    )


def test_length_of_a_template_that_cannot_be_lengthened_is_its_own_matter(task: Task) -> None:
    task = replace(task, context=replace(task.context, lengthens=None))
    attempt = begin(task, 0, checkpoint=False)
    assert runs.why_incomplete(task, attempt) is None
    assert runs.find(task).reason == "interrupted, starts over"


def test_run_that_ends_early_is_complete_only_if_it_says_why(project: Project) -> None:
    project.edit("tiny.ipynb", "for step in range(1, steps + 1)", "for step in range(1, steps)")
    project.edit("tiny.ipynb", '"text": text', '"ended": text')
    study = project.study(TINY_STUDY + "  told: {steps: 3, text: as good as it gets}\n")
    printed = project.run(study, status=1)
    assert "told: 2 epochs, val_loss 0.5, ended early: as good as it gets" in printed
    assert "long: history.csv has 3 of 4 epochs, and result.json does not say why" in printed
    printed = project.run(study, "--dry-run")
    assert re.search(r"told +complete", printed), printed
    assert re.search(r"long +unfinished .*history.csv has 3 of 4 epochs", printed), printed


# --- what a run came to, in a line ---
@pytest.mark.parametrize(
    ("epochs", "result", "expected"),
    [
        (3, {"accuracy": 0.5}, "3 epochs, val_loss 0.33333"),
        (3, {"diverged": 3}, "3 epochs, val_loss 0.33333, diverged at epoch 3"),
        (2, {"ended": "no\nmore"}, "2 epochs, val_loss 0.5, ended early: no more"),
        (0, {"accuracy": 0.97222222, "kind": "svm", "exact": True, "n": 7}, "accuracy 0.9722, n 7"),
        (0, {}, ""),
    ],
)
def test_progress_is_said_by_what_there_is(
    tmp_path: Path, epochs: int, result: dict[str, Any], expected: str
) -> None:
    write_history(tmp_path, epochs)
    (tmp_path / "result.json").write_text(json.dumps(result))
    assert progress.describe_progress(tmp_path) == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("1.234567e-05,", "val_loss 1.2346e-05"),
        ("0.537953125,", "val_loss 0.53795"),
        ("nan,", "val_loss nan"),
        (",0.25", "loss 0.25"),
        ("ü,0.25", "loss 0.25"),
    ],
)
def test_loss_is_said_as_a_number(tmp_path: Path, row: str, expected: str) -> None:
    (tmp_path / "history.csv").write_text(f"val_loss,loss\n{row}\n", encoding="utf-8")
    assert progress.describe_progress(tmp_path) == f"1 epoch, {expected}"


def test_number_that_decides_is_said_first(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"a": 1, "b": 2, "c": 3, "auc": 0.5}')
    assert progress.describe_progress(tmp_path, "auc") == "auc 0.5, a 1, b 2"
    write_history(tmp_path, 3)
    assert progress.describe_progress(tmp_path, "auc") == "3 epochs, auc 0.5, a 1, b 2"
    assert progress.describe_progress(tmp_path, "val_loss") == "3 epochs, val_loss 0.33333"


# --- the format of records ---
def test_error_that_is_not_unicode_is_recorded(tmp_path: Path) -> None:
    record = {"error": "ValueError: \udcff is half of a pair → ü"}
    write_json(tmp_path / "run.json", record)
    assert read_json(tmp_path / "run.json") == record
    assert "→ ü" in (tmp_path / "run.json").read_text(encoding="utf-8")


RECORDS = [("short", "run.json"), ("study.json",)]


def test_records_name_their_format(ran: Project) -> None:
    for record in RECORDS:
        assert read(ran.outputs("mine", *record))["format"] == 1


def test_records_without_a_format_count_as_the_first(complete: Project) -> None:
    for path in [*complete.outputs("mine").glob("*/run.json"), complete.outputs("mine", "study.json")]:
        record = read(path)
        del record["format"]
        path.unlink()
        path.write_text("{}")
        change(path, **record)
    printed = complete.run("params/mine.yaml")
    assert "2 of 2 complete" in printed and begun(printed) == []


@pytest.mark.parametrize("options", [(), ("--dry-run",), ("--accept",)])
@pytest.mark.parametrize("record", RECORDS)
def test_record_of_a_newer_format_is_refused_and_nothing_lost(
    complete: Project, record: tuple[str, ...], options: tuple[str, ...]
) -> None:
    path = complete.outputs("mine", *record)
    change(path, format=2)
    study = complete.study(TINY_STUDY + "  other: {steps: 3}\n")
    before = content_of(complete.outputs())
    printed = complete.run(study, *options, status=2)
    assert f"{path.relative_to(complete.root)}: has format 2" in printed, printed
    assert "update nbstudy" in printed and "--outputs" in printed  # the cures
    assert len(printed.splitlines()) == 1, printed
    assert content_of(complete.outputs()) == before


def test_attempt_of_a_newer_format_is_refused_and_nothing_lost(project: Project, failed: Project) -> None:
    project.copy_outputs(failed)
    study = project.study(FAILING_STUDY)
    change(project.attempt("bad") / "run.json", format=2)
    before = content_of(project.outputs())
    printed = project.run(study, "--only", "bad", status=2)
    assert "bad/1/run.json: has format 2" in printed and begun(printed) == [], printed
    assert content_of(project.outputs()) == before


def test_newer_format_in_another_study_disturbs_nobody(complete: Project) -> None:
    change(complete.outputs("mine", "short", "run.json"), format=2)
    second = complete.study(TINY_STUDY, "second")
    assert "2 missing" in complete.run(second, "--dry-run")
    assert "long: 4 epochs" in complete.run(second)


def test_newer_format_of_an_extra_run_disturbs_nobody(complete: Project) -> None:
    gone: Path = complete.outputs("mine", "gone")
    shutil.copytree(complete.outputs("mine", "short"), gone)
    change(gone / "run.json", format=2)
    printed = complete.run("params/mine.yaml")
    assert "2 of 2 complete" in printed and "extra, not in the study: gone" in printed
