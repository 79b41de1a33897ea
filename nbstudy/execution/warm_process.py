"""Import what a template imports, once, and have a kernel forked for each run that asks for one.

A program of its own: `warm.py` starts it, on hosts too that have nothing of this project, so it imports nothing of
it. Its parent sends an order, then a request a kernel. It forks guards, and each of these forks kernels, one after
another. It ends when the parent does, when the runner no longer holds the study, or when it has had nothing to do for a
while; its kernels live on, for their guards follow the parent.
"""

from __future__ import annotations

import ast
import builtins
import fcntl
import gc
import importlib
import json
import logging
import os
import runpy
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

# ipykernel, and what it imports only when a kernel starts
OF_A_KERNEL = [
    "ipykernel_launcher",
    "ipykernel.kernelapp",
    "ipykernel.debugger",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "faulthandler",
    "sqlite3",
    "tornado.platform.asyncio",
    "tornado.queues",
]
HERE = Path(__file__).parent  # where the programs lie that it shares
GUARD = runpy.run_path(str(HERE / "guard.py"))
EARLY = runpy.run_path(str(HERE / "early.py"))
IDLE = 60  # seconds without a request and without a kernel, after which the process ends


def main() -> None:
    """Do what the parent at the other end of a channel says; the channel's descriptor is the one argument."""
    channel = Connection(int(sys.argv[1]))
    order = json.loads(channel.recv_bytes())
    parent = os.pidfd_open(order["parent"])
    with ended_by(channel):
        if order["watch"]:
            begin_to_watch(*order["watch"])
        imported = import_early(order["cells"], set(order["own_modules"]))
    channel.send_bytes(json.dumps(imported.why_unfit).encode())
    if imported.why_unfit is None:
        serve(channel, parent, imported, Path(order["lock"]), order["holder"])
    shutil.rmtree(order["private"], ignore_errors=True)


def begin_to_watch(name: str, project: str, outputs: str) -> None:
    """Note from now on what is read of a project, by the program that lies beside this one."""
    specification = spec_from_file_location(name, HERE / "watch.py")
    assert specification is not None
    assert specification.loader is not None
    sys.modules[name] = module = module_from_spec(specification)
    specification.loader.exec_module(module)
    module.watch(project, outputs)


@contextmanager
def ended_by(channel: Connection) -> Iterator[None]:
    """Let a signal end this process as soon as the parent's end closes: an import may take long, or forever."""
    descriptor = channel.fileno()
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)  # SIGIO, whose default is to end the process
    if channel.poll():  # it closed before
        sys.exit()
    yield
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)


# --- what a template imports ---
@dataclass
class Imported:
    """What imports leave in a process beside modules, and a new kernel is to find as if it had imported them."""

    why_unfit: str | None = None  # kernels cannot be forked
    environment: dict[str, str] = field(default_factory=dict)  # the variables that they set
    filters_before: list[Any] = field(default_factory=list)  # of warnings
    filters: list[Any] = field(default_factory=list)  # that they put before these


def import_early(cells: list[str], own_modules: set[str]) -> Imported:
    """Import what a kernel needs, then what code cells import."""
    before = dict(os.environ)
    for module in OF_A_KERNEL:
        with suppress(ImportError):
            importlib.import_module(module)
    imported = Imported(environment=changed_since(before), filters_before=list(warnings.filters))
    with as_in_a_kernel() as shell:
        for early in EARLY["early_statements"](cells, own_modules):
            code = ast.unparse(early.statement)
            before = dict(os.environ)
            try:
                exec(code, vars(sys.modules["__main__"]))  # noqa: S102 - as the run will
            except BaseException as error:  # noqa: BLE001 - SystemExit too, and whatever a library raises
                if not (early.may_fail and isinstance(error, ImportError)):
                    imported.why_unfit = f"`{code}` fails: {type(error).__name__}: {error}"
            if shell.asked_for:
                imported.why_unfit = f"`{code}` asks a kernel for {shell.asked_for[0]} that is not there yet"
            if imported.why_unfit is not None:
                return imported
            if isinstance(early.statement, ast.Import | ast.ImportFrom):  # the run does the others again
                imported.environment |= changed_since(before)
    imported.filters = [each for each in warnings.filters if each not in imported.filters_before]
    imported.why_unfit = why_not_to_fork(own_modules)
    gc.collect()
    gc.freeze()  # what is never looked at again stays shared between the kernels
    return imported


