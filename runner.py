"""Run a study: execute its template notebook once per configuration and keep every log.

Reads top to bottom as the story: find the state of every configuration, run one, run all,
summarise, command line; study.py loads and checks the study before. The file system is the state:
a directory in its final place, outputs/<study>/<configuration>/, is complete by construction.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from study import NOTEBOOKS, Study, Template, check_outputs, fail, hash_of, load_study, read_json, write_json

ROOT = Path(__file__).resolve().parent
CHECKPOINT, HISTORY = "model.keras", "history.csv"  # what a run goes on from, and its epochs


@dataclass(frozen=True)
class Lease:
    """The right of one runner to write a study's outputs, for as long as the lock file says so."""

    outputs: Path
    holder: str  # process id and start of the runner

    def holds(self) -> bool:
        """Tell whether the runner still holds the study."""
        with suppress(OSError):
            return (self.outputs / ".lock").read_text(encoding="utf-8") == self.holder
        return True


@dataclass(frozen=True)
class Task:
    """One configuration to run, with all that a worker needs for it."""

    name: str
    parameters: dict[str, Any]
    flops: float
    template: Template
    lengthens: str | None
    threads: int
    minutes: float | None  # that an attempt may take
    lease: Lease

    @property
    def place(self) -> Path:
        """Where the complete run lies."""
        return self.lease.outputs / self.name

    @property
    def incomplete(self) -> Path:
        """Where the attempts lie that are running, interrupted or failed."""
        return self.lease.outputs / "incomplete" / self.name

    def attempts(self) -> list[Path]:
        """Return the directories of the attempts, oldest first."""
        found = (path for path in self.incomplete.glob("*") if path.name.isdecimal())
        return sorted(found, key=lambda path: int(path.name))


@dataclass(frozen=True)
class State:
    """What is on disk for a configuration, why it is not complete, and the share left to do."""

    kind: str  # complete, unfinished, stale or missing
    why: str = ""
    left: float = 1.0


# --- the state of every configuration ---
def read_run(directory: Path) -> dict[str, Any]:
    """Return what run.json says of a run or an attempt, empty where it is missing or damaged."""
    run = read_json(directory / "run.json")
    kinds: dict[str, Any] = {"parameters": dict, "code": str, "started": str, "seconds": float}
    kinds |= {"attempts": int, "finished": bool, "error": str | None}
    return run if all(isinstance(run.get(key, ...), kind) for key, kind in kinds.items()) else {}


def damage(directory: Path, run: dict[str, Any]) -> list[str]:
    """Return the files of a complete run that are not as they were; a log may be saved again."""

    def is_intact(file: Path, digest: str) -> bool:
        with suppress(OSError):
            return hash_of(file.read_bytes()) == digest or bool(read_json(file).get("cells"))
        return False

    return [name for name, digest in run.get("files", {}).items() if not is_intact(directory / name, digest)]


def read_history(directory: Path) -> list[dict[str, str]]:
    """Return the rows of a run's history, one an epoch, none where there is no history."""
    with suppress(OSError, csv.Error, ValueError):
        return list(csv.DictReader((directory / HISTORY).read_text().splitlines()))
    return []


def state_of(task: Task) -> State:
    """Find what is on disk for a configuration; the first state that fits."""
    run = read_run(task.place)
    changes = differences(task, task.place)
    changes += [f"{name} is damaged" for name in damage(task.place, run)]
    if run and not changes:
        return State("complete", left=0.0)
    start = resume_point(task)
    epoch, epochs = len(read_history(start or task.place)), task.parameters.get(task.lengthens or "", 0)
    goes_on = bool(start and epochs and is_whole(start / CHECKPOINT))
    left = max(0.0, 1 - epoch / epochs) if goes_on else 1.0
    if start and start != task.place:
        return State("unfinished", read_run(start)["error"] or f"interrupted at epoch {epoch}", left)
    if not run:
        return State("stale", "run.json is damaged") if task.place.exists() else State("missing")
    changes.append(f"goes on from epoch {epoch}" if goes_on else "starts over")
    if start and not goes_on:
        changes[-1] += f": {CHECKPOINT} is {'damaged' if (start / CHECKPOINT).exists() else 'not here'}"
    return State("stale", ", ".join(changes), left)


