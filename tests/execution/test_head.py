"""The head of a log: what was run, on what, with which result, and how to run it again."""

from __future__ import annotations

import json
import math
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

from nbstudy.decision.metrics import metric_called
from nbstudy.execution.head import Facts, head_of
from nbstudy.execution.log import HEAD, failed_cell, put_head
from nbstudy.records.history import History
from nbstudy.records.settled import Settled, settled_metrics
from nbstudy.study.origin import Origin
from project import RACE_STUDY, TINY_STUDY, Once, Project, executed, read, read_run

RUN: dict[str, Any] = {  # of run.json
    "parameters": {"units": 64, "l2": 0.0, "note": ""},
    "code": "0123456789abcdef",
    "modules": {"helper.py": "aaaaaaaaaaaaaaaa"},
    "inputs": {"data/prices.csv": "bbbbbbbbbbbbbbbb"},
    "environment": {"processor": "A processor", "python": "3.11.7", "keras": "3.15.1", "XLA_FLAGS": "--fast"},
    "threads": 2,
    "started": "2026-01-31T23:59:59Z",
    "seconds": 150.0,
    "attempts": 1,
    "error": None,
}
FACTS = Facts(
    name="model_4",
    template="train.ipynb",
    defaults={"units": 128, "l2": 0.0, "note": ""},
    run=RUN,
    origin=Origin("mine", ("python", "runner.py", "params/mine.yaml"), "summary.ipynb", "outputs/mine"),
    epochs=40,
    judged_by=metric_called("val_loss"),
    metrics=[Settled("val_loss", 0.25, 0.5), Settled("loss", 0.125, 0.0625)],
    summary="../summary.ipynb",
)


def head_with(**values: Any) -> str:
    """Return the head of a log of which some facts are others."""
    return head_of(replace(FACTS, **values))


def head_of_run(**values: Any) -> str:
    """Return the head of a log whose run.json says something else."""
    return head_with(run=RUN | values)


# --- what it says ---
def test_head_says_what_was_run_on_what_with_which_result_and_how_to_run_it_again() -> None:
    assert head_of(FACTS).splitlines() == [
        "# `model_4` of the study `mine`",
        "",
        "`train.ipynb`, run on 2026-01-31 23:59 UTC, took 2.5 minutes for 40 epochs, in 1 attempt.",
        "",
        "| metric | settled | last epoch |",
        "| :--- | ---: | ---: |",
        "| `val_loss` | **0.2500** | 0.5000 |",
        "| `loss` | 0.1250 | 0.0625 |",
        "",
        "Settled is the mean over the last 4 epochs; the study judges by the settled `val_loss` (lower is better).",
        "",
        "| parameter | value | default |",
        "| :--- | :--- | :--- |",
        "| `units` | `64` | `128` |",
        "",
        "The defaults hold for `l2` `0.0` and `note` `''`.",
        "",
        (
            "Made with code `0123456789abcdef`, module `helper.py` `aaaaaaaaaaaaaaaa`, reads `data/prices.csv` "
            "`bbbbbbbbbbbbbbbb`; 2 threads on A processor; python 3.11.7, keras 3.15.1, XLA_FLAGS=--fast."
        ),
        "",
        (
            "To run it again, in the project's directory: "
            "`mv outputs/mine/model_4 .`, then `python runner.py params/mine.yaml --only model_4`"
        ),
        "",
        "What is complete and in its place is left as it is, so this run is moved out of it first.",
        "",
        "[The summary of the study](../summary.ipynb) sets it beside the others.",
    ]


def test_head_of_a_failed_attempt_says_what_failed_where_and_in_which() -> None:
    run = RUN | {"error": "ValueError: no <b>", "attempts": 3}
    text = head_with(run=run, failed_in="[code cell 2 of 5](#there)", epochs=0, metrics=[], judged_by=None)
    assert "**Failed** in attempt 3, [code cell 2 of 5](#there): ValueError: no &#60;b&#62;" in text
    assert "took 2.5 minutes, in 3 attempts." in text
    assert "mv" not in text


def test_head_of_little_that_is_known_says_that() -> None:
    run = {name: RUN[name] for name in ("code", "started", "seconds", "attempts", "error")}
    text = head_of(Facts(name="a", template="a.ipynb", defaults={}, run={**run, "parameters": {}}))
    assert text.splitlines() == [
        "# `a`",
        "",
        "`a.ipynb`, run on 2026-01-31 23:59 UTC, took 2.5 minutes, in 1 attempt.",
        "",
        "Made with code `0123456789abcdef`.",
    ]


def test_head_shows_numbers_where_there_is_no_history() -> None:
    text = head_with(metrics=[], judged_by=None, epochs=0, numbers={"score": 0.5, "images": 10_000})
    assert "| `score` | 0.5000 |" in text and "| `images` | 10,000 |" in text
    assert "ettled" not in text


