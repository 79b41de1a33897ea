"""Kills: whatever is killed, and whenever, nothing that was trained is lost, to the last bit."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import nbformat
import psutil
import pytest

from project import (
    CHANGING,
    PATIENCE,
    RACE_PRINTED,
    RACE_STUDY,
    REAL_STUDY,
    STRAIGHT_STUDY,
    Project,
    Runner,
    all_end,
    begun,
    epochs_trained,
    executed,
    kept_by,
    kernels_of,
    kill_together,
    laps_of,
    outputs_of,
    read_run,
    rows,
    survivors_of,
    training_state,
    wait_for,
    warm_processes_of,
)

EPOCHS_A_KILL = 6  # at most, so that a run that is faster than the other is not done before the last kill

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


def test_log_of_a_killed_run_is_whole_and_a_second_behind_at_most(project: Project) -> None:
    gate = project.root / "gate"
    cells = {
        "parameters": "number: int = 1  # of no effect",
        "says": "print('said', 'before')",
        "": f"""
            import time
            from pathlib import Path

            while not Path({str(gate)!r}).exists():
                time.sleep(0.05)
            print("went", "on")
        """,
    }
    project.notebook("talks.ipynb", cells)
    study = project.study(
        "notebooks: {run: talks.ipynb, summary: null}\nconfigurations: {one: {number: 2}}\n"
    )
    runner = project.start(study)
    log = project.attempt("one") / "one.ipynb"
    wait_for(lambda: log.exists() and "said before" in log.read_text())  # while the last cell runs
    kill_together(runner)
    assert "said before" in outputs_of(nbformat.read(log, as_version=4))
    gate.touch()
    project.run(study)
    assert read_run(project.outputs("mine", "one"))["attempts"] == 2
    told = outputs_of(nbformat.read(project.outputs("mine", "one", "one.ipynb"), as_version=4))
    assert "said before" in told
    assert "went on" in told


def test_runs_killed_at_random_instants_equal_uninterrupted_ones(
    project: Project, pytestconfig: pytest.Config
) -> None:
    kills: int = pytestconfig.getoption("--kills")
    epochs = (kills + 1) * EPOCHS_A_KILL
    save_every_epoch(project)
    count = project.root / "trained.txt"
    project.edit("train.ipynb", "history.append(", COUNT.format(count=str(count)).strip())
    waiting = project.root / "waiting"
    wait_before(project, waiting, EPOCHS_A_KILL)
    names = ["plain", "dropout"]
    study = project.study(
        "notebooks: {run: train.ipynb, summary: null}\n"
        f"defaults: {{hidden_layers: 1, units: 4, epochs: {epochs}}}\n"
        f"configurations: {{plain: , dropout: {{seed: 1, averaging: 0.2, {CHANGING}}}}}\n"
    )
    chance = random.Random(1)
    trained_before = dict.fromkeys(names, 0)
    for kill in range(1, kills + 1):
        runner = project.start(study, "--jobs", "2")
        for name, before in trained_before.items():
            wait_for_more_than(before, project.attempt(name, kill) / "history.csv")
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
        assert read_run(place)["attempts"] == kills + 1
        assert epochs <= trained.count(name) <= epochs + kills  # an epoch a kill again, at most


def test_killed_and_lengthened_runs_equal_uninterrupted_ones(project: Project, trained: Project) -> None:
    names = ("plain", "dropout")
    options = ("--jobs", "2", "--only", "plain", "--only", "dropout")
    save_every_epoch(project)
    waiting = project.root / "waiting"
    wait_before(project, waiting, 1)
    study = project.study(REAL_STUDY.replace("epochs: 4", "epochs: 3"))
    runner = project.start(study, *options)
    for attempt in map(project.attempt, names):
        wait_for_more_than(0, attempt / "history.csv")
        wait_for((attempt / "model.keras").exists)
    kernels = kernels_of(psutil.Process(runner.pid))
    runner.kill()
    runner.wait()
    assert len(kernels) == 2 and all_end(kernels)
    waiting.unlink()

    project.run(study, *options)
    for name in names:
        place = project.outputs("mine", name)
        assert read_run(place)["attempts"] == 2
        assert re.search("Trained 2 epochs here.*after 1 from the checkpoint", outputs_of(executed(place)))

    longer = project.study(REAL_STUDY)
    printed = project.run(longer, "--dry-run", *options)
    for name in names:
        assert re.search(rf"{name} +stale .*epochs 3 -> 4, resumes after epoch 3", printed), printed
    project.run(longer, *options)
    for name in names:
        place, whole = project.outputs("mine", name), trained.outputs("mine", name)
        assert "Trained 1 epoch here" in outputs_of(executed(place))
        assert (place / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()


# --- one process of many ---
# A template that saves after each epoch, and trusts no row that is newer than what it has saved.
CAREFUL = {
    "parameters": """
        steps: int = 6
        level: float = 0.0
    """,
    "preflight": """
        lengthens = "steps"
        checkpoint = "done.txt"
    """,
    "": """
        import time
        from pathlib import Path

        done = Path("done.txt")
        finished = int(done.read_text()) if done.exists() else 0
        rows = ["epoch,val_loss"]
        if finished:
            rows = Path("history.csv").read_text().splitlines()[: finished + 1]
        for epoch in range(finished + 1, steps + 1):
            time.sleep(0.02)
            rows.append(f"{epoch},{level + 1 / epoch}")
            Path("partial.csv").write_text("\\n".join(rows) + "\\n")
            Path("partial.csv").replace("history.csv")
            Path("partial.txt").write_text(str(epoch))
            Path("partial.txt").replace(done)
    """,
}
TEN = "notebooks: {run: careful.ipynb}\nconfigurations:\n" + "".join(
    f"  run_{number}: {{level: {number}.0}}\n" for number in range(10)
)


def kill_one(runner: Runner, chance: random.Random) -> str:
    """Kill the runner, a kernel, a guard or the warm process, as chance says; return what it was, if it was there."""
    target = chance.choice(["runner", "kernel", "guard", "warm process"])
    try:
        process = psutil.Process(runner.pid)
        kernels = kernels_of(process)
        guards = [kernel.parent() for kernel in kernels]
        found = {
            "runner": [process],
            "kernel": kernels,
            "guard": [guard for guard in guards if guard],
            "warm process": warm_processes_of(process),
        }[target]
        if found:
            chance.choice(found).kill()
            return target
    except psutil.NoSuchProcess:
        pass
    return ""


def processes_in(temporary: Path) -> list[psutil.Process]:
    """Return the processes that have a directory for temporary files, but zombies."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_alive = process.status() != psutil.STATUS_ZOMBIE
            if is_alive and process.environ().get("TMPDIR", "").startswith(str(temporary)):
                found.append(process)
    return found


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the commands of a test a directory for temporary files that nobody else uses."""
    directory = tmp_path_factory.mktemp("t")
    monkeypatch.setenv("TMPDIR", str(directory))
    return directory


@pytest.fixture
def small_disk(project: Project) -> Iterator[Path]:
    """Mount a small disk of its own for the outputs of a project; yield the directory."""
    outputs = project.outputs()
    outputs.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(outputs)]
    if subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("mounting a disk needs root")
    yield outputs
    project.end()
    subprocess.run(["umount", "--lazy", str(outputs)], check=True)


def run_undisturbed(project: Project, study: str) -> tuple[dict[str, bytes], set[Path]]:
    """Run a study with nothing in its way; return its histories, and the paths of all that it leaves."""
    project.run(study, "--jobs", "2", "--outputs", "undisturbed")
    outputs = project.root / "undisturbed"
    return kept_by(outputs, "history.csv"), paths_in(outputs)


def paths_in(outputs: Path) -> set[Path]:
    """Return the paths of all that lies in a study's outputs, as seen from there."""
    return {path.relative_to(outputs) for path in outputs.rglob("*")}


