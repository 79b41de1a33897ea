"""What many runs of almost nothing take, here and on Dask, and whether they leave anything behind.

Their template has two cells and no TensorFlow, so that they take what a run takes by itself.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmark.processes import seconds_of
from clusters import Cluster
from project import Project, Runner, kernels_of, wait_for

RUNS = 200
SLOTS = 2  # runs at a time, here and on Dask: as many workers of one thread
PATIENCE = 600  # seconds until a quarter of the runs, and again until all but one, must be complete


@dataclass(frozen=True)
class Usage:
    """What a process has at one time."""

    megabytes: float
    files: int  # open ones, sockets among them


@dataclass(frozen=True)
class CheapRuns:
    """What was measured; the usage is that of the processes runner, scheduler, worker_1 and worker_2."""

    seconds_here: float  # of a run and slot
    seconds_dask: float  # likewise
    early: dict[str, Usage]  # after a quarter of the runs on Dask
    late: dict[str, Usage]  # before the last of them ends


def measure_cheap_runs(runs: int = RUNS) -> CheapRuns:
    """Measure many cheap runs; raise AssertionError where a kernel or a temporary file is left of them."""
    with tempfile.TemporaryDirectory() as place, cheap_project(Path(place) / "project") as project:
        study = write_study(project, runs)
        here = seconds_of(project.command(study, "--jobs", str(SLOTS), "--outputs", "here"))
        with cluster_of_workers(Path(place)) as (cluster, workers):
            begun = time.perf_counter()
            runner = project.start(study, "--scheduler", cluster.address)
            processes = {"runner": psutil.Process(runner.pid), "scheduler": cluster.scheduler}
            for number, worker in enumerate(workers, 1):
                processes[f"worker_{number}"] = worker
            wait_for_runs(project, runner, runs / 4)
            early = usage_of(processes)
            wait_for_runs(project, runner, runs - 1)
            late = usage_of(processes)
            runner.finish()
            dask = time.perf_counter() - begun
            check_nothing_left(workers, Path(place) / "temporary")
    return CheapRuns(
        seconds_here=here * SLOTS / runs,
        seconds_dask=dask * SLOTS / runs,
        early=early,
        late=late,
    )


@contextmanager
def cheap_project(root: Path) -> Iterator[Project]:
    """Make a project in a new directory; at the end kill the runners that it left running."""
    root.mkdir()
    project = Project(root)
    try:
        yield project
    finally:
        project.end()


def write_study(project: Project, runs: int) -> str:
    """Write a study of so many runs; return its file."""
    return project.study(f"notebooks: {{run: tiny.ipynb, summary: null}}\n{cheap_grid(runs)}")


def cheap_grid(runs: int) -> str:
    """Return a grid of so many runs of tiny.ipynb, all with the same to do: one row of a history."""
    texts = [str(number) for number in range(1, runs + 1)]
    return f'grid: [{{name: "run_{{text}}", steps: 1, text: {texts}}}]\n'


@contextmanager
def cluster_of_workers(root: Path) -> Iterator[tuple[Cluster, list[psutil.Process]]]:
    """Start a cluster with a worker a slot; the temporary files of their runs go to root/temporary."""
    temporary = root / "temporary"
    temporary.mkdir()
    cluster = Cluster(root / "cluster")
    cluster.environment["TMPDIR"] = str(temporary)
    cluster.environment["DASK_TEMPORARY_DIRECTORY"] = str(root)  # of the workers themselves
    try:
        workers = []
        for _ in range(SLOTS):
            workers.append(cluster.worker(1))
        yield cluster, workers
    finally:
        cluster.end()


def wait_for_runs(project: Project, runner: Runner, number: float) -> None:
    """Wait until so many runs are complete; raise AssertionError where the runner ends before."""

    def are_complete() -> bool:
        has_ended = runner.poll() is not None  # asked first: what it completed last is counted then
        complete = len(list(project.outputs("mine").glob("run_*")))
        assert complete >= number or not has_ended, runner.printed()
        return complete >= number

    wait_for(are_complete, PATIENCE)


def usage_of(processes: dict[str, psutil.Process]) -> dict[str, Usage]:
    """Return what each process has now."""
    usage = {}
    for name, process in processes.items():
        usage[name] = Usage(process.memory_info().rss / 1e6, process.num_fds())
    return usage


def check_nothing_left(workers: list[psutil.Process], temporary: Path) -> None:
    """Refuse kernels that still run, and temporary files that stay."""
    for worker in workers:
        assert not kernels_of(worker), "a kernel is left"
    wait_for(lambda: not list(temporary.iterdir()))
