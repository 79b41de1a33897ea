"""Runs that lose their hosts: which of them come no further."""

from __future__ import annotations

from pathlib import Path

import pytest

from left import begin
from nbstudy.execution.running import TRIES, Losses
from nbstudy.records.lease import Lease
from nbstudy.records.runs import Context, Task
from nbstudy.study.template import read_template
from project import Project


@pytest.fixture
def task(project: Project, tmp_path: Path) -> Task:
    """A task of a hundred steps, in which nothing has run."""
    template = read_template(project.root / "notebooks" / "tiny.ipynb")
    outputs = tmp_path / "mine"
    outputs.mkdir()
    context = Context(template, "steps", None, Lease(outputs, "nobody"))
    return Task("long", template.defaults | {"steps": 100}, 1.0, context)


def test_run_that_comes_no_further_is_given_up(task: Task) -> None:
    losses = Losses()
    for _ in range(TRIES):
        begin(task, 5)
        assert not losses.is_in_vain(task)
    begin(task, 4)
    assert losses.is_in_vain(task)


def test_run_that_comes_further_each_time_goes_on(task: Task) -> None:
    losses = Losses()
    for epochs in range(1, 3 * TRIES):
        begin(task, epochs)
        assert not losses.is_in_vain(task)


def test_run_without_a_history_is_given_up(task: Task) -> None:
    losses = Losses()
    told = []
    for _ in range(TRIES):
        begin(task, 0)
        told.append(losses.is_in_vain(task))
    assert told == [False] * (TRIES - 1) + [True]
