"""A process that has imported what a template imports, and forks a kernel a run: one starts in a moment.

Where that cannot be trusted, or fails, kernels are started as ever. What the process does is in `warm_process.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nbstudy.execution.environment import WATCH, WATCHES, Watched
from nbstudy.execution.guarded import ForkedKernel, end_what_is_left, write_guard
from nbstudy.execution.last_words import with_last_words
from nbstudy.execution.once import known_to_this_process
from nbstudy.records.lease import Lease

PROGRAMS = {  # they travel with these functions
    name: Path(__file__).with_name(name).read_text(encoding="utf-8")
    for name in ("warm_process.py", "early.py")
}
# Pools of threads that are started by an import, which would make forking unsafe. OpenMP starts its own when it is
# used, so it keeps the number of the run. A kernel's start-up file gives OpenBLAS that number again.
ONE_THREAD = dict.fromkeys(["OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"], "1")
PATIENCE = 60  # seconds in which it must have forked, and have ended when told to


class Unfit(Exception):
    """Kernels cannot be forked."""


class WarmProcess:
    """A process that has imported what a template imports, or is about to."""

    def __init__(
        self,
        notebook: str,
        own_modules: set[str],
        lease: Lease,
        private: Path,
        environment: Mapping[str, str],
        watched: Watched | None = None,
    ) -> None:
        """Start it for a notebook and the names of the modules that travel with it.

        It gets the environment of a kernel, and a private directory, which goes with it. It notes what it reads of a
        project that is watched, for its kernels.
        """
        from multiprocessing import Pipe

        self.why_not: str | None = None  # kernels cannot be forked
        self.is_ready = False
        self.lease = lease
        self.lock = threading.Lock()  # a request at a time
        for name, text in PROGRAMS.items():
            (private / name).write_text(text, encoding="utf-8")
        write_guard(private)
        self.channel, theirs = Pipe()
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-u",
                str(private / "warm_process.py"),
                str(theirs.fileno()),
            ],  # -P: its directory holds no modules
            env={**environment, **ONE_THREAD, "JPY_PARENT_PID": str(os.getpid())},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        threading.Thread(target=self.process.wait, daemon=True).start()  # so that no zombie is left
        self.end = weakref.finalize(self, end, self.process, self.channel, private)
        order: dict[str, Any] = {
            "parent": os.getpid(),
            "cells": code_cells(notebook),
            "own_modules": sorted(own_modules),
            "lock": str(lease.lock.absolute()),
            "holder": lease.holder,
            "private": str(private),
            "watch": None,
        }
        if watched:
            (private / "watch.py").write_text(WATCH, encoding="utf-8")
            order["watch"] = [WATCHES, str(watched.project), str(watched.outputs)]
        self.channel.send_bytes(json.dumps(order).encode())

    def fork(
        self, arguments: list[str], options: Mapping[str, Any], is_wanted: Callable[[], bool]
    ) -> ForkedKernel | None:
        """Fork a kernel with the arguments of its command line; None where it must be started as ever.

        `options` are those of `subprocess.Popen`. It has this thread's cores, and is ready when it is returned.
        """
        try:
            with self.lock:
                if self.why_not is not None:
                    return None
                self.wait_until_ready(is_wanted)
                kernel = self.request(arguments, options)
            if is_wanted() and not kernel.becomes_ready(is_wanted):
                kernel.send_signal(signal.SIGKILL)
                words = written_to(options.get("stderr"))
                raise Unfit(with_last_words("a kernel that was forked did not start", words))
        except (OSError, EOFError, Unfit) as error:
            with self.lock:
                self.give_up(error)
            return None
        return kernel

    def is_over(self) -> bool:
        """Tell whether it has ended because nobody needed it any more, so that another one can be started."""
        if not self.lease.is_held():
            return True
        if self.process.poll() != 0:
            return False
        with self.lock:
            try:
                if self.why_not is None and not self.is_ready:
                    self.take_answer()
            except (OSError, EOFError, Unfit) as error:
                self.give_up(error)
            return self.why_not is None

    def take_answer(self) -> None:
        """Read whether kernels can be forked, once the imports are done; raise Unfit where they cannot."""
        why_not = json.loads(self.channel.recv_bytes())
        if why_not is not None:
            raise Unfit(why_not)
        self.is_ready = True

    def wait_until_ready(self, is_wanted: Callable[[], bool]) -> None:
        """Wait until the imports are done; raise Unfit where that shows that no kernel can be forked."""
        while not self.is_ready:
            if self.channel.poll(1):
                self.take_answer()
            elif not is_wanted():
                message = "nobody waits for this kernel any more"
                raise RuntimeError(message)

    def request(self, arguments: list[str], options: Mapping[str, Any]) -> ForkedKernel:
        """Have a kernel forked."""
        order = {
            "arguments": arguments,
            "environment": options["env"] | {"JPY_PARENT_PID": str(os.getpid())},
            "directory": str(options.get("cwd") or Path.cwd()),
            "cores": sorted(os.sched_getaffinity(0)),
        }
        report, told = os.pipe()
        try:
            number, process = self.ask(order, options, told)
        except BaseException:
            os.close(report)
            raise
        finally:
            os.close(told)
        return ForkedKernel(number, process, report)

    def ask(self, order: dict[str, Any], options: Mapping[str, Any], told: int) -> tuple[int, int]:
        """Send a request; return the kernel's process id, and a file descriptor that stands for the process."""
        from multiprocessing.reduction import send_handle

        answer, answered = socket.socketpair()
        with answer:
            with answered, Path(os.devnull).open("r+b") as nothing:
                output = descriptor_of(options.get("stdout"), 1, nothing)
                error = descriptor_of(options.get("stderr"), 2, nothing)
                self.channel.send_bytes(json.dumps(order).encode())
                for file in (output, error, told, answered.fileno()):
                    send_handle(self.channel, file, 0)
            answer.settimeout(PATIENCE)
            try:
                number, files, *_ = socket.recv_fds(answer, 100, 1)
            except TimeoutError as late:
                message = f"no kernel was forked within {PATIENCE} seconds"
                raise Unfit(message) from late
        if not number:
            message = "what forks kernels ended before it said which process this one is"
            raise Unfit(message)
        if not files:
            message = "this machine lets no more processes begin"
            raise Unfit(message)
        (process,) = files
        os.set_inheritable(process, False)
        return int(number), process

    def give_up(self, error: Exception) -> None:
        """End the process, and say from now on why kernels cannot be forked; those that were live on."""
        if self.why_not is None:
            self.why_not = str(error)
            if not isinstance(error, Unfit):
                self.why_not = "the process that does it once for all has ended"
        self.channel.close()
        self.process.kill()


