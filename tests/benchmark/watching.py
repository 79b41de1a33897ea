"""Watch runs from outside while they are made: when they begin, when their epochs end, their memory."""

from __future__ import annotations

import itertools
import math
import statistics
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from project import kernels_of

LOOKS_A_MEMORY = 5  # the memory is looked at this seldom, since it takes the longest


class Watch:
    """What was seen of the runs below a directory, by the name of the run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.begun: dict[str, float] = {}  # when its attempt was first seen, in seconds since 1970
        self.ends: dict[str, set[float]] = {}  # when its epochs ended, likewise
        self.peak_memory = 0  # bytes of the largest kernel
        self.peak_share = 0  # likewise, pages that processes have in common divided among them
        self.looks = 0

    def look(self) -> None:
        """Look at all runs below the directory and, now and then, at the kernels of this process."""
        with suppress(OSError):  # a run moves to its place just now: the next look sees the others
            for attempt in self.root.glob("**/incomplete/*/[0-9]*"):
                self.begun.setdefault(attempt.parent.name, time.time())
            for history in self.root.glob("**/history.csv"):
                self.ends.setdefault(name_of(history.parent), set()).add(history.stat().st_mtime)
        if self.looks % LOOKS_A_MEMORY == 0:
            self.look_at_memory()
        self.looks += 1

    def look_at_memory(self) -> None:
        """Keep the memory of the largest kernel, if it is larger than any before."""
        for kernel in kernels_of(psutil.Process()):
            with suppress(psutil.Error, OSError):  # of one that is ending
                self.peak_memory = max(self.peak_memory, kernel.memory_info().rss)
                self.peak_share = max(self.peak_share, share_of_memory(kernel))

    def seconds_of_epoch(self, network: str) -> float:
        """Return the median seconds of an epoch over all runs of a network."""
        runs = []
        for name, ends in self.ends.items():
            if name.partition("_")[0] == network:
                runs.append(ends)
        return median_seconds(runs)

    def seconds_to_first_step(self, name: str) -> float:
        """Return the seconds from the start of a run to its first training step."""
        ends = self.ends[name]
        return min(ends) - self.begun[name] - median_seconds([ends])


def share_of_memory(process: psutil.Process) -> int:
    """Return the bytes that a process has for itself, and its share of those that it has in common with others."""
    for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def name_of(directory: Path) -> str:
    """Return the name of the run that a directory belongs to: it is a run's, or one of its attempts'."""
    if directory.name.isdecimal():
        return directory.parent.name
    return directory.name


def median_seconds(runs: Iterable[Iterable[float]]) -> float:
    """Return the median seconds of an epoch, NaN where there is none, from the ends of the epochs of runs.

    The first epoch of a run does not count: it traces the model's functions, and when it began was not seen.
    """
    seconds = []
    for ends in runs:
        for earlier, later in itertools.pairwise(sorted(ends)):
            seconds.append(later - earlier)
    if not seconds:
        return math.nan
    return statistics.median(seconds)


@contextmanager
def watching(root: Path, every: float = 0.4) -> Iterator[Watch]:
    """Watch the runs below a directory while they are made.

    A look every so many seconds must see each epoch, and is otherwise as seldom as can be: the cores
    belong to the runs.
    """
    watch = Watch(root)
    is_over = threading.Event()

    def look_on() -> None:
        while not is_over.wait(every):
            watch.look()

    thread = threading.Thread(target=look_on)
    thread.start()
    try:
        yield watch
    finally:
        is_over.set()
        thread.join()
