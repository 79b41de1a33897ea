"""A power loss: files that are empty or cut. What is still known is said, and nothing whole is thrown away."""

from __future__ import annotations

import itertools
import random
import re
import shutil
from pathlib import Path

import pytest

from nbstudy.checks import StudyError
from nbstudy.records import attempts, runs
from nbstudy.records.lease import Lease
from nbstudy.records.results import load_results
from nbstudy.records.runs import Context, Task, tasks_of
from nbstudy.records.states import State
from nbstudy.study.study import load_study
from project import Once, Project, change, kept_by

STUDY = """
notebooks: {run: straight.ipynb, summary: null}
configurations:
  whole: {level: 1.0, slope: 0.25}
  begun: {level: 2.0, slope: -0.125}
"""
CHECKPOINT = "done.txt"  # of straight.ipynb
HISTORY = "history.csv"


def leave_an_attempt(project: Project) -> str:
    """Run both configurations; leave the second as an attempt that was killed after its last epoch."""
    printed = project.run(project.study(STUDY))
    attempt = project.attempt("begun")
    attempt.parent.mkdir(parents=True)
    project.outputs("mine", "begun").rename(attempt)
    change(attempt / "run.json", finished=False, files={})
    return printed


@pytest.fixture(scope="module")
def left(once: Once) -> Project:
    """A project with a complete run and an interrupted one; tests only read it."""
    return once("power", leave_an_attempt)


@pytest.fixture
def tasks(left: Project, tmp_path: Path) -> dict[str, Task]:
    """What the runner knows of the two runs, in outputs that are not there yet."""
    study = load_study(left.root / "params" / "mine.yaml")
    lease = Lease(tmp_path / "mine", "nobody")
    return tasks_of(study, Context(study.template, study.lengthens, None, lease, checkpoint=study.checkpoint))


def lose(directory: Path, files: tuple[str, ...], chance: random.Random) -> dict[str, bytes]:
    """Empty or cut files of a run, the checkpoint always to nothing; return what is left of each."""
    damaged = {}
    for file in files:
        path = directory / file
        content = path.read_bytes()
        length = chance.choice([0, chance.randrange(len(content) - 2)]) if len(content) > 2 else 0
        damaged[file] = content[:length]
        path.write_bytes(damaged[file])
    return damaged


def alone_and_in_pairs(directory: Path) -> list[tuple[str, ...]]:
    """Return the files of a run, each alone and each pair of them."""
    files = sorted(path.name for path in directory.iterdir() if path.is_file())
    return [*itertools.combinations(files, 1), *itertools.combinations(files, 2)]


def is_resumable(name: str, damaged: dict[str, bytes], epochs: int) -> bool:
    """Tell whether what is whole of a run is enough to go on from: a checkpoint, a history, and what made them."""
    return CHECKPOINT not in damaged and epochs > 0 and not {"run.json", f"{name}.ipynb"} <= damaged.keys()


@pytest.mark.parametrize("name", ["whole", "begun"])
def test_run_that_a_power_loss_damaged_goes_on_from_what_is_whole(
    left: Project, tasks: dict[str, Task], pytestconfig: pytest.Config, name: str
) -> None:
    task, is_complete = tasks[name], name == "whole"
    outputs, source = task.context.lease.outputs, left.outputs("mine")
    place = task.place if is_complete else task.incomplete / "1"
    intact = load_results(source).runs["whole"].curves
    chance = random.Random(name)
    for files in alone_and_in_pairs(source / place.relative_to(outputs)) * pytestconfig.getoption("--kills"):
        shutil.rmtree(outputs, ignore_errors=True)
        shutil.copytree(source, outputs)
        damaged = lose(place, files, chance)
        finding, run = runs.find(task), load_results(outputs).runs[name]
        epochs = runs.history_of(place).epochs
        if is_complete and files == (CHECKPOINT,):  # which no complete run needs
            assert finding.state is State.COMPLETE and run.curves == intact
            continue
        assert finding.state is not State.COMPLETE, damaged
        if not damaged.keys() <= {
            "trained.txt",
            CHECKPOINT,
            f"{name}.ipynb",
        }:  # into which a reader does not look
            assert run.state is finding.state, damaged
        if is_complete and HISTORY in files:
            epochs = 0  # one that is short belongs to no complete run
        assert finding.resumes is is_resumable(name, damaged, epochs), (damaged, finding)
        if is_complete:
            named = damaged.keys() - {CHECKPOINT}
            if "run.json" in damaged:  # and with it what the others were
                named = {"run.json"}
            for file in named:
                assert f"{file} is damaged" in finding.reason, (damaged, finding)
        elif not finding.resumes:
            assert re.search(r"(is|are) damaged", finding.reason), (damaged, finding)
        attempt = attempts.begin_attempt(task, cores=1, environment={})
        assert (attempt / CHECKPOINT).exists() is finding.resumes


def test_history_that_is_empty_is_no_complete_run(left: Project, tmp_path: Path) -> None:
    shutil.copytree(left.outputs("mine"), tmp_path / "mine")
    place = tmp_path / "mine" / "whole"
    change(place / "run.json", files={})  # as records of earlier versions, which have no hashes
    (place / HISTORY).write_bytes(b"")
    run = load_results(tmp_path / "mine").runs["whole"]
    assert (run.state, run.reason) == (State.STALE, "history.csv is damaged")


def test_study_record_that_is_empty_is_said(left: Project, tmp_path: Path) -> None:
    shutil.copytree(left.outputs("mine"), tmp_path / "mine")
    (tmp_path / "mine" / "study.json").write_bytes(b"")
    with pytest.raises(StudyError) as refused:
        load_results(tmp_path / "mine")
    assert "study.json is damaged" in refused.value.message and "beside it" not in refused.value.message


def test_directory_that_is_empty_is_no_run_and_not_in_the_way(left: Project, project: Project) -> None:
    project.copy_outputs(left)
    study = project.study(STUDY + "  other: {}\n")
    project.outputs("mine", "other").mkdir()
    assert re.search(r"other +missing", project.run(study, "--dry-run"))
    assert "other: 6 epochs" in project.run(study)


def test_runs_come_to_the_same_after_power_losses(
    left: Project, project: Project, pytestconfig: pytest.Config
) -> None:
    study = project.study(STUDY)
    project.copy_outputs(left)
    project.run(study)
    intact = kept_by(project.outputs("mine"), HISTORY)
    chance = random.Random(3)
    for _ in range(pytestconfig.getoption("--kills")):
        shutil.rmtree(project.outputs())
        project.copy_outputs(left)
        for place in (project.outputs("mine", "whole"), project.attempt("begun")):
            lose(place, chance.choice(alone_and_in_pairs(place)), chance)
        printed = run_twice_at_most(project, study)
        assert "Traceback" not in printed
        assert kept_by(project.outputs("mine"), HISTORY) == intact, printed


def run_twice_at_most(project: Project, study: str) -> str:
    """Run a study, again if a run has failed, as one does whose history is shorter than its checkpoint knows."""
    first = project.start(study)
    if first.wait() == 0:
        return first.printed()
    assert "history.csv" in first.printed(), first.printed()
    return first.printed() + project.run(study)