def changed_since(before: dict[str, str]) -> dict[str, str]:
    """Return the environment variables that have been set since."""
    return dict(os.environ.items() - before.items())


def why_not_to_fork(own_modules: set[str]) -> str | None:
    """Say why this process must not be forked, after all imports; None if it can be."""
    for module in sorted(own_modules & sys.modules.keys()):
        return f"what the template imports has imported another {module} than its own"
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads > 1:
        return f"what the template imports starts {threads - 1} threads"
    if is_caught(signal.SIGCHLD):  # which is a guard's to catch
        return "what the template imports catches SIGCHLD, the signal that a child has ended"
    return None


def is_caught(number: int) -> bool:
    """Tell whether this process has a handler of a signal, be it Python's or not, of which Python knows nothing."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (caught,) = (line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


class ZMQInteractiveShell:
    """Stands for the shell of the kernel to come, with all that libraries know by that they are in a notebook."""

    kernel = None
    config: ClassVar[dict[str, Any]] = {"IPKernelApp": {}}

    def __init__(self) -> None:
        self.asked_for: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.asked_for.append(name)  # for what it would be told or given would be lost
        raise AttributeError(name)


class StandardStream:
    """Stands for standard output or error, for libraries that keep it: it is the kernel's once that has its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.present = getattr(sys, name)

    def close(self) -> None:
        """Do nothing: the logging handlers of some libraries close what they cannot tell from a file of their own."""

    def __getattr__(self, attribute: str) -> Any:
        stream = getattr(sys, self.name)
        if stream is self:
            stream = self.present
        return getattr(stream, attribute)


@contextmanager
def as_in_a_kernel() -> Iterator[ZMQInteractiveShell]:
    """Let libraries find what they find in a kernel: pandas shows wider tables there, for example."""
    from IPython.core import getipython

    sys.modules["__main__"] = ModuleType("__main__")  # without a file
    sys.ps1, sys.ps2 = "In : ", "...: "
    streams = [StandardStream("stdout"), StandardStream("stderr")]
    sys.stdout, sys.stderr = streams
    shell = ZMQInteractiveShell()
    get_real_shell = getipython.get_ipython

    def get_ipython() -> Any:  # which a library may keep, too
        return get_real_shell() or shell

    getipython.get_ipython = get_ipython
    vars(builtins)["get_ipython"] = get_ipython  # where IPython has it while a cell is executed
    yield shell
    getipython.get_ipython = get_real_shell
    del vars(builtins)["get_ipython"]
    sys.stdout, sys.stderr = (stream.present for stream in streams)


# --- forking ---
@dataclass(frozen=True)
class Request:
    """What is asked for by whoever wants a kernel."""

    order: bytes  # JSON: arguments, environment, directory, cores
    output: int  # file descriptors: what is to be its standard output,
    error: int  # and its standard error,
    report: int  # where it is reported that it is ready, and what became of it,
    answer: int  # and a socket, where it is said which process it is

    @classmethod
    def taken_from(cls, channel: Connection) -> Request:
        """Take the next one, as soon as there is one; raise EOFError or OSError where nobody is left to ask."""
        order = channel.recv_bytes()
        output, error, report, answer = (recv_handle(channel) for _ in range(4))
        os.set_inheritable(report, False)  # by what the kernel starts
        return cls(order, output, error, report, answer)

    @property
    def files(self) -> tuple[int, ...]:
        """Its file descriptors."""
        return self.output, self.error, self.report, self.answer

    def hand_on(self, channel: Connection) -> None:
        """Hand it to another process."""
        channel.send_bytes(self.order)
        for file in self.files:
            send_handle(channel, file, 0)

    def is_awaited(self) -> bool:
        """Tell whether anybody still waits for the answer: nothing but its end can be read there."""
        return not wait([self.answer], timeout=0)

    def fulfil(self, kernel: int) -> None:
        """Answer which process the kernel is; raise OSError where nobody waits for it any more."""
        process = os.pidfd_open(kernel)
        try:
            with socket.socket(fileno=os.dup(self.answer)) as answer:
                socket.send_fds(answer, [str(kernel).encode()], [process])
        finally:
            os.close(process)

    def refuse(self) -> None:
        """Answer that there can be no kernel."""
        with suppress(OSError), socket.socket(fileno=os.dup(self.answer)) as answer:
            answer.send(b"none")

    def close(self) -> None:
        """Close its files, which other processes have."""
        for file in self.files:
            os.close(file)


