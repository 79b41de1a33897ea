"""Execute one notebook in a kernel of its own, which lives only while somebody waits for it.

The kernel talks over sockets in a directory that only this user can enter (no TCP port that anybody on the host
could connect to). Its temporary files, and the modules that travel with it, lie there too and go with it.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

import psutil

from nbstudy.files import hash_of, read_json, write_json
from nbstudy.host import share_of_host, threads_of_run
from nbstudy.lease import Lease
from nbstudy.warm import WarmProcess, forking_provisioner, warm_process

TRIES = 3  # of a kernel that does not even start


def execute(
    notebook: Path,
    directory: Path,
    parameters: dict[str, Any],
    jobs: int,
    is_awaited: Callable[[], bool],
    timeout: float | None = None,
    modules: Mapping[str, str] | None = None,
    warm: WarmProcess | None = None,
) -> str | None:
    """Execute a notebook in place, working in a directory; return its error's first line, None if it has none.

    It gets the share of one of `jobs` runs on this host. It is killed as soon as `is_awaited` says no, or after
    `timeout` minutes. `modules` are files by path, which the notebook can import before all others. The kernel
    is forked from a warm process if there is one.
    """
    started = time.monotonic()
    deadline = float("inf")
    if timeout is not None:
        deadline = started + 60 * timeout

    def is_wanted() -> bool:
        return time.monotonic() <= deadline and is_awaited()

    for _ in range(TRIES):
        error, has_begun = execute_once(notebook, directory, parameters, jobs, is_wanted, modules or {}, warm)
        if has_begun or not error or not is_awaited():
            break
    if error and time.monotonic() > deadline:
        error = f"TimeoutError: took longer than {timeout:g} minutes"
    remove_paths(notebook)
    if error:
        return error.strip().splitlines()[0]
    return None


def execute_once(
    notebook: Path,
    directory: Path,
    parameters: dict[str, Any],
    jobs: int,
    is_wanted: Callable[[], bool],
    modules: Mapping[str, str],
    warm: WarmProcess | None,
) -> tuple[str | None, bool]:
    """Execute a notebook in a new kernel; return its error, and whether its cells had begun."""
    import papermill
    from jupyter_core.utils import ensure_event_loop

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what fails is said by the runner
    # papermill formats the paths that it is given, so braces in them are doubled
    path = str(notebook).replace("{", "{{").replace("}", "}}")
    begun: list[bool] = []
    error = None
    private_directory = tempfile.TemporaryDirectory(prefix=f"kernel-{os.getpid()}-")
    with private_directory as private, share_of_host(jobs) as share:
        environment = os.environ | share | {"TMPDIR": private}
        if modules:
            environment["PYTHONPATH"] = write_modules(modules, Path(private, "modules"))
        try:
            papermill.execute_notebook(
                path,
                path,
                parameters,
                progress_bar=False,
                kernel_manager_class=private_kernel(private, environment, is_wanted, warm),
                resources={"metadata": {"path": str(directory)}},
                shutdown_kernel="immediate",
                on_notebook_start=lambda **_: begun.append(True),
            )
        except papermill.PapermillExecutionError as failure:
            error = f"{failure.ename}: {failure.evalue}"
        except Exception as failure:  # noqa: BLE001 - one failure must not stop the others
            error = f"{type(failure).__name__}: {failure}"
        ensure_event_loop().close()  # papermill's, which a new thread would leave open
    return error, bool(begun)


def private_kernel(
    private: str, environment: dict[str, str], is_wanted: Callable[[], bool], warm: WarmProcess | None
) -> type[Any]:
    """Return a kernel manager whose sockets lie in a private directory, and that kills what nobody wants."""
    from jupyter_client.asynchronous.client import AsyncKernelClient
    from jupyter_client.manager import AsyncKernelManager

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
        def __init__(self, **options: Any) -> None:
            super().__init__(
                transport="ipc",
                ip=f"{private}/ipc",
                connection_file=f"{private}/connection",
                client_factory=PromptClient,
                **options,
            )

        async def _async_pre_start_kernel(self, **options: Any) -> Any:
            if warm and self.provisioner is None:
                self.provisioner = forking_provisioner(
                    warm, is_wanted, parent=self, kernel_spec=self.kernel_spec
                )
            return await super()._async_pre_start_kernel(env=environment, **options)

        async def _async_is_alive(self) -> bool:  # which is asked several times a second
            if self.has_kernel and not is_wanted():
                await self._async_signal_kernel(signal.SIGKILL)
            return await super()._async_is_alive()

        async def _async_wait(
            self, pollinterval: float = 0.1
        ) -> None:  # until it has ended, once it was killed
            await super()._async_wait(pollinterval / 10)

    return PrivateKernel


def warm_up(notebook: str, own_modules: set[str], jobs: int, lease: Lease) -> WarmProcess | None:
    """Return the process that forks the kernels of a study's runs here, started if there is none yet.

    `own_modules` are the names of the modules that travel with the notebook. None where kernels are started as ever.
    """
    threads = threads_of_run(jobs)

    def start() -> WarmProcess:
        private = Path(tempfile.mkdtemp(prefix=f"kernel-{os.getpid()}-"))
        pinned = {"TMPDIR": str(private), "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
        return WarmProcess(notebook, own_modules, lease, private, os.environ | threads | pinned)

    return warm_process(f"{lease.holder} {hash_of(notebook)} {threads}", start)


def write_modules(modules: Mapping[str, str], place: Path) -> str:
    """Write modules where a kernel finds them; return its PYTHONPATH."""
    for name, source in modules.items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
    inherited = os.environ.get("PYTHONPATH")
    if inherited:
        return f"{place}{os.pathsep}{inherited}"
    return str(place)


def remove_paths(notebook: Path) -> None:
    """Remove the paths of this machine that papermill wrote into a notebook's metadata."""
    log = read_json(notebook)
    for key in ("input_path", "output_path"):
        log.get("metadata", {}).get("papermill", {}).pop(key, None)
    write_json(notebook, log)


def remove_dead_sockets() -> None:
    """Remove the private directories that runners left which were killed."""
    for left in Path(tempfile.gettempdir()).glob("kernel-*-*"):
        pid = left.name.split("-")[1]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
