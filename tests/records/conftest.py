"""Fixtures: the template tiny.ipynb and a task of it, a study that is half filled and its results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from left import FAILING_STUDY
from nbstudy.records.lease import Lease
from nbstudy.records.results import Results
from nbstudy.records.runs import Context, Task
from nbstudy.study.template import Template, read_template
from planted import Planted, half_filled
from project import Once, Project


@pytest.fixture(scope="session")
def template(make_project: Callable[[], Project]) -> Template:
    """The template tiny.ipynb."""
    return read_template(make_project().root / "notebooks" / "tiny.ipynb")


@pytest.fixture
def task(template: Template, tmp_path: Path) -> Task:
    """A task of four steps with outputs of its own, in which nothing has run."""
    outputs = tmp_path / "mine"
    outputs.mkdir()
    context = Context(template, "steps", None, Lease(outputs, "nobody"))
    return Task("long", template.defaults | {"steps": 4}, 4e9, context)


@pytest.fixture(scope="session")
def failed(once: Once) -> Project:
    """A project whose costliest run, the first of three, has failed; tests only read it."""
    study = FAILING_STUDY
    return once("failed", lambda project: project.run(project.study(study), "--jobs", "1", status=1))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """A half-filled study with replicates; tests only read it."""
    return half_filled(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def results(planted: Planted) -> Results:
    """What the half-filled study left."""
    return planted.load()
