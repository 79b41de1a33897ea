"""Runs on disk: what they leave, their states, attempts, promotion, the format of their records."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from nbstudy.files import read_json, write_json
from nbstudy.records import attempts, runs
from nbstudy.records.lease import Lease
from nbstudy.records.results import load_results
from nbstudy.records.runs import Context, Task
from nbstudy.records.states import State
from nbstudy.report import phrases
from nbstudy.study.template import Template, hash_of_code, read_template
from project import TINY_STUDY, Once, Project, begun, change, content_of, read, read_run, rows

TWO_DAYS = 2 * 24 * 3600  # seconds


# --- by calling, without a runner ---
@pytest.fixture(scope="session")
def template(make_project: Callable[[], Project]) -> Template:
    """The template tiny.ipynb."""
    return read_template(make_project().root / "notebooks" / "tiny.ipynb")


@pytest.fixture
def task(template: Template, tmp_path: Path) -> Task:
    """A task of four steps with outputs of its own, in which nothing has run."""
    context = Context(template, "steps", None, Lease(tmp_path / "mine", "nobody"))
    return Task("long", template.defaults | {"steps": 4}, 4e9, context)


def with_steps(task: Task, steps: int) -> Task:
    """Return the task with another number of steps."""
    return replace(task, parameters=task.parameters | {"steps": steps})


def with_modules(task: Task, modules: dict[str, str]) -> Task:
    """Return the task with modules beside its template: source by path."""
    template = replace(task.context.template, modules=modules, same_code={task.context.template.hash: True})
    return replace(task, context=replace(task.context, template=template))


def with_code(task: Task, *cells: str) -> Task:
    """Return the task with another template, of these cells."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in cells])
    same_code = {hash_of_code(cells): True}
    template = replace(
        task.context.template, cells=list(cells), text=nbformat.writes(notebook), same_code=same_code
    )
    return replace(task, context=replace(task.context, template=template))


def write_history(directory: Path, epochs: int) -> None:
    """Leave a history with so many epochs."""
    lines = ["epoch,val_loss", *(f"{epoch},{1 / epoch}" for epoch in range(1, epochs + 1))]
    (directory / "history.csv").write_text("\n".join(lines) + "\n")


