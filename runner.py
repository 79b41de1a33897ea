"""Run a study: execute its template notebook once per configuration and keep every log.

Reads top to bottom as the story: run one, run all, summarise, command line. Before, study.py
loads and checks the study, finds the state of every configuration, and predicts what is left.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import click
import psutil
from filelock import FileLock, Timeout

from study import (
    NOTEBOOKS,
    Lease,
    State,
    Study,
    Task,
    accept_code,
    begin_attempt,
    check_outputs,
    check_place,
    extras,
    fail,
    finish_promotion,
    hash_of,
    in_words,
    installed,
    last_words,
    load_study,
    misfit,
    predict,
    read_history,
    read_json,
    read_run,
    required,
    settle,
    show_plan,
    state_of,
    write_json,
)  # fmt: skip

ROOT = Path(__file__).resolve().parent
MEMORY = 1.2e9  # bytes that a run takes at most, as tests/benchmark.py measures it


# --- run one ---
def run_once(task: Task, slots: dict[str, int]) -> tuple[Path, str | None]:
    """Execute a configuration in a new attempt, on one of the hosts in slots; return it and its error.

    Promotion is left to the runner that holds the study, so that nobody else replaces a result.
    """
    host, wanted = whereabouts(slots)
    started = time.monotonic()
    attempt = begin_attempt(task, cores_of_run(slots[host]))

    def awaited() -> bool:
        return wanted() and task.awaits(attempt)

    log = attempt / f"{task.name}.ipynb"
    with ThreadPoolExecutor(1) as apart:  # Dask's profiler keeps the stacks of a worker's own threads
        call = apart.submit(execute, log, attempt, task.parameters, slots[host], awaited, task.minutes)
        error = call.result()
    if not awaited():
        return attempt, "interrupted"
    run = read_run(attempt)
    seconds = round(run["seconds"] + time.monotonic() - started, 1)
    write_json(attempt / "run.json", run | {"seconds": seconds, "finished": True, "error": error})
    return attempt, error


def whereabouts(slots: dict[str, int]) -> tuple[str, Callable[[], bool]]:
    """Return the host that this runs on, and whether its cluster still wants what this thread does."""
    if "" in slots:
        return "", lambda: True
    from distributed import get_worker
    from distributed.comm import get_address_host

    worker = get_worker()
    work = worker.state.tasks[worker.get_current_task()]
    return get_address_host(worker.address), lambda: work.state == "executing"


def prepare(task: Task, host: str, jobs: int) -> str | None:
    """Make a host ready for its first run; return why it cannot run anything, if so."""
    remove_dead_sockets()
    if (error := misfit(task.lease, task.versions)) or not task.prepare:
        return error
    name, text = task.prepare
    log = task.lease.outputs / "incomplete" / f"{host} {name}".strip()
    log.parent.mkdir(exist_ok=True)
    log.write_text(text, encoding="utf-8")
    error = execute(log, task.lease.outputs, {}, jobs, task.lease.holds)
    if not error:
        log.unlink() if (place := task.lease.outputs / name).exists() else log.rename(place)
    return f"{name}: {error} ({log})" if error else None


def cores() -> list[int]:
    """Return the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else [*range(os.cpu_count() or 1)]


