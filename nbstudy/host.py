"""This machine: its cores, GPUs and memory, shares of them for runs, and its libraries."""

from __future__ import annotations

import math
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version

import psutil

from nbstudy.files import ROOT

MEMORY_OF_A_RUN = 1.2e9  # bytes at most, as tests/benchmark measures it


def cores() -> list[int]:
    """Return the cores that this process may use."""
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cores_of_run(jobs: int) -> int:
    """Return the number of cores that each of so many runs at a time has."""
    return max(1, len(cores()) // jobs)


def gpus() -> list[str]:
    """Return the GPUs that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu for gpu in visible.split(",") if gpu not in ("", "-1")]
    query = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout.split()
    return []


def default_jobs() -> int:
    """Return the number of runs at a time: one a GPU, else one a core, fewer where memory is short."""
    devices = len(gpus())
    if devices:
        return devices
    fitting = int(psutil.virtual_memory().available // MEMORY_OF_A_RUN)
    return max(1, min(len(cores()), fitting))


# --- shares ---
@contextmanager
def share_of_host(jobs: int) -> Iterator[dict[str, str]]:
    """Take the share of one of so many runs at a time; yield the environment for its kernel.

    The kernel inherits the cores of this thread. Where cores or GPUs cannot be claimed, because other studies,
    users or workers on this host have them, the run takes its chances like any other process.
    """
    share = threads_of_run(jobs)
    with ExitStack() as claims:
        if sys.platform == "linux":
            gpu = claim_gpu(jobs, claims)
            if gpu is not None:
                share["CUDA_VISIBLE_DEVICES"] = gpu
            pin_to_own_cores(cores_of_run(jobs), claims)
        yield share


def threads_of_run(jobs: int) -> dict[str, str]:
    """Return the environment that gives each of so many runs at a time a thread a core of its share."""
    threads = str(cores_of_run(jobs))
    return {
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": "1",
        "OMP_NUM_THREADS": threads,
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }


def claim_gpu(jobs: int, claims: ExitStack) -> str | None:
    """Claim a place on a GPU, the first on each before the second on any; None if none is free."""
    devices = gpus()
    if not devices:
        return None
    runs_a_gpu = math.ceil(jobs / len(devices))
    places = [f"gpu {gpu} {place}" for place in range(runs_a_gpu) for gpu in devices]
    for claimed in claim(places, 1, claims):
        return claimed.split()[1]
    return None


def pin_to_own_cores(number: int, claims: ExitStack) -> None:
    """Pin this thread to cores that no other run has claimed; leave it as it is if they do not suffice."""
    allowed = cores()
    claimed = claim([f"core {core}" for core in allowed], number, claims)
    if len(claimed) == number:
        os.sched_setaffinity(0, [int(name.split()[1]) for name in claimed])
        claims.callback(os.sched_setaffinity, 0, allowed)


def claim(names: Iterable[str], wanted: int, claims: ExitStack) -> list[str]:
    """Claim up to so many of the names for as long as `claims` lasts; return those that were free.

    What is claimed here no other run on this host gets, whosever it is: the mark is an abstract Unix socket, which
    is no file and ends with this process.
    """
    claimed: list[str] = []
    for name in names:
        if len(claimed) == wanted:
            break
        mark = claims.enter_context(socket.socket(socket.AF_UNIX))
        with suppress(OSError):  # another run has it
            mark.bind(f"\0notebook-run {name}")
            claimed.append(name)
    return claimed


# --- libraries ---
def required_libraries() -> list[str]:
    """Return the names of the libraries that requirements.txt asks for to run."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    to_run, _, _ = text.partition("# to test")
    return re.findall(r"^([\w.-]+)==", to_run, re.MULTILINE)


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of libraries on this host."""
    versions = dict.fromkeys(names, "missing")
    for name in versions:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
