"""A study that unfolds: what its runs come to decides which runs it asks for next.

That is a study with rungs or a race, or whose `final` is made of the choice. Nothing is stored about it: what is asked for is found
anew, from what the runs left, each time that somebody looks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from nbstudy.decision.halving import Stage
from nbstudy.decision.race import Lap, runs_at_last
from nbstudy.files import hash_of, read_record, write_json
from nbstudy.records.lease import Lease
from nbstudy.records.runs import Context, Finding, Task, find, tasks_of
from nbstudy.study.study import Study


@dataclass(frozen=True)
class Unfolded:
    """A study as far as it is decided what it asks for, and what is there of that."""

    study: Study
    tasks: dict[str, Task]
    findings: dict[str, Finding]
    stages: list[Stage]  # its rungs as far as they are decided, and the one that is under way
    laps: list[Lap]  # of its race, likewise; none before it begins

    @property
    def context(self) -> Context:
        """What its runs have in common."""
        return next(iter(self.tasks.values())).context

    @property
    def outputs(self) -> Path:
        """Where the study's runs lie."""
        return self.context.lease.outputs

    def among(self, names: Collection[str]) -> dict[str, Finding]:
        """Return what is there of the configurations that it asks for and that are among some names."""
        among = set(names)
        return {name: finding for name, finding in self.findings.items() if name in among}


def unfold(study: Study, context: Context, put_in_order: Callable[[Task], None] | None = None) -> Unfolded:
    """Return what a study asks for now, by what lies in its outputs, which may first be put in order for each task.

    Raise StudyError where a run does not have the metric by which a rung is decided.
    """
    context.seen.look_anew()
    choice = None
    asked = study.at(study.beginning, study.racing_at_first)
    while True:
        tasks = tasks_of(asked, context)
        if not study.unfolds:  # so that nobody looks again
            if put_in_order is not None:
                for task in tasks.values():
                    put_in_order(task)
            findings = {name: find(task) for name, task in tasks.items()}
            return Unfolded(asked, tasks, findings, study.beginning, [])
        findings = findings_of(tasks, context, put_in_order)
        # after `find`, which adds to the record what is the same code
        from nbstudy.records.race import is_decided, laps_of
        from nbstudy.records.results import Results  # pandas, which other studies do without
        from nbstudy.records.rungs import check_rungs_can_be_decided, stages_of

        results = Results.read(context.lease.outputs, asked.record(), seen=context.seen)
        check_rungs_can_be_decided(results)
        stages, laps = stages_of(results), laps_of(results)
        racing = runs_at_last(laps)
        if study.changes_of_final is not None and is_decided(results, stages, laps):
            choice = results.choose().chosen
        following = study.at(stages, racing, choice)
        if following.configurations == asked.configurations:
            return Unfolded(asked, tasks, findings, stages, laps)
        asked = following


def findings_of(
    tasks: Mapping[str, Task], context: Context, put_in_order: Callable[[Task], None] | None
) -> dict[str, Finding]:
    """Find what is on disk for each task, which may first be put in order.

    What this command found before and has not changed since is in order, and not read again.
    """
    today = what_counts_today(context)
    findings = {}
    for name, task in tasks.items():
        key, given = f"finding {name} {task.epochs}", (task.asked, today)
        state = context.seen.state_of(task.place, task.incomplete)
        finding = context.seen.recall(key, state, given)
        if finding is None:
            if put_in_order is not None:
                put_in_order(task)
                state = context.seen.state_of(task.place, task.incomplete, is_new=True)
            finding = find(task)
            context.seen.keep(key, state, given, finding)
        findings[name] = finding
    return findings


def what_counts_today(context: Context) -> str:
    """Return a hash of what runs are held against beside what is asked of each: files of the project, and known code."""
    files, template = context.files, context.template
    imported = {path: files.hash_of(path) for path in sorted(template.imported)}
    return hash_of(json.dumps([files.inputs, imported, template.same_code], sort_keys=True))


def write_study(unfolded: Unfolded, lease: Lease) -> None:
    """Write what a study asks for now, after `find`, which adds what is the same code and what runs imported."""
    lease.check()
    file, record = unfolded.outputs / "study.json", unfolded.study.record()
    if read_record(file) != json.loads(
        json.dumps(record)
    ):  # what is there need not be written, for which a full disk has no room
        write_json(file, record)
    unfolded.study.files.remember(unfolded.outputs)
    unfolded.context.intact.keep()
