"""Fixtures: projects, one that has trained, a cluster, a small disk."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from clusters import Cluster
from project import RACE_STUDY, REAL_STUDY, STRAIGHT_STUDY, TINY_STUDY, Once, Project


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let somebody who has the time ask for more than a handful of what is left to chance."""
    parser.addoption("--kills", type=int, default=3, help="kills at random instants (default: 3)")
    parser.addoption("--walltime", action="store_true", help="wait for Slurm where it takes minutes")
    parser.addoption("--simulations", type=int, default=2000, help="studies drawn of a kind (default: 2000)")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache directory of the tests: they find nothing that earlier commands found out, but for Matplotlib's fonts."""
    fonts = Path.home() / ".cache" / "matplotlib"
    fonts.mkdir(parents=True, exist_ok=True)
    cache = tmp_path_factory.mktemp("cache")
    (cache / "matplotlib").symlink_to(fonts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        yield cache


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
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Once:
    """Return a function that makes a project once a test run; the workers that ask later wait and share it."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent

    def make(name: str, fill: Callable[[Project], str]) -> Project:
        root = shared / name
        with FileLock(shared / f"{name}.lock"):
            if not (root / "printed.txt").exists():
                shutil.rmtree(root, ignore_errors=True)  # what a worker that failed has left
                root.mkdir()
                printed = fill(Project(root))
                (root / "printed.txt").write_text(printed, encoding="utf-8")
        return Project(root)

    return make


@pytest.fixture(scope="session")
def ran(once: Once) -> Project:
    """A project whose two tiny runs are complete; tests only read it."""
    return once("ran", lambda project: project.run(project.study(TINY_STUDY)))


@pytest.fixture
def complete(project: Project, ran: Project) -> Project:
    """A project of the test's own whose two tiny runs are complete; params/mine.yaml is its study."""
    project.study(TINY_STUDY)
    project.copy_outputs(ran)
    return project


@pytest.fixture(scope="session")
def unfolded(once: Once) -> Project:
    """A project in which halving has come to its end, one run at a time; tests only read it."""
    return once("unfolded", lambda project: project.run(project.study(STRAIGHT_STUDY), "--jobs", "1"))


@pytest.fixture(scope="session")
def raced(once: Once) -> Project:
    """A project in which a race has come to its end, one run at a time; tests only read it."""
    return once("raced", lambda project: project.run(project.study(RACE_STUDY), "--jobs", "1"))


@pytest.fixture(scope="session")
def trained(once: Once) -> Project:
    """A project whose small study of real networks is complete; tests only read it."""
    project = once("trained", lambda project: project.run(project.study(REAL_STUDY), "--jobs", "2"))
    printed = project.printed()
    assert "final: 2 epochs" in printed and "summary.ipynb" in printed
    # what the kernels and the libraries in them say goes into the logs or nowhere
    assert not re.search(r"warning|error|I0000|E0000|libraries anew", printed, re.IGNORECASE), printed
    return project


@pytest.fixture
def later(project: Project, trained: Project) -> Project:
    """A project of the test's own in which the small study of real networks is complete."""
    project.study(REAL_STUDY)
    project.copy_outputs(trained)
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