def serve(channel: Connection, parent: int, imported: Imported, lock: Path, holder: str) -> None:
    """Have a kernel forked for each request, as long as anybody may have one."""
    guards = Guards(channel, parent, imported)
    last = float("inf")  # until the first request, before which a host may be made ready for long
    while is_held(lock, holder) and (guards.busy or time.monotonic() - last < IDLE):
        ready = wait([channel, *guards.busy, *guards.free], timeout=1)
        if ready:
            last = time.monotonic()
        for each in ready:  # before the request of somebody who knows that a guard is free
            if isinstance(each, Connection) and each is not channel:
                guards.listen_to(each)
        if channel in ready:
            try:
                request = Request.taken_from(channel)
            except (EOFError, OSError):  # the parent has ended
                break
            guards.take(request)
            request.close()
    guards.end_those_that_are_free()


def is_held(lock: Path, holder: str) -> bool:
    """Tell whether the runner still holds the study, as `Lease.is_held` does."""
    with suppress(OSError):
        return lock.read_text(encoding="utf-8", errors="replace") in (holder, "")
    return True


class Guards:
    """Processes that fork kernels and guard them, one at a time each.

    They are kept from kernel to kernel: to fork a guard takes as long as to fork a kernel, as both have all that was imported.
    """

    def __init__(self, channel: Connection, parent: int, imported: Imported) -> None:
        self.channel = channel
        self.parent = parent
        self.imported = imported
        self.busy: dict[Connection, int] = {}  # file descriptors that stand for them, by the channels to them
        self.free: dict[Connection, int] = {}

    def listen_to(self, channel: Connection) -> None:
        """Note that a guard is free again, or has ended."""
        guard = self.busy.pop(channel) if channel in self.busy else self.free.pop(channel)
        try:
            channel.recv_bytes()
            self.free[channel] = guard
        except (EOFError, OSError):
            end_guard(channel, guard)

    def take(self, request: Request) -> None:
        """Hand a request to a guard that is free, or else to a new one."""
        while self.free:
            if self.is_handed_on(request, *self.free.popitem()):
                return
        try:
            guard = self.fork(request)
        except OSError:  # this host lets no more processes begin
            request.refuse()
            return
        if not self.is_handed_on(request, *guard):
            request.refuse()

    def is_handed_on(self, request: Request, channel: Connection, guard: int) -> bool:
        """Hand a request to a guard; tell whether it could be."""
        try:
            request.hand_on(channel)
        except OSError:  # it has ended
            end_guard(channel, guard)
            return False
        self.busy[channel] = guard
        return True

    def end_those_that_are_free(self) -> None:
        """Let them end before this process does, so that their seconds count among those of its children."""
        for channel, guard in self.free.items():
            end_guard(channel, guard)

    def fork(self, request: Request) -> tuple[Connection, int]:
        """Fork a guard, to which a request is yet to be handed; return the channel to it, and what stands for it."""
        ours, theirs = Pipe()
        number = os.fork()
        if number == 0:
            request.close()
            for each in (self.channel, ours, *self.busy, *self.free):
                each.close()
            for guard in (*self.busy.values(), *self.free.values()):
                os.close(guard)
            own_request = fork_and_guard(theirs, self.parent)
            theirs.close()
            os.close(self.parent)
            be_kernel(own_request, self.imported)
        theirs.close()
        return ours, os.pidfd_open(number)