def test_one_command_after_a_kill_of_any_process_leaves_no_trace_of_it(
    project: Project, pytestconfig: pytest.Config, temporary: Path
) -> None:
    project.notebook("careful.ipynb", CAREFUL)
    study = project.study(TEN)
    histories, left = run_undisturbed(project, study)
    assert len(histories) == 10
    chance = random.Random(3)
    for kill in range(pytestconfig.getoption("--kills")):
        runner = project.start(study, "--jobs", "2")
        time.sleep(chance.uniform(0.3, 4))
        killed = kill_one(runner, chance)
        runner.wait(PATIENCE)
        project.run(study, "--jobs", "2")
        case = f"kill {kill}, of {killed or 'nothing'}"
        assert kept_by(project.outputs("mine"), "history.csv") == histories, case
        assert paths_in(project.outputs("mine")) == left, case
        wait_for(lambda: not processes_in(temporary))
        assert list(temporary.iterdir()) == [], case
        shutil.rmtree(project.outputs("mine"))


def test_one_command_after_the_disk_was_full_leaves_no_trace_of_it(
    project: Project, small_disk: Path, temporary: Path
) -> None:
    project.notebook("careful.ipynb", CAREFUL)
    study = project.study(TEN)
    histories, left = run_undisturbed(project, study)
    runner = project.start(study, "--jobs", "2")
    wait_for(lambda: len(kept_by(project.outputs("mine"), "history.csv")) > 1)
    filler = small_disk / "filler"
    with suppress(OSError):  # the runs take some of it meanwhile
        filler.write_bytes(bytes(shutil.disk_usage(small_disk).total))
    printed = runner.finish(status=1)
    assert "No space left on device" in printed and "Traceback" not in printed
    filler.unlink()
    project.run(study, "--jobs", "2")
    assert kept_by(project.outputs("mine"), "history.csv") == histories
    assert paths_in(project.outputs("mine")) == left
    assert processes_in(temporary) == [] and list(temporary.iterdir()) == []