def test_head_of_many_numbers_says_where_the_rest_is() -> None:
    text = head_with(metrics=[], numbers={f"score_{number}": 0.5 for number in range(15)})
    assert text.count("| `score_") == 12 and "`result.json` has 3 more." in text


def test_value_of_one_epoch_is_not_called_settled() -> None:
    text = head_with(epochs=10)
    assert "| metric | last epoch |" in text and "The study judges by `val_loss` (lower is better)." in text


def test_head_of_a_run_that_is_not_judged_names_no_metric_that_decides() -> None:
    text = head_with(judged_by=None)
    assert "Settled is the mean over the last 4 epochs." in text and "judges" not in text and "**" not in text


def test_head_says_that_all_parameters_are_the_defaults() -> None:
    assert "All parameters are the template's defaults." in head_with(defaults=RUN["parameters"])


def test_head_says_what_changed_between_attempts_and_how_the_kernel_ended() -> None:
    text = head_of_run(
        environment_changes=["keras 3.14 -> 3.15.1 after epoch 3"], ending="its kernel was killed"
    )
    assert "What changed on the way: keras 3.14 -&#62; 3.15.1 after epoch 3." in text
    assert "What became of its kernel: its kernel was killed." in text


def test_texts_of_others_are_shown_as_they_are() -> None:
    evil = "<script>|$x$ `a` [b](c)"
    text = head_of(
        Facts(
            name=evil,
            template=evil,
            defaults={evil: evil},
            run=RUN | {"parameters": {evil: evil + "!"}, "error": evil, "environment": {evil: evil}},
            origin=Origin(evil, ("nbstudy", evil), evil, evil),
            early_end=evil,
            data=evil,
            device=evil,
            metrics=[Settled(evil, math.nan, math.inf)],
            summary=evil,
        )
    )
    for markup in ("<script", "$x", "`a`", "](c"):
        assert markup not in text
    assert "inf" in text


# --- what it is told ---
def test_metrics_come_with_what_decides_first_and_without_times_and_rates() -> None:
    columns: dict[str, list[float | None]] = {
        "loss": [1.0, 2.0],
        "seconds": [1.0, 2.0],
        "learning_rate": [1.0, 1.0],
        "val_loss": [3.0, None],
        "val_accuracy": [5.0, 6.0],
    }
    history = History(2, columns)
    assert [each.metric for each in settled_metrics(history)] == ["val_loss", "val_accuracy", "loss"]
    first, *_ = settled_metrics(history, "seconds")
    assert first == Settled("seconds", 2.0, 2.0)
    assert settled_metrics(history)[0].last is None


# --- where it stands ---
def log_with(path: Path, cells: Sequence[nbformat.NotebookNode]) -> Path:
    """Write a log; return its path."""
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), path)
    return path


def test_new_head_takes_the_place_of_an_old_one(tmp_path: Path) -> None:
    log = log_with(tmp_path / "log.ipynb", [new_code_cell("1", id="head")])
    put_head(log, "# old")
    put_head(log, "# new\n\ntext")
    notebook = nbformat.read(log, as_version=4)
    nbformat.validate(notebook)
    assert [cell.source for cell in notebook.cells] == ["# new\n\ntext", "1"]


@pytest.mark.parametrize(
    ("failed", "expected"), [(3, "[code cell 2 of 2](#papermill-error-cell)"), (None, "")]
)
def test_cell_that_failed_is_counted_among_those_that_run(
    tmp_path: Path, failed: int | None, expected: str
) -> None:
    cells = [new_markdown_cell("text"), new_code_cell("1"), new_code_cell(" "), new_code_cell("2")]
    if failed is not None:
        cells[failed].metadata["papermill"] = {"status": "failed"}
    assert failed_cell(log_with(tmp_path / "log.ipynb", cells)) == expected


# --- through the runner ---
@pytest.fixture(scope="session")
def headed(once: Once) -> Project:
    """A project with a run of forty steps and one that has failed, in outputs named by hand; tests only read it."""
    study = """
        notebooks: {run: tiny.ipynb}
        configurations:
          long: {steps: 40, text: "a | $b$"}
          bad: {text: fail}
    """

    def fill(project: Project) -> str:
        words = ("-p", "flag", "true", "--outputs", "outputs/by hand")
        return project.run(project.study(study), *words, status=1)

    return once("headed", fill)


def heads_in(directory: Path) -> list[str]:
    """Return the heads of a directory's log, and see that it is valid."""
    log = executed(directory)
    nbformat.validate(log)
    heads = [cell.source for cell in log.cells if HEAD in cell.metadata.get("tags", [])]
    assert log.cells[0].source == heads[0]
    return heads


