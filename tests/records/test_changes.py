"""What a run was made with that is not today's, and what is no change: line ends, environment, modules, threads."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from left import (
    begin,
    complete_run,
    with_code,
    with_modules,
    with_steps,
    with_threads,
    write_archive,
)
from nbstudy.files import write_json
from nbstudy.records import attempts, runs
from nbstudy.records.lease import Lease
from nbstudy.records.runs import Task
from nbstudy.records.states import State
from project import TINY_STUDY, Project, change, read, read_run, rows

TWO_DAYS = 2 * 24 * 3600  # seconds


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


@pytest.mark.parametrize("damaged", ["run.json", "result.json"])
def test_damaged_run_cannot_be_accepted(task: Task, damaged: str) -> None:
    attempt = begin(task, 4)
    (attempt / "long.ipynb").write_text(as_executed(attempt / "long.ipynb", task.parameters))
    write_json(attempt / "result.json", {"val_loss": 0.25})
    attempts.finish_attempt(attempt, 5.0, None)
    attempts.promote(task, attempt)
    today = with_code(task, "x = 2")
    assert runs.find(today).can_be_accepted
    (task.place / damaged).write_text("")
    record = (task.place / "run.json").read_text()
    finding = runs.find(today)
    assert f"tiny.ipynb changed, {damaged} is damaged" in finding.reason
    assert not finding.can_be_accepted
    attempts.accept_run(today)
    assert (task.place / "run.json").read_text() == record


def as_executed(log: Path, parameters: dict[str, Any]) -> str:
    """Return the text of a log as papermill leaves it, which tells with which parameters it was executed."""
    notebook = read(log)
    notebook["metadata"]["papermill"] = {"parameters": parameters, "start_time": "2026-01-01T00:00:00"}
    return json.dumps(notebook)


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
