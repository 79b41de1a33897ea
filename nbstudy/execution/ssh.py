"""Workers that are started over ssh, one a host, as distributed.SSHCluster starts them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import asyncssh
import click
from distributed.deploy.ssh import Worker

from nbstudy.checks import fail
from nbstudy.execution.cluster_file import ClusterFile
from nbstudy.words import counted

AGAIN = 30.0  # seconds after which a host is tried again
TRIES = 3  # of a host
PATIENCE = 60.0  # seconds in which a worker is there


@dataclass
class Host:
    """A host and its worker, if it has one."""

    name: str
    worker: Any = None
    tries: int = 0
    is_refused: bool = False
    why: str = ""  # it has no worker
    began: float = 0.0  # by the monotonic clock, when its worker was there
    seconds: float = 0.0  # in which earlier workers were there
    next_try: float = field(default=0.0)  # by the monotonic clock


class SshHosts:
    """The hosts of one command: each has one worker, which is called like its host."""

    def __init__(self, file: ClusterFile) -> None:
        self.file = file
        self.hosts = {name: Host(name) for name in file.words["hosts"]}
        self.started = 0
        self.spent = 0.0  # seconds of workers on hosts that were refused

    @property
    def number(self) -> int:
        """The workers that are there."""
        return sum(host.worker is not None for host in self.hosts.values())

    async def start(self, number: int, scheduler: str, security: Any) -> None:
        """Start workers on so many more hosts; raise StudyError where none can be started."""
        now = time.monotonic()
        free = [
            host
            for host in self.hosts.values()
            if not (host.worker or host.is_refused or host.next_try > now)
        ]
        await asyncio.gather(*(self.start_on(host, scheduler, security) for host in free[:number]))
        if all(host.is_refused for host in self.hosts.values()):
            whys = "; ".join(f"{host.name}: {host.why}" for host in self.hosts.values())
            fail(self.file.place, f"no host can be used: {whys}")

    async def start_on(self, host: Host, scheduler: str, security: Any) -> None:
        """Start a worker on a host; say where that fails."""
        # paths of files alone: others on that host can list its command line, on which Dask puts its configuration, too
        tls = {
            "require_encryption": True,
            "tls_ca_file": security.tls_ca_file,
            "tls_worker_cert": security.tls_worker_cert,
            "tls_worker_key": security.tls_worker_key,
        }
        options = {
            "name": host.name,
            "nthreads": self.file.slots,
            "security": tls,
            "protocol": "tls://",
            "dashboard_address": "127.0.0.1:0",
            "memory_limit": 0,  # of the worker itself, which its runs are not
        }
        worker = Worker(
            scheduler,
            host.name,
            self.file.words.get("connect_options", {}),
            options,
            worker_class="distributed.Worker",
            remote_python=self.file.words.get("remote_python"),
        )
        host.tries += 1
        try:
            await asyncio.wait_for(worker.start(), PATIENCE)
            # what nobody reads would stop the worker one day
            await worker.proc.redirect(stdout=asyncssh.DEVNULL, stderr=asyncssh.DEVNULL)
        except Exception as error:  # noqa: BLE001 - networks, keys and hosts fail in many ways
            host.why = " ".join(f"{type(error).__name__}: {error}".split())
            host.next_try = time.monotonic() + AGAIN
            host.is_refused = host.tries >= TRIES or not self.started
            click.echo(f"{host.name} has no worker: {host.why}")
            await worker.close()
            return
        self.started += 1
        host.worker, host.began, host.tries = worker, time.monotonic(), 0

    def arrive(self, worker: str) -> None:
        """Note that a worker is there."""

    def look(self) -> None:
        """See what became of the hosts: that shows when a worker is gone."""

    def is_ending(self, worker: str) -> bool:
        """Tell whether a worker ends: of hosts that shows when it is gone."""
        return False

    def why_gone(self, worker: str) -> str:
        """Say that a worker is gone; its host is tried again."""
        host = self.hosts.get(worker)
        if host:
            self.note_end(host)
            host.next_try = time.monotonic() + AGAIN
        return f"the worker on {worker} is gone"

    def waiting(self) -> list[str]:
        """Return the hosts whose workers have not begun: they begin at once."""
        return []

    def end(self, workers: Collection[str]) -> None:
        """Note that workers were told to end."""
        for worker in workers:
            self.note_end(self.hosts[worker])

    def refuse(self, worker: str) -> None:
        """Do without a host, whose worker was told to end."""
        self.spent += self.hosts.pop(worker).seconds

    def note_end(self, host: Host) -> None:
        """Note that the worker of a host has ended."""
        if host.worker:
            host.seconds += time.monotonic() - host.began
            host.worker = None

    def close(self) -> None:
        """Note that all workers have ended."""
        self.end(list(self.hosts))

    def cost(self) -> str:
        """Say what the workers cost."""
        seconds = self.spent + sum(host.seconds for host in self.hosts.values())
        hours = self.file.cores * seconds / 3600
        return f"{counted(self.started, 'worker')}, {hours:.2f} core hours"

    @property
    def all_went_well(self) -> bool:
        """Whether nobody needs to read what the workers wrote: that is nowhere."""
        return True
