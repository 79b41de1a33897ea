"""Run a study: execute its template notebook once per configuration and keep every log.

Reads top to bottom as the story: find the state of every configuration, run one, run all,
summarise, command line; study.py loads and checks the study before. The file system is the state:
a directory in its final place, outputs/<study>/<configuration>/, is complete by construction.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from study import NOTEBOOKS, Study, Template, fail, hash_of, load_study, read_json, write_json

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
        return sorted(self.incomplete.glob("[0-9]*"), key=lambda path: int(path.name))


@dataclass(frozen=True)
class State:
    """What is on disk for a configuration, why it is not complete, and the share left to do."""

    kind: str  # complete, unfinished, stale or missing
    why: str = ""
    left: float = 1.0


# --- the state of every configuration ---
def read_history(directory: Path) -> list[dict[str, str]]:
    """Return the rows of a run's history, one an epoch, none where there is no history."""
    with suppress(OSError, csv.Error, ValueError):
        return list(csv.DictReader((directory / HISTORY).read_text().splitlines()))
    return []


def state_of(task: Task) -> State:
    """Find what is on disk for a configuration; the first state that fits."""
    run = read_json(task.place / "run.json")
    changes = differences(task, task.place)
    if run and not changes:
        return State("complete", left=0.0)
    start = resume_point(task)
    epoch, epochs = len(read_history(start or task.place)), task.parameters.get(task.lengthens or "", 0)
    goes_on = bool(start and epochs and (start / CHECKPOINT).exists())
    left = max(0.0, 1 - epoch / epochs) if goes_on else 1.0
    if start and start != task.place:
        error = read_json(start / "run.json")["error"]
        return State("unfinished", error or f"interrupted at epoch {epoch}", left)
    if start:
        changes.append(f"goes on from epoch {epoch}" if goes_on else f"no {CHECKPOINT}: starts over")
    return State("stale", ", ".join(changes), left) if run else State("missing")


def differences(task: Task, directory: Path, may_grow: bool = False) -> list[str]:
    """Say what a run was made with that is not today's; what lengthens it may have grown."""
    run = read_json(directory / "run.json")
    was = task.template.defaults | run.get("parameters", {})
    changes = [
        f"{name} {was[name]} -> {value}"
        for name, value in task.parameters.items()
        if was[name] != value and not (may_grow and name == task.lengthens and was[name] < value)
    ]
    same = task.template.is_same_code(run.get("code", ""), directory / f"{task.name}.ipynb")
    return changes + ([] if same else [f"{task.template.file} changed"])


def resume_point(task: Task) -> Path | None:
    """Return the newest directory whose files the next attempt can go on from."""
    for directory in [*reversed(task.attempts()), task.place]:
        known = (directory / "run.json").exists()
        if known and not differences(task, directory, may_grow=True):
            return directory
    return None


# --- run one ---
def run_once(task: Task) -> tuple[Path, str | None]:
    """Execute a configuration in a new attempt; return its directory and its error, if any.

    Promotion is left to the runner that holds the study, so that nobody else replaces a result.
    """
    started = time.monotonic()
    attempt = begin_attempt(task)
    log = attempt / f"{task.name}.ipynb"
    error = execute(log, attempt, task.parameters, task.threads, task.lease)
    if not task.lease.holds():
        return attempt, "interrupted"
    run = read_json(attempt / "run.json")
    seconds = round(run["seconds"] + time.monotonic() - started, 1)
    write_json(attempt / "run.json", run | {"seconds": seconds, "finished": True, "error": error})
    return attempt, error


def begin_attempt(task: Task) -> Path:
    """Make the directory of a new attempt, with the files of the one it goes on from."""
    start, attempts = resume_point(task), task.attempts()
    attempt = task.incomplete / str(int(attempts[-1].name) + 1 if attempts else 1)
    attempt.mkdir(parents=True)
    run: dict[str, Any] = {"configuration": task.name, "parameters": task.parameters}
    run |= {"code": next(iter(task.template.same_code)), "seconds": 0.0, "attempts": 0}
    run |= {"started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    if start:
        run |= {key: read_json(start / "run.json")[key] for key in ("seconds", "attempts", "started")}
        # oldest first: a history that is copied after its checkpoint is never behind it
        files = sorted(start.iterdir(), key=lambda path: path.stat().st_mtime)
        if not read_json(start / "run.json")["finished"]:  # killed: it lived to its last file
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
    notebook: Path, directory: Path, parameters: dict[str, Any], threads: int, lease: Lease
) -> str | None:
    """Execute a notebook in place, working in a directory; return its error's line, if any.

    The kernel talks over sockets in a directory that only this user can enter. It is killed as
    soon as the runner that asked for it no longer holds the study.
    """
    import papermill
    from jupyter_client.manager import AsyncKernelManager

    class Kernel(AsyncKernelManager):
        def __init__(self, **options: Any) -> None:
            connection = {"ip": f"{private}/ipc", "connection_file": f"{private}/connection"}
            super().__init__(transport="ipc", **connection, **options)

        async def _async_pre_start_kernel(self, **options: Any) -> Any:
            share = {"TF_NUM_INTRAOP_THREADS": str(threads), "TF_NUM_INTEROP_THREADS": "1"}
            share["OMP_NUM_THREADS"] = str(threads)
            return await super()._async_pre_start_kernel(env=os.environ | share, **options)

        async def _async_is_alive(self) -> bool:
            if self.has_kernel and not lease.holds():
                await self._async_signal_kernel(signal.SIGKILL)
            return await super()._async_is_alive()

    # papermill formats the paths it is given, so braces in them are doubled
    path = str(notebook).replace("{", "{{").replace("}", "}}")
    options = {"kernel_manager_class": Kernel, "resources": {"metadata": {"path": str(directory)}}}
    options["shutdown_kernel"] = "immediate"
    error = None
    with tempfile.TemporaryDirectory(prefix="kernel-") as private:
        try:
            papermill.execute_notebook(path, path, parameters, progress_bar=False, **options)
        except papermill.PapermillExecutionError as failure:
            error = f"{failure.ename}: {failure.evalue}"
        except Exception as failure:  # noqa: BLE001 - one failure must not stop the others
            error = f"{type(failure).__name__}: {failure}"
    log = read_json(notebook)
    for key in ("input_path", "output_path"):
        log.get("metadata", {}).get("papermill", {}).pop(key, None)
    write_json(notebook, log)
    return error.strip().splitlines()[0] if error else None


