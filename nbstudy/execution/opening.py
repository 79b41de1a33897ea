"""Open the test set: execute the notebook that reads its labels, once, for `final`, when all else is complete."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

import click

from nbstudy.checks import StudyError
from nbstudy.execution.pools import Hosts
from nbstudy.execution.unfolding import Unfolded, write_study
from nbstudy.files import TEST, read_json
from nbstudy.numbers import is_number
from nbstudy.records.openings import is_on_record, read_openings, record_opening, record_result
from nbstudy.records.record import read_run
from nbstudy.records.runs import Context, Finding, Task
from nbstudy.records.tested import find_test, hash_of_tested, task_of_test


def open_test_set(unfolded: Unfolded, hosts: Hosts, put_in_order: Callable[[Task], None]) -> list[str]:
    """Execute the notebook that opens the test set, where what it left is not today's; return its errors.

    The opening is on record before it begins, so that one that is cut short or fails is no secret: it is executed
    again at the next start, which is no new opening for the same weights.
    """
    task = task_of_test(unfolded.study, hosts.context)
    if task is None:
        return []
    put_in_order(task)
    finding = find_test(task)
    lease = hosts.context.lease
    write_study(unfolded, lease)
    errors: list[str] = []
    try:
        if not may_be_opened(unfolded):
            return []
        if finding.state.is_done:
            conclude_opening(task, unfolded, hosts.context)
        else:
            weights = hash_of_final(unfolded, hosts.context)
            click.echo(what_will_be_opened(unfolded, finding, weights))
            lease.check()
            record_opening(lease.outputs, str(unfolded.study.final), weights)
            errors = execute_test(replace(task, weights=weights), finding, hosts)
            hosts.context.files.look()
            find_test(task)  # which adds to the record what the test imported
            write_study(unfolded, lease)
            if not errors:
                conclude_opening(task, unfolded, hosts.context)
    except StudyError as refusal:
        errors = [f"{TEST}: {refusal}"]
    return errors


def conclude_opening(task: Task, unfolded: Unfolded, context: Context) -> None:
    """Put on record what came of a test that is complete: a kill may come between the test and its record."""
    outputs = context.lease.outputs
    if all(opening.is_concluded for opening in read_openings(outputs)):
        return
    weights = read_run(task.place).get("weights")
    if weights is None:  # an earlier version made it
        with suppress(StudyError):  # nobody needs what was tested any more
            weights = hash_of_final(unfolded, context)
    if weights is not None:
        context.lease.check()
        record_result(outputs, weights, numbers_of(task))


def execute_test(task: Task, finding: Finding, hosts: Hosts) -> list[str]:
    """Execute the notebook as a run like any other; return its error, with its log."""
    # kernels, with all that takes, which a command with nothing to do can spare
    from nbstudy.execution.running import run_all

    return run_all([task], {task.name: finding}, {}, hosts, lambda _: "")


def numbers_of(task: Task) -> Mapping[str, float]:
    """Return the numbers that came of a test, for its record."""
    result = read_json(task.place / "result.json")
    return {name: value for name, value in result.items() if is_number(value) and math.isfinite(value)}


def may_be_opened(unfolded: Unfolded) -> bool:
    """Tell whether all that could still change a decision is complete."""
    study = unfolded.study
    is_complete = all(finding.state.is_done for finding in unfolded.findings.values())
    return is_complete and study.final in unfolded.findings and not study.overrides


def hash_of_final(unfolded: Unfolded, context: Context) -> str:
    """Return a hash of what is tested; raise StudyError where it is not here."""
    final = unfolded.tasks[str(unfolded.study.final)]
    return hash_of_tested(final.place, context.checkpoint, context.lengthens)


# --- what is said beforehand ---
def show_test(unfolded: Unfolded, context: Context) -> None:
    """Print whether a command would open the test set, and whether for weights that it was opened for before."""
    study = unfolded.study
    task = task_of_test(study, context)
    if task is None or study.overrides:
        return
    finding = find_test(task)
    if not may_be_opened(unfolded):
        click.echo(f"{task.context.template.file} opens the test set for {study.final} once all is complete")
    elif not finding.state.is_done:
        try:
            click.echo(what_will_be_opened(unfolded, finding, hash_of_final(unfolded, context)))
        except StudyError as refusal:
            click.echo(f"the test set stays shut: {refusal}")


def what_will_be_opened(unfolded: Unfolded, finding: Finding, weights: str) -> str:
    """Say that the test set is opened for which configuration, why, and whether that is a new opening."""
    study = unfolded.study
    what = f"{study.notebooks['test']} opens the test set for {study.final}"
    if finding.reason:
        what += f" ({finding.reason})"
    if is_on_record(unfolded.outputs, weights):
        return f"{what}, as it was before for the same weights: no new opening"
    return f"{what}: an opening that goes on record in {unfolded.outputs / 'test.json'}"
