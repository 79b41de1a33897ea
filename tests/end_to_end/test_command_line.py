"""The command line: which runs it takes, where they go, what it refuses, how it is interrupted."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from nbstudy.checks import StudyError
from nbstudy.records.obstacles import check_way
from project import (
    TINY,
    TINY_STUDY,
    Project,
    all_end,
    begun,
    kernels_of,
    read,
    read_run,
    rows,
    wait_for,
)

APPENDING = TINY | {  # as many templates are: each step appends its row to what is there
    "": """
        import time
        from pathlib import Path

        history = Path("history.csv")
        if not history.exists():
            history.write_text("epoch,val_loss\\n")
        for step in range(1, steps + 1):
            time.sleep(seconds)
            with history.open("a") as file:
                file.write(f"{step},{1 / step}\\n")
    """
}
REFUSED = [
    (["-p", "steps", "ten"], ["-p: steps", "'ten'"]),
    (["-p", "stepz", "1"], ["-p: ", "'stepz'", "'steps'"]),
    (["--outputs", "runner.py"], ["runner.py", "cannot hold runs"]),
    (["--outputs", "notebooks"], ["notebooks", "holds other things"]),
    (["--outputs", "notebooks", "--dry-run"], ["notebooks", "holds other things"]),
    (["--only", "b*"], ["--only", "'b*'", "long"]),
    (["--jobs", "0"], ["--jobs"]),
    (["--jobs", "2", "--scheduler", "tcp://x:1"], ["--jobs", "--scheduler"]),
    (["--jobs", "2", "--cluster", "x.yaml"], ["--cluster", "--jobs"]),
    (["--cluster", "x.yaml"], ["--cluster", "cannot be read"]),
    (["--timeout", "0"], ["--timeout: must be a number of minutes above 0, not 0"]),
    (["--timeout", "nan"], ["--timeout: must be a number of minutes above 0, not nan"]),
    (["--timeout", "inf"], ["--timeout: must be a number of minutes above 0, not inf"]),
]


# --- what is refused ---
@pytest.mark.parametrize(("arguments", "expected"), REFUSED)
def test_option_that_makes_no_sense_is_refused(
    project: Project, arguments: list[str], expected: list[str]
) -> None:
    printed = project.run(project.study(TINY_STUDY), *arguments, status=2)
    assert all(words in printed for words in expected), printed
    assert "Traceback" not in printed
    assert not project.outputs().exists()


def test_bad_study_is_refused_in_one_line_before_anything_runs(project: Project) -> None:
    printed = project.run(project.study(TINY_STUDY + "  bad: {steps: 0}\n"), status=2)
    assert "params/mine.yaml: configuration bad: steps must be at least 1, not 0" in printed
    assert len(printed.splitlines()) == 1
    assert not project.outputs().exists()


def test_study_that_is_not_there_is_refused(project: Project) -> None:
    printed = project.run("params/nowhere.yaml", status=2)
    assert "params/nowhere.yaml" in printed and "No such file" in printed and "Traceback" not in printed


def test_outputs_that_are_a_link_to_nothing_are_refused(project: Project) -> None:
    project.outputs().symlink_to("elsewhere")
    printed = project.run(project.study(TINY_STUDY), status=2)
    assert "outputs: is a link to elsewhere, which is not there; make it, or remove the link" in printed
    assert len(printed.splitlines()) == 1
    assert not (project.root / "elsewhere").exists()


@pytest.mark.parametrize("name", ["", "mine", "mine/incomplete"])
def test_what_is_in_the_way_of_outputs_is_named(tmp_path: Path, name: str) -> None:
    outputs = tmp_path / "outputs"
    check_way(outputs / "mine")
    in_the_way = outputs / name
    in_the_way.parent.mkdir(parents=True, exist_ok=True)
    in_the_way.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StudyError, match=rf"{in_the_way}: is a link to .*elsewhere, which is not there"):
        check_way(outputs / "mine")
    in_the_way.unlink()
    in_the_way.write_text("no directory")
    with pytest.raises(StudyError, match=rf"{in_the_way}: is no directory and cannot hold runs"):
        check_way(outputs / "mine")


def test_configuration_whose_place_is_a_link_to_nothing_is_refused(project: Project) -> None:
    project.outputs("mine").mkdir(parents=True)
    project.outputs("mine", "short").symlink_to("elsewhere")
    printed = project.run(project.study(TINY_STUDY), status=2)
    assert "short: is in the way" in printed and begun(printed) == []


def test_outputs_of_another_study_or_other_overrides_are_refused(project: Project) -> None:
    study = project.study(TINY_STUDY)
    project.run(study, "--outputs", "here", "--only", "short")
    assert (project.root / "here" / "short" / "run.json").exists()
    other = project.study(TINY_STUDY, "other")
    assert "here: holds another study" in project.run(other, "--outputs", "here", status=2)
    printed = project.run(study, "--outputs", "here", "-p", "steps", "1", status=2)
    assert "here: holds another study or other overrides" in printed


# --- which runs, and where they go ---
def test_only_runs_the_selected(project: Project) -> None:
    study = project.study(TINY_STUDY)
    printed = project.run(study, "--only", "sh*")
    assert "0 of 1 complete" in printed and "long" not in printed
    assert "1 of 1 complete" in project.run(study, "--only", "short")


def test_override_has_outputs_of_its_own(project: Project) -> None:
    study = project.study(TINY_STUDY)
    project.run(study, "-p", "text", "b", "-p", "steps", "1")
    place = project.outputs("mine+steps=1+text=b")
    assert read_run(place / "long")["parameters"]["steps"] == 1
    assert read(place / "study.json")["overrides"] == {"steps": 1, "text": "b"}
    assert not project.outputs("mine").exists()


# --- interrupts, and a second runner ---
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_ends_kernels_and_the_next_run_goes_on_or_starts_over(
    project: Project, sent: signal.Signals, status: int
) -> None:
    project.notebook("tiny.ipynb", APPENDING)
    gate = project.hold_before_step(3)
    study = project.study(TINY_STUDY)
    runner = project.start(study)
    history = project.attempt("long") / "history.csv"
    wait_for(lambda: rows(history) == 2)
    kernels = kernels_of(psutil.Process(runner.pid))
    runner.send_signal(sent)
    printed = runner.finish(status)
    assert "Run the same command to resume" in printed and "Traceback" not in printed
    assert kernels and all_end(kernels)
    gate.touch()
    assert rows(history) == 2  # nothing has gone on with it unseen
    # without a checkpoint it starts over, and with none of the rows that it would append to
    why = "interrupted at epoch 2, starts over: model.keras is not here"
    assert why in project.run(study, "--dry-run")
    project.run(study)
    assert read_run(project.outputs("mine", "long"))["attempts"] == 2
    assert rows(project.outputs("mine", "long", "history.csv")) == 4


def test_interrupt_while_kernels_start_is_heard(project: Project) -> None:
    runner = project.start(project.study(TINY_STUDY))
    wait_for(lambda: project.attempt("long").exists())
    runner.send_signal(signal.SIGINT)
    assert "Traceback" not in runner.finish(130)


def test_second_runner_is_told_who_runs_the_study(project: Project) -> None:
    project.hold_before_step(3)
    study = project.study(TINY_STUDY)
    runner = project.start(study)
    wait_for(lambda: rows(project.attempt("long") / "history.csv") == 2)
    told = f"process {runner.pid} is running this study"
    assert told in project.run(study, status=2)
    assert told in project.run(study, "--dry-run")


def test_dead_runner_holds_nobody(project: Project) -> None:
    project.hold_before_step(3)
    study = project.study(TINY_STUDY)
    runner = project.start(study, "--only", "long")
    wait_for(lambda: rows(project.attempt("long") / "history.csv") == 2)
    runner.kill()
    runner.wait()
    assert begun(project.run(study, "--only", "short")) == ["short"]


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_while_a_preflight_cell_runs_is_no_mistake_of_the_study(
    project: Project, sent: int, status: int
) -> None:
    begun = project.root / "begun"
    endless = f"open({str(begun)!r}, 'w').close()\nwhile True:\n    pass\nif steps < 1:"
    project.edit("tiny.ipynb", "if steps < 1:", endless)
    runner = project.start(project.study(TINY_STUDY))
    wait_for(begun.exists)
    runner.send_signal(sent)
    assert runner.finish(status) == ""