# --- halving ---
def test_survivors_are_the_same_after_kills_at_any_instant(project: Project) -> None:
    project.edit("straight.ipynb", 'history.write(f"', 'time.sleep(0.02); history.write(f"')
    project.edit("straight.ipynb", "import json", "import json, time")
    study = project.study(STRAIGHT_STUDY)
    chance = random.Random(2)
    for _ in range(5):
        runner = project.start(study, "--jobs", "2")
        time.sleep(chance.uniform(1, 8))
        kill_together(runner)
    project.run(study)
    assert survivors_of(project, study) == [
        "rung 1 of 3, 2 epochs: 3 of 4 candidates go on: a, b, c",
        "rung 2 of 3, 6 epochs: 2 of 3 candidates go on: a, b",
    ]
    assert read_run(project.outputs("mine", "final"))["parameters"]["level"] == 1.0


def test_race_leaves_the_same_after_kills_at_any_instant(project: Project, raced: Project) -> None:
    project.edit("straight.ipynb", 'history.write(f"', 'time.sleep(0.1); history.write(f"')
    project.edit("straight.ipynb", "import json", "import json, time")
    study = project.study(RACE_STUDY)
    chance = random.Random(3)
    for _ in range(5):
        runner = project.start(study, "--jobs", "2")
        time.sleep(chance.uniform(1, 5))
        kill_together(runner)
    project.run(study)
    assert laps_of(project, study) == RACE_PRINTED
    histories = kept_by(project.outputs("mine"), "history.csv")
    assert histories == kept_by(raced.outputs("mine"), "history.csv") and len(histories) == 16
    for name in histories:  # whatever was complete once, nothing trained again
        trained = epochs_trained(project, name)
        assert trained[-1].endswith("-3") and len({each.partition("-")[0] for each in trained}) == len(
            trained
        )


# `poor` hardly learns; both others survive the first rung
HALVING = f"""
notebooks: {{run: train.ipynb, summary: null}}
defaults: {{hidden_layers: 1, units: 16, batch_size: 5000}}
configurations:
  poor: {{learning_rate: 0.000001}}
  plain: {{}}
  dropout: {{{CHANGING}}}
halving:
  candidates: "*"
  metric: val_accuracy
  rungs:
    - {{epochs: 1, keep: 2}}
    - {{epochs: 3, keep: 1}}
    - {{epochs: 3}}
"""
# As long as the directory is there, a run says that its second epoch is saved, and waits for its kill.
HOLD = """
        while epoch == 2 and Path({held!r}).exists():
            (Path({held!r}) / Path.cwd().parent.name).touch()
            time.sleep(0.05)
        for index, layer in enumerate("""


def test_networks_killed_in_the_second_rung_come_to_the_same(project: Project) -> None:
    held = project.root / "held"
    held.mkdir()
    project.edit("train.ipynb", "for index, layer in enumerate(", HOLD.format(held=str(held)).strip())
    save_every_epoch(project)
    study = project.study(HALVING)
    runner = project.start(study, "--jobs", "2")
    wait_for(lambda: {path.name for path in held.iterdir()} == {"plain", "dropout"})
    kill_together(runner)
    shutil.rmtree(held)
    printed = project.run(study, "--jobs", "2")
    assert "rung 2 of 3, 3 epochs: 0 of 2 candidates are complete" in printed
    assert printed.count("resumes (interrupted at epoch 2)") == 2 and begun(printed) == []

    project.run(study, "--jobs", "2", "--outputs", "uninterrupted")
    survivors = survivors_of(project, study)
    assert survivors == survivors_of(project, study, "--outputs", "uninterrupted") and len(survivors) == 2
    histories = kept_by(project.outputs("mine"), "history.csv")
    assert histories == kept_by(project.root / "uninterrupted", "history.csv") and len(histories) == 3