def is_whole(checkpoint: Path) -> bool:
    """Tell whether a checkpoint is there and its content is what was written."""
    with suppress(Exception):  # a damaged archive shows in many ways
        return zipfile.ZipFile(checkpoint).testzip() is None
    return False


def differences(task: Task, directory: Path, may_grow: bool = False) -> list[str]:
    """Say what a run was made with that is not today's; what lengthens it may have grown."""
    run = read_run(directory)
    was = task.template.defaults | run.get("parameters", {})
    changes = [
        f"{name} {was[name]} -> {value}"
        for name, value in task.parameters.items()
        if was[name] != value and not (may_grow and name == task.lengthens and was[name] < value)
    ]
    same = task.template.is_same_code(run.get("code", ""), directory / f"{task.name}.ipynb")
    return changes + ([] if same else [f"{task.template.file} changed"])


def resume_point(task: Task) -> Path | None:
    """Return the newest directory that the next attempt can go on from, with a whole checkpoint if any."""
    usable = []
    for directory in [*reversed(task.attempts()), task.place]:
        run = read_run(directory)
        if run and not differences(task, directory, may_grow=True) and HISTORY not in damage(directory, run):
            usable.append(directory)
    return next((path for path in usable if is_whole(path / CHECKPOINT)), usable[0] if usable else None)


# --- run one ---
def run_once(task: Task) -> tuple[Path, str | None]:
    """Execute a configuration in a new attempt; return its directory and its error, if any.

    Promotion is left to the runner that holds the study, so that nobody else replaces a result.
    """
    started = time.monotonic()
    attempt = begin_attempt(task)
    log = attempt / f"{task.name}.ipynb"
    error = execute(log, attempt, task.parameters, task.threads, task.lease, task.minutes)
    if not task.lease.holds():
        return attempt, "interrupted"
    run = read_run(attempt)
    seconds = round(run["seconds"] + time.monotonic() - started, 1)
    write_json(attempt / "run.json", run | {"seconds": seconds, "finished": True, "error": error})
    return attempt, error


def begin_attempt(task: Task) -> Path:
    """Make the directory of a new attempt, with the files of the one it goes on from."""
    start, attempts = resume_point(task), task.attempts()
    attempt = task.incomplete / str(int(attempts[-1].name) + 1 if attempts else 1)
    attempt.mkdir(parents=True)
    run: dict[str, Any] = {"configuration": task.name, "parameters": task.parameters}
    run |= {"code": task.template.hash, "seconds": 0.0, "attempts": 0}
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


