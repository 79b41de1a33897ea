"""What a host does when it is asked: make itself ready, run an attempt.

These functions travel by value to the workers of a cluster, which need nothing of this project but its outputs;
what they return is plain data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from nbstudy.checks import NAMES_SHOWN
from nbstudy.execution.directories import remove_what_is_left
from nbstudy.execution.environment import Watched
from nbstudy.execution.heading import write_head
from nbstudy.execution.host import (
    THIS_MACHINE,
    Share,
    Slots,
    describe_environment,
    installed_versions,
)
from nbstudy.execution.kernel import execute, warm_up
from nbstudy.execution.limits import allow
from nbstudy.execution.once import known_to_this_process
from nbstudy.execution.warm import WarmProcess
from nbstudy.files import read_json
from nbstudy.records.attempts import begin_attempt, finish_attempt, mend_attempt
from nbstudy.records.inputs import NOTES, what_was_read
from nbstudy.records.lease import Lease
from nbstudy.records.record import read_run
from nbstudy.records.runs import Context, Task
from nbstudy.study.modules import names_of
from nbstudy.study.project import Project

ENDING = {"closing", "closed", "failed"}  # states of a Dask worker, as of one that was told to end


def run_attempt(task: Task, slots: Slots) -> tuple[str, str | None, str | None, list[str]]:
    """Execute a configuration in a new attempt, on one of the hosts in slots; return its number, error and news.

    Last come the files of the project that it read and `inputs` does not name. Promotion is left to the runner that
    holds the study, so that nobody else replaces a result.
    """
    host, is_wanted = current_host(slots)
    started = time.monotonic()
    share = Share(slots[host], task.context.threads)
    environment = environment_of(task.context)
    attempt = begin_attempt(task, share.busy_cores, environment)
    record = (attempt / "run.json").read_bytes()

    def is_awaited() -> bool:
        return is_wanted() and task.is_awaited(attempt)

    warm = warm_up_for(task.context, share)
    run = partial(
        execute,
        attempt / f"{task.name}.ipynb",
        attempt,
        task.parameters,
        share,
        is_awaited,
        task.context.timeout,
        task.context.template.modules,
        warm,
        task.context.project,
        watched_by(task.context, attempt),
        inputs_in_short(read_run(attempt)),
    )
    if host == THIS_MACHINE:
        outcome = run()
    else:  # Dask's profiler keeps the stacks of a worker's own threads
        with ThreadPoolExecutor(1) as apart:
            outcome = apart.submit(run).result()
    if not is_awaited():
        return attempt.name, "interrupted", None, []
    error = mend_attempt(attempt, f"{task.name}.ipynb", record, outcome.error)
    others: list[str] = []
    try:
        read, others = what_was_read(attempt, read_run(attempt), task.context.files)
        finish_attempt(attempt, time.monotonic() - started, error, outcome.ending, read)
        write_head(task, attempt)
    except OSError as failure:  # of a full disk: what went wrong before is told, if anything did
        error = error or f"{type(failure).__name__}: {failure}"
    return attempt.name, error, news_of(warm, host), others


def environment_of(context: Context) -> dict[str, str]:
    """Return what can change the numbers of a command's runs on this host, looked up once for all of them."""
    lock, known = known_to_this_process("environments")
    holder, imports = context.lease.holder, tuple(context.template.imports)
    with lock:
        if holder not in known:
            known.clear()  # of earlier commands
        of_command = known.setdefault(holder, {})
        if imports not in of_command:
            of_command[imports] = describe_environment(imports)
        return dict(of_command[imports])


def watched_by(context: Context, attempt: Path) -> Watched | None:
    """Return what an attempt's kernel notes of the files that it reads, if the project is here."""
    root = context.files.root
    if root is None or not context.files.is_here:
        return None
    return Watched(
        root,
        context.lease.outputs.resolve(),
        attempt.resolve() / NOTES,
        context.template.module_places,
        tuple(context.files.inputs),
    )


