"""The last words of a kernel: what it writes to its stderr, where one that dies or does not start says why."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

from nbstudy.execution.environment import SAID, SAID_BELOW

TELLING = re.compile(
    r"error|fatal|fail|abort|memory|what\(\)|exception|cannot|denied|not found|no such", re.IGNORECASE
)
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # which colour text in a terminal


class Stderr:
    """What a kernel writes to its stderr, where one that dies says why; it also puts it into its log."""

    def __init__(self, private: Path) -> None:
        self.paths = [private / SAID, private / SAID_BELOW]
        self.known = [0, 0]  # bytes of them from before the cell that runs
        for path in self.paths:
            path.touch()

    def forget(self, **_: Any) -> None:
        """Leave out what has been written until now: it was not the cause."""
        self.known = [path.stat().st_size for path in self.paths]

    def read(self) -> str:
        """Return what has been written since."""
        words = b""
        for path, known in zip(self.paths, self.known, strict=True):
            words += path.read_bytes()[known:]
        return words.decode(errors="replace")


def why_it_died(status: int, words: str) -> str:
    """Return the error of a kernel that ended by itself, from its exit status and what it wrote last."""
    if status == -signal.SIGKILL:  # which leaves no time for last words
        return "DeadKernelError: the kernel was killed, as systems do when memory runs out"
    return with_last_words(f"DeadKernelError: the kernel {how_it_ended(status)}", words)


def how_it_ended(status: int) -> str:
    """Say how a process ended, from its exit status as `subprocess` has it."""
    if status < 0:
        return f"was ended by {signal.strsignal(-status)}"
    return f"ended with status {status}"


def with_last_words(what: str, words: str) -> str:
    """Return what became of a kernel, with the last line that tells of an error, or the last one of all."""
    said = [line.strip() for line in plain(words).splitlines() if line.strip()]
    telling = [line for line in said if TELLING.search(line)] or said
    return ": ".join([what, *telling[-1:]])


def plain(text: str) -> str:
    """Return a text without what colours it in a terminal."""
    return ESCAPES.sub("", text)
