"""The Dask scheduler of one command: a thread of it, which ends with it, whatever its end; workers end when they have none.

All speak TLS, with a key made for this command, which its user alone can read. No Dask page is served.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Scheduler, Security, SpecCluster

from nbstudy.checks import fail
from nbstudy.execution.cluster_file import ClusterFile
from nbstudy.execution.dask_cluster import be_quiet, check_python, submit_to
from nbstudy.execution.host import Slots

WITHOUT_PAGES: dict[str, list[str]] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}


class OwnScheduler:
    """A scheduler in a thread, the client of this command, and the key of the workers in a private directory."""

    def __init__(self, file: ClusterFile, private: Path) -> None:
        be_quiet()
        self.place = file.place
        with ExitStack() as opened:  # which ends what was started where something fails
            self.start(file, private, opened)
            self.opened = opened.pop_all()

    def start(self, file: ClusterFile, private: Path, opened: ExitStack) -> None:
        """Start the scheduler and the client; refuse where that cannot be."""
        opened.enter_context(dask.config.set(WITHOUT_PAGES))
        key = Security.temporary()
        self.security = kept_in_files(key, private)
        listens: dict[str, Any] = {"port": 0} | file.scheduler
        if "interface" in file.words and not listens.keys() & {"host", "interface"}:
            listens["interface"] = file.words["interface"]
        listens["dashboard_address"] = "127.0.0.1:0"  # where nothing is shown
        options = {"protocol": "tls://", "security": key, "dashboard": False, **listens}
        try:
            self.cluster = SpecCluster({}, {"cls": Scheduler, "options": options}, security=key)
        except (RuntimeError, OSError, ValueError) as error:
            fail(file.place, f"no scheduler can be started: {error.__cause__ or error}")
        opened.callback(self.cluster.close, timeout=30)
        self.address: str = self.cluster.scheduler_address
        self.client = opened.enter_context(Client(self.address, security=key, set_as_default=False))

    def wait_for(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call an asynchronous function in the scheduler's thread; return its result."""
        return self.cluster.sync(function, *arguments)

    def submit(self, workers: list[str], *call: Any) -> Future[Any]:
        """Call a function, with arguments, on one of these workers."""
        future: Future[Any] = submit_to(self.client, workers, *call)
        return future

    def workers(self) -> Slots:
        """Return the threads of the workers that are there, by their names."""

        async def find() -> Slots:
            found = self.cluster.scheduler.workers.values()
            return {str(worker.name): worker.nthreads for worker in found}

        there: Slots = self.wait_for(find)
        return there

    def check(self, name: str) -> None:
        """Refuse a worker of another Python."""
        address = self.cluster.scheduler.aliases.get(name)
        if address is None:  # it is gone again
            return
        told = self.client.run(platform.python_version, workers=[address], on_error="ignore")
        for theirs in told.values():
            check_python(self.place, name, theirs)

    def retire(self, names: Collection[str]) -> None:
        """End workers."""
        there = self.workers()
        retired = [name for name in names if name in there]
        self.wait_for(lambda: self.cluster.scheduler.retire_workers(names=retired, close_workers=True))

    def close(self) -> None:
        """End the scheduler and all of its workers."""
        self.opened.close()


def kept_in_files(key: Any, directory: Path) -> Any:
    """Return the key for workers, kept in files that this user alone can read: others can list command lines."""
    certificate = write_private(directory / "certificate.pem", key.tls_worker_cert)
    return Security(
        require_encryption=True,
        tls_ca_file=certificate,
        tls_worker_cert=certificate,
        tls_worker_key=write_private(directory / "key.pem", key.tls_worker_key),
    )


def write_private(path: Path, text: str) -> str:
    """Write a file that this user alone can read; return its path."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return str(path)
