"""Kills: whatever is killed, and whenever, nothing that was trained is lost, to the last bit."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import psutil
import pytest

from project import (
    CHANGING,
    REAL_STUDY,
    Project,
    all_end,
    executed,
    kernels_of,
    kill_together,
    outputs_of,
    read_run,
    rows,
    training_state,
    wait_for,
)

KILLS = 5  # of four runs at once, two with dropout and two without
EPOCHS = 40
EPOCHS_A_KILL = 6  # at most, so that a run that is faster than the others is not done before the last kill

# Every epoch is counted, and a run that is far enough ahead waits for its kill.
COUNT = """
        with open({count!r}, "a") as file:
            file.write(f"{{Path.cwd().parent.name}}\\n")
        history.append("""
WAIT = """
        while Path({waiting!r}).exists() and epoch - finished >= {epochs}:
            time.sleep(0.05)
        for index, layer in enumerate("""


def save_every_epoch(project: Project) -> None:
    """Let train.ipynb save a checkpoint every epoch instead of every 30 seconds: the runs here are short."""
    project.edit("train.ipynb", "self.saved >= 30", "self.saved >= 0")


def wait_before(project: Project, waiting: Path, epochs: int) -> None:
    """Let train.ipynb wait, after so many epochs of an attempt, as long as a file is there."""
    waiting.touch()
    wait = WAIT.format(waiting=str(waiting), epochs=epochs).strip()
    project.edit("train.ipynb", "for index, layer in enumerate(", wait)


def wait_for_more_than(epochs: int, history: Path) -> None:
    """Wait until a history has more than so many epochs."""
    wait_for(lambda: rows(history) > epochs)


def test_runs_killed_at_random_instants_equal_uninterrupted_ones(project: Project) -> None:
    save_every_epoch(project)
    count = project.root / "trained.txt"
    project.edit("train.ipynb", "history.append(", COUNT.format(count=str(count)).strip())
    waiting = project.root / "waiting"
    wait_before(project, waiting, EPOCHS_A_KILL)
    names = ["plain_0", "plain_1", "dropout_0", "dropout_1"]
    study = project.study(
        "notebooks: {run: train.ipynb}\n"
        f"defaults: {{hidden_layers: 1, units: 4, epochs: {EPOCHS}}}\ngrid:\n"
        "  - {name: 'plain_{seed}', seed: [0, 1]}\n"
        f"  - {{name: 'dropout_{{seed}}', seed: [0, 1], {CHANGING}}}\n"
    )
    chance = random.Random(1)
    trained_before = dict.fromkeys(names, 0)
    for kill in range(1, KILLS + 1):
        runner = project.start(study, "--jobs", "4")
        for name, epochs in trained_before.items():
            wait_for_more_than(epochs, project.attempt(name, kill) / "history.csv")
        time.sleep(chance.uniform(0, 1))
        kill_together(runner)
        trained_before = {name: rows(project.attempt(name, kill) / "history.csv") for name in names}
    waiting.unlink()
    assert project.run(study, "--dry-run").count("interrupted at epoch") == len(names)
    project.run(study)
    trained = count.read_text().split()
    project.run(study, "--outputs", "uninterrupted")
    for name in names:
        place, uninterrupted = project.outputs("mine", name), project.root / "uninterrupted" / name
        assert (place / "history.csv").read_bytes() == (uninterrupted / "history.csv").read_bytes()
        assert training_state(place / "model.keras") == training_state(uninterrupted / "model.keras")
        assert read_run(place)["attempts"] == KILLS + 1
        assert EPOCHS <= trained.count(name) <= EPOCHS + KILLS  # an epoch a kill again, at most


@pytest.mark.parametrize("name", ["plain", "dropout"])
def test_killed_and_lengthened_run_equals_an_uninterrupted_one(
    project: Project, trained: Project, name: str
) -> None:
    save_every_epoch(project)
    waiting = project.root / "waiting"
    wait_before(project, waiting, 1)
    study = project.study(REAL_STUDY.replace("epochs: 4", "epochs: 3"))
    runner = project.start(study, "--only", name)
    attempt = project.attempt(name)
    wait_for(lambda: rows(attempt / "history.csv") == 1 and (attempt / "model.keras").exists())
    kernels = kernels_of(psutil.Process(runner.pid))
    runner.kill()
    runner.wait()
    assert all_end(kernels)
    waiting.unlink()

    project.run(study, "--only", name)
    place = project.outputs("mine", name)
    assert read_run(place)["attempts"] == 2
    assert re.search("Trained 2 epochs here.*after 1 from the checkpoint", outputs_of(executed(place)))

    longer = project.study(REAL_STUDY)
    printed = project.run(longer, "--dry-run", "--only", name)
    assert re.search(rf"{name} +stale .*epochs 3 -> 4, resumes after epoch 3", printed), printed
    project.run(longer, "--only", name)
    assert "Trained 1 epoch here" in outputs_of(executed(place))
    whole = trained.outputs("mine", name, "history.csv")
    assert (place / "history.csv").read_bytes() == whole.read_bytes()
