"""Execute one notebook in a kernel of its own, which lives only while somebody waits for it.

The kernel runs the Python that runs this, whatever the notebook names. It talks over sockets in a directory that
only this user can enter (no TCP port that anybody on the host could connect to). Its temporary files, its settings,
and the modules that travel with it lie in another one. Both go with it, also when it did not start, and so does all that
it has started.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Any

from nbstudy.execution.cells import Progress, in_one_line
from nbstudy.execution.directories import directory_prefix, socket_place, temporary_directory
from nbstudy.execution.environment import SAID_BELOW, Watched, kernel_environment
from nbstudy.execution.guarded import GuardedKernel, end_what_is_left
from nbstudy.execution.host import Share
from nbstudy.execution.last_words import Stderr, how_it_ended, why_it_died
from nbstudy.execution.log import ENGINE, finish_log, register_engine
from nbstudy.execution.once import find_classes_of_traits, known_to_this_process, made_once
from nbstudy.execution.provisioner import provisioner_of
from nbstudy.execution.warm import WarmProcess, warm_process
from nbstudy.files import hash_of
from nbstudy.records.lease import Lease
from nbstudy.study.project import Project
from nbstudy.words import counted

TRIES = 3  # of a kernel that does not even start
START = 600  # seconds that one may take: network file systems are slow when many runs begin at once
END = 10  # seconds in which one must have ended that was asked to
NEVER = 10**9  # seconds
ASKED_EVERY = 0.3  # seconds, whether a kernel is still awaited


@dataclass(frozen=True)
class Outcome:
    """What became of a notebook."""

    error: str | None = None  # in one line
    ending: str | None = None  # how its kernel ended after that, where it did not as it was asked to


def execute(
    notebook: Path,
    directory: Path,
    parameters: dict[str, Any],
    share: Share,
    is_awaited: Callable[[], bool],
    timeout: float | None = None,
    modules: Mapping[str, str] | None = None,
    warm: WarmProcess | None = None,
    project: Project | None = None,
    watched: Watched | None = None,
    remarks: Sequence[str] = (),
) -> Outcome:
    """Execute a notebook in place, working in a directory; return what became of it, once its kernel has ended.

    It gets a share of this host. It is killed as soon as `is_awaited` says no, or after
    `timeout` minutes. `modules` are files by path, which the notebook can import before all others. The kernel is
    forked from a warm process if there is one. It finds its `project`; what it reads of one that is watched is noted. An
    exit is an error, in any cell. The log says the remarks beside its parameters.
    """
    started = time.monotonic()
    deadline = float("inf")
    if timeout is not None:
        deadline = started + 60 * timeout

    is_still_awaited = asked_now_and_then(is_awaited)

    def is_wanted(is_ending: bool = False) -> bool:
        return (is_ending or time.monotonic() <= deadline) and is_still_awaited()

    text = notebook.read_bytes()
    for _ in range(TRIES):
        outcome, has_begun = execute_once(
            notebook, directory, parameters, share, is_wanted, modules or {}, warm, project, watched
        )
        if has_begun or not outcome.error or not is_awaited():
            break
        try:
            notebook.write_bytes(text)  # which papermill has written, and a full disk may have cut
        except OSError:
            break
    if outcome.error and time.monotonic() > deadline:
        outcome = Outcome(f"TimeoutError: took longer than {timeout:g} minutes")
    if outcome != Outcome() and not is_awaited():
        outcome = Outcome("interrupted: nobody waits for this run any more")
    try:
        finish_log(notebook, [counted(share.threads, "thread"), *remarks], outcome.error)
    except OSError as failure:  # of a full disk: what went wrong before is told, if anything did
        if not outcome.error:
            outcome = Outcome(in_one_line(type(failure).__name__, str(failure)))
    return outcome


def asked_now_and_then(is_awaited: Callable[[], bool]) -> Callable[[], bool]:
    """Return a function that says what another one says, which looks into files and is asked now and then."""
    answered, answer = -math.inf, True

    def last_answer() -> bool:
        nonlocal answered, answer
        if time.monotonic() > answered + ASKED_EVERY:
            answer = is_awaited()
            answered = time.monotonic()
        return answer

    return last_answer


def execute_once(
    notebook: Path,
    directory: Path,
    parameters: dict[str, Any],
    share: Share,
    is_wanted: Callable[..., bool],
    modules: Mapping[str, str],
    warm: WarmProcess | None,
    project: Project | None,
    watched: Watched | None,
) -> tuple[Outcome, bool]:
    """Execute a notebook in a new kernel; return what became of it, and whether its cells had begun."""
    progress = Progress()
    try:
        with (
            temporary_directory(socket_place()) as sockets,
            temporary_directory(Path(tempfile.gettempdir())) as private,
            share.taken() as settings,
        ):
            environment = kernel_environment(private, settings, modules, project, watched)
            stderr = Stderr(private)
            with private_kernel(sockets, private, environment, is_wanted, warm) as kernel:
                error = run_cells(notebook, directory, parameters, kernel, stderr, progress)
            outcome = Outcome(error, "; ".join(kernel.ending) or None)
    except OSError as failure:  # directories that cannot be made
        outcome = Outcome(in_one_line(type(failure).__name__, str(failure)))
    return outcome, progress.begun


def run_cells(
    notebook: Path,
    directory: Path,
    parameters: dict[str, Any],
    kernel: Any,
    stderr: Stderr,
    progress: Progress,
) -> str | None:
    """Start a kernel and run a notebook's cells in it; return the error, None if all of them ran."""
    # a grammar that jsonschema compiles for seconds where JupyterLab is installed; no notebook is held against it
    with without("rfc3987_syntax"):
        import papermill
    from jupyter_core.utils import ensure_event_loop

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what fails is said by the runner
    register_engine()
    # papermill formats the paths that it is given, so braces in them are doubled
    path = str(notebook).replace("{", "{{").replace("}", "}}")
    try:
        log = papermill.execute_notebook(
            path,
            path,
            parameters,
            engine_name=ENGINE,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            km=kernel,
            start_timeout=START,
            iopub_timeout=NEVER,  # a cell may put out more than is fetched in its time
            resources={"metadata": {"path": str(directory)}},
            on_notebook_start=progress.begin,
            on_cell_execute=stderr.forget,
            on_cell_executed=progress.end_cell,
        )
    except papermill.PapermillExecutionError as failure:
        return progress.error() or in_one_line(failure.ename, failure.evalue)
    except Exception as failure:  # noqa: BLE001 - one failure must not stop the others
        if not str(failure).startswith("Kernel died"):
            return in_one_line(type(failure).__name__, str(failure))
        status = ensure_event_loop().run_until_complete(kernel.provisioner.poll())
        return why_it_died(status, stderr.read())
    if log.metadata.papermill.exception:  # which papermill does not raise where it is sys.exit(0)
        return f"SystemExit: the notebook ended in code cell {progress.ended} of {progress.cells} by an exit"
    return None


