"""Kernels and their guards: what jupyter_client asks of a process, and what is still alive of what a kernel started.

What a guard does is in `guard.py`. Where there is none, as on macOS, what a kernel has started is known by the
environment that it inherits.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

PROGRAM = Path(__file__).with_name("guard.py").read_text(encoding="utf-8")  # it travels with these functions
PATIENCE = 60  # seconds in which a kernel that was forked must be ready
LIMIT = 5  # seconds in which a guard must have said what became of its kernel, and what was killed must have ended


def write_guard(private: Path) -> Path:
    """Write the program of guards into a private directory; return its path."""
    program = private / "guard.py"
    program.write_text(PROGRAM, encoding="utf-8")
    return program


class GuardedKernel:
    """A kernel with a guard: what jupyter_client asks of a `subprocess.Popen`."""

    stdin = stdout = stderr = None
    pid: int

    def __init__(self, report: int) -> None:
        """Take the file descriptor from which it is read that the kernel is ready, and what became of it."""
        self.report = report
        self.words = b""
        self.status: int | None = None
        self.alive: list[str] | None = (
            None  # what it started and nobody could kill; None where that is not known
        )
        weakref.finalize(self, os.close, report)

    def poll(self) -> int | None:
        """Return None while it, or what it has started, is running, else its exit status."""
        while self.status is None and can_read(self.report, 0):
            self.take_words()
        return self.status

    def take_words(self) -> None:
        """Read more of what is reported; without an end of it, the guard was killed, and the kernel with it."""
        more = os.read(self.report, 10_000)
        self.words += more
        if not more:
            self.status = self.status_without_guard()
        elif self.words.endswith(b"}\n"):
            became = json.loads(self.words.splitlines()[-1])
            self.status = became["status"]
            if became["knows_all"]:
                self.alive = became["alive"]

    def status_without_guard(self) -> int:
        """Return the exit status of a kernel whose guard has ended without a word."""
        return 1  # nobody is left who knows more

    def wait(self) -> int | None:
        """Wait until it has ended; return its exit status."""
        while self.poll() is None:
            can_read(self.report, None)
        return self.status

    def send_signal(self, number: int) -> None:
        """Send a signal to it, if it is running."""
        raise NotImplementedError


class ForkedKernel(GuardedKernel):
    """A kernel that was forked, and is another process's child."""

    def __init__(self, pid: int, process: int, report: int) -> None:
        """Take two file descriptors: one that stands for the process, and one that reads of its beginning and end."""
        super().__init__(report)
        self.pid = pid
        self.process = process
        self.ended = float("inf")  # when it was first seen to have
        weakref.finalize(self, os.close, process)

    def becomes_ready(self, is_wanted: Callable[[], bool]) -> bool:
        """Wait until it can be talked to, has ended, or takes too long; tell whether it can be talked to."""
        deadline = time.monotonic() + PATIENCE
        while self.poll() is None and not self.words:
            can_read(self.report, 1)
            if not is_wanted():
                return True
            if time.monotonic() > deadline:
                return False
        return self.words.startswith(b"\n")

    def poll(self) -> int | None:
        """Return None while it, or what it has started, is running, else its exit status."""
        if super().poll() is None and can_read(self.process, 0):
            self.ended = min(self.ended, time.monotonic())
            if time.monotonic() > self.ended + LIMIT:
                self.status = 1  # its guard has been stopped
        return self.status

    def send_signal(self, number: int) -> None:
        """Send a signal to it, if it is running."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.process, number)


class StartedKernel(GuardedKernel):
    """A kernel that its guard has started in the guard's own interpreter."""

    def __init__(self, command: list[str], options: Mapping[str, Any]) -> None:
        """Start it: the command line of a module, and the options of `subprocess.Popen`."""
        report, theirs = os.pipe()
        super().__init__(report)
        needed, self.need = os.pipe()
        self.close = weakref.finalize(self, os.close, self.need)
        try:
            self.guard = subprocess.Popen(
                [sys.executable, command[0], str(theirs), str(needed), *command[1:]],
                pass_fds=[theirs, needed],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **options,
            )
        finally:
            os.close(theirs)
            os.close(needed)
        self.pid = self.guard.pid

    def take_words(self) -> None:
        """Read more of what is reported; take the guard's own end into account."""
        super().take_words()
        if self.status is not None:
            self.guard.wait()

    def status_without_guard(self) -> int:
        """Return the exit status of a guard that has ended without a word: it was killed, or no kernel began."""
        return self.guard.wait()

    def send_signal(self, number: int) -> None:
        """Let it be killed, with all that it has started: nothing else is ever sent to it."""
        self.close()
        self.guard.send_signal(signal.SIGCONT)  # where it was stopped


def can_read(descriptor: int, timeout: float | None) -> bool:
    """Wait so many seconds, or without an end, until there is something to read, or for a process its end."""
    poll = select.poll()  # unlike select, for any number of open files
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout if timeout is None else 1000 * timeout))


# --- without a guard ---
def end_what_is_left(*private: Path) -> list[str]:
    """Kill what kernels with these directories have started, known by its environment; return what is still alive."""
    marks = tuple(f"{directory}{os.sep}" for directory in private)
    left = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # another user's, or one that has ended
            if process.environ().get("IPYTHONDIR", "").startswith(marks):
                process.kill()
                left.append(process)
    _, alive = psutil.wait_procs(left, timeout=LIMIT)
    return [f"{process.pid} ({process.name()})" for process in alive]
