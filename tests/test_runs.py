"""Runs on disk: what they leave, their states, attempts, promotion, the format of their records."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import nbformat
import pytest

from project import TINY_STUDY, Project, begun, change, content_of, read, read_run, rows


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
    assert "steps = 2" in log.cells[1].source
    assert log.metadata.papermill.parameters == read_run(path.parent)["parameters"]
    assert str(ran.root) not in path.read_text()


def test_runs_are_said_costliest_first_with_what_they_came_to(project: Project) -> None:
    printed = project.run(project.study(TINY_STUDY))
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


def test_failure_is_kept_and_stops_nothing_else(project: Project) -> None:
    study = project.study(TINY_STUDY + "  bad: {steps: 9, text: fail}\n")
    printed = project.run(study, "--jobs", "1", status=1)
    log = project.attempt("bad") / "bad.ipynb"
    assert f"bad: RuntimeError: asked to fail ({log.relative_to(project.root)})" in printed
    assert "1 failed" in printed and "short: 2 epochs" in printed
    assert "RuntimeError" in log.read_text()
    assert re.search("bad +unfinished .*RuntimeError: asked to fail", project.run(study, "--dry-run"))


def test_failed_run_begins_anew_with_other_code(project: Project) -> None:
    study = project.study(TINY_STUDY + "  bad: {steps: 9, text: fail}\n")
    project.run(study, status=1)
    project.edit("tiny.ipynb", 'if text == "fail":', "if False:")
    project.run(study)
    assert read_run(project.outputs("mine", "bad"))["attempts"] == 1
    assert not project.outputs("mine", "incomplete", "bad").exists()


def test_extra_run_is_named_and_left_alone(complete: Project) -> None:
    complete.outputs("mine", "short").rename(complete.outputs("mine", "gone"))
    assert "extra, not in the study: gone" in complete.run("params/mine.yaml")
    assert read_run(complete.outputs("mine", "gone"))["configuration"] == "short"


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


# --- attempts and promotion ---
def test_attempts_beyond_the_last_two_are_removed(project: Project) -> None:
    study = project.study(TINY_STUDY + "  bad: {text: fail}\n")
    for _ in range(3):
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


# --- the format of records ---
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
    assert "update this checkout" in printed and "--outputs" in printed  # the cures
    assert len(printed.splitlines()) == 1, printed
    assert content_of(complete.outputs()) == before


def test_attempt_of_a_newer_format_is_refused_and_nothing_lost(project: Project) -> None:
    study = project.study(TINY_STUDY + "  bad: {text: fail}\n")
    project.run(study, "--only", "bad", status=1)
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