def promote(task: Task, attempt: Path) -> None:
    """Move a successful attempt to its final place; the old result stays until then."""
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
        run = read_json(attempt / "run.json")
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
                    console.print(f"{task.name}: {error or last_words(read_history(task.place))}")
                    progress.remove_task(bars[task.name])
                    progress.advance(study)
                elif attempts := task.attempts():
                    history = read_history(attempts[-1])
                    progress.update(bars[task.name], completed=len(history), at=last_words(history))
    return errors


def settle(task: Task, future: Future[tuple[Path, str | None]]) -> str | None:
    """Promote a run that succeeded; return the error, with the log's path, of one that did not."""
    try:
        attempt, error = future.result()
        if not error:
            promote(task, attempt)
    except OSError as failure:  # a full disk, say: the other runs go on
        return f"{type(failure).__name__}: {failure}"
    return f"{error} ({attempt / f'{task.name}.ipynb'})" if error else None


def last_words(history: list[dict[str, str]]) -> str:
    """Say how many epochs a history has, and its last loss."""
    last = history[-1] if history else {}
    loss = [f"{name} {float(last[name]):.4f}" for name in ("val_loss", "loss") if name in last]
    return ", ".join([f"{len(history)} epochs", *loss[:1]])


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
    shown += [f"{t.name} {state_of(t)} {read_json(t.place / 'run.json')}" for t in tasks.values()]
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

    lock, there = lease.outputs / ".lock", read_json(lease.outputs / "study.json")
    if there and (there.get("name"), there.get("overrides")) != (study.name, study.overrides):
        fail(str(lease.outputs), "holds another study or other overrides; name another directory")
    lease.outputs.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0), ThreadPoolExecutor(jobs) as executor:
            lock.write_text(lease.holder, encoding="utf-8")
            try:
                yield executor
            except BaseException:
                lock.write_text("", encoding="utf-8")  # every kernel of this runner looks here
                executor.shutdown(cancel_futures=True)
                click.echo("Stopped. The same command goes on from here.", err=True)
                raise
    except Timeout:
        holder = lock.read_text(encoding="utf-8").partition(" ")[0]
        fail(str(lease.outputs), f"process {holder} is running this study; wait or stop it")


def show_plan(tasks: list[Task], jobs: int) -> None:
    """Print what would run and why, what it costs, and how long it will take."""
    runs = [(task, read_json(task.place / "run.json")) for task in tasks]
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
@click.option("--dry-run", is_flag=True, help="Say what would run and why; run nothing.")
def main(
    study: str, only: tuple[str, ...], overrides: tuple[tuple[str, str], ...],
    jobs: int | None, outputs: str | None, dry_run: bool,
) -> None:  # fmt: skip
    """Run what is not complete in STUDY, then rebuild its summary."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    asked = load_study(Path(os.path.relpath(ROOT / study)), overrides)
    home = Path(os.path.relpath(ROOT / (outputs or Path("outputs", asked.directory))))
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    jobs, lease = jobs or cores, Lease(home, f"{os.getpid()} {time.time_ns()}")
    shared: Any = (asked.template, asked.lengthens, max(1, cores // jobs), lease)
    tasks = {k: Task(k, v, asked.flops[k], *shared) for k, v in asked.configurations.items()}
    selected = [tasks[name] for name in asked.select(only)]
    if dry_run:
        return show_plan(selected, jobs)
    with hold(lease, asked, jobs) as executor:
        for task in tasks.values():
            finish_promotion(task)
        todo = [task for task in selected if state_of(task).kind != "complete"]
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
