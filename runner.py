"""Run a study: execute its template notebook once per configuration and keep every log.

Reads top to bottom as the story: run one, run all, summarise, command line. Before, study.py
loads and checks the study, finds the state of every configuration, and predicts what is left.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from study import (
    CHECKPOINT,
    NOTEBOOKS,
    Lease,
    State,
    Study,
    Task,
    check_outputs,
    differences,
    fail,
    hash_of,
    in_words,
    load_study,
    predict,
    read_history,
    read_json,
    read_run,
    resume_point,
    show_plan,
    state_of,
    write_json,
)  # fmt: skip

ROOT = Path(__file__).resolve().parent
MEMORY = 1.2e9  # bytes that a run takes at most, as tests/benchmark.py measures it


# --- run one ---
def run_once(task: Task, jobs: int) -> tuple[Path, str | None]:
    """Execute a configuration in a new attempt; return its directory and its error, if any.

    Promotion is left to the runner that holds the study, so that nobody else replaces a result.
    """
    started = time.monotonic()
    attempt = begin_attempt(task, cores_of_run(jobs))
    log = attempt / f"{task.name}.ipynb"
    error = execute(log, attempt, task.parameters, jobs, task.lease, task.minutes)
    if not task.lease.holds():
        return attempt, "interrupted"
    run = read_run(attempt)
    seconds = round(run["seconds"] + time.monotonic() - started, 1)
    write_json(attempt / "run.json", run | {"seconds": seconds, "finished": True, "error": error})
    return attempt, error


def begin_attempt(task: Task, threads: int) -> Path:
    """Make the directory of a new attempt, with the files of the one it goes on from."""
    start, attempts = resume_point(task), task.attempts()
    attempt = task.incomplete / str(int(attempts[-1].name) + 1 if attempts else 1)
    attempt.mkdir(parents=True)
    run: dict[str, Any] = {"configuration": task.name, "parameters": task.parameters}
    run |= {"code": task.template.hash, "flops": task.flops, "cores": threads}
    run |= {"seconds": 0.0, "attempts": 0}
    run |= {"started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    if start:
        before = read_run(start)
        run |= {key: before[key] for key in ("seconds", "attempts", "started")}
        # oldest first: a history that is copied after its checkpoint is never behind it
        files = sorted(start.iterdir(), key=lambda path: path.stat().st_mtime)
        if not before["finished"]:  # killed: it lived to its last file
            lived = files[-1].stat().st_mtime - (start / "run.json").stat().st_mtime
            run["seconds"] = round(run["seconds"] + lived, 1)
        for file in files:
            if file.is_file() and file.suffix != ".ipynb" and file.name != "run.json":
                shutil.copy2(file, attempt / file.name)
    (attempt / f"{task.name}.ipynb").write_text(task.template.text, encoding="utf-8")
    run |= {"attempts": run["attempts"] + 1, "finished": False, "error": None}
    write_json(attempt / "run.json", run)  # last: from now on the attempt counts
    for old in attempts[:-1]:
        shutil.rmtree(old)
    return attempt


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
    allowed, devices = cores(), gpus()
    threads = cores_of_run(jobs)
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
    notebook: Path, directory: Path, parameters: dict[str, Any], jobs: int, lease: Lease,
    minutes: float | None = None,
) -> str | None:  # fmt: skip
    """Execute a notebook in place, working in a directory; return its error's line, if any.

    The kernel talks over sockets in a directory that only this user can enter. It is killed as
    soon as the runner that asked for it no longer holds the study, or when its minutes are over.
    """
    import papermill
    from jupyter_client.manager import AsyncKernelManager

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what fails is said by the runner
    deadline = time.monotonic() + 60 * minutes if minutes else float("inf")

    class Kernel(AsyncKernelManager):
        def __init__(self, **options: Any) -> None:
            connection = {"ip": f"{private}/ipc", "connection_file": f"{private}/connection"}
            super().__init__(transport="ipc", **connection, **options)

        async def _async_pre_start_kernel(self, **options: Any) -> Any:
            return await super()._async_pre_start_kernel(env=os.environ | share, **options)

        async def _async_is_alive(self) -> bool:
            if self.has_kernel and (time.monotonic() > deadline or not lease.holds()):
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
        if ready or not error or not lease.holds():
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
    import psutil

    for left in Path(tempfile.gettempdir()).glob("kernel-*-*"):
        pid = left.name.split("-")[1]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def promote(task: Task, attempt: Path) -> None:
    """Move a successful attempt to its final place; the old result stays until then."""
    kept = (path for path in attempt.iterdir() if path.name not in ("run.json", CHECKPOINT))
    files = {path.name: hash_of(path.read_bytes()) for path in kept if path.is_file()}
    write_json(attempt / "run.json", read_run(attempt) | {"files": files})
    if task.place.exists():
        task.place.rename(task.incomplete / "replaced")
    attempt.rename(task.place)
    shutil.rmtree(task.incomplete)


def finish_promotion(task: Task) -> None:
    """Complete a promotion that was cut short, at whatever point."""
    replaced = task.incomplete / "replaced"
    if replaced.exists() and task.place.exists():
        shutil.rmtree(task.incomplete)
    for attempt in task.attempts()[-1:]:
        run = read_run(attempt)
        if run.get("finished") and not run["error"] and not differences(task, attempt):
            return promote(task, attempt)
    if replaced.exists():
        replaced.rename(task.place)


# --- run all ---
def run_all(tasks: list[Task], seconds: dict[str, float], executor: Executor, jobs: int) -> list[str]:
    """Run tasks, the last first, and promote what succeeds; return the errors of the others."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TimeRemainingColumn

    waiting = tasks.copy()
    pending: dict[Future[tuple[Path, str | None]], Task] = {}
    errors: list[str] = []
    bars: dict[str, Any] = {}
    started: dict[str, float] = {}
    console = Console(highlight=False, markup=False, soft_wrap=True)
    columns = ("{task.description}", BarColumn(), "{task.fields[at]}", TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        study = progress.add_task("study", total=len(tasks), at="")
        while waiting or pending:
            while waiting and len(pending) < jobs:
                task = waiting.pop()
                total = task.parameters.get(task.lengthens or "")
                bars[task.name] = progress.add_task(task.name, total=total, at="")
                console.print(f"{task.name}: started")
                started[task.name] = time.monotonic()
                pending[executor.submit(run_once, task, jobs)] = task
            done, _ = wait(pending, timeout=1, return_when=FIRST_COMPLETED)
            for future, task in [(future, pending.pop(future)) for future in done]:
                error = settle(task, future)
                beside = f", {(time.monotonic() - started[task.name]) / 60:.1f} minutes"
                beside += f" ({seconds[task.name] / 60:.1f} predicted)" if seconds else ""
                errors += [f"{task.name}: {error}"] if error else []
                console.print(f"{task.name}: {error or last_words(task.place) + beside}")
                progress.remove_task(bars.pop(task.name))
                progress.advance(study)
            for task in pending.values():
                if attempts := task.attempts():
                    epochs, at = len(read_history(attempts[-1])), last_words(attempts[-1])
                    progress.update(bars[task.name], completed=epochs, at=at)
    return errors


def settle(task: Task, future: Future[tuple[Path, str | None]]) -> str | None:
    """Promote a run that succeeded; return the error, with the log's path, of one that did not."""
    try:
        attempt, error = future.result()
        if not error:
            promote(task, attempt)
    except OSError as failure:  # a full disk, say: the other runs go on
        attempt, error = (task.attempts() or [task.incomplete])[-1], str(failure)
    return f"{error} ({attempt / f'{task.name}.ipynb'})" if error else None


def last_words(directory: Path) -> str:
    """Say how many epochs a run has, its last loss, and whether it diverged."""
    history = read_history(directory)
    last = history[-1] if history else {}
    words = [f"{name} {last[name]:.7}" for name in ("val_loss", "loss") if name in last][:1]
    if epoch := read_json(directory / "result.json").get("diverged"):
        words.append(f"diverged at epoch {epoch}")
    return ", ".join([f"{len(history)} epochs", *words])


# --- summarise ---
def execute_beside(role: str, study: Study, lease: Lease, executor: Executor, shows: str = "") -> list[str]:
    """Execute the prepare or the summary notebook, then move it to its place; return its error."""
    place = lease.outputs / study.notebooks[role]
    log = place.with_name("incomplete") / place.name
    log.parent.mkdir(exist_ok=True)
    shutil.copyfile(NOTEBOOKS / log.name, log)
    given = {"outputs": "."} if role == "summary" else {}
    error = executor.submit(execute, log, place.parent, given, 1, lease).result()
    if error:
        return [f"{log.name}: {error} ({log})"]
    notebook = read_json(log)
    write_json(log, notebook | {"metadata": notebook["metadata"] | {"shows": shows}})
    if role == "summary" or not place.exists():
        log.replace(place)
    return []


def summarise(
    study: Study, tasks: dict[str, Task], states: dict[str, State], lease: Lease, executor: Executor
) -> list[str]:
    """Execute the summary again if anything that it shows has changed; return its error."""
    summary = lease.outputs / study.notebooks["summary"]
    shown = [(NOTEBOOKS / summary.name).read_text(encoding="utf-8")]
    shown += [json.dumps(study.record()), *extras(tasks, lease.outputs)]
    shown += [f"{name} {state} {read_run(tasks[name].place)}" for name, state in states.items()]
    shows = hash_of("\n".join(shown))
    click.echo(f"summary: {summary}")
    if read_json(summary).get("metadata", {}).get("shows") == shows:
        return []
    return execute_beside("summary", study, lease, executor, shows)


def extras(tasks: dict[str, Task], outputs: Path) -> list[str]:
    """Return the names of runs on disk that the study does not have."""
    found = {path.parent.name for path in outputs.glob("*/run.json")}
    found |= {path.parent.parent.name for path in outputs.glob("incomplete/*/*/run.json")}
    return sorted(found - set(tasks))


# --- command line ---
@contextmanager
def hold(lease: Lease, study: Study, jobs: int) -> Iterator[Executor]:
    """Take the study for this runner alone; when interrupted, end its kernels and say so."""
    from filelock import FileLock, Timeout

    lock, record = lease.outputs / ".lock", lease.outputs / "study.json"
    if record.exists() and not read_json(record):
        click.echo(f"{record} is damaged: it is written anew")
    try:
        lease.outputs.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=0), ThreadPoolExecutor(jobs) as executor:
            lock.write_text(lease.holder, encoding="utf-8")
            remove_dead_sockets()
            try:
                yield executor
            except BaseException:
                os.truncate(lock, 0)  # every kernel of this runner looks here
                executor.shutdown(cancel_futures=True)
                click.echo("Stopped. The same command goes on from here.", err=True)
                raise
    except Timeout:
        holder = lock.read_text(encoding="utf-8").partition(" ")[0]
        fail(str(lease.outputs), f"process {holder} is running this study; wait or stop it")
    except OSError as error:  # a full disk or a read-only directory
        message = f"{error.filename or lease.outputs}: {error.strerror}"
        raise click.ClickException(message) from error


