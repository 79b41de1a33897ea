"""Hosts: what is made ready before their first run, and looked up once for all runs."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from nbstudy.execution import work
from nbstudy.execution.pools import Hosts, Pool
from nbstudy.execution.work import environment_of
from nbstudy.records.lease import Lease
from nbstudy.records.runs import Context
from nbstudy.study.template import Template, read_template
from project import Project


@pytest.fixture
def context(project: Project, tmp_path: Path) -> Context:
    """The context of a command that runs tiny.ipynb."""
    template: Template = read_template(project.root / "notebooks" / "tiny.ipynb")
    return Context(template, "steps", None, Lease(tmp_path / "mine", "1 this"))


def test_host_is_prepared_for_runs_once_however_early_that_begins(context: Context) -> None:
    submitted: list[tuple[Any, ...]] = []

    def submit(hosts: list[str], *call: Any) -> Future[Any]:
        submitted.append((hosts, *call))
        done: Future[Any] = Future()
        done.set_result(None)
        return done

    hosts = Hosts(Pool(submit, lambda: {"here": 2}, lambda: 1), context)
    hosts.begin_to_prepare()
    assert hosts.ready() == {"here": 2}
    assert submitted == [(["here"], work.prepare_host, context, "here", 2, True)]


class Ending(Future[Any]):
    """What is done as soon as somebody has asked once whether it is."""

    asked = False

    def done(self) -> bool:
        """Tell whether it is done."""
        before, self.asked = self.asked, True
        return before


def test_host_that_cannot_run_gets_nothing_whenever_that_is_known(context: Context) -> None:
    def submit(_: list[str], *__: Any) -> Future[Any]:
        unfit: Future[Any] = Ending()
        unfit.set_result("has psutil 0.1")
        return unfit

    hosts = Hosts(Pool(submit, lambda: {"there": 1}, lambda: 1), context)
    assert hosts.ready() == {}
    with pytest.raises(click.ClickException, match=r"no host can run this in .*\n  there has psutil 0.1"):
        hosts.ready()


def test_environment_is_looked_up_once_a_command(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[tuple[str, ...]] = []

    def describe(imports: tuple[str, ...]) -> Mapping[str, str]:
        looked_up.append(imports)
        return {"python": "3"}

    monkeypatch.setattr(work, "describe_environment", describe)
    for _ in range(3):
        assert environment_of(context) == {"python": "3"}
    other_template = replace(context, template=replace(context.template, imports=["numpy"]))
    environment_of(other_template)
    assert looked_up == [tuple(context.template.imports), ("numpy",)]
    environment_of(replace(context, lease=Lease(context.lease.outputs, "2 another")))
    assert len(looked_up) == 3
