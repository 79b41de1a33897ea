"""Run a study: execute its template notebook once per configuration, keep every log, summarise."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import click

from nbstudy.attempts import accept_code, finish_promotion
from nbstudy.checks import Interrupted, fail
from nbstudy.files import OUTPUTS, ROOT, write_json
from nbstudy.host import cores_of_run, default_jobs, installed_versions, required_libraries
from nbstudy.lease import Lease, hold
from nbstudy.plan import describe_duration, predict, show_plan, to_do
from nbstudy.pools import Hosts, open_pool
from nbstudy.runs import Context, Finding, Task, check_outputs, check_place, extras, find, tasks_of
from nbstudy.streams import print_without_failing
from nbstudy.study import load_study
from nbstudy.summary import summarise


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("study_file", metavar="[STUDY]", default="params/fashion_mnist.yaml")
@click.option("--only", multiple=True, metavar="GLOB", help="Run only these configurations.")
@click.option(
    "-p",
    "--parameter",
    "overrides",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Override in every configuration; outputs go to <study>+NAME=VALUE.",
)
@click.option("--jobs", type=click.IntRange(1), help="Runs at a time; default: one per GPU or core.")
@click.option("--scheduler", metavar="ADDRESS", help="Run on a Dask cluster, one run per worker thread.")
@click.option("--outputs", "directory", metavar="DIR", help="Instead of outputs/<study>.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="MINUTES",
    help="End an attempt that takes longer.",
)
@click.option("--accept", is_flag=True, help="Take runs of changed code as current, and record it.")
@click.option("--dry-run", is_flag=True, help="Say what would run and why; run nothing.")
def main(
    study_file: str,
    only: tuple[str, ...],
    overrides: tuple[tuple[str, str], ...],
    jobs: int | None,
    scheduler: str | None,
    directory: str | None,
    timeout: float | None,
    accept: bool,
    dry_run: bool,
) -> None:
    """Run what is not complete in STUDY, then rebuild its summary; paths begin where runner.py is."""
    print_without_failing()
    exit_when_told_to()
    if jobs and scheduler:
        fail("--jobs", "cannot be combined with --scheduler, where each worker thread takes one run")
    jobs = jobs or default_jobs()
    study = load_study(from_here(study_file), overrides)
    for note in study.notes:
        click.echo(note)
    outputs = from_here(directory or OUTPUTS / study.directory)
    check_outputs(study, outputs, named=directory is not None)

    lease = Lease(outputs, holder=f"{os.getpid()} {time.time_ns()}")
    context = Context(
        study.template, study.lengthens, study.prepare, lease, timeout, checkpoint=study.checkpoint
    )
    if scheduler:
        context = replace(context, versions=installed_versions(required_libraries()))
    tasks = tasks_of(study, context)
    selected = [tasks[name] for name in study.select(only)]
    for task in selected:
        check_place(task)

    if dry_run:
        findings = {task.name: find(task) for task in selected}
        show_plan(tasks, findings, jobs, cores_of_run(jobs))
        return
    with hold(lease, open_pool(context, jobs, scheduler)) as pool:
        for task in tasks.values():
            finish_promotion(task)
        if accept:
            for task in selected:
                accept_code(task)
        findings = {task.name: find(task) for task in tasks.values()}
        write_json(outputs / "study.json", study.record())  # after `find`, which finds equal code
        hosts = Hosts(pool, context)
        show_what_is_there(tasks, selected, findings)
        errors = run_what_is_left(tasks, selected, findings, hosts)
        errors += summarise(study, tasks, findings, hosts)
    if errors:
        raise click.ClickException("\n  ".join([f"{len(errors)} failed", *errors]))


def exit_when_told_to() -> None:
    """End with status 130 or 143 on Ctrl-C or a termination signal, after what is open was closed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)


def interrupt(number: int, _: object) -> NoReturn:
    """End because of a signal."""
    raise Interrupted(128 + number)


def from_here(path: str | Path) -> Path:
    """Return a path that begins where runner.py is, as seen from the working directory."""
    return Path(os.path.relpath(ROOT / path))


def show_what_is_there(tasks: dict[str, Task], selected: list[Task], findings: dict[str, Finding]) -> None:
    """Print how many of the selected configurations are complete, and what the study does not have."""
    left = to_do(selected, findings)
    click.echo(f"{len(selected) - len(left)} of {len(selected)} complete")
    for name in extras(tasks, selected[0].context.lease.outputs):
        click.echo(f"extra, not in the study: {name}")


def run_what_is_left(
    tasks: dict[str, Task], selected: list[Task], findings: dict[str, Finding], hosts: Hosts
) -> list[str]:
    """Run the selected configurations that are not complete, renew their findings; return errors."""
    left = to_do(selected, findings)
    if not left:
        return []
    # shows progress by rich, which a command with nothing to do can spare
    from nbstudy.execution import run_all

    jobs = sum(hosts.pool.slots().values()) or 1
    predicted = predict(tasks, {task.name: findings[task.name] for task in left}, hosts.pool.cores_of_run)
    started = time.monotonic()
    errors = run_all(left, findings, predicted, hosts)
    news = f"{len(left)} runs took {(time.monotonic() - started) / 60:.1f} minutes"
    if predicted:
        news += f"; predicted: {describe_duration(predicted, jobs)}"
    click.echo(news)
    findings.update({task.name: find(task) for task in left})
    return errors


if __name__ == "__main__":
    main()