def default_jobs() -> int:
    """Return the number of runs at a time: one a GPU, else one a core, fewer where memory is short."""
    import psutil

    return len(gpus()) or max(1, min(len(cores()), int(psutil.virtual_memory().available // MEMORY)))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("study", default="params/fashion_mnist.yaml")
@click.option("--only", multiple=True, metavar="GLOB", help="Run only these configurations.")
@click.option("-p", "--parameter", "overrides", nargs=2, multiple=True, metavar="NAME VALUE",
              help="Override in every configuration; outputs go to <study>+NAME=VALUE.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1), help="Runs at a time; default: one a core.")
@click.option("--outputs", metavar="DIR", help="Instead of outputs/<study>.")
@click.option("--timeout", "minutes", type=click.FloatRange(0, min_open=True), metavar="MINUTES",
              help="End an attempt that takes longer.")  # fmt: skip
@click.option("--accept", is_flag=True, help="Take runs of changed code as current, and record it.")
@click.option("--dry-run", is_flag=True, help="Say what would run and why; run nothing.")
def main(
    study: str, only: tuple[str, ...], overrides: tuple[tuple[str, str], ...],
    jobs: int | None, outputs: str | None, minutes: float | None, accept: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Run what is not complete in STUDY, then rebuild its summary."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    asked = load_study(Path(os.path.relpath(ROOT / study)), overrides)
    home = Path(os.path.relpath(ROOT / (outputs or Path("outputs", asked.directory))))
    jobs, lease = jobs or default_jobs(), Lease(home, f"{os.getpid()} {time.time_ns()}")
    shared: Any = (asked.template, asked.lengthens, minutes, lease)
    tasks = {k: Task(k, v, asked.flops[k], *shared) for k, v in asked.configurations.items()}
    check_outputs(asked, home, bool(outputs))
    selected = [tasks[name] for name in asked.select(only)]
    for task in selected:
        traces = (task.place / "run.json", task.place / f"{task.name}.ipynb")
        if task.place.exists() and not any(trace.exists() for trace in traces):
            fail(str(task.place), "is in the way and holds no run; move it, or rename the configuration")
    if dry_run:
        states = {task.name: state_of(task) for task in selected}
        return show_plan(tasks, states, jobs, predict(tasks, states, cores_of_run(jobs)))
    with hold(lease, asked, jobs) as executor:
        for task in tasks.values():
            finish_promotion(task)
        for task in selected if accept else ():
            run, changed = read_run(task.place), differences(task, task.place)
            if run and changed == [f"{task.template.file} changed"]:
                accepted = {"accepted": [*run.get("accepted", []), run["code"]], "code": task.template.hash}
                write_json(task.place / "run.json", run | accepted)
        states = {task.name: state_of(task) for task in tasks.values()}
        todo = [task for task in selected if states[task.name].kind != "complete"]
        todo.sort(key=lambda task: task.flops * states[task.name].left)  # the last one runs first
        write_json(home / "study.json", asked.record())
        click.echo(f"{len(selected) - len(todo)} of {len(selected)} complete")
        for name in extras(tasks, home):
            click.echo(f"extra, not in the study: {name}")
        prepare = todo and "prepare" in asked.notebooks
        errors = execute_beside("prepare", asked, lease, executor) if prepare else []
        if todo and not errors:
            seconds = predict(tasks, {task.name: states[task.name] for task in todo}, cores_of_run(jobs))
            started = time.monotonic()
            errors += run_all(todo, seconds, executor, jobs)
            took = f"{(time.monotonic() - started) / 60:.1f} minutes"
            click.echo(f"{len(todo)} runs took {took}; predicted: {in_words(seconds, jobs)}")
            states |= {task.name: state_of(task) for task in todo}
        if "summary" in asked.notebooks and not (prepare and errors):
            errors += summarise(asked, tasks, states, lease, executor)
    if errors:
        message = "\n  ".join([f"{len(errors)} failed", *errors])
        raise click.ClickException(message)


if __name__ == "__main__":
    main()