def cores_of_run(jobs: int) -> int:
    """Return the number of cores that each of the runs at a time has."""
    return max(1, len(cores()) // jobs)


def gpus() -> list[str]:
    """Return the GPUs that this process may use."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu for gpu in visible.split(",") if gpu not in ("", "-1")]
    with suppress(OSError, subprocess.SubprocessError):
        query = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout.split()
    return []


@contextmanager
def share_of_host(jobs: int) -> Iterator[dict[str, str]]:
    """Take a share of this host's cores, and a GPU; yield the environment for a kernel.

    The kernel inherits the cores of this thread. What is taken here no other run takes, whosever
    it is: a socket that is no file, and ends with this process, marks it.
    """
    allowed, devices, threads = cores(), gpus(), cores_of_run(jobs)
    share = {"TF_NUM_INTRAOP_THREADS": str(threads), "TF_NUM_INTEROP_THREADS": "1"}
    share |= {"OMP_NUM_THREADS": str(threads), "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    with ExitStack() as held:

        def take(names: Iterable[str], wanted: int) -> list[str]:
            taken: list[str] = []
            for name in names:
                if len(taken) < wanted:
                    with suppress(OSError):  # another run has it
                        held.enter_context(socket.socket(socket.AF_UNIX)).bind(f"\0notebook-run {name}")
                        taken.append(name)
            return taken

        if sys.platform == "linux":
            places = [f"gpu {gpu} {i}" for i in range(-(-jobs // max(1, len(devices)))) for gpu in devices]
            share |= [("CUDA_VISIBLE_DEVICES", place.split()[1]) for place in take(places, 1)]
            mine = take([f"core {core}" for core in allowed], threads)
            if len(mine) == threads:
                os.sched_setaffinity(0, [int(place.split()[1]) for place in mine])
                held.callback(os.sched_setaffinity, 0, allowed)
        yield share


def execute(
    notebook: Path, directory: Path, parameters: dict[str, Any], jobs: int, awaited: Callable[[], bool],
    minutes: float | None = None,
) -> str | None:  # fmt: skip
    """Execute a notebook in place, working in a directory; return its error's line, if any.

    The kernel talks over sockets in a directory that only this user can enter, and that goes with
    all its temporary files. It is killed as soon as nobody awaits it any more, or when its minutes
    are over.
    """
    import papermill
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_core.utils import ensure_event_loop

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what fails is said by the runner
    deadline = time.monotonic() + 60 * minutes if minutes else float("inf")

    class Kernel(AsyncKernelManager):
        def __init__(self, **options: Any) -> None:
            connection = {"ip": f"{private}/ipc", "connection_file": f"{private}/connection"}
            super().__init__(transport="ipc", **connection, **options)

        async def _async_pre_start_kernel(self, **options: Any) -> Any:
            environment = os.environ | share | {"TMPDIR": private}
            return await super()._async_pre_start_kernel(env=environment, **options)

        async def _async_is_alive(self) -> bool:
            if self.has_kernel and (time.monotonic() > deadline or not awaited()):
                await self._async_signal_kernel(signal.SIGKILL)
            return await super()._async_is_alive()

    # papermill formats the paths it is given, so braces in them are doubled
    path = str(notebook).replace("{", "{{").replace("}", "}}")
    options = {"kernel_manager_class": Kernel, "resources": {"metadata": {"path": str(directory)}}}
    ready: list[bool] = []
    options |= {"shutdown_kernel": "immediate", "on_notebook_start": lambda **_: ready.append(True)}
    for _ in range(3):  # a kernel that does not even start is given three tries
        error = None
        sockets = tempfile.TemporaryDirectory(prefix=f"kernel-{os.getpid()}-")
        with sockets as private, share_of_host(jobs) as share:
            try:
                papermill.execute_notebook(path, path, parameters, progress_bar=False, **options)
            except papermill.PapermillExecutionError as failure:
                error = f"{failure.ename}: {failure.evalue}"
            except Exception as failure:  # noqa: BLE001 - one failure must not stop the others
                error = f"{type(failure).__name__}: {failure}"
            ensure_event_loop().close()  # papermill's, which a new thread would leave open
        if ready or not error or not awaited():
            break
    if error and time.monotonic() > deadline:
        error = f"TimeoutError: took longer than {minutes:g} minutes"
    log = read_json(notebook)
    for key in ("input_path", "output_path"):
        log.get("metadata", {}).get("papermill", {}).pop(key, None)
    write_json(notebook, log)
    return error.strip().splitlines()[0] if error else None


def remove_dead_sockets() -> None:
    """Remove the directories of sockets that runners left which were killed."""
    for left in Path(tempfile.gettempdir()).glob("kernel-*-*"):
        pid = left.name.split("-")[1]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


# --- run all ---
class Pool(NamedTuple):
    """Where runs can go: this machine, or the hosts of a Dask cluster."""

    submit: Callable[..., Future[Any]]  # to one of these hosts: a function, with arguments
    slots: Callable[[], dict[str, int]]  # the runs at a time of each host; this machine is ""


def fit_hosts(pool: Pool, task: Task) -> Iterator[dict[str, int]]:
    """Prepare each host that comes; yield, whenever asked, the runs at a time of those that are fit."""
    preparing: dict[str, Future[str | None]] = {}
    said: set[str] = set()
    while True:
        slots = pool.slots()
        for host in slots.keys() - preparing.keys():
            preparing[host] = pool.submit([host], prepare, task, host, slots[host])
        outcomes = {k: each.exception() or each.result() for k, each in preparing.items() if each.done()}
        unfit = {host: f"{host} {error}".strip() for host, error in outcomes.items() if error}
        news = {host: f"{why}; not used" for host, why in unfit.items()}
        news |= {} if slots else {"": "waiting for workers"}
        news |= {f"{host} gone": f"{host} is gone" for host in preparing.keys() - slots.keys()}
        if unfit and len(unfit) == len(preparing):
            words = [f"no host can run this in {task.lease.outputs}", *unfit.values()]
            raise click.ClickException("\n  ".join(words))
        for host in news.keys() - said:
            click.echo(news[host])
        said |= news.keys()
        fit = {host: slots[host] for host in slots.keys() & outcomes.keys() - unfit.keys()}
        if not fit:
            left = [each for each in preparing.values() if not each.done()]
            wait(left or [Future()], timeout=0.5, return_when=FIRST_COMPLETED)
        yield fit


def run_all(
    tasks: list[Task], states: dict[str, State], seconds: dict[str, float], pool: Pool,
    hosts: Iterator[dict[str, int]],
) -> list[str]:  # fmt: skip
    """Run tasks, the last first, and promote what succeeds; return the errors of the others."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TimeRemainingColumn

    waiting = tasks.copy()
    pending: dict[Future[Any], tuple[Task, dict[str, int], float]] = {}  # where it may be, since when
    errors: list[str] = []
    bars: dict[str, Any] = {}
    console = Console(highlight=False, markup=False, soft_wrap=True)
    columns = ("{task.description}", BarColumn(), "{task.fields[at]}", TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        study = progress.add_task("study", total=len(tasks), at="")
        while waiting or pending:
            slots = next(hosts)
            for future, (task, where, _) in [*pending.items()] if slots else ():
                if not where.keys() & slots.keys():  # all of them are gone
                    future.cancel()
                    waiting.append(pending.pop(future)[0])
                    progress.remove_task(bars.pop(task.name))
            while waiting and len(pending) < sum(slots.values()):
                task = waiting.pop()
                total = task.parameters.get(task.lengthens or "")
                bars[task.name] = progress.add_task(task.name, total=total, at="")
                console.print(f"{task.name}: {states[task.name].begins}")
                pending[pool.submit([*slots], run_once, task, slots)] = task, slots, time.monotonic()
            done, _ = wait(pending, timeout=1, return_when=FIRST_COMPLETED)
            for future in done:
                task, _, started = pending.pop(future)
                progress.remove_task(bars.pop(task.name))
                error = settle(task, future)
                beside = f", {(time.monotonic() - started) / 60:.1f} minutes"
                beside += f" ({seconds[task.name] / 60:.1f} predicted)" if seconds else ""
                errors += [f"{task.name}: {error}"] if error else []
                console.print(f"{task.name}: {error or last_words(task.place) + beside}")
                progress.advance(study)
            for task, *_ in pending.values():
                if attempts := task.attempts():
                    epochs, at = len(read_history(attempts[-1])), last_words(attempts[-1])
                    progress.update(bars[task.name], completed=epochs, at=at)
    return errors


# --- summarise ---
def summarise(
    study: Study, tasks: dict[str, Task], states: dict[str, State], lease: Lease, pool: Pool,
    hosts: Iterator[dict[str, int]],
) -> list[str]:  # fmt: skip
    """Execute the summary again if anything that it shows has changed; return its error."""
    summary = lease.outputs / study.notebooks["summary"]
    shown = [(NOTEBOOKS / summary.name).read_text(encoding="utf-8")]
    shown += [json.dumps(study.record()), *extras(tasks, lease.outputs)]
    shown += [f"{name} {state} {read_run(tasks[name].place)}" for name, state in states.items()]
    shows = hash_of("\n".join(shown))
    click.echo(f"summary: {summary}")
    if read_json(summary).get("metadata", {}).get("shows") == shows:
        return []
    log = summary.with_name("incomplete") / summary.name
    log.parent.mkdir(exist_ok=True)
    shutil.copyfile(NOTEBOOKS / log.name, log)
    places = log.resolve(), lease.outputs.resolve()
    fit = next(filter(None, hosts))
    if error := pool.submit([*fit], execute, *places, {"outputs": "."}, 1, lease.holds).result():
        return [f"{log.name}: {error} ({log})"]
    notebook = read_json(log)
    write_json(log, notebook | {"metadata": notebook["metadata"] | {"shows": shows}})
    log.replace(summary)
    return []


# --- command line ---
@contextmanager
def this_machine(jobs: int) -> Iterator[Pool]:
    """Run a number of runs at a time on this machine."""
    with ThreadPoolExecutor(jobs) as executor:
        try:
            yield Pool(lambda _, *call: executor.submit(*call), lambda: {"": jobs})
        finally:
            executor.shutdown(cancel_futures=True)


@contextmanager
def cluster(address: str, lease: Lease, versions: dict[str, str]) -> Iterator[Pool]:
    """Run on a Dask cluster, as many at a time as its workers have threads."""
    import cloudpickle
    from distributed import Client, Security
    from distributed.comm import CommClosedError, connect, get_address_host

    place = f"--scheduler {address}"
    logging.disable()  # of Dask: what fails is said here
    cloudpickle.register_pickle_by_value(sys.modules[Lease.__module__])  # no worker has study.py

    def slots() -> dict[str, int]:
        threads: Counter[str] = Counter()
        for worker, number in client.nthreads().items():
            threads[get_address_host(worker)] += number
        return threads

    def submit(hosts: list[str], *call: Any) -> Any:
        packet = zlib.compress(cloudpickle.dumps(call))  # small, since Dask logs the last thousand
        return client.get_executor(pure=False, workers=hosts).submit(unpack_and_call, packet)

    def unpack_and_call(packet: bytes) -> Any:
        function, *arguments = pickle.loads(zlib.decompress(packet))
        return function(*arguments)

    async def reach() -> None:  # first, since a Client that cannot be made takes long to end
        comm = await connect(address, timeout=10, **Security().get_connection_args("client"))
        await comm.close()

    try:
        asyncio.run(reach())
    except Exception as error:  # noqa: BLE001 - an address, a network and TLS fail in many ways
        fail(place, f"cannot be reached: {error}")
    warnings.filterwarnings("ignore", "Mismatched versions")  # which are compared here
    try:
        with Client(address, timeout=10, set_as_default=False) as client:
            ours = platform.python_version()
            for worker, python in client.run(platform.python_version).items():
                if python.split(".")[:2] != ours.split(".")[:2]:  # functions travel between equals
                    fail(place, f"{get_address_host(worker)} has Python {python}, not {ours}")
            answers = client.run(lambda: misfit(lease, versions), on_error="return")
            for worker, answer in answers.items():
                if isinstance(answer, str):
                    fail(place, f"{get_address_host(worker)} {answer}")
            yield Pool(submit, slots)
    except (CancelledError, CommClosedError, TimeoutError) as error:
        raise click.ClickException(f"{place}: is lost; the same command goes on from here") from error


@contextmanager
def hold(lease: Lease, pool: AbstractContextManager[Pool]) -> Iterator[Pool]:
    """Take the study for this runner alone; when interrupted, end its kernels and say so."""
    lock = lease.outputs / ".lock"
    try:
        lease.outputs.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=0):
            lock.write_text(lease.holder, encoding="utf-8")
            with pool as entered:
                try:
                    yield entered
                except BaseException as end:
                    os.truncate(lock, 0)  # every kernel of this runner looks here
                    if isinstance(end, SystemExit):
                        click.echo("Stopped. The same command goes on from here.", err=True)
                    raise
    except Timeout:
        holder = lock.read_text(encoding="utf-8").partition(" ")[0]
        fail(str(lease.outputs), f"process {holder} is running this study; wait or stop it")
    except OSError as error:  # a full disk or a read-only directory
        raise click.ClickException(f"{error.filename or lease.outputs}: {error.strerror}") from error


def default_jobs() -> int:
    """Return the number of runs at a time: one a GPU, else one a core, fewer where memory is short."""
    return len(gpus()) or max(1, min(len(cores()), int(psutil.virtual_memory().available // MEMORY)))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("study", default="params/fashion_mnist.yaml")
@click.option("--only", multiple=True, metavar="GLOB", help="Run only these configurations.")
@click.option("-p", "--parameter", "overrides", nargs=2, multiple=True, metavar="NAME VALUE",
              help="Override in every configuration; outputs go to <study>+NAME=VALUE.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1), help="Runs at a time; default: one a core.")
@click.option("--scheduler", metavar="ADDRESS", help="Run on a Dask cluster, a run a worker's thread.")
@click.option("--outputs", metavar="DIR", help="Instead of outputs/<study>.")
@click.option("--timeout", "minutes", type=click.FloatRange(0, min_open=True), metavar="MINUTES",
              help="End an attempt that takes longer.")  # fmt: skip
@click.option("--accept", is_flag=True, help="Take runs of changed code as current, and record it.")
@click.option("--dry-run", is_flag=True, help="Say what would run and why; run nothing.")
def main(
    study: str, only: tuple[str, ...], overrides: tuple[tuple[str, str], ...], accept: bool, dry_run: bool,
    jobs: int | None, scheduler: str | None, outputs: str | None, minutes: float | None,
) -> None:  # fmt: skip
    """Run what is not complete in STUDY, then rebuild its summary; paths begin where runner.py is."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    if jobs and scheduler:
        fail("--jobs", "goes without --scheduler: workers' threads say how many runs they take")
    asked = load_study(Path(os.path.relpath(ROOT / study)), overrides)
    home = Path(os.path.relpath(ROOT / (outputs or Path("outputs", asked.directory))))
    jobs, lease = jobs or default_jobs(), Lease(home, f"{os.getpid()} {time.time_ns()}")
    versions = installed(required()) if scheduler else {}
    shared: Any = (asked.template, asked.lengthens, minutes, lease, asked.prepare, versions)
    tasks = {k: Task(k, v, asked.flops[k], *shared) for k, v in asked.configurations.items()}
    check_outputs(asked, home, bool(outputs))
    selected = [tasks[name] for name in asked.select(only)]
    for task in selected:
        check_place(task)
    if dry_run:
        states = {task.name: state_of(task) for task in selected}
        return show_plan(tasks, states, jobs, predict(tasks, states, cores_of_run(jobs)))
    with hold(lease, cluster(scheduler, lease, versions) if scheduler else this_machine(jobs)) as pool:
        for task in tasks.values():
            finish_promotion(task)
        for task in selected if accept else ():
            accept_code(task)
        states = {task.name: state_of(task) for task in tasks.values()}
        todo = [task for task in selected if states[task.name].kind != "complete"]
        todo.sort(key=lambda task: task.flops * states[task.name].left)  # the last one runs first
        write_json(home / "study.json", asked.record())
        click.echo(f"{len(selected) - len(todo)} of {len(selected)} complete")
        for name in extras(tasks, home):
            click.echo(f"extra, not in the study: {name}")
        errors, hosts = [], fit_hosts(pool, selected[0])
        if todo:
            jobs = sum(pool.slots().values()) or 1
            threads = 1 if scheduler else cores_of_run(jobs)  # a thread of a worker is a core
            seconds = predict(tasks, {task.name: states[task.name] for task in todo}, threads)
            started = time.monotonic()
            errors += run_all(todo, states, seconds, pool, hosts)
            took = f"{(time.monotonic() - started) / 60:.1f} minutes"
            click.echo(f"{len(todo)} runs took {took}; predicted: {in_words(seconds, jobs)}")
            states |= {task.name: state_of(task) for task in todo}
        if "summary" in asked.notebooks:
            errors += summarise(asked, tasks, states, lease, pool, hosts)
    if errors:
        raise click.ClickException("\n  ".join([f"{len(errors)} failed", *errors]))


if __name__ == "__main__":
    main()
