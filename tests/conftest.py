"""Fixtures: projects, one that has trained, a cluster, a small disk."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clusters import Cluster
from project import REAL_STUDY, TINY_STUDY, Project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project in which nothing has run."""
    project = Project(tmp_path)
    yield project
    project.end()


@pytest.fixture(scope="session")
def make_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    """Return a function that makes projects, for fixtures that live longer than a test."""
    return lambda: Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def ran(make_project: Callable[[], Project]) -> Project:
    """A project whose two tiny runs are complete; tests only read it."""
    project = make_project()
    project.run(project.study(TINY_STUDY))
    return project


@pytest.fixture
def complete(project: Project, ran: Project) -> Project:
    """A project of the test's own whose two tiny runs are complete; params/mine.yaml is its study."""
    project.study(TINY_STUDY)
    shutil.copytree(ran.outputs(), project.outputs())
    return project


@pytest.fixture(scope="session")
def trained(make_project: Callable[[], Project]) -> Project:
    """A project whose small study of real networks is complete; tests only read it."""
    project = make_project()
    printed = project.run(project.study(REAL_STUDY), "--jobs", "2")
    assert "final: 2 epochs" in printed and "summary.ipynb" in printed
    # what the kernels and the libraries in them say goes into the logs or nowhere
    assert not re.search(r"warning|error|I0000|E0000|libraries anew", printed, re.IGNORECASE), printed
    return project


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Dask cluster without workers."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.end()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes; only root can make one."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
