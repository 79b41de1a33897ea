"""Import what a template imports, once, and fork a kernel for each run that asks for one.

A program of its own: `warm.py` starts it, on hosts too that have nothing of this project, so it imports nothing of
it. Its parent sends an order, then a request a kernel. It ends when the parent does, when the runner no longer holds
the study, or when it has had nothing to do for a while; its kernels live on, for their guards follow the parent.
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
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from multiprocessing.connection import Connection, wait
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
GUARD = runpy.run_path(
    str(Path(__file__).with_name("guard.py"))
)  # which lies beside this program, wherever that is
IDLE = 60  # seconds without a request and without a kernel, after which the process ends
CHANGING = {"setdefault", "update", "pop", "popitem", "clear"}  # methods of os.environ


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
    specification = spec_from_file_location(name, Path(__file__).with_name("watch.py"))
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


@dataclass(frozen=True)
class Early:
    """A statement to execute before anything is forked."""

    statement: ast.stmt
    may_fail: bool = False  # the template goes on where a library is not installed


def import_early(cells: list[str], own_modules: set[str]) -> Imported:
    """Import what a kernel needs, then what code cells import."""
    before = dict(os.environ)
    for module in OF_A_KERNEL:
        with suppress(ImportError):
            importlib.import_module(module)
    imported = Imported(environment=changed_since(before), filters_before=list(warnings.filters))
    with as_in_a_kernel() as shell:
        for early in early_statements(cells, own_modules):
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
    return None


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


def early_statements(cells: list[str], own_modules: set[str]) -> Iterator[Early]:
    """Yield the imports that every run does, and what sets environment variables to plain values between.

    Whatever else changes the environment or the module path may depend on the run's parameters, and imports may
    depend on it: what comes after is left to the run.
    """
    for source in cells:
        for each in surely_run(parse_early(source).body):
            if isinstance(each.statement, ast.Import | ast.ImportFrom):
                if gives_environment(each.statement):
                    return
                for statement in without(own_modules, each.statement):
                    yield Early(statement, each.may_fail)
            elif changes_what_imports_read(each.statement):
                if not is_plain(each.statement):
                    return
                yield each


def parse_early(source: str) -> ast.Module:
    """Parse a cell's code, its magics as IPython does; empty where that fails, which the run will say."""
    from IPython.core.inputtransformer2 import TransformerManager

    with suppress(SyntaxError, ValueError):
        return ast.parse(str(TransformerManager().transform_cell(source)))
    return ast.Module([], [])


def surely_run(body: list[ast.stmt], may_fail: bool = False) -> Iterator[Early]:
    """Yield the statements of code that are run whatever the parameters, in the order of the text.

    What stands in the body of a `with` or a `try` is; an `if`, a loop or a function is yielded as a whole.
    """
    for statement in body:
        if isinstance(statement, ast.With):
            yield from surely_run(statement.body, may_fail)
        elif isinstance(statement, ast.Try):
            yield from surely_run(statement.body, may_fail or handles_import_errors(statement))
            yield from surely_run(statement.finalbody, may_fail)
        else:
            yield Early(statement, may_fail)