def write_archive(path: Path) -> None:
    """Leave a whole checkpoint that is an archive."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights", b"0123456789" * 99)


def begin(
    task: Task, epochs: int, checkpoint: bool = True, environment: dict[str, str] | None = None
) -> Path:
    """Begin an attempt that gets so far and is killed there."""
    attempt = attempts.begin_attempt(task, cores=1, environment=environment or {})
    write_history(attempt, epochs)
    if checkpoint:
        write_archive(attempt / task.context.checkpoint)
    return attempt


def complete_run(task: Task) -> Path:
    """Run a task to its end; return the place of its result."""
    attempt = begin(task, task.parameters["steps"])
    attempts.finish_attempt(attempt, 5.0, None, None)
    attempts.promote(task, attempt)
    return task.place


def names_in(directory: Path) -> set[str]:
    """Return the names of what lies in a directory."""
    return {path.name for path in directory.iterdir()}


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


FAILING_STUDY = TINY_STUDY + "  bad: {steps: 9, text: fail}\n"


@pytest.fixture(scope="session")
def failed(once: Once) -> Project:
    """A project whose costliest run, the first of three, has failed; tests only read it."""
    study = FAILING_STUDY
    return once("failed", lambda project: project.run(project.study(study), "--jobs", "1", status=1))


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


# --- what git and editors do to files ---
EDITS: dict[str, Callable[[bytes], bytes]] = {
    "CRLF for LF": lambda content: content.replace(b"\n", b"\r\n"),
    "LF for CRLF": lambda content: content.replace(b"\r\n", b"\n"),
    "newline added": lambda content: content + b"\n",
    "newline and CRLF": lambda content: (content + b"\n").replace(b"\n", b"\r\n"),
    "newline removed": lambda content: content.removesuffix(b"\n").removesuffix(b"\r"),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])  # csv.writer of Python ends lines by CRLF
def test_line_ends_are_no_damage(task: Task, edit: str, line_end: str) -> None:
    attempt = begin(task, 4)
    history = attempt / "history.csv"
    history.write_bytes(history.read_bytes().replace(b"\n", line_end.encode()))
    (attempt / "notes.txt").write_text("no newline at the end")
    (attempt / "image.bin").write_bytes(b"\x89PNG\r\n\x00\n")
    attempts.finish_attempt(attempt, 5.0, None)
    attempts.promote(task, attempt)
    for name in ("history.csv", "notes.txt"):
        (task.place / name).write_bytes(EDITS[edit]((task.place / name).read_bytes()))
    assert runs.find(task).state is State.COMPLETE
    (task.place / "image.bin").write_bytes(
        b"\x89PNG\n\x00\n"
    )  # as git would, where it is told that this is text
    assert runs.find(task).reason.startswith("image.bin is damaged")


@pytest.mark.parametrize("damage", [b"", b"epoch,val_loss\n1,1.0\n", b"epoch,val_loss\n1,1.0\r2,0.5\n\n\n\n"])
def test_what_is_lost_is_damage_whatever_its_line_ends(task: Task, damage: bytes) -> None:
    (complete_run(task) / "history.csv").write_bytes(damage)
    assert runs.find(task).reason == "history.csv is damaged, starts over"


@pytest.mark.parametrize("edit", ["CRLF for LF", "newline added"])
def test_line_ends_of_a_module_are_no_change(task: Task, edit: str) -> None:
    was = with_modules(task, {"helper.py": "x = 1\ny = 2\n"})
    today = with_modules(task, {"helper.py": "x  =  1\ny = 2\n"})
    copy = complete_run(was) / "modules" / "helper.py"
    source = EDITS[edit](copy.read_bytes())
    copy.write_bytes(source)
    assert runs.find(was).state is runs.find(today).state is State.COMPLETE
    copy.unlink()  # the one beside the template says enough
    edited = with_modules(task, {"helper.py": source.decode()})
    assert runs.find(edited).state is State.COMPLETE
    assert list(edited.context.template.same_code.values()) == [True, True]  # which study.json tells the page


def git(place: Path, *arguments: str) -> None:
    """Run git in a directory."""
    who = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=place, check=True, capture_output=True)


def test_run_that_git_checks_out_with_other_line_ends_is_complete(task: Task) -> None:
    root = complete_run(task).parent.parent
    git(root, "init")
    git(root, "-c", "core.autocrlf=true", "add", ".")
    git(root, "commit", "-m", "Keep a run")
    shutil.rmtree(task.place)
    git(root, "-c", "core.autocrlf=true", "checkout", ".")
    assert b"\r\n" in (task.place / "history.csv").read_bytes()
    assert runs.find(task).state is State.COMPLETE


@pytest.mark.parametrize("file", ["history.csv", "run.json", "two words.txt"])
def test_damage_says_what_brings_it_back_from_git(
    task: Task, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    root = task.context.lease.outputs.parent
    monkeypatch.chdir(root)
    task = replace(task, context=replace(task.context, lease=Lease(Path("mine"), "nobody")))
    attempt = begin(task, 4)
    (attempt / "two words.txt").write_text("kept as it is")
    attempts.finish_attempt(attempt, 5.0, None)
    attempts.promote(task, attempt)
    intact = (task.place / file).read_bytes()
    (task.place / file).write_text("damaged")
    assert "git" not in runs.find(task).reason
    (task.place / file).write_bytes(intact)
    git(root, "init")
    git(root, "add", ".")
    git(root, "commit", "-m", "Keep a run")
    (task.place / file).write_text("damaged")
    (command,) = re.findall(r"`(git restore .+)`", runs.find(task).reason)
    subprocess.run(command, shell=True, check=True)  # as a person who follows it
    assert runs.find(task).state is State.COMPLETE


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
    assert runs.describe_progress(tmp_path) == expected


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
    assert runs.describe_progress(tmp_path) == f"1 epoch, {expected}"


def test_number_that_decides_is_said_first(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"a": 1, "b": 2, "c": 3, "auc": 0.5}')
    assert runs.describe_progress(tmp_path, "auc") == "auc 0.5, a 1, b 2"
    write_history(tmp_path, 3)
    assert runs.describe_progress(tmp_path, "auc") == "3 epochs, auc 0.5, a 1, b 2"
    assert runs.describe_progress(tmp_path, "val_loss") == "3 epochs, val_loss 0.33333"


# --- the environment that runs are made in ---
OLD = {"processor": "Abacus 1", "tensorflow": "2.20.0"}
NEW = {"processor": "Abacus 1", "tensorflow": "2.21.0", "XLA_FLAGS": "--fast"}
CHANGED = ["tensorflow 2.20.0 -> 2.21.0 after epoch 2", "XLA_FLAGS none -> --fast after epoch 2"]


def test_environment_that_changed_is_recorded_with_the_epoch(task: Task) -> None:
    assert read_run(begin(task, 2, environment=OLD))["environment"] == OLD
    run = read_run(begin(task, 3, environment=NEW))
    assert (run["environment"], run["environment_changes"]) == (NEW, CHANGED)
    # for the rest of its life
    assert read_run(begin(task, 3, environment=NEW))["environment_changes"] == CHANGED
    without = {name: value for name, value in NEW.items() if name != "XLA_FLAGS"}
    changed_again = "XLA_FLAGS --fast -> none after epoch 3"
    run = read_run(begin(task, 4, environment=without))
    assert run["environment_changes"] == [*CHANGED, changed_again]


def test_what_an_earlier_version_did_not_record_is_no_change_but_for_variables(task: Task) -> None:
    record = begin(task, 2, environment=OLD) / "run.json"
    earlier = read(record)
    del earlier["threads"]
    write_json(record, earlier)
    today = OLD | {"instructions": "avx2", "pyyaml": "6.0", "XLA_FLAGS": "--fast"}
    fast = "XLA_FLAGS none -> --fast after epoch 2"
    assert read_run(begin(task, 3, environment=today))["environment_changes"] == [fast]
    later = today | {"instructions": "fma"}
    changes = [fast, "instructions avx2 -> fma after epoch 3"]
    assert read_run(begin(task, 4, environment=later))["environment_changes"] == changes


def test_environment_of_what_is_not_resumed_does_not_matter(task: Task) -> None:
    begin(task, 2, checkpoint=False, environment=OLD)
    assert read_run(begin(task, 2, environment=NEW))["environment_changes"] == []


def test_environment_that_was_not_recorded_is_not_guessed(task: Task) -> None:
    record = begin(task, 2, environment=OLD) / "run.json"
    old = read(record)
    del old["environment"], old["environment_changes"], old["modules"]
    write_json(record, old)
    run = read_run(begin(task, 3, environment=OLD))
    assert (run["environment"], run["environment_changes"]) == (OLD, [])


def test_run_lengthened_in_another_environment_says_so(complete: Project) -> None:
    place = complete.outputs("mine", "long")
    run = read_run(place)
    write_archive(place / "model.keras")
    change(place / "run.json", environment=run["environment"] | {"python": "3.0"})
    printed = complete.run(complete.study(TINY_STUDY.replace("steps: 4", "steps: 5")))
    changed = f"python 3.0 -> {run['environment']['python']} after epoch 4"
    assert re.search(rf"long: 5 epochs, .* minutes.*, {changed}\n", printed), printed
    assert read_run(place)["environment_changes"] == [changed]


# --- modules beside a template ---
def test_modules_are_kept_with_a_run(task: Task) -> None:
    task = with_modules(task, {"helper.py": "x = 1\n", "tools/deep.py": "y = 2\n"})
    place = complete_run(task)
    assert (place / "modules" / "helper.py").read_text() == "x = 1\n"
    assert (place / "modules" / "tools" / "deep.py").read_text() == "y = 2\n"
    assert read_run(place)["modules"].keys() == {"helper.py", "tools/deep.py"}
    assert runs.find(task).state is State.COMPLETE


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"helper.py": "x = 1\n"}, []),
        ({"helper.py": "x  =  1  # of them\n"}, []),
        ({"helper.py": "x = 2\n"}, ["helper.py changed"]),
        ({"helper.py": "x = (\n"}, ["helper.py changed"]),
        ({"helper.py": "x = 1\n", "more.py": ""}, ["more.py changed"]),
        ({}, ["helper.py changed"]),
    ],
)
def test_run_is_stale_when_its_modules_are_not_the_same_code(
    task: Task, sources: dict[str, str], expected: list[str]
) -> None:
    complete_run(with_modules(task, {"helper.py": "x = 1\n"}))
    today = with_modules(task, sources)
    assert runs.differences(today, today.place) == expected
    assert runs.find(today).state is (State.STALE if expected else State.COMPLETE)


def test_equal_module_is_known_to_the_summary_by_its_path_and_hash(task: Task) -> None:
    place = complete_run(with_modules(task, {"helper.py": "x = 1\n", "other.py": "x = 1\n"}))
    today = with_modules(task, {"helper.py": "x  =  1\n", "other.py": "x = 2\n"})
    runs.find(today)
    digest = read_run(place)["modules"]["helper.py"]
    assert today.context.template.same_code[f"helper.py {digest}"] is True
    assert today.context.template.same_code[f"other.py {digest}"] is False


@pytest.mark.parametrize("lost", ["one/one.ipynb", "one/modules", "one/modules/helper.py"])
@pytest.mark.parametrize("damage", ["gone", "edited"])
def test_run_without_its_code_leaves_others_to_their_own(task: Task, lost: str, damage: str) -> None:
    was = with_modules(with_code(task, "import helper"), {"helper.py": "x = 1\n"})
    today = with_modules(with_code(task, "import  helper  # again"), {"helper.py": "x  =  1\n"})
    for name in ("one", "two"):
        complete_run(replace(was, name=name))
    path = task.context.lease.outputs / lost
    if damage == "edited" and path.is_file():
        path.write_text(path.read_text().replace("helper", "other").replace("x = 1", "x = 2"))
    elif path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path)
    assert runs.find(replace(today, name="one")).state is State.STALE
    assert runs.find(replace(today, name="two")).state is State.COMPLETE


# --- threads ---
def with_threads(task: Task, threads: int) -> Task:
    """Return the task with another number of threads."""
    return replace(task, context=replace(task.context, threads=threads))


def test_run_of_another_number_of_threads_is_not_todays(task: Task) -> None:
    place = complete_run(task)
    assert read_run(place)["threads"] == 1
    finding = runs.find(with_threads(task, 4))
    assert (finding.state, finding.reason) == (State.STALE, "threads 1 -> 4, starts over")
    assert runs.find(task).state is State.COMPLETE


def test_cores_of_an_earlier_version_count_as_threads(task: Task) -> None:
    place = complete_run(task)
    record = read(place / "run.json")
    del record["threads"]
    write_json(place / "run.json", record | {"cores": 2})
    assert runs.find(task).reason == "threads 2 -> 1, starts over"
    assert runs.find(with_threads(task, 2)).state is State.COMPLETE


def test_attempt_of_another_number_of_threads_is_not_resumed(task: Task) -> None:
    begin(task, 3)
    more = with_threads(task, 2)
    assert runs.find(task).resumes and not runs.find(more).resumes
    second = attempts.begin_attempt(more, cores=1, environment={})
    assert rows(second / "history.csv") == 0


def test_accepted_threads_are_on_record_in_all_that_goes_on_from_them(task: Task) -> None:
    complete_run(task)
    more = with_threads(task, 2)
    attempts.accept_run(more)
    assert runs.find(more).state is State.COMPLETE
    assert read_run(more.place)["accepted"] == ["threads 1"]
    assert runs.find(task).state is State.COMPLETE  # what was accepted is undone
    longer = with_steps(more, 8)
    assert runs.find(longer).reason == "steps 4 -> 8, resumes after epoch 4"
    assert read_run(attempts.begin_attempt(longer, cores=1, environment={}))["accepted"] == ["threads 1"]


def test_changed_module_can_be_accepted(task: Task) -> None:
    complete_run(with_modules(task, {"helper.py": "x = 1\n"}))
    today = with_modules(task, {"helper.py": "x = 2\n"})
    attempts.accept_run(with_steps(today, 5))  # whose steps are others too
    assert runs.find(today).state is State.STALE
    attempts.accept_run(today)
    assert runs.find(today).state is State.COMPLETE
    was = attempts.hashes_of({"helper.py": "x = 1\n"})["helper.py"]
    assert read_run(today.place)["accepted"] == [f"helper.py {was}"]
    assert runs.find(with_modules(task, {"helper.py": "x = 1\n"})).state is State.COMPLETE  # as it was made
    later = with_modules(with_code(task, "x = 3"), {"more.py": ""})
    attempts.accept_run(later)
    now = attempts.hashes_of({"helper.py": "x = 2\n"})["helper.py"]
    accepted = [f"helper.py {was}", today.context.template.hash, f"helper.py {now}", "more.py none"]
    assert read_run(today.place)["accepted"] == accepted
    assert runs.find(later).state is State.COMPLETE


def test_run_that_imports_a_module_is_stale_when_that_changes(project: Project) -> None:
    helper = project.root / "notebooks" / "helper.py"
    helper.write_text("def loss(step):\n    return 2 / step\n")
    project.edit("tiny.ipynb", "import json, time", "import json, time\nimport helper")
    project.edit("tiny.ipynb", "{1 / step}", "{helper.loss(step)}")
    study = project.study(TINY_STUDY)
    assert "long: 4 epochs, val_loss 0.5" in project.run(study)
    helper.write_text("def loss(step):  # of one\n    return 2 / step\n")
    assert "2 complete" in project.run(study, "--dry-run")
    helper.write_text("def loss(step):\n    return 3 / step\n")
    assert "helper.py changed, starts over" in project.run(study, "--dry-run")


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
    assert "update this checkout" in printed and "--outputs" in printed  # the cures
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