@contextmanager
def without(library: str) -> Iterator[None]:
    """Let imports go without a library that they can do without, unless it is there already."""
    if library in sys.modules:
        yield
        return
    sys.modules[library] = None  # type: ignore[assignment]  # which says that there is none
    try:
        yield
    finally:
        sys.modules.pop(library, None)


# --- the kernel ---
@contextmanager
def private_kernel(
    sockets: Path,
    private: Path,
    environment: dict[str, str],
    is_wanted: Callable[..., bool],
    warm: WarmProcess | None,
) -> Iterator[Any]:
    """Yield the manager of a kernel, not yet started; nothing of it is left at the end."""
    from jupyter_core.utils import ensure_event_loop

    kernel = made_once(manager_class)(sockets, private, environment, is_wanted, warm)
    try:
        yield kernel
    finally:
        loop = ensure_event_loop()  # papermill's, which a new thread would leave open
        loop.run_until_complete(kernel.end())
        loop.close()


def manager_class() -> type[Any]:
    """Return a class of kernel managers that kill what nobody wants, and look at no settings of a person."""
    import zmq
    from jupyter_client.asynchronous.client import AsyncKernelClient
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_client.session import Session

    class PromptClient(AsyncKernelClient):
        """Without the threads that nobody here listens to, and the waiting at the start."""

        def start_channels(self, *_: Any, **__: Any) -> None:
            super().start_channels(hb=False, stdin=False)

        async def wait_for_ready(self, timeout: float | None = None) -> None:
            deadline = time.monotonic() + (timeout or float("inf"))
            while time.monotonic() < deadline:
                self.kernel_info()
                with suppress(Empty):
                    await self.shell_channel.get_msg(timeout=1)
                    await self.iopub_channel.get_msg(timeout=0.2)  # so that is connected too
                    return
                if not await self.is_alive():
                    message = "Kernel died before replying to kernel_info"
                    raise RuntimeError(message)
            message = f"Kernel didn't respond in {timeout} seconds"
            raise RuntimeError(message)

    class PrivateKernel(AsyncKernelManager):
        provisioner: Any

        def __init__(
            self,
            sockets: Path,
            private: Path,
            environment: dict[str, str],
            is_wanted: Callable[..., bool],
            warm: WarmProcess | None,
        ) -> None:
            super().__init__(
                transport="ipc",
                ip=f"{sockets}/ipc",
                connection_file=f"{sockets}/connection",
                client_factory=PromptClient,
                context=sockets_of_a_kernel(),
            )
            self.private = private
            self.environment = environment
            self.stderr = (private / SAID_BELOW).open("ab")
            self.is_wanted = is_wanted
            self.warm = warm
            self.clients: list[Any] = []
            self.latest_end = float("inf")
            self.ending: list[str] = []  # how it ended, where it did not as it was asked to

        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(
                argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                language="python",
                metadata={"kernel_provisioner": {"provisioner_name": "local-provisioner"}},
            )

        async def _async_pre_start_kernel(self, **options: Any) -> Any:
            if self.provisioner is None:
                self.provisioner = provisioner_of(
                    self.private, self.is_wanted, self.warm, parent=self, kernel_spec=self.kernel_spec
                )
            return await super()._async_pre_start_kernel(
                env=self.environment,
                stdout=subprocess.DEVNULL,  # what cells write goes into the log
                stderr=self.stderr,
                **options,
            )

        def client(self, **options: Any) -> Any:
            client = super().client(**options, context=self.context)
            self.clients.append(client)
            return client

        async def _async_is_alive(self) -> bool:  # which is asked several times a second
            is_ending = self.latest_end < float("inf")  # which has a limit of its own
            if self.has_kernel and not self.is_wanted(is_ending):
                await self._async_signal_kernel(signal.SIGKILL)
            return await super()._async_is_alive()

        async def _async_wait(self, pollinterval: float = 0.1) -> None:  # for its end, once it was killed
            await super()._async_wait(pollinterval / 10)

        async def ask_to_end(self) -> None:
            """Ask the process to end, as Jupyter does, and give it its time."""
            self.latest_end = time.monotonic() + END
            await self._async_request_shutdown()

        async def is_ending(self) -> bool:
            """Tell whether it has not ended yet that was asked to; kill it where that takes too long."""
            if not await self._async_is_alive():
                provisioner: Any = self.provisioner
                status = await provisioner.poll()
                if status:
                    self.ending.append(f"after its last cell, its kernel {how_it_ended(status)}")
                return False
            if time.monotonic() < self.latest_end:
                return True
            self.ending.append(
                f"its kernel did not end within {END} seconds of its last cell, and was killed"
            )
            return False

        async def end(self) -> None:
            """End the process, what it has started, and all sockets."""
            await self._async_kill_kernel()
            for client in self.clients:
                with suppress(zmq.ZMQError):
                    client.stop_channels()
            await self._async_cleanup_resources()
            self.context.destroy(linger=0)
            self.stderr.close()
            alive = still_alive(self.provisioner and self.provisioner.kernel, self.private)
            if alive:
                self.ending.append(f"what it has started is still alive: process {', '.join(alive)}")

    find_classes_of_traits(PrivateKernel, PromptClient, Session)
    return PrivateKernel


