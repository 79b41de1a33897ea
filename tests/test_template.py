"""Templates: the parameters that a notebook declares, and when two logs had the same code."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbstudy.checks import StudyError
from nbstudy.template import read_template
from project import ROOT, TINY_STUDY, Project, begun, read


def plan(project: Project) -> str:
    """Return what a dry run says."""
    return project.run("params/mine.yaml", "--dry-run")


def test_parameters_are_those_that_the_cell_declares() -> None:
    template = read_template(ROOT / "notebooks" / "train.ipynb")
    assert template.defaults == {
        "hidden_layers": 5,
        "units": 128,
        "l2": 0.001,
        "dropout": 0.0,
        "batch_size": 512,
        "epochs": 200,
        "seed": 0,
        "refit": False,
        "precision": "float32",
    }


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("steps = 3", ["parameter steps", "no type", "name: type = default"]),
        ("steps: list = [3]", ["parameter steps", "no type", "type int, float, bool or str"]),
        ("steps: int = 1 + 2", ["parameter steps", "no plain value"]),
        ("steps: int = 'three'", ["parameter steps", "whole number", "'three'"]),
    ],
)
def test_parameter_that_cannot_be_checked_is_refused(
    project: Project, declared: str, expected: list[str]
) -> None:
    project.edit("tiny.ipynb", "steps: int = 3", declared)
    with pytest.raises(StudyError) as refusal:
        read_template(project.root / "notebooks" / "tiny.ipynb")
    assert all(words in refusal.value.message for words in ["tiny.ipynb", *expected]), refusal.value.message


def test_file_that_is_no_notebook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.ipynb").write_text('{"cells": [')
    with pytest.raises(StudyError, match=r"cut\.ipynb: is not a notebook"):
        read_template(tmp_path / "cut.ipynb")


def test_preflight_that_fails_is_named(project: Project) -> None:
    project.edit("tiny.ipynb", "if steps < 1:", "if stepz < 1:")
    printed = project.run(project.study(TINY_STUDY), status=2)
    assert "configuration short: tiny.ipynb: preflight: NameError: name 'stepz' is not defined" in printed


def test_comments_spacing_and_preflight_are_no_change(complete: Project) -> None:
    complete.edit("tiny.ipynb", "import json, time", "# a comment\nimport json,  time")
    complete.edit("tiny.ipynb", "steps must be", "the steps must be")
    assert "2 complete" in plan(complete)


def test_code_found_to_be_the_same_is_recorded(complete: Project) -> None:
    record = complete.outputs("mine", "study.json")
    (before,) = read(record)["code"]
    complete.edit("tiny.ipynb", "import json, time", "# a comment\nimport json,  time")
    complete.run("params/mine.yaml", "--only", "short")
    codes = read(record)["code"]
    assert before in codes and len(codes) == 2


def test_new_parameter_at_its_default_is_no_change(complete: Project) -> None:
    complete.edit("tiny.ipynb", "flag: bool = False", "another: int = 3\nflag: bool = False")
    assert "2 of 2 complete" in complete.run("params/mine.yaml")


def test_changed_code_makes_stale_and_says_so(complete: Project) -> None:
    complete.edit("tiny.ipynb", "1 / step", "2 / step")
    printed = plan(complete)
    assert "2 stale" in printed and printed.count("tiny.ipynb changed") == 2


def test_accept_takes_changed_code_as_current_and_records_it(complete: Project) -> None:
    was = read(complete.outputs("mine", "short", "run.json"))["code"]
    complete.edit("tiny.ipynb", "1 / step", "1 / (step + 0)")
    changed = complete.study(TINY_STUDY.replace("steps: 4", "steps: 3"))
    assert "2 stale" in plan(complete)
    assert begun(complete.run(changed, "--accept")) == ["long"]
    run = read(complete.outputs("mine", "short", "run.json"))
    assert run["accepted"] == [was] and run["code"] != was
    assert "2 of 2 complete" in complete.run(changed)
