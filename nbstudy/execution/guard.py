"""Guard a kernel: when it ends, however it does, end all that it has started, in whatever session or group that is.

A program of its own, for Linux, which hosts run that have nothing of this project: it imports nothing of it. It guards
one kernel, which begins in its interpreter; guards that were forked with all that a template imports use its functions
for one kernel after another (warm_process.py). The guard is the kernel's parent, and the parent of whatever loses its
own parent among what the kernel has started, since it is their "child subreaper" (prctl(2)); so it knows that nothing is
left when it has no children left. The kernel ends when its guard does, or when nobody is left who asked for it.
"""

from __future__ import annotations

import ctypes
import json
import os
import runpy
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NAME = b"nbstudy-guard"  # of the process, as `ps` shows it
LIMIT = 3  # seconds in which what was killed must have ended
# of prctl(2)
PR_SET_PDEATHSIG, PR_SET_NAME, PR_GET_NAME, PR_SET_CHILD_SUBREAPER = 1, 15, 16, 36
LIBC = ctypes.CDLL(None)


def main() -> None:
    """Guard a kernel that is started in this interpreter: a module, with the arguments of its command line.

    The first two arguments are file descriptors: where the end is reported, and one that closes when the kernel is
    not needed any more.
    """
    report, needed = int(sys.argv[1]), int(sys.argv[2])
    del sys.argv[:3]
    del sys.path[0]  # the directory of this program
    is_kernel = False
    try:
        became = fork_guarded(needed, lambda _: None)
        is_kernel = became is None
        if became:
            tell(report, became)
    finally:
        if not is_kernel:
            os._exit(0)
    os.setsid()
    os.close(report)
    os.close(needed)
    module = sys.argv[0]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def fork_guarded(needed: int, begin: Callable[[int], None]) -> dict[str, Any] | None:
    """Fork a child, and guard it until nothing is left of it; return what became of it, or None in the child.

    `begin` is called with its process id. The child ends with this process, and once it is not `needed` any more.
    """
    with called_a_guard(), wakened_by_children() as awake:
        knows_all = prctl(PR_SET_CHILD_SUBREAPER, 1)
        guard = os.getpid()
        kernel = os.fork()
        if kernel == 0:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guard:
                os._exit(1)
            return None
        begin(kernel)
        status = wait_for_end(kernel, needed, awake)
        return {"status": status, "alive": end_all(), "knows_all": knows_all}


def tell(report: int, became: dict[str, Any]) -> None:
    """Report what became of a kernel, as a line of JSON."""
    with suppress(OSError):  # nobody waits for it any more
        os.write(report, json.dumps(became).encode() + b"\n")


def prctl(option: int, value: object) -> bool:
    """Set or read an attribute of this process; tell whether the system knows it."""
    done: int = LIBC.prctl(option, value, 0, 0, 0)
    return done == 0


@contextmanager
def called_a_guard() -> Iterator[None]:
    """Let this process be seen as a guard; one that it forks meanwhile is called as before when it leaves this."""
    before = ctypes.create_string_buffer(16)
    prctl(PR_GET_NAME, before)
    prctl(PR_SET_NAME, NAME)
    yield
    prctl(PR_SET_NAME, before)


@contextmanager
def wakened_by_children() -> Iterator[int]:
    """Yield a file descriptor from which something can be read when a child has ended since.

    A child that is forked meanwhile has what was there before when it leaves this.
    """
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    handler = signal.signal(signal.SIGCHLD, lambda *_: None)  # where it was ignored, no status would be known
    wake_before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    yield awake
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    signal.set_wakeup_fd(wake_before)
    signal.signal(signal.SIGCHLD, handler)
    os.close(awake)
    os.close(wake)


def wait_for_end(kernel: int, needed: int, awake: int) -> int:
    """Wait until a kernel has ended, and kill it once it is not needed any more; return its exit status."""
    poll = select.poll()
    poll.register(awake, select.POLLIN)
    poll.register(needed, select.POLLIN)
    while True:
        ended = reap()
        if kernel in ended:
            return ended[kernel]
        for descriptor, _ in poll.poll():
            if descriptor == awake:
                os.read(awake, 4096)
            else:
                poll.unregister(needed)
                os.kill(kernel, signal.SIGKILL)


def reap() -> dict[int, int]:
    """Return the exit statuses of the children that have ended, as `subprocess` has them, and forget those."""
    ended = {}
    with suppress(ChildProcessError):
        while True:
            number, status = os.waitpid(-1, os.WNOHANG)
            if number == 0:
                break
            ended[number] = os.waitstatus_to_exitcode(status)
    return ended


def end_all() -> list[str]:
    """Kill all children, and theirs, until there are none; return those that are still alive after a while."""
    deadline = time.monotonic() + LIMIT
    while has_children():
        left = children()
        if time.monotonic() > deadline:
            return [f"{number} ({name})" for number, name in left.items()]
        for number in left:
            with suppress(OSError):  # it has ended, or is another user's
                os.kill(number, signal.SIGKILL)
        time.sleep(0.005)
        reap()
    return []


def has_children() -> bool:
    """Tell whether this process has any."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def children() -> dict[int, str]:
    """Return the names of the children of this process by their ids."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            begin, _, rest = status.read_text(errors="replace").rpartition(")")
            if int(rest.split()[1]) == os.getpid():
                number, _, name = begin.partition(" (")
                found[int(number)] = name
    return found


if __name__ == "__main__":
    main()