def still_alive(kernel: GuardedKernel | None, private: Path) -> list[str]:
    """Return what is still alive of what a kernel with a private directory has started, once it has ended."""
    if kernel is None or kernel.alive is None:
        return end_what_is_left(private)
    return kernel.alive


def sockets_of_a_kernel() -> Any:
    """Return a context of ZeroMQ for the sockets of one kernel; all contexts of this process share their threads."""
    import zmq.asyncio

    class SharingContext(zmq.asyncio.Context):
        def term(self) -> None:
            """Leave the threads to the other kernels."""

    lock, known = known_to_this_process("contexts")
    with lock:
        if not known:
            known["context"] = zmq.Context()
            known["context"].max_sockets = known["context"].get(zmq.SOCKET_LIMIT)
        shared = known["context"]
    context = SharingContext(shadow=shared)
    context.rcvhwm = 0  # however many outputs wait, the kernel need not
    return context


def warm_up(
    notebook: str,
    own_modules: set[str],
    share: Share,
    lease: Lease,
    project: Project | None = None,
    watched: Watched | None = None,
) -> WarmProcess | None:
    """Return the process that forks the kernels of a study's runs here, started if there is none yet.

    `own_modules` are the names of the modules that travel with the notebook. None where kernels are started as ever.
    """
    settings = share.environment()

    def start() -> WarmProcess:
        private = Path(tempfile.mkdtemp(prefix=f"{directory_prefix()}{os.getpid()}-"))
        try:
            environment = kernel_environment(private, settings, {}, project)
            return WarmProcess(notebook, own_modules, lease, private, environment, watched)
        except OSError:  # then kernels are started as ever
            shutil.rmtree(private)
            raise

    return warm_process(f"{lease.holder} {hash_of(notebook)} {share.threads}", start)