def test_log_of_a_run_begins_with_its_head(headed: Project) -> None:
    place = headed.outputs("by hand", "long")
    (head,) = heads_in(place)
    assert head.startswith("# `long` of the study `mine`\n")
    assert "| `val_loss` | **0.0260** | 0.0250 |" in head  # means of 1/37 to 1/40
    assert "| `steps` | `40` | `3` |" in head and "| `flag` | `True` | `False` |" in head
    assert "<code>'a &#124; &#36;b&#36;'</code>" in head and "| `seconds`" not in head
    assert f"code `{read_run(place)['code']}`; 1 thread on" in head
    assert "[The summary of the study](../summary.ipynb)" in head
    assert (place / "../summary.ipynb").exists()
    assert str(headed.root) not in head


def run_again(project: Project, place: Path) -> Path:
    """Do as the head of a run's log says; return where the earlier run is now."""
    (head,) = heads_in(place)
    (line,) = [line for line in head.splitlines() if line.startswith("To run it again")]
    away, again = line.partition(": ")[2].strip("`").split("`, then `")
    assert shlex.split(away) == ["mv", place.relative_to(project.root).as_posix(), "."]
    python, runner, *words = shlex.split(again)
    assert (python, runner) == ("python", "runner.py")
    earlier = Path(shutil.move(place, project.root))
    project.run(*words)
    return earlier


def test_command_in_a_head_runs_it_again(headed: Project, project: Project) -> None:
    project.copy_outputs(headed)
    shutil.copytree(headed.root / "params", project.root / "params", dirs_exist_ok=True)
    place = project.outputs("by hand", "long")
    before = (place / "history.csv").read_bytes()
    earlier = run_again(project, place)
    assert (place / "history.csv").read_bytes() == before == (earlier / "history.csv").read_bytes()
    assert read_run(place)["started"] != read_run(earlier)["started"]


@pytest.mark.parametrize("name", ["a_seed_3", "final"])
def test_command_in_a_head_runs_again_what_was_asked_for_late(
    project: Project, raced: Project, name: str
) -> None:
    project.copy_outputs(raced)
    project.study(RACE_STUDY)
    place = project.outputs("mine", name)
    earlier = run_again(project, place)
    assert (place / "history.csv").read_bytes() == (earlier / "history.csv").read_bytes()
    assert read_run(place)["parameters"] == read_run(earlier)["parameters"]


def test_log_of_a_failed_attempt_begins_with_what_failed(headed: Project) -> None:
    attempt = headed.outputs("by hand", "incomplete", "bad", "1")
    (head,) = heads_in(attempt)
    where = "[code cell 4 of 4](#papermill-error-cell)"
    assert f"**Failed** in attempt 1, {where}: RuntimeError: asked to fail" in head
    assert 'id="papermill-error-cell"' in "".join(cell.source for cell in executed(attempt).cells)
    assert (attempt / "../../../summary.ipynb").exists() and "](../../../summary.ipynb)" in head


def test_history_that_is_too_short_is_a_failure_in_the_head(project: Project) -> None:
    project.edit("tiny.ipynb", "range(1, steps + 1)", "range(1, steps)")
    project.run(project.study(TINY_STUDY), "--only", "short", status=1)
    (head,) = heads_in(project.attempt("short"))
    assert "**Failed** in attempt 1: history.csv has 1 of 2 epochs" in head


def test_lengthened_run_has_one_head_of_all_its_attempts(project: Project) -> None:
    study = "notebooks: {{run: straight.ipynb, summary: null}}\nconfigurations: {{a: {{steps: {}}}}}"
    project.run(project.study(study.format(6)))
    project.run(project.study(study.format(30)))
    (head,) = heads_in(project.outputs("mine", "a"))
    assert "for 30 epochs, in 2 attempts" in head and "| `steps` | `30` | `6` |" in head
    assert "summary" not in head


def test_template_that_was_a_log_gives_its_runs_one_head(complete: Project) -> None:
    put_head(complete.root / "notebooks" / "tiny.ipynb", "# an old head")
    printed = complete.run(complete.study(TINY_STUDY.replace("steps: 4", "steps: 5")))
    assert "1 of 2 complete" in printed  # a head is no code
    (head,) = heads_in(complete.outputs("mine", "long"))
    assert head.startswith("# `long` of the study `mine`\n")


def test_log_without_a_head_stays_complete(complete: Project) -> None:
    log = complete.outputs("mine", "long", "long.ipynb")
    content = read(log)
    content["cells"] = content["cells"][1:]
    log.write_text(json.dumps(content), encoding="utf-8")
    assert "2 of 2 complete" in complete.run("params/mine.yaml")


def test_study_outside_of_a_project_is_run_again_by_the_command_nbstudy(project: Project) -> None:
    (project.root / "runner.py").rename(project.root / "other.py")
    command = project.command(
        project.study(TINY_STUDY), "--only", "short", "--outputs", str(project.root.parent / "there")
    )
    command[1] = str(project.root / "other.py")
    subprocess.run(command, cwd=project.root, check=True, capture_output=True)
    (head,) = heads_in(project.root.parent / "there" / "short")
    assert "`mv DIR/short .`, then `nbstudy params/mine.yaml --outputs DIR --only short`" in head
