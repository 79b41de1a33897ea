"""Where runs go: this machine, or the hosts of a Dask cluster.

A place is a context manager that yields a Pool; another kind of place is one more of these, here or in a file of its
own, what chooses it in `open_pool`, an option in command/run.py and what goes with `--scheduler` there, and how a run learns
which host it is on, in `work.current_host`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from nbstudy.checks import fail
from nbstudy.execution.host import THIS_MACHINE, Share, Slots
from nbstudy.execution.limits import allow
from nbstudy.execution.pools import Pool
from nbstudy.records.runs import Context


def open_pool(context: Context, share: Share, scheduler: str | None) -> AbstractContextManager[Pool]:
    """Return the place where a command's runs go, each with such a share of this machine; entering it opens it."""
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
def this_machine(share: Share) -> Iterator[Pool]:
    """Run a number of runs at a time on this machine, each of which has such a share of it."""
    jobs = share.jobs
    error = allow(jobs, share.threads)
    if error:
        fail(f"--jobs {jobs}", f"this machine {error}")
    with ThreadPoolExecutor(jobs) as executor:

        def submit(hosts: list[str], *call: Any) -> Future[Any]:
            return executor.submit(*call)

        def slots() -> Slots:
            return {THIS_MACHINE: jobs}

        try:
            yield Pool(submit, slots, share.busy_cores)
        finally:
            executor.shutdown(cancel_futures=True)