def written_to(stderr: Any) -> str:
    """Return what stands in a kernel's stderr, as far as that is a file."""
    with suppress(OSError, AttributeError, TypeError):
        return Path(stderr.name).read_text(encoding="utf-8", errors="replace")
    return ""


def descriptor_of(file: Any, inherited: int, nothing: Any) -> int:
    """Return the file descriptor of a standard stream as `subprocess.Popen` takes it."""
    if file is None:
        return inherited
    if file == subprocess.DEVNULL:
        file = nothing
    return int(file.fileno())


def end(process: subprocess.Popen[bytes], channel: Any, private: Path) -> None:
    """End a warm process, which does so when its channel closes, and remove its directory."""
    channel.close()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    end_what_is_left(private)  # what the imports started
    shutil.rmtree(private, ignore_errors=True)


def code_cells(notebook: str) -> list[str]:
    """Return the sources of the code cells of a notebook."""
    sources = []
    for cell in json.loads(notebook)["cells"]:
        if cell["cell_type"] == "code":
            sources.append("".join(cell["source"]))  # a source may be a list of lines
    return sources


def warm_process(purpose: str, start: Callable[[], WarmProcess]) -> WarmProcess | None:
    """Return the warm process that this process has for a purpose, started if there is none yet.

    None where forking is not to be trusted, as on macOS, or no process can be started.
    """
    if sys.platform != "linux":
        return None
    lock, processes = known_to_this_process("warm_processes")
    with lock:
        for other, process in list(processes.items()):
            if process.is_over():
                del processes[other]
        if purpose not in processes:
            with suppress(OSError):
                processes[purpose] = start()
        found: WarmProcess | None = processes.get(purpose)
        return found
