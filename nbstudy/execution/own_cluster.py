"""Workers that a command starts for itself: as many as its runs take, ended with them."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbstudy.execution.cluster_file import ClusterFile
from nbstudy.execution.host import Slots
from nbstudy.execution.pools import Pool
from nbstudy.records.runs import Context

if TYPE_CHECKING:
    from concurrent.futures import Future

    from nbstudy.execution.own_scheduler import OwnScheduler
    from nbstudy.execution.slurm import SlurmJobs
    from nbstudy.execution.ssh import SshHosts

IDLE = 30.0  # seconds without a run, after which a worker is ended: a study that unfolds may need it before
NOTICE = 5.0  # seconds in which it shows that a worker ends whose kernels have died
PRIVATE = ".cluster"  # in a study's outputs, for this user alone: the key, and what jobs print


@contextmanager
def own_cluster(file: ClusterFile, context: Context) -> Iterator[Pool]:
    """Run on workers that a file says how to start."""
    with ExitStack() as opened:
        cluster = OwnCluster(file, context, opened)
        yield Pool(cluster.submit, cluster.slots, lambda: context.threads, own=cluster)


class OwnCluster:
    """The workers of a command: what they are, and how many there are to be."""

    def __init__(self, file: ClusterFile, context: Context, opened: ExitStack) -> None:
        self.file = file
        self.context = context
        self.opened = opened  # ends all that was started
        self.most = file.most * file.slots
        self.wanted = 0  # runs
        self.parts: tuple[OwnScheduler, SlurmJobs | SshHosts] | None = None
        self.there: Slots = {}
        self.refused: set[str] = set()  # workers that get no run any more
        self.under_way: dict[str, list[Future[Any]]] = {}  # by worker
        self.idle_since: dict[str, float] = {}  # seconds of the monotonic clock, by worker

    # --- what the runs ask for ---
    def want(self, runs: int) -> None:
        """Be told how many runs are left, those under way included."""
        self.wanted = runs

    def submit(self, hosts: list[str], *call: Any) -> Future[Any]:
        """Call a function on one of these workers."""
        scheduler, _ = self.started()
        future = scheduler.submit(hosts, *call)
        for host in hosts:
            self.under_way.setdefault(host, []).append(future)
        return future

    def slots(self) -> Slots:
        """Return the workers that are there; see to it that there are as many as are wanted."""
        if not (self.parts or self.wanted):
            return {}
        scheduler, workers = self.started()
        there = scheduler.workers()
        for worker in there.keys() - self.there.keys():
            scheduler.check(worker)
            workers.arrive(worker)
            self.refused.discard(worker)  # of a host on which an earlier one has ended
        for worker in self.there.keys() - there.keys():
            self.idle_since.pop(worker, None)
            if not self.is_busy(worker) and worker not in self.refused:
                click.echo(workers.why_gone(worker))
        self.there = there
        workers.look()
        self.fit()
        return {worker: slots for worker, slots in there.items() if worker not in self.refused}

    def why_gone(self, host: str) -> str:
        """Say what became of a worker that is gone."""
        _, workers = self.started()
        return workers.why_gone(host)

    def is_leaving(self, host: str) -> bool:
        """Tell whether a worker, on which a kernel has died, ends or is gone; then it is not used any more."""
        scheduler, workers = self.started()
        end = time.monotonic() + NOTICE
        while time.monotonic() < end:
            if host in self.refused or host not in scheduler.workers() or workers.is_ending(host):
                self.refused.add(host)
                return True
            time.sleep(0.5)
        return False

    def refuse(self, host: str) -> None:
        """End a worker that cannot run anything, and start no other in its place; raise ClickException where none is left."""
        if host in self.refused:
            return
        self.end([host])
        _, workers = self.started()
        workers.refuse(host)
        self.most -= self.file.slots
        if not self.most:
            raise click.ClickException(f"{self.file.place}: no worker can run this")

    # --- as many as are wanted ---
    def fit(self) -> None:
        """Start workers, or end some, so that there are as many as the runs that are left take."""
        scheduler, workers = self.started()
        target = math.ceil(min(self.wanted, self.most) / self.file.slots)
        missing = target - workers.number
        if missing > 0:
            scheduler.wait_for(workers.start, missing, scheduler.address, scheduler.security)
        elif missing < 0:
            superfluous = workers.waiting()[:-missing]
            workers.end(superfluous)
            self.end(self.idle()[: -missing - len(superfluous)])

    def end(self, names: list[str]) -> None:
        """End workers."""
        self.refused.update(names)
        if names:
            scheduler, workers = self.started()
            workers.end(names)
            scheduler.retire(names)

    def idle(self) -> list[str]:
        """Return the workers that have had no run for a while."""
        now = time.monotonic()
        found = []
        for worker in self.there.keys() - self.refused:
            if self.is_busy(worker):
                self.idle_since.pop(worker, None)
            elif now - self.idle_since.setdefault(worker, now) > IDLE:
                found.append(worker)
        return found

    def is_busy(self, worker: str) -> bool:
        """Tell whether something was submitted to a worker and is not done."""
        left = [future for future in self.under_way.get(worker, []) if not future.done()]
        self.under_way[worker] = left
        return bool(left)

    # --- what is started when there is something to run ---
    def started(self) -> tuple[OwnScheduler, SlurmJobs | SshHosts]:
        """Return the scheduler, and what starts and ends the workers; refuse where these cannot be had."""
        if self.parts is None:
            # Dask, which a command with nothing to do can spare
            from nbstudy.execution.own_scheduler import OwnScheduler

            private = self.context.lease.outputs.resolve() / PRIVATE
            make_private(private)
            workers = self.kind(private)
            self.opened.callback(self.remove, private, workers)
            scheduler = OwnScheduler(self.file, private)
            self.opened.callback(self.close, scheduler, workers)
            self.parts = scheduler, workers
        return self.parts

    def kind(self, private: Path) -> SlurmJobs | SshHosts:
        """Return what starts and ends the workers, each kind with libraries of its own."""
        if self.file.kind == "ssh":
            from nbstudy.execution.ssh import SshHosts

            return SshHosts(self.file)
        from nbstudy.execution.slurm import SlurmJobs

        return SlurmJobs(self.file, self.context.lease.outputs, private)

    def close(self, scheduler: OwnScheduler, workers: SlurmJobs | SshHosts) -> None:
        """End all workers and the scheduler; say what that cost."""
        workers.end(workers.waiting())
        try:
            scheduler.close()
        finally:
            workers.close()
            click.echo(f"cluster: {workers.cost()}")

    def remove(self, private: Path, workers: SlurmJobs | SshHosts) -> None:
        """Remove the key, and what jobs printed if that says nothing."""
        for file in private.glob("*.pem"):
            file.unlink()
        if workers.all_went_well:
            shutil.rmtree(private, ignore_errors=True)


def make_private(directory: Path) -> None:
    """Make a new directory that this user alone can enter."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