def inputs_in_short(run: dict[str, Any]) -> list[str]:
    """Say which files an attempt is told to read, for its log; some of them where they are many."""
    inputs = list(run.get("inputs", {}).items())
    lines = [f"reads {path} ({digest})" for path, digest in inputs[:NAMES_SHOWN]]
    if len(inputs) > NAMES_SHOWN:
        lines.append(f"reads {len(inputs) - NAMES_SHOWN} more files, which run.json names")
    return lines


def warm_up_for(context: Context, share: Share) -> WarmProcess | None:
    """Return the process of this host that forks the kernels of a context's runs."""
    own_modules = names_of(context.template.modules)
    watched = watched_by(context, context.lease.outputs)
    return warm_up(context.template.text, own_modules, share, context.lease, context.project, watched)


def news_of(warm: WarmProcess | None, host: str) -> str | None:
    """Say why each kernel of a host imports everything itself, if it does."""
    if warm and warm.why_not:
        return f"{host} each run imports its libraries anew, since {warm.why_not}".strip()
    return None


def current_host(slots: Slots) -> tuple[str, Callable[[], bool]]:
    """Return the host that this runs on, and whether its cluster still wants what this thread does."""
    if THIS_MACHINE in slots:
        return THIS_MACHINE, lambda: True
    from distributed import get_worker
    from distributed.comm import get_address_host

    worker = get_worker()
    work = worker.state.tasks[worker.get_current_task()]
    host = str(worker.name)  # as those are called that are there for one command
    if host not in slots:
        host = get_address_host(worker.address)

    def is_wanted() -> bool:
        return work.state == "executing" and worker.status.name not in ENDING

    return host, is_wanted


def prepare_host(context: Context, host: str, jobs: int, awaits_runs: bool) -> str | None:
    """Make a host ready, for runs or the summary alone; return why it cannot run anything, None if it can."""
    remove_what_is_left()
    error = why_unfit(context.lease, context.versions or {})
    if not error and context.files.patterns and not context.files.is_here:
        error = f"does not see {context.files.root}, of which runs read files: mount it there, at the same path as here"
    if not error and host != THIS_MACHINE:  # whose own limits were looked at when it was opened
        error = allow(jobs, context.threads)
    if not error and awaits_runs:
        warm_up_for(context, Share(jobs, context.threads))  # while the notebook is executed
    if error or context.prepare is None:
        return error
    name, text, modules = context.prepare
    outputs = context.lease.outputs
    log = outputs / "incomplete" / f"{host} {name}".strip()
    log.parent.mkdir(exist_ok=True)
    log.write_text(text, encoding="utf-8")
    outcome = execute(
        log, outputs, {}, Share(jobs), context.lease.is_held, modules=modules, project=context.project
    )
    if outcome.error:
        return f"{name}: {outcome.error} ({log})"
    if read_json(outputs / name).get("cells"):  # the log of an earlier preparation says the same
        log.unlink()
    else:
        log.replace(outputs / name)
    return None


def run_summary(
    notebook: Path,
    outputs: Path,
    is_awaited: Callable[[], bool],
    modules: Mapping[str, str],
    project: Project | None,
) -> str | None:
    """Execute a summary in the outputs that it tells of; return its error. It has this host for itself."""
    parameters, share = {"outputs": "."}, Share(jobs=1)
    return execute(notebook, outputs, parameters, share, is_awaited, modules=modules, project=project).error


def why_unfit(lease: Lease, versions: dict[str, str]) -> str | None:
    """Say why this host cannot run anything: its libraries, or outputs that it does not see."""
    found = installed_versions(versions)
    differ = {}
    for name, wanted in versions.items():
        if found[name] != wanted:
            differ[name] = f"{name} {found[name]}, not {wanted}"
    if differ:
        versions_here = " ".join(f"{name}=={versions[name]}" for name in differ)
        return f"has {'; '.join(differ.values())}: run `pip install {versions_here}` there"
    for _ in range(10):  # the caches of network file systems take their time
        if lease.is_held(unseen=False):
            return None
        time.sleep(0.5)
    return f"does not see {lease.outputs}: mount it there, at the same path as here"