def end_guard(channel: Connection, guard: int) -> None:
    """End a guard that has no kernel, if it has not ended yet, and let no zombie be left of it."""
    channel.close()
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(guard, signal.SIGKILL)  # it may be stopped
    with suppress(ChildProcessError):  # where SIGCHLD is ignored, the system has seen to it
        os.waitid(os.P_PIDFD, guard, os.WEXITED)
    os.close(guard)


def fork_and_guard(channel: Connection, parent: int) -> Request:
    """Fork a kernel for each request, and guard it to its end; return in the kernel alone, with the request for it.

    Where something is left of a kernel at its end, this process ends, too: it could not tell it from the next one's.
    """
    is_kernel = False
    try:
        while True:
            request = Request.taken_from(channel)
            if not request.is_awaited():
                request.close()
                channel.send_bytes(b"free")
                continue
            try:
                became = GUARD["fork_guarded"](parent, request.fulfil)
            except OSError:  # this host lets no more processes begin
                request.refuse()
                raise
            if became is None:
                is_kernel = True
                return request
            if not became["alive"]:
                with suppress(OSError):  # of a process that has ended
                    channel.send_bytes(b"free")  # before anybody can ask for the next kernel
            GUARD["tell"](request.report, became)
            request.close()
            if became["alive"]:
                os._exit(0)
    finally:
        if not is_kernel:
            os._exit(0)


# --- the kernel ---
def be_kernel(request: Request, imported: Imported) -> None:
    """Be a kernel until it is asked to end, and then end this process, by its exit handlers."""
    try:
        os.setsid()
        os.close(request.answer)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, file in enumerate([nothing, request.output, request.error]):
            os.dup2(file, descriptor)
            os.close(file)
        order = json.loads(request.order)
        become_anew(order, imported)
        start_kernel(order["arguments"], imported, request.report)
    except BaseException:  # noqa: BLE001 - there is nobody else to tell
        os.write(2, traceback.format_exc().encode())
        os._exit(1)
    sys.exit()


def become_anew(order: dict[str, Any], imported: Imported) -> None:
    """Take on what a process of its own would have had from its start."""
    os.chdir(order["directory"])
    os.environ.clear()
    os.environ.update(order["environment"] | imported.environment)
    os.sched_setaffinity(0, order["cores"])
    tempfile.tempdir = None
    take_module_path(os.environ.get("PYTHONPATH", ""))
    if "numpy" in sys.modules:  # Python's own generator does this by itself
        sys.modules["numpy"].random.seed()


def take_module_path(places: str) -> None:
    """Let modules be found in these places first, as at the start of Python."""
    first = [place for place in places.split(os.pathsep) if place]
    sys.path[:] = first + [place for place in sys.path if place not in first]
    importlib.invalidate_caches()


def start_kernel(arguments: list[str], imported: Imported, report: int) -> None:
    """Start a kernel with the arguments of its command line, say that it is ready, and let it work."""
    import ipykernel_launcher
    from ipykernel.kernelapp import IPKernelApp

    sys.argv = [str(ipykernel_launcher.__file__), *arguments]
    application: Any = IPKernelApp.instance()
    if arguments[:-1] == ["-f"]:  # to read a command line as such takes a fifth of a kernel's start
        application.connection_file = arguments[-1]
        application.parse_command_line = lambda _: None
    filters: Any = warnings.filters
    filters[:] = imported.filters_before
    with suppress_shutdown_of_logging():
        application.initialize(arguments)
    filters[:0] = imported.filters
    os.write(report, b"\n")
    os.close(report)
    application.start()


@contextmanager
def suppress_shutdown_of_logging() -> Iterator[None]:
    """Keep the logging handlers of libraries open, all of which ipykernel closes when it configures its own."""
    shutdown = logging.shutdown
    logging.shutdown = lambda *_: None
    yield
    logging.shutdown = shutdown


if __name__ == "__main__":
    main()
