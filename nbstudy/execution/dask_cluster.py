"""A Dask cluster as a place for runs: reached, its workers checked, a run a thread of theirs."""

from __future__ import annotations

import asyncio
import logging
import pickle
import platform
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

import click
import cloudpickle
from distributed import Client, Security
from distributed.comm import CommClosedError, connect, get_address_host

from nbstudy.checks import fail
from nbstudy.execution.host import Slots
from nbstudy.execution.pools import Pool
from nbstudy.execution.work import why_unfit
from nbstudy.records.runs import Context


@contextmanager
def cluster(address: str, context: Context) -> Iterator[Pool]:
    """Run on a Dask cluster, as many runs at a time as its workers have threads."""
    be_quiet()

    def slots() -> Slots:
        threads: Counter[str] = Counter()
        for worker, number in client.nthreads().items():
            threads[get_address_host(worker)] += number
        return threads

    def submit(hosts: list[str], *call: Any) -> Any:
        return submit_to(client, hosts, *call)

    reach(address)
    try:
        with Client(address, timeout=10, set_as_default=False) as client:
            check_workers(client, address, context)
            yield Pool(submit, slots, busy_cores=lambda: 1)  # a thread of a worker is a core
    except (CancelledError, CommClosedError, TimeoutError) as error:
        message = f"--scheduler {address}: is lost; run the same command to resume"
        raise click.ClickException(message) from error


def be_quiet() -> None:
    """Let Dask say nothing, and send functions of nbstudy by value."""
    logging.disable()  # of Dask: what fails is said here
    warnings.filterwarnings("ignore", "Mismatched versions")  # which are compared here
    cloudpickle.register_pickle_by_value(sys.modules["nbstudy"])  # which no worker has


def submit_to(client: Any, hosts: list[str], *call: Any) -> Any:
    """Call a function, with arguments, on one of these hosts or workers; return the future of that."""

    def unpack_and_call(packet: bytes) -> Any:  # local, so that Dask too sends it by value
        function, *arguments = pickle.loads(zlib.decompress(packet))
        return function(*arguments)

    packet = zlib.compress(cloudpickle.dumps(call))  # small, since Dask logs the last thousand
    return client.get_executor(pure=False, workers=hosts).submit(unpack_and_call, packet)


def reach(address: str) -> None:
    """Refuse a scheduler that cannot be reached; a Client at such an address would take long to end."""

    async def connect_once() -> None:
        comm = await connect(address, timeout=10, **Security().get_connection_args("client"))
        await comm.close()

    try:
        asyncio.run(connect_once())
    except Exception as error:  # noqa: BLE001 - an address, a network and TLS fail in many ways
        fail(f"--scheduler {address}", f"cannot be reached: {error}")


def check_workers(client: Any, address: str, context: Context) -> None:
    """Refuse a cluster with a worker that cannot run anything, before anything runs."""
    place = f"--scheduler {address}"
    for worker, theirs in client.run(platform.python_version).items():
        check_python(place, get_address_host(worker), theirs)
    versions = context.versions or {}
    answers = client.run(lambda: why_unfit(context.lease, versions), on_error="return")
    for worker, answer in answers.items():
        if isinstance(answer, str):
            fail(place, f"{get_address_host(worker)} {answer}")


def check_python(place: str, worker: str, theirs: str) -> None:
    """Refuse a worker of another Python: functions travel between equals."""
    ours = platform.python_version()
    if theirs.split(".")[:2] != ours.split(".")[:2]:
        fail(place, f"{worker} has Python {theirs}, not {ours}")