def execute(
    notebook: Path, directory: Path, parameters: dict[str, Any], threads: int, lease: Lease,
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
            share = {"TF_NUM_INTRAOP_THREADS": str(threads), "TF_NUM_INTEROP_THREADS": "1"}
            share["OMP_NUM_THREADS"] = str(threads)
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
        with tempfile.TemporaryDirectory(prefix=f"kernel-{os.getpid()}-") as private:
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
def run_all(tasks: list[Task], executor: Executor) -> list[str]:
    """Run tasks, costliest first, and promote what succeeds; return the errors of the others."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TimeRemainingColumn

    tasks = sorted(tasks, key=lambda task: task.flops * state_of(task).left, reverse=True)
    pending = {executor.submit(run_once, task): task for task in tasks}
    errors: list[str] = []
    bars: dict[str, Any] = {}
    console = Console(highlight=False, markup=False, soft_wrap=True)
    columns = ("{task.description}", BarColumn(), "{task.fields[at]}", TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        study = progress.add_task("study", total=len(tasks), at="")
        while pending:
            done, _ = wait(pending, timeout=1, return_when=FIRST_COMPLETED)
            for future in [future for future in pending if future in done or future.running()]:
                task = pending[future]
                if task.name not in bars:
                    total = task.parameters.get(task.lengthens or "")
                    bars[task.name] = progress.add_task(task.name, total=total, at="")
                    console.print(f"{task.name}: started")
                if future in done:
                    error = settle(pending.pop(future), future)
                    errors += [f"{task.name}: {error}"] if error else []
                    console.print(f"{task.name}: {error or last_words(task.place)}")
                    progress.remove_task(bars[task.name])
                    progress.advance(study)
                elif attempts := task.attempts():
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
def execute_beside(role: str, study: Study, task: Task, executor: Executor, shows: str = "") -> list[str]:
    """Execute the prepare or the summary notebook, then move it to its place; return its error."""
    place = task.lease.outputs / study.notebooks[role]
    log = place.with_name("incomplete") / place.name
    log.parent.mkdir(exist_ok=True)
    shutil.copyfile(NOTEBOOKS / log.name, log)
    given = {"outputs": "."} if role == "summary" else {}
    error = executor.submit(execute, log, place.parent, given, task.threads, task.lease).result()
    if error:
        return [f"{log.name}: {error} ({log})"]
    notebook = read_json(log)
    write_json(log, notebook | {"metadata": notebook["metadata"] | {"shows": shows}})
    if role == "summary" or not place.exists():
        log.replace(place)
    return []


def summarise(study: Study, tasks: dict[str, Task], outputs: Path, executor: Executor) -> list[str]:
    """Execute the summary again if anything that it shows has changed; return its error."""
    summary = outputs / study.notebooks["summary"]
    shown = [(NOTEBOOKS / summary.name).read_text(encoding="utf-8")]
    shown += [json.dumps(study.record()), *extras(tasks, outputs)]
    shown += [f"{t.name} {state_of(t)} {read_run(t.place)}" for t in tasks.values()]
    shows = hash_of("\n".join(shown))
    click.echo(f"summary: {summary}")
    if read_json(summary).get("metadata", {}).get("shows") == shows:
        return []
    return execute_beside("summary", study, next(iter(tasks.values())), executor, shows)


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
            write_json(record, study.record())
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


def show_plan(tasks: list[Task], jobs: int) -> None:
    """Print what would run and why, what it costs, and how long it will take."""
    runs = [(task, read_run(task.place)) for task in tasks]
    seconds = sum(run["seconds"] for _, run in runs if run)
    rate = sum(task.flops for task, run in runs if run) / seconds if seconds else 0.0
    rows = [(task, state_of(task)) for task in tasks]
    width = max(len(task.name) for task in tasks)
    if len(tasks) <= 60:  # more than that are only counted
        click.echo(f"{'configuration':{width}}  {'state':10}    TFLOP  minutes  why")
        for task, state in rows:
            flops = task.flops * state.left
            minutes = f"{flops / rate / 60:7.1f}" if rate else "      ?"
            cells = [f"{task.name:{width}}", f"{state.kind:10}", f"{flops / 1e12:7.2f}", minutes]
            click.echo("  ".join([*cells, state.why]).rstrip())
    kinds, total = [state.kind for _, state in rows], sum(t.flops * s.left for t, s in rows)
    click.echo(", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)))
    when = f"about {total / rate / 60 / jobs:.0f} minutes" if rate else "no finished run to go by"
    click.echo(f"{total / 1e12:.2f} TFLOP to do, {jobs} at a time: {when}")


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
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    jobs, lease = jobs or cores, Lease(home, f"{os.getpid()} {time.time_ns()}")
    shared: Any = (asked.template, asked.lengthens, max(1, cores // jobs), minutes, lease)
    tasks = {k: Task(k, v, asked.flops[k], *shared) for k, v in asked.configurations.items()}
    check_outputs(asked, home, bool(outputs))
    selected = [tasks[name] for name in asked.select(only)]
    for task in selected:
        traces = (task.place / "run.json", task.place / f"{task.name}.ipynb")
        if task.place.exists() and not any(trace.exists() for trace in traces):
            fail(str(task.place), "is in the way and holds no run; move it, or rename the configuration")
    if dry_run:
        return show_plan(selected, jobs)
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
        write_json(home / "study.json", asked.record())
        click.echo(f"{len(selected) - len(todo)} of {len(selected)} complete")
        for name in extras(tasks, home):
            click.echo(f"extra, not in the study: {name}")
        prepare = todo and "prepare" in asked.notebooks
        errors = execute_beside("prepare", asked, todo[0], executor) if prepare else []
        if not errors:
            errors += run_all(todo, executor) if todo else []
            errors += summarise(asked, tasks, home, executor) if "summary" in asked.notebooks else []
    if errors:
        message = "\n  ".join([f"{len(errors)} failed", *errors])
        raise click.ClickException(message)


if __name__ == "__main__":
    main()
