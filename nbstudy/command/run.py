"""Run a study: execute its template notebook once per configuration, keep every log, test the final one, summarise.

An option of the command is one more of those above `run`.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import NoReturn

import click

from nbstudy import __version__
from nbstudy.checks import Interrupted, fail
from nbstudy.execution.host import Share, default_jobs, required_versions
from nbstudy.execution.opening import open_test_set, show_test
from nbstudy.execution.places import open_pool
from nbstudy.execution.plan import (
    describe_duration,
    predict,
    show_plan,
    show_race,
    show_rungs,
    show_slow_arithmetic,
    show_what_is_open,
    show_what_is_under_way,
    to_do,
)
from nbstudy.execution.pools import Hosts
from nbstudy.execution.streams import print_without_failing
from nbstudy.execution.summary import summarise
from nbstudy.execution.unfolding import Unfolded, unfold, write_study
from nbstudy.files import TEST, as_seen
from nbstudy.records.attempts import accept_run, finish_promotion
from nbstudy.records.intact import IntactFiles
from nbstudy.records.lease import Lease, hold
from nbstudy.records.metrics import why_nothing_is_decided
from nbstudy.records.obstacles import check_outputs, check_place
from nbstudy.records.renamed import renamed_runs, renamed_study
from nbstudy.records.runs import Context, Task, extras, find, tasks_of
from nbstudy.records.states import State
from nbstudy.study.origin import origin_of
from nbstudy.study.study import Study, load_study
from nbstudy.words import counted

OTHER_COMMANDS = (
    "Instead of STUDY, `new NAME` begins a study, in a new project where there is none, and `compare OUTPUTS OUTPUTS` sets "
    "studies beside each other: see `new --help` and `compare --help`. A study file of such a name is ./new."
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=OTHER_COMMANDS)
@click.argument("study_file", metavar="STUDY")
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
@click.option("--cluster", metavar="FILE", help="Run on jobs of Slurm's, or hosts over ssh, as FILE says.")
@click.option("--outputs", "directory", metavar="DIR", help="Instead of outputs/<study>.")
@click.option("--timeout", type=float, metavar="MINUTES", help="End an attempt that takes longer.")
@click.option("--accept", is_flag=True, help="Take runs of changed code, files or threads as current.")
@click.option("--dry-run", is_flag=True, help="Say what would run and why; run nothing.")
@click.version_option(__version__, prog_name="nbstudy")
@click.pass_obj
def run(
    here: Path,
    study_file: str,
    only: tuple[str, ...],
    overrides: tuple[tuple[str, str], ...],
    jobs: int | None,
    scheduler: str | None,
    cluster: str | None,
    directory: str | None,
    timeout: float | None,
    accept: bool,
    dry_run: bool,
) -> None:
    """Run what is not complete in STUDY, a file such as params/mine.yaml, then rebuild its summary."""
    print_without_failing()
    exit_when_told_to()
    if jobs and scheduler:
        fail("--jobs", "cannot be combined with --scheduler, where each worker thread takes one run")
    if cluster and (jobs or scheduler):
        fail(
            "--cluster", "says how many runs there are at a time and where: leave out --jobs and --scheduler"
        )
    if timeout is not None and not 0 < timeout < math.inf:
        fail(
            "--timeout", f"must be a number of minutes above 0, not {timeout:g}; without it nothing is ended"
        )
    file = as_seen(here / study_file)
    study = load_study(file, overrides)
    share = cache(partial(share_of_this_machine, jobs, study.threads))
    for remark in study.remarks:
        click.echo(remark)
    cluster_file = None
    if cluster:
        # which another command can spare
        from nbstudy.execution.cluster_file import read_cluster_file

        cluster_file = read_cluster_file(as_seen(here / cluster), study.threads)
    outputs = as_seen(study.project.outputs / study.directory)
    if directory is not None:
        outputs = as_seen(here / directory)
    check_outputs(study, outputs, named=directory is not None)
    study.files.outputs = outputs
    study.files.recall(outputs)
    study.files.look()

    lease = Lease.of_this_process(outputs)
    context = Context(
        study.template,
        study.lengthens,
        study.prepare,
        lease,
        timeout,
        checkpoint=study.checkpoint,
        threads=study.threads,
        metric=study.deciding,
        project=study.project,
        files=study.files,
        better=study.direction,
        origin=origin_of(study, file, overrides, outputs, is_named=directory is not None),
        intact=IntactFiles.known_in(outputs),
    )
    if scheduler:
        context = replace(context, versions=required_versions(study.template.imports))
    selected = study.select(only)
    for name in selected:
        check_place(outputs, name)
    if study.test is not None:
        check_place(outputs, TEST)

    if directory is None:
        show_earlier_name(study, file, context)
    if dry_run:
        unfolded = unfold(study, context)
        context.intact.keep()
        show_extras(unfolded)
        show_plan(unfolded.tasks, unfolded.among(selected), share())
        show_rungs(unfolded.study, unfolded.stages, unfolded.tasks, share())
        show_race(unfolded.study, unfolded.stages, unfolded.laps, unfolded.tasks, share())
        show_test(unfolded, context)
        return

    def put_in_order(task: Task) -> None:
        finish_promotion(task)
        if accept and (task.name in selected or task.tested is not None):
            accept_run(task)

    with hold(lease, open_pool(context, share, scheduler, cluster_file)) as pool:
        hosts = Hosts(pool, context)
        if is_anything_missing(study, selected, outputs):  # which takes less than to look what is there
            hosts.begin_to_prepare()
        unfolded, errors = run_as_it_unfolds(study, selected, hosts, put_in_order)
        errors += open_test_set(unfolded, hosts, put_in_order)
        errors += summarise(unfolded.study, unfolded.tasks, unfolded.findings, hosts)
    if errors:
        raise click.ClickException("\n  ".join([f"{len(errors)} failed", *errors]))


def is_anything_missing(study: Study, selected: Collection[str], outputs: Path) -> bool:
    """Tell whether a selected configuration has nothing in its place, so that there is surely something to run."""
    return any(name in study.configurations and not (outputs / name).exists() for name in selected)


def share_of_this_machine(jobs: int | None, threads: int) -> Share:
    """Return the share that a run of so many threads has, with so many at a time, or as many as fit; say why these are fewer."""
    # looks at memory and limits, which a command with nothing to do can spare
    from nbstudy.execution.limits import possible_jobs

    if jobs:
        return Share(jobs, threads)
    jobs, why_fewer = possible_jobs(default_jobs(threads), threads)
    if why_fewer:
        click.echo(why_fewer)
    return Share(jobs, threads)


def run_as_it_unfolds(
    study: Study, selected: Collection[str], hosts: Hosts, put_in_order: Callable[[Task], None]
) -> tuple[Unfolded, list[str]]:
    """Run the selected configurations that are not complete, then those that come of these, and so on.

    What fails is not tried again. Return the study as it is then, and the errors. Raise ClickException, status 1, where
    complete runs do not have the metric by which the study file decides.
    """
    unfolded = unfold(study, hosts.context, put_in_order)
    show_what_is_there(unfolded, selected)
    errors: list[str] = []
    failed: set[str] = set()
    while True:
        write_study(unfolded, hosts.context.lease)
        check_decidable(unfolded)
        left = [
            task
            for task in to_do(unfolded.tasks.values(), unfolded.among(selected))
            if task.name not in failed
        ]
        if not left:
            show_what_is_open(unfolded.study, unfolded.stages, unfolded.laps)
            return unfolded, errors
        show_what_is_under_way(unfolded.study, unfolded.stages, unfolded.laps)
        errors += run_what_is_left(left, unfolded, hosts)
        write_study(unfolded, hosts.context.lease)
        check_decidable(unfolded)
        if not study.unfolds:
            return unfolded, errors
        hosts.context.lease.check()
        failed |= {task.name for task in left if not unfolded.findings[task.name].state.is_done}
        unfolded = unfold(study, hosts.context, put_in_order)


def check_decidable(unfolded: Unfolded) -> None:
    """Raise ClickException where complete runs do not have a metric that the study file names, so that more are in vain."""
    why = why_nothing_is_decided(unfolded.study, complete_in(unfolded))
    if why:
        raise click.ClickException(why)


def complete_in(unfolded: Unfolded) -> list[Task]:
    """Return what is complete of a study."""
    return [unfolded.tasks[name] for name, finding in unfolded.findings.items() if finding.state.is_done]


def exit_when_told_to() -> None:
    """End with status 130 or 143 on Ctrl-C or a termination signal, after what is open was closed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)


