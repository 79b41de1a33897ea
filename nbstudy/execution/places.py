"""Where runs go: this machine, the hosts of a Dask cluster, or workers that the command starts for itself.

A place is a context manager that yields a Pool; another kind of place is one more of these, here or in a file of its
own, what chooses it in `open_pool`, an option in command/run.py and what goes with `--scheduler` there, and how a run learns
which host it is on, in `work.current_host`. Another queue than Slurm's is a class like that in slurm.py, which own_cluster.py
chooses by the kind that cluster_file.py reads.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from nbstudy.checks import fail
from nbstudy.execution.host import THIS_MACHINE, Share, Slots
from nbstudy.execution.pools import Pool
from nbstudy.records.runs import Context

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from nbstudy.execution.cluster_file import ClusterFile

TO_START_WORKERS = {
    "slurm": ("distributed", "cryptography", "dask_jobqueue"),
    "ssh": ("distributed", "asyncssh"),
}


def open_pool(
    context: Context,
    share: Callable[[], Share],
    scheduler: str | None,
    cluster_file: ClusterFile | None = None,
) -> AbstractContextManager[Pool]:
    """Return the place where a command's runs go, each with such a share of this machine; entering it opens it.

    The share is asked for when there is something to run: it depends on what is free here.
    """
    if cluster_file is not None:
        for library in TO_START_WORKERS[cluster_file.kind]:
            if importlib.util.find_spec(library) is None:
                cure = "install nbstudy with its extra, as in pip install '/path/to/nbstudy[cluster]'"
                fail("--cluster", f"needs {library}, which is not installed here; {cure}")
        from nbstudy.execution.own_cluster import own_cluster

        return own_cluster(cluster_file, context)
    if scheduler is None:
        return this_machine(share)
    try:
        from nbstudy.execution.dask_cluster import (
            cluster,
        )  # asyncio and more, which this machine does without
    except ModuleNotFoundError as error:
        cure = "install nbstudy with its extra, as in pip install '/path/to/nbstudy[dask]'"
        fail("--scheduler", f"needs Dask, and {error.name} is not installed here; {cure}")
    return cluster(scheduler, context)


@contextmanager
def this_machine(share: Callable[[], Share]) -> Iterator[Pool]:
    """Run a number of runs at a time on this machine, each of which has such a share of it."""
    with ExitStack() as opened:

        @cache
        def executor() -> ThreadPoolExecutor:
            """Return what runs them, made when there is something to run."""
            # looks at the processes of a user, which a command with nothing to do can spare
            from concurrent.futures import ThreadPoolExecutor

            from nbstudy.execution.limits import allow

            jobs = share().jobs
            error = allow(jobs, share().threads)
            if error:
                fail(f"--jobs {jobs}", f"this machine {error}")
            threads = ThreadPoolExecutor(jobs)
            opened.callback(threads.shutdown, cancel_futures=True)
            return threads

        def submit(hosts: list[str], *call: Any) -> Future[Any]:
            return executor().submit(*call)

        def slots() -> Slots:
            executor()
            return {THIS_MACHINE: share().jobs}

        yield Pool(submit, slots, lambda: share().busy_cores)
