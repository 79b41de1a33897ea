"""Where runs go: this machine, or the hosts of a Dask cluster.

A place is a context manager that yields a Pool; another kind of place is one more of these here, what chooses it in
`open_pool`, an option in runner.py, and how a run learns which host it is on, in `work.current_host`.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import platform
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import click

from nbstudy.checks import fail
from nbstudy.execution.host import Share, allow_open_files, share_of_host
from nbstudy.execution.work import THIS_MACHINE, Slots, prepare_host, why_unfit
from nbstudy.records.runs import Context


class Pool(NamedTuple):
    """Where runs can go."""

    submit: Callable[..., Future[Any]]  # to one of these hosts: a function, with arguments; it may block
    slots: Callable[[], Slots]  # the runs at a time of each host that is there now
    busy_cores: int  # of a run


def open_pool(context: Context, jobs: int, scheduler: str | None) -> AbstractContextManager[Pool]:
    """Return the place where a command's runs go; entering it opens it."""
    if scheduler is None:
        return this_machine(share_of_host(jobs, context.threads))
    return cluster(scheduler, context)


@contextmanager
def this_machine(share: Share) -> Iterator[Pool]:
    """Run a number of runs at a time on this machine, each of which has such a share of it."""
    jobs = share.jobs
    error = allow_open_files(jobs)
    if error:
        fail("--jobs", f"this machine {error}")
    with ThreadPoolExecutor(jobs) as executor:

        def submit(hosts: list[str], *call: Any) -> Future[Any]:
            return executor.submit(*call)

        def slots() -> Slots:
            return {THIS_MACHINE: jobs}

        try:
            yield Pool(submit, slots, share.busy_cores)
        finally:
            executor.shutdown(cancel_futures=True)


@contextmanager
def cluster(address: str, context: Context) -> Iterator[Pool]:
    """Run on a Dask cluster, as many runs at a time as its workers have threads."""
    import cloudpickle
    from distributed import Client
    from distributed.comm import CommClosedError, get_address_host

    logging.disable()  # of Dask: what fails is said here
    warnings.filterwarnings("ignore", "Mismatched versions")  # which are compared here
    cloudpickle.register_pickle_by_value(sys.modules["nbstudy"])  # which no worker has

    def slots() -> Slots:
        threads: Counter[str] = Counter()
        for worker, number in client.nthreads().items():
            threads[get_address_host(worker)] += number
        return threads

    def submit(hosts: list[str], *call: Any) -> Any:
        packet = zlib.compress(cloudpickle.dumps(call))  # small, since Dask logs the last thousand
        return client.get_executor(pure=False, workers=hosts).submit(unpack_and_call, packet)

    def unpack_and_call(packet: bytes) -> Any:  # local, so that Dask too sends it by value
        function, *arguments = pickle.loads(zlib.decompress(packet))
        return function(*arguments)

    reach(address)
    try:
        with Client(address, timeout=10, set_as_default=False) as client:
            check_workers(client, address, context)
            yield Pool(submit, slots, busy_cores=1)  # a thread of a worker is a core
    except (CancelledError, CommClosedError, TimeoutError) as error:
        message = f"--scheduler {address}: is lost; run the same command to resume"
        raise click.ClickException(message) from error


def reach(address: str) -> None:
    """Refuse a scheduler that cannot be reached; a Client at such an address would take long to end."""
    from distributed import Security
    from distributed.comm import connect

    async def connect_once() -> None:
        comm = await connect(address, timeout=10, **Security().get_connection_args("client"))
        await comm.close()

    try:
        asyncio.run(connect_once())
    except Exception as error:  # noqa: BLE001 - an address, a network and TLS fail in many ways
        fail(f"--scheduler {address}", f"cannot be reached: {error}")


def check_workers(client: Any, address: str, context: Context) -> None:
    """Refuse a cluster with a worker that cannot run anything, before anything runs."""
    from distributed.comm import get_address_host

    place = f"--scheduler {address}"
    ours = platform.python_version()
    for worker, theirs in client.run(platform.python_version).items():
        if theirs.split(".")[:2] != ours.split(".")[:2]:  # functions travel between equals
            fail(place, f"{get_address_host(worker)} has Python {theirs}, not {ours}")
    versions = context.versions or {}
    answers = client.run(lambda: why_unfit(context.lease, versions), on_error="return")
    for worker, answer in answers.items():
        if isinstance(answer, str):
            fail(place, f"{get_address_host(worker)} {answer}")


class Hosts:
    """The hosts of a pool, each made ready before its first run."""

    def __init__(self, pool: Pool, context: Context) -> None:
        self.pool = pool
        self.context = context
        self.preparations: dict[str, Future[str | None]] = {}
        self.awaits_runs = False  # or the summary alone
        self.said: set[str] = set()

    def ready(self) -> Slots:
        """Return the runs at a time of the hosts that are ready now; empty, after a moment, if none is.

        Raises ClickException where no host can run anything.
        """
        slots = self.pool.slots()
        for host in slots.keys() - self.preparations.keys():
            self.preparations[host] = self.pool.submit(
                [host], prepare_host, self.context, host, slots[host], self.awaits_runs
            )
        self.tell_who_is_there(slots)
        unfit = self.unfit()
        if unfit and len(unfit) == len(self.preparations):
            lines = [f"no host can run this in {self.context.lease.outputs}", *unfit.values()]
            raise click.ClickException("\n  ".join(lines))
        for why in unfit.values():
            self.say(f"{why}; not used")
        ready = {}
        for host, preparation in self.preparations.items():
            if host in slots and preparation.done() and host not in unfit:
                ready[host] = slots[host]
        if not ready:
            under_way = [each for each in self.preparations.values() if not each.done()]
            wait(under_way or [Future()], timeout=0.5, return_when=FIRST_COMPLETED)
        return ready

    def wait_for_any(self) -> list[str]:
        """Return the hosts that are ready, as soon as there is one."""
        ready: Slots = {}
        while not ready:
            ready = self.ready()
        return list(ready)

    def unfit(self) -> dict[str, str]:
        """Say of each host whose preparation failed why it did."""
        unfit = {}
        for host, preparation in self.preparations.items():
            if preparation.done():
                error = preparation.exception() or preparation.result()
                if error:
                    unfit[host] = f"{host} {error}".strip()
        return unfit

    def tell_who_is_there(self, slots: Slots) -> None:
        """Say, once each, that there is no host yet, and which ones are gone."""
        if not slots:
            self.say("waiting for workers")
        for host in self.preparations.keys() - slots.keys():
            self.say(f"{host} is gone")

    def say(self, news: str) -> None:
        """Print what is new."""
        if news not in self.said:
            click.echo(news)
            self.said.add(news)
