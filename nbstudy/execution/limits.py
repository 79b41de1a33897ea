"""What this system allows a user or a container, and how many runs at a time that suffices for.

Counted beforehand: a library that gets no thread ends its process on the spot.
"""

from __future__ import annotations

import math
import os
import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nbstudy.execution.host import own_cgroups
from nbstudy.words import counted

# What is counted on for the runner, and for each run; what was measured is less.
# Files that the runner has open: 13, and 14 a run, mostly sockets of its kernel.
FILES = (24, 20)
# Processes and threads: 5 of the runner, 24 of a run that trains a network, with its guard.
TASKS = (8, 25)
TASKS_OF_A_THREAD = 5  # more of them for each thread of a run but the first
# Kilobytes of addresses of the process that has most: a kernel 590,000; the runner 250,000, and 62,000 a run.
ADDRESSES = (650_000, 80_000)

LOAD = Path("/proc/loadavg")


@dataclass(frozen=True)
class Limit:
    """So much of something is allowed, and so much do runs at a time need of it."""

    allowed: float
    of: str
    besides: int
    of_a_run: int
    cure: str  # with a place for what is `needed`, or what is `missing`

    def jobs(self) -> float:
        """Return how many runs at a time are possible."""
        if self.allowed == math.inf:
            return math.inf
        return max(0, (self.allowed - self.besides) // self.of_a_run)

    def why_not(self, jobs: int) -> str:
        """Say why so many runs at a time are not possible, and what to do."""
        needed = self.besides + jobs * self.of_a_run
        text = (
            f"allows {self.allowed:.0f} {self.of}, and {counted(jobs, 'run')} at a time can need {needed}: "
        )
        text += self.cure.format(needed=needed, missing=needed - self.allowed)
        if jobs > 1:
            text += ", or run fewer at a time"
        return text


def allow(jobs: int, threads: int) -> str | None:
    """Let this process have what so many runs at a time need, of so many threads each; say why it cannot, or None."""
    for limit in limits(threads):
        if limit.jobs() < jobs:
            return limit.why_not(jobs)
    files = of_files()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = files.besides + jobs * files.of_a_run
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return None
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    except (OSError, ValueError):  # systems can allow less than they say
        return files.why_not(jobs)
    return None


def possible_jobs(wanted: int, threads: int) -> tuple[int, str | None]:
    """Return how many of so many runs at a time are possible; say why they are fewer, or None.

    One is to be tried in any case.
    """
    least = min(limits(threads), key=Limit.jobs)
    if least.jobs() >= wanted:
        return wanted, None
    if least.jobs() < 1:
        return 1, None
    jobs = int(least.jobs())
    return jobs, f"{counted(jobs, 'run')} at a time: this machine {least.why_not(wanted)}"


def limits(threads: int) -> list[Limit]:
    """Return what is limited here, for runs of so many threads."""
    found = [of_files(), of_addresses()]
    if sys.platform == "linux":  # where each thread counts
        besides, of_a_run = TASKS
        of_a_run += TASKS_OF_A_THREAD * (threads - 1)
        for allowed, whose, name in (
            (tasks_of_container(), "in this container", "pids.max"),
            (tasks_of_user(enough=1000 * of_a_run), "of this user", "ulimit -u"),
        ):
            of = f"more processes and threads {whose}"
            cure = f"raise the limit (`{name}`) by {{missing:.0f}}"
            found.append(Limit(allowed, of, besides, of_a_run, cure))
    return found


def of_files() -> Limit:
    """Return the limit of open files, which can be raised as far as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Limit(finite(hard), "open files", *FILES, "raise the limit (`ulimit -n {needed}`)")


def of_addresses() -> Limit:
    """Return the limit of a process's addresses."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    kilobytes = finite(soft) / 1024
    return Limit(
        kilobytes, "kilobytes of virtual memory", *ADDRESSES, "raise the limit (`ulimit -v {needed}`)"
    )


def finite(limit: int) -> float:
    """Return a limit as a number."""
    if limit == resource.RLIM_INFINITY:
        return math.inf
    return limit


def tasks_of_container() -> float:
    """Return how many more processes and threads the control groups of this process allow."""
    least = math.inf
    for group in own_cgroups("pids"):
        with suppress(OSError, ValueError):  # of the outermost group; "max" where there is no limit
            left = int((group / "pids.max").read_text()) - int((group / "pids.current").read_text())
            least = min(least, max(0, left))
    return least


def tasks_of_user(enough: int) -> float:
    """Return how many more processes and threads this user can have; they are not counted where it is enough anyhow.

    The limit does not hold for root.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if allowed == resource.RLIM_INFINITY or os.getuid() == 0:
        return math.inf
    with suppress(OSError, ValueError, IndexError):
        of_all_users = int(LOAD.read_text().split()[3].partition("/")[2])
        if allowed - of_all_users >= enough:
            return math.inf
    used = 0
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.uids().real == os.getuid():
                used += process.num_threads()
    return max(0, allowed - used)