def handles_import_errors(statement: ast.Try) -> bool:
    """Tell whether a `try` goes on where a library is not installed."""
    handled: set[str] = set()
    for handler in statement.handlers:
        if handler.type is None:
            return True
        handled.update(node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name))
    return bool(handled & {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def gives_environment(statement: ast.Import | ast.ImportFrom) -> bool:
    """Tell whether an import may change the environment, or gives it a name by which it is not known here."""
    if isinstance(statement, ast.ImportFrom) and statement.module == "os":
        return any(alias.name == "environ" and alias.asname for alias in statement.names)
    modules = [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        modules = [str(statement.module)]
    return any(module.partition(".")[0] == "dotenv" for module in modules)


def without(own_modules: set[str], statement: ast.Import | ast.ImportFrom) -> Iterator[ast.stmt]:
    """Yield an import statement without the modules that travel with a template."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            if alias.name.partition(".")[0] not in own_modules:
                yield ast.copy_location(ast.Import([alias]), statement)
    elif not statement.level:
        package = str(statement.module).partition(".")[0]
        if package not in own_modules | {"__future__"}:
            yield statement


def changes_what_imports_read(statement: ast.stmt) -> bool:
    """Tell whether a statement changes the environment or the module path, or may let others do so."""
    for node in ast.walk(statement):
        match node:
            case ast.Attribute(attr="path", value=ast.Name("sys")):
                return True
            case ast.Attribute(attr="putenv" | "unsetenv") | ast.Constant("env" | "set_env"):  # the magics
                return True
            case ast.Attribute(value=environment, attr=method) if method in CHANGING:
                if is_environment(environment):
                    return True
            case ast.Subscript(value=environment, ctx=ast.Store() | ast.Del()) if is_environment(environment):
                return True
            case ast.AugAssign(target=environment) if is_environment(environment):
                return True
            case ast.Assign(value=value) | ast.AnnAssign(value=value) | ast.NamedExpr(value=value):
                if value is not None and is_environment(value):  # by another name
                    return True
            case ast.Call(args=arguments, keywords=keywords):
                given = [*arguments, *(keyword.value for keyword in keywords)]
                if any(map(is_environment, given)):
                    return True
    return False


def is_environment(node: ast.AST) -> bool:
    """Tell whether an expression is os.environ, by whatever name os goes."""
    match node:
        case ast.Attribute(attr="environ") | ast.Name("environ"):
            return True
    return False


def is_plain(statement: ast.stmt) -> bool:
    """Tell whether a statement changes os.environ, in any case, with nothing but values that stand in it."""
    if not isinstance(statement, ast.Expr | ast.Assign | ast.AugAssign | ast.Delete):
        return False
    nodes = list(ast.walk(statement))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return names <= {"os", "environ"} and attributes <= CHANGING | {"environ"}


# --- forking ---
def serve(channel: Connection, parent: int, imported: Imported, lock: Path, holder: str) -> None:
    """Fork a kernel for each request, as long as anybody may have one."""
    guards: set[int] = set()  # of the kernels that were forked: file descriptors that stand for them
    last = float("inf")  # until the first request, before which a host may be made ready for long
    while is_held(lock, holder) and (guards or time.monotonic() - last < IDLE):
        for each in wait([channel, *guards], timeout=1):
            last = time.monotonic()
            if isinstance(each, int):
                os.waitid(os.P_PIDFD, each, os.WEXITED)
                os.close(each)
                guards.remove(each)
                continue
            try:
                request = json.loads(channel.recv_bytes())
            except EOFError:  # the parent has ended
                return
            guards.add(fork(channel, parent, imported, request, guards))


def is_held(lock: Path, holder: str) -> bool:
    """Tell whether the runner still holds the study, as `Lease.is_held` does."""
    with suppress(OSError):
        return lock.read_text(encoding="utf-8", errors="replace") in (holder, "")
    return True


def fork(
    channel: Connection, parent: int, imported: Imported, request: dict[str, Any], others: set[int]
) -> int:
    """Fork a kernel and its guard as a request says; return a file descriptor that stands for the guard.

    The guard, which is the kernel's parent, tells this process's parent about the kernel.
    """
    output, error, report = (recv_handle(channel) for _ in range(3))
    os.set_inheritable(report, False)  # by what the kernel starts
    number = os.fork()
    if number == 0:
        for other in others:
            os.close(other)
        be_guard(channel, parent, report)
        channel.close()
        os.close(parent)
        be_kernel(request, imported, output, error, report)
    for file in (output, error, report):
        os.close(file)
    return os.pidfd_open(number)


def be_guard(channel: Connection, parent: int, report: int) -> None:
    """Fork a kernel and guard it to its end; return in the kernel alone."""

    def tell(kernel: int) -> None:
        channel.send_bytes(json.dumps(kernel).encode())
        send_handle(channel, os.pidfd_open(kernel), 0)

    try:
        GUARD["fork_guarded"](report, parent, tell)
    except OSError:  # this host lets no more processes begin
        channel.send_bytes(json.dumps(None).encode())
        os._exit(1)


# --- the kernel ---
def be_kernel(request: dict[str, Any], imported: Imported, output: int, error: int, report: int) -> None:
    """Be a kernel until it is asked to end, and then end this process, by its exit handlers."""
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, file in enumerate([nothing, output, error]):
            os.dup2(file, descriptor)
            os.close(file)
        become_anew(request, imported)
        start_kernel(request["arguments"], imported, report)
    except BaseException:  # noqa: BLE001 - there is nobody else to tell
        os.write(2, traceback.format_exc().encode())
        os._exit(1)
    sys.exit()


def become_anew(request: dict[str, Any], imported: Imported) -> None:
    """Take on what a process of its own would have had from its start."""
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"] | imported.environment)
    os.sched_setaffinity(0, request["cores"])
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
