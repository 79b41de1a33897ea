"""Damage: disks that are full or read-only, files that are not as they were."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import click
import pytest

from nbstudy.records.lease import Lease, hold
from project import (
    CHANGING,
    NETWORK,
    TINY_STUDY,
    Project,
    begun,
    change,
    executed,
    outputs_of,
    read,
    read_run,
    rows,
)

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "garbled": lambda content: bytes(255 - byte for byte in content),
}


def inflict(path: Path, damage: str) -> None:
    """Damage a file."""
    path.write_bytes(DAMAGES[damage](path.read_bytes()))


# --- disks ---
def test_full_disk_fails_the_run_and_keeps_the_others(project: Project, small_disk: Path) -> None:
    project.edit("tiny.ipynb", 'raise RuntimeError("asked to fail")', 'Path("big").write_bytes(bytes(2**22))')
    study = project.study(TINY_STUDY + "  bad: {steps: 9, text: fail}\n")
    arguments = (study, "--outputs", str(small_disk / "here"), "--jobs", "1")
    project.run(*arguments, "--only", "short", "--only", "long")
    printed = project.run(*arguments, status=1)
    assert "bad: " in printed and "No space left on device" in printed and "Traceback" not in printed
    assert "2 of 3 complete" in printed and "1 failed" in printed
    shutil.rmtree(small_disk / "here" / "incomplete" / "bad")
    project.edit("tiny.ipynb", "2**22", "2**10")
    assert "bad: 9 epochs" in project.run(*arguments)


def test_directory_named_by_hand_is_ours_after_its_disk_was_full(project: Project, small_disk: Path) -> None:
    study, here = project.study(TINY_STUDY), small_disk / "here"
    here.mkdir()
    (here / ".lock").write_bytes(bytes(100))  # room for who holds it
    filler = small_disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    printed = project.run(study, "--outputs", str(here), status=1)
    assert "No space left on device" in printed and "Traceback" not in printed
    filler.unlink()
    (here / "partial.study.json").write_text("{")  # as a kill leaves it
    assert "2 runs took" in project.run(study, "--outputs", str(here))
    assert not list(here.glob("partial.*"))


def test_read_only_outputs_are_said(project: Project, small_disk: Path) -> None:
    study = project.study(TINY_STUDY)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    printed = project.run(study, "--outputs", str(small_disk / "here"), status=1)
    assert "Read-only file system" in printed and "Traceback" not in printed


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, "mine: No space left on device"), (errno.EMFILE, "Too many open files")],
)
def test_outputs_are_blamed_for_the_faults_of_their_disk_alone(
    tmp_path: Path, number: int, expected: str
) -> None:
    lease = Lease(tmp_path / "mine", "nobody")
    with pytest.raises(click.ClickException) as raised, hold(lease, nullcontext()):
        raise OSError(number, os.strerror(number))
    assert expected in raised.value.message
    assert ("mine" in raised.value.message) is (number == errno.ENOSPC)


# --- what a template does to what is the runner's ---
OF_THE_RUNNER = {
    "changes": ('Path("run.json").write_text("{}")', "the template changed run.json, which is the runner's"),
    "removes": ('Path("run.json").unlink()', "the template changed run.json, which is the runner's"),
    "leaves": ("import shutil; shutil.rmtree(Path.cwd())", "the template removed the directory of its run"),
    "moves": ('Path.cwd().rename("../moved")', "the template removed the directory of its run"),
    "logs": (
        'Path("logs.ipynb").unlink(); Path("logs.ipynb").mkdir()',
        "the template removed logs.ipynb, the log of its run",
    ),
}


def test_damage_by_a_template_fails_its_run_in_words(project: Project) -> None:
    damages = {name: code for name, (code, _) in OF_THE_RUNNER.items()}
    done = f"exec({damages!r}.get(text, ''))"
    project.edit("tiny.ipynb", 'if text == "fail"', f'{done}\nif text == "fail"')
    lines = "".join(f"  {name}: {{text: {name}}}\n" for name in damages)
    study = project.study(TINY_STUDY + lines)
    printed = project.run(study, status=1)
    planned = project.run(study, "--dry-run")
    for name, (_, words) in OF_THE_RUNNER.items():
        assert f"{name}: {words}" in printed and re.search(rf"{name} +unfinished .*{words}", planned)
    assert "short: 2 epochs" in printed and f"{len(damages)} failed" in printed, printed


# --- complete runs ---
FILES = {"record": "run.json", "result": "result.json", "history": "history.csv", "log": "log.ipynb"}


def test_damage_in_complete_runs_is_noticed_and_mended(project: Project) -> None:
    damaged = {f"{name}_{damage}": (file, damage) for name, file in FILES.items() for damage in DAMAGES}
    # each name is a run's, whose log has that name
    lines = ", ".join(f"{name}: {{steps: 2}}" for name in damaged)
    study = project.study(f"notebooks: {{run: tiny.ipynb, summary: null}}\nconfigurations: {{{lines}}}")
    project.run(study)
    intact = project.outputs("mine", "log_empty", "history.csv").read_bytes()
    for name, (file, damage) in damaged.items():
        inflict(project.outputs("mine", name, file.replace("log", name)), damage)
    record = project.outputs("mine", "study.json")
    inflict(record, "truncated")

    printed = project.run(study, "--dry-run")
    for name, (file, _) in damaged.items():
        assert re.search(rf"{name} +stale .*{file.replace('log', name)} is damaged", printed), printed
    assert "study.json is damaged" in printed and "12 stale" in printed

    printed = project.run(study)
    assert sorted(begun(printed)) == sorted(damaged) and "Traceback" not in printed
    assert "study.json is damaged" in printed
    for damage in DAMAGES:
        inflict(record, damage)
        printed = project.run(study)
        assert "12 of 12 complete" in printed
        assert "study.json is damaged" in printed and "Traceback" not in printed
        assert list(read(record)["configurations"]) == list(damaged)
    for name in damaged:
        assert project.outputs("mine", name, "history.csv").read_bytes() == intact


def test_log_that_was_saved_again_is_no_damage(complete: Project) -> None:
    log = complete.outputs("mine", "short", "short.ipynb")
    before = log.read_bytes()
    log.write_text(json.dumps(read(log)))
    assert log.read_bytes() != before
    assert "2 complete" in complete.run("params/mine.yaml", "--dry-run")


# --- attempts ---
def test_damage_in_attempts_is_mended(project: Project) -> None:
    files = FILES | {"checkpoint": "model.keras"}
    lines = ", ".join(f"{name}: {{steps: 2}}" for name in files)
    study = project.study(f"notebooks: {{run: tiny.ipynb, summary: null}}\nconfigurations: {{{lines}}}")
    project.run(study)
    intact = project.outputs("mine", "log", "history.csv").read_bytes()
    for name, file in files.items():
        place = project.outputs("mine", name)
        for number in (1, 2):
            shutil.copytree(place, project.attempt(name, number))
            change(project.attempt(name, number) / "run.json", finished=False)
        shutil.rmtree(place)
        (project.attempt(name, 2) / file).write_bytes(b"\x00 garbled")  # the later one
        project.attempt(name).with_name("odd").mkdir()
    assert "Traceback" not in project.run(study, "--dry-run")
    printed = project.run(study)
    assert printed.count(": 2 epochs") == len(files) and "Traceback" not in printed
    for name in files:
        assert project.outputs("mine", name, "history.csv").read_bytes() == intact


# --- checkpoints ---
UNSAFE_MODEL = """
import sys
import keras

