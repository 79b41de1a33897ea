"""A study that unfolds: what its runs come to decides which runs it asks for next.

That is a study with rungs or a race, or whose `final` is made of the choice. Nothing is stored about it: what is asked for is found
anew, from what the runs left, each time that somebody looks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from nbstudy.decision.halving import Stage
from nbstudy.decision.race import Lap, runs_at_last
from nbstudy.files import read_record, write_json
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
    stages = study.beginning
    laps: list[Lap] = []
    racing = study.racing_at_first
    choice = None
    while True:
        asked = study.at(stages, racing, choice)
        tasks = tasks_of(asked, context)
        if put_in_order is not None:
            for task in tasks.values():
                put_in_order(task)
        findings = {name: find(task) for name, task in tasks.items()}
        if not study.unfolds:
            return Unfolded(asked, tasks, findings, stages, laps)
        # after `find`, which adds to the record what is the same code
        from nbstudy.records.race import is_decided, laps_of
        from nbstudy.records.results import Results  # pandas, which other studies do without
        from nbstudy.records.rungs import check_rungs_can_be_decided, stages_of

        results = Results.read(context.lease.outputs, asked.record())
        check_rungs_can_be_decided(results)
        stages, laps = stages_of(results), laps_of(results)
        racing = runs_at_last(laps)
        if study.changes_of_final is not None and is_decided(results, stages, laps):
            choice = results.choose().chosen
        if study.at(stages, racing, choice).configurations == asked.configurations:
            return Unfolded(asked, tasks, findings, stages, laps)


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
