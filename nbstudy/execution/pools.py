"""A pool: the hosts to which runs can go, each made ready before its first run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import click

from nbstudy.execution.host import Slots, required_versions
from nbstudy.records.runs import Context

if TYPE_CHECKING:
    from concurrent.futures import Future


class Pool(NamedTuple):
    """Where runs can go."""

    submit: Callable[..., Future[Any]]  # to one of these hosts: a function, with arguments; it may block
    slots: Callable[[], Slots]  # the runs at a time of each host that is there now
    busy_cores: Callable[[], int]  # of a run
    own: OwnHosts | None = None  # where the hosts come and go for these runs alone


class OwnHosts(Protocol):
    """The hosts of a pool that are there for one command: they are started for its runs, and end when these do."""

    most: int  # runs at a time

    def want(self, runs: int) -> None:
        """Be told how many runs are left, those under way included."""

    def why_gone(self, host: str) -> str:
        """Say what became of a host that is gone."""

    def is_leaving(self, host: str) -> bool:
        """Tell whether a host, on which a kernel has died, ends or is gone; then it is not used any more."""

    def refuse(self, host: str) -> None:
        """Do without a host that cannot run anything."""


class Hosts:
    """The hosts of a pool, each made ready before its first run."""

    def __init__(self, pool: Pool, context: Context) -> None:
        self.pool = pool
        self.context = context
        self.preparations: dict[str, Future[str | None]] = {}
        self.awaits_runs = False  # of the template, or the test or the summary alone
        self.said: set[str] = set()
        self.versions: dict[str, str] = {}  # of libraries that own hosts need

    def begin_to_prepare(self) -> None:
        """Make the hosts that are there now ready for runs, while something else is done."""
        self.awaits_runs = True
        self.prepare(self.pool.slots())

    def prepare(self, slots: Slots) -> None:
        """Make each host ready that is new."""
        # starts kernels, with all that takes, which a command with nothing to do can spare
        from nbstudy.execution.work import prepare_host

        for host in slots.keys() - self.preparations.keys():
            self.preparations[host] = self.pool.submit(
                [host], prepare_host, self.context_of_hosts(), host, slots[host], self.awaits_runs
            )

    def ready(self) -> Slots:
        """Return the runs at a time of the hosts that are ready now; empty, after a moment, if none is.

        Raises ClickException where no host can run anything.
        """
        # which a command with nothing to do can spare
        from concurrent.futures import FIRST_COMPLETED, Future, wait

        slots = self.pool.slots()
        self.prepare(slots)
        self.tell_who_is_there(slots)
        # looked at once: one that ends meanwhile has no error yet that is known here
        prepared = [host for host, preparation in self.preparations.items() if preparation.done()]
        unfit = self.unfit(prepared)
        if unfit and len(unfit) == len(self.preparations):
            lines = [f"no host can run this in {self.context.lease.outputs}", *unfit.values()]
            raise click.ClickException("\n  ".join(lines))
        for host, why in unfit.items():
            self.say(f"{why}; not used")
            if self.pool.own:
                self.pool.own.refuse(host)
        ready = {host: slots[host] for host in prepared if host in slots and host not in unfit}
        if not ready:
            under_way = [each for each in self.preparations.values() if not each.done()]
            wait(under_way or [Future()], timeout=0.5, return_when=FIRST_COMPLETED)
        return ready

    def context_of_hosts(self) -> Context:
        """Return the context with the libraries that a host needs; those of own hosts are found when there is one."""
        if self.pool.own is None:
            return self.context
        if not self.versions:
            self.versions = required_versions(self.context.template.imports)
        return replace(self.context, versions=self.versions)

    def wait_for_any(self) -> list[str]:
        """Return the hosts that are ready, as soon as there is one, for something that is no run."""
        if self.pool.own:
            self.pool.own.want(1)
        ready: Slots = {}
        while not ready:
            ready = self.ready()
        return list(ready)

    def runs_at_a_time(self) -> int:
        """Return how many runs can be under way together, as far as that can be told."""
        if self.pool.own:
            return self.pool.own.most
        return sum(self.pool.slots().values()) or 1

    def call_on_any(self, *call: Any) -> Any:
        """Call a function, with arguments, on a host that is ready, and on another one where that goes; return its result."""
        from concurrent.futures import wait

        while True:
            hosts = self.wait_for_any()
            future = self.pool.submit(hosts, *call)
            while not future.done():
                wait([future], timeout=1)
                if self.pool.own and not self.pool.slots().keys() & set(hosts):
                    future.cancel()
            if not future.cancelled():
                return future.result()

    def unfit(self, prepared: Iterable[str]) -> dict[str, str]:
        """Say of each of these hosts, whose preparations are done, why it failed if it did."""
        unfit = {}
        for host in prepared:
            error = self.preparations[host].exception() or self.preparations[host].result()
            if error:
                unfit[host] = f"{host} {error}".strip()
        return unfit

    def tell_who_is_there(self, slots: Slots) -> None:
        """Say, once each, that there is no host yet, and which ones are gone."""
        if self.pool.own:
            return  # which has more to say
        if not slots:
            self.say("waiting for workers")
        for host in self.preparations.keys() - slots.keys():
            self.say(f"{host} is gone")

    def say(self, news: str) -> None:
        """Print what is new."""
        if news not in self.said:
            click.echo(news)
            self.said.add(news)