def harm(x):
    open("harm", "w").close()
    return x

model = keras.Sequential([keras.Input((784,)), keras.layers.Lambda(lambda x: harm(x))])
model.compile("rmsprop")
model.save(sys.argv[1])
"""

# the networks of REAL_STUDY, an epoch longer each
LONGER = f"""
notebooks: {{run: train.ipynb, summary: null}}
configurations:
  plain: {{{NETWORK}, dropout: 0.0, epochs: 5}}
  dropout: {{{NETWORK}, {CHANGING}, epochs: 5}}
  final: {{{NETWORK}, refit: true, epochs: 3}}
"""


def test_checkpoint_that_is_damaged_missing_or_unsafe_starts_over_and_says_so(later: Project) -> None:
    removed, truncated, unsafe = (later.outputs("mine", name) for name in ("plain", "dropout", "final"))
    first = {place: (place / "history.csv").read_bytes() for place in (removed, truncated, unsafe)}
    (removed / "model.keras").unlink()
    inflict(truncated / "model.keras", "truncated")
    command = [sys.executable, "-c", UNSAFE_MODEL, str(unsafe / "model.keras")]
    subprocess.run(command, cwd=later.root, check=True, capture_output=True)
    (later.root / "harm").unlink(missing_ok=True)

    longer = later.study(LONGER)
    printed = later.run(longer, "--dry-run")
    assert re.search("plain .*epochs 4 -> 5, starts over: model.keras is not here", printed)
    assert re.search("dropout .*epochs 4 -> 5, starts over: model.keras is damaged", printed)
    later.run(longer)
    for place, epochs in [(removed, 5), (truncated, 5), (unsafe, 3)]:
        assert (place / "history.csv").read_bytes().startswith(first[place])
        assert rows(place / "history.csv") == read_run(place)["parameters"]["epochs"] == epochs
        text = outputs_of(executed(place))
        assert f"Trained {epochs} epochs here" in text
        # an archive that is whole is given to the template, which then finds that it must not load it
        assert ("The checkpoint is damaged" in text) == (place == unsafe)
    assert not list(later.root.rglob("harm"))