def interrupt(number: int, _: object) -> NoReturn:
    """End because of a signal."""
    raise Interrupted(128 + number)


def show_what_is_there(unfolded: Unfolded, selected: Collection[str]) -> None:
    """Print how many of the selected configurations are complete, what is slow here, and what the study does not have."""
    findings = unfolded.among(selected)
    left = to_do(unfolded.tasks.values(), findings)
    click.echo(f"{len(findings) - len(left)} of {len(findings)} complete")
    show_slow_arithmetic(left)
    show_extras(unfolded)


def show_extras(unfolded: Unfolded) -> None:
    """Print what lies there and is not in the study, and which of that has only another name."""
    found = extras(unfolded.study.directories, unfolded.outputs)
    missing = [
        task for name, task in unfolded.tasks.items() if unfolded.findings[name].state is State.MISSING
    ]
    renamed = renamed_runs(missing, found, unfolded.outputs)
    for name in found:
        news = f"extra, not in the study: {name}"
        if name in renamed:
            there, here = unfolded.outputs / name, unfolded.outputs / renamed[name]
            news += (
                f"; it is as {renamed[name]} is asked for: rename {there} to {here}, and it counts as that"
            )
        click.echo(news)


def show_earlier_name(study: Study, file: Path, context: Context) -> None:
    """Print which outputs hold the runs of this study under the name that it had before, if any do."""
    outputs = context.lease.outputs
    found = renamed_study(tasks_of(study, context).values(), outputs, file, study.overrides)
    if found:
        there, earlier = found
        click.echo(
            f"{there} holds runs of this study, and its {earlier} is gone: rename {there} to {outputs} and remove "
            f"{outputs / 'study.json'}, and they count"
        )


def run_what_is_left(left: list[Task], unfolded: Unfolded, hosts: Hosts) -> list[str]:
    """Run configurations that are not complete, renew their findings; return errors."""
    # shows progress by rich, which a command with nothing to do can spare
    from nbstudy.execution.running import run_all

    jobs = hosts.runs_at_a_time()
    findings = unfolded.findings
    left_of = {task.name: findings[task.name] for task in left}
    predicted = predict(unfolded.tasks, left_of, hosts.pool.busy_cores())
    started = time.monotonic()
    complete = complete_in(unfolded)

    def why_in_vain(done: Task) -> str:
        complete.append(done)
        return why_nothing_is_decided(unfolded.study, complete)

    errors = run_all(left, findings, predicted, hosts, why_in_vain)
    news = f"{counted(len(left), 'run')} took {(time.monotonic() - started) / 60:.1f} minutes"
    if predicted:
        news += f"; predicted: {describe_duration(predicted, jobs)}"
    click.echo(news)
    unfolded.study.files.look()
    findings.update({task.name: find(task) for task in left})
    return errors
