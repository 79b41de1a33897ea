"""What is left to do, what it costs, and how long it takes."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import click

from nbstudy.checks import NAMES_SHOWN, StudyError
from nbstudy.decision.halving import Stage
from nbstudy.decision.race import Lap, cost_of
from nbstudy.execution.arithmetic import describe_slow_arithmetic
from nbstudy.execution.host import Share, gpus, number_of_cores
from nbstudy.numbers import mean
from nbstudy.records.lease import holder_of
from nbstudy.records.record import read_run
from nbstudy.records.replaced import REPLACED
from nbstudy.records.runs import Finding, Task
from nbstudy.study.halving import Halving
from nbstudy.study.race import Race
from nbstudy.study.study import Study
from nbstudy.words import counted

ROWS_SHOWN = 60  # more configurations than that are only counted
COMPARABLE = 0.01  # of the costliest run that is left: what costs less says nothing about its speed


def to_do(tasks: Iterable[Task], findings: Mapping[str, Finding]) -> list[Task]:
    """Return the tasks among the findings that are not complete, costliest first: all cores stay busy to the end."""
    left = [task for task in tasks if task.name in findings and not findings[task.name].state.is_done]
    return sorted(left, key=lambda task: flops_left(task, findings), reverse=True)


def flops_left(task: Task, findings: Mapping[str, Finding]) -> float:
    """Return the FLOPs that a task still takes."""
    return task.flops * findings[task.name].left


# --- how long it takes ---
def predict(tasks: Mapping[str, Task], findings: Mapping[str, Finding], cores: int) -> dict[str, float]:
    """Return the seconds that each configuration has left on so many cores, empty where no run has finished.

    A run takes a time to start and a time a FLOP, in seconds of one core, as fitted to the finished runs of this
    study, or to those of the same code in other outputs where this one has none.
    """
    left = to_do([tasks[name] for name in findings], findings)
    if not left:
        return {}
    least = COMPARABLE * flops_left(left[0], findings)
    finished = own_runs(tasks.values(), least) or runs_of_the_same_code(left[0], least)
    if not finished:
        return {}
    start, rate = fit_line(finished)
    return {task.name: (start + rate * flops_left(task, findings)) / cores for task in left}


def own_runs(tasks: Iterable[Task], least: float) -> list[dict[str, Any]]:
    """Return the records of this study's finished runs that cost at least so many FLOPs."""
    found = []
    for task in tasks:
        run = read_run(task.place)
        if run and run["flops"] >= least:
            found.append(run)
    return found


def runs_of_the_same_code(task: Task, least: float) -> list[dict[str, Any]]:
    """Return the records of finished runs in any outputs of the project that have a task's code and cost that much."""
    project = task.context.project
    if project is None:
        return []
    found = []
    for path in project.outputs.glob("*/*/run.json"):
        with suppress(StudyError):  # a newer version wrote it: what concerns another study stops none
            run = read_run(path.parent)
            if run and run["code"] == task.context.template.hash and run["flops"] >= least:
                found.append(run)
    return found


def fit_line(runs: list[dict[str, Any]]) -> tuple[float, float]:
    """Return the seconds of one core that a run takes to start and those a FLOP.

    Where no line fits, as with one run or runs of one size, starting counts as nothing. Where the template does not
    say what runs cost, all count as equal.
    """
    flops = [run["flops"] for run in runs]
    seconds = [run["seconds"] * run["cores"] for run in runs]
    if not any(flops):
        return mean(seconds), 0.0
    if len(set(flops)) > 1:
        import statistics  # which a command with nothing to do can spare

        rate, start = statistics.linear_regression(flops, seconds)
        if rate > 0 and start >= 0:
            return start, rate
    return 0.0, sum(seconds) / sum(flops)


def makespan(seconds: Iterable[float], jobs: int) -> float:
    """Return how long runs take together, a number of them at a time, the longest first."""
    ends = [0.0] * jobs
    for each in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def describe_duration(seconds: Mapping[str, float], jobs: int) -> str:
    """Say how long runs are predicted to take together."""
    if not seconds:
        return "no finished run to estimate from"
    return f"about {makespan(seconds.values(), jobs) / 60:.1f} minutes"


# --- the plan, printed ---
def show_plan(tasks: Mapping[str, Task], findings: Mapping[str, Finding], share: Share) -> None:
    """Print what would run and why, what it costs, and how long it will take."""
    jobs = share.jobs
    seconds = predict(tasks, findings, share.busy_cores)
    if len(findings) <= ROWS_SHOWN:
        show_rows(tasks, findings, seconds)
    states = Counter(finding.state for finding in findings.values())
    click.echo(", ".join(f"{number} {state}" for state, number in states.items()))
    holder = holder_of(next(iter(tasks.values())).context.lease.outputs)
    if holder:
        click.echo(f"process {holder} is running this study: what it has under way shows as interrupted")
    show_what_is_replaced(tasks, findings)
    left = to_do([tasks[name] for name in findings], findings)
    duration = describe_duration(seconds, jobs)
    if not left:
        duration = "nothing to do"
    work = counted(len(left), "run")
    if says_what_runs_cost(tasks, findings):
        work = f"{sum(flops_left(task, findings) for task in left) / 1e12:.2f} TFLOP"
    click.echo(f"{work} to do, {jobs} at a time: {duration}")
    show_slow_arithmetic(left)
    idle = number_of_cores() - min(jobs, len(left)) * share.busy_cores
    if left and idle > 0 and not gpus():
        click.echo(
            f"{idle} of {counted(number_of_cores(), 'core')} will have nothing to do, since a run has "
            f"{counted(share.threads, 'thread')}; raise `threads` in the study file, and what is finished runs again"
        )


def show_slow_arithmetic(left: Sequence[Task]) -> None:
    """Print which of the runs that are left ask for arithmetic that this machine does not have, if they run here."""
    if not left or left[0].context.versions is not None:  # which other hosts must have
        return
    remark = describe_slow_arithmetic(left)
    if remark:
        click.echo(remark)


def show_what_is_replaced(tasks: Mapping[str, Task], findings: Mapping[str, Finding]) -> None:
    """Print how many complete runs others will take the place of, where they are kept, and how they stay current."""
    replaced = [name for name, finding in findings.items() if finding.replaces]
    if not replaced:
        return
    acceptable = sum(findings[name].can_be_accepted for name in replaced)
    place = tasks[replaced[0]].context.lease.outputs / REPLACED
    news = f"{counted(len(replaced), 'run')} will be replaced and kept in {place}, without checkpoints"
    if acceptable:
        how_many = "them" if acceptable == len(replaced) else f"{acceptable} of them"
        news += f"; `--accept` keeps {how_many} current instead"
    click.echo(news)


@dataclass(frozen=True)
class RungToCome:
    """What a rung that is not reached yet is expected to take."""

    number: int
    candidates: int
    runs: int  # that train for it
    flops: float  # of each of these, by the mean of today's candidates


def rungs_to_come(study: Study, stages: Sequence[Stage]) -> list[RungToCome]:
    """Return the rungs above the one that is under way, if each keeps what it may and all candidates cost the same."""
    if study.halving is None:
        return []
    under_way = stages[-1]
    flops_an_epoch = mean([study.flops[name] for name in under_way.candidates]) / under_way.rung.epochs
    coming = []
    below = under_way.rung
    runs_each = max(len(study.halving.candidates[name]) for name in under_way.candidates)
    for number, rung in enumerate(study.halving.rungs[len(stages) :], len(stages) + 1):
        candidates = below.limit or 0
        runs, epochs = candidates * runs_each, rung.epochs - below.epochs
        if rung.replicates:
            runs, epochs = candidates * rung.replicates, rung.epochs
        coming.append(RungToCome(number, candidates, runs, epochs * flops_an_epoch))
        below = rung
    return coming


def show_rungs(study: Study, stages: Sequence[Stage], tasks: Mapping[str, Task], share: Share) -> None:
    """Print who survived the rungs that are decided, what the next one waits for, and what the others will take."""
    if study.halving is None:
        return
    for stage in stages:
        click.echo(describe_stage(study.halving, stage))
    finished = finished_runs(tasks)
    for rung in rungs_to_come(study, stages):
        what = f"rung {rung.number} of {len(study.halving.rungs)}, to come: {rung.candidates} candidates"
        click.echo(what + what_runs_take([rung.flops] * rung.runs, finished, share))


def finished_runs(tasks: Mapping[str, Task]) -> list[dict[str, Any]]:
    """Return the records of this study's finished runs; where there are none, of those of the same code."""
    return own_runs(tasks.values(), 0.0) or runs_of_the_same_code(next(iter(tasks.values())), 0.0)


def what_runs_take(flops: Sequence[float], finished: list[dict[str, Any]], share: Share) -> str:
    """Say what runs of so many FLOPs each take together, as far as finished ones tell it."""
    what = ""
    if any(flops):
        what += f", about {sum(flops) / 1e12:.2f} TFLOP"
    if finished:
        start, rate = fit_line(finished)
        seconds = [(start + rate * each) / share.busy_cores for each in flops]
        what += f", {makespan(seconds, share.jobs) / 60:.1f} minutes"
    return what


def show_what_is_open(study: Study, stages: Sequence[Stage], laps: Sequence[Lap]) -> None:
    """Print what a study still waits for where nothing is left to do, and how its race ended."""
    waits_for: list[str] = []
    is_open = bool(laps)
    for stage in stages[-1:]:
        waits_for = stage.waits_for
        is_open = is_open or bool(waits_for) or not stage.survivors
    for lap in laps[-1:]:
        waits_for = lap.waits_for
    if is_open:
        show_what_is_under_way(study, stages, laps)
    if waits_for:
        click.echo(f"it waits for {names_in_short(waits_for)}")
    if study.changes_of_final is not None and study.final not in study.configurations:
        click.echo(f"{study.final} is made once all others are complete and one of them is chosen")


def show_what_is_under_way(study: Study, stages: Sequence[Stage], laps: Sequence[Lap]) -> None:
    """Print which rung is under way, or which lap of a race, or how the race ended; nothing where there is neither."""
    if study.race is not None and laps:
        click.echo(describe_lap(study.race, laps[-1]))
    elif study.halving is not None:
        click.echo(describe_stage(study.halving, stages[-1]))


def describe_stage(halving: Halving, stage: Stage) -> str:
    """Say where a rung stands."""
    number = halving.rungs.index(stage.rung) + 1
    what = f"rung {number} of {len(halving.rungs)}, {counted(stage.rung.epochs, 'epoch')}"
    if stage.rung.replicates:
        what += f", {stage.rung.replicates} new seeds each"
    if stage.waits_for:
        return f"{what}: {len(stage.costs)} of {len(stage.candidates)} candidates are complete"
    if not stage.survivors:
        return f"{what}: none of {len(stage.candidates)} candidates goes on, as all have diverged"
    if stage.rung.keep is None:
        return f"{what}: all {len(stage.candidates)} candidates are complete"
    survivors = names_in_short(stage.survivors)
    return f"{what}: {len(stage.survivors)} of {len(stage.candidates)} candidates go on: {survivors}"


# --- the race ---
@dataclass(frozen=True)
class LapToCome:
    """What the lap after the one that is under way takes where none is dropped before it."""

    number: int
    candidates: int
    flops: list[float]  # of each of its runs
    is_too_much: bool = False  # for the budget, so that the race ends before it


def lap_to_come(study: Study, stages: Sequence[Stage], laps: Sequence[Lap]) -> LapToCome | None:
    """Return the lap after the one that is under way, or the first one where rungs are; None where there is none."""
    if study.race is None:
        return None
    if not laps:
        return first_lap(study, study.race, stages)
    race, under_way = study.race, laps[-1]
    if under_way.end or under_way.number == len(race.plan.replicates):
        return None
    more = race.plan.replicates[under_way.number] - under_way.runs
    flops = []
    for name in under_way.candidates:
        *_, latest = race.runs_of(name, under_way.runs, study.configurations)
        flops += [study.flops[latest]] * more
    cost = under_way.spent + cost_of(under_way.candidates, more, race.costs)
    return LapToCome(under_way.number + 1, len(under_way.candidates), flops, cost > race.plan.budget)


def first_lap(study: Study, race: Race, stages: Sequence[Stage]) -> LapToCome | None:
    """Return the first lap after the rungs that are not decided yet, if they keep what they may and all cost the same."""
    if study.halving is None or race.epochs is None or not stages[-1].waits_for:
        return None
    under_way = stages[-1]
    of_an_epoch = mean([study.flops[name] for name in under_way.candidates]) / under_way.rung.epochs
    candidates = study.halving.rungs[-1].limit or 0
    return LapToCome(1, candidates, [race.epochs * of_an_epoch] * candidates * race.plan.replicates[0])


def show_race(
    study: Study, stages: Sequence[Stage], laps: Sequence[Lap], tasks: Mapping[str, Task], share: Share
) -> None:
    """Print who is left after the laps that are decided, how the race ended, and what the next lap may take."""
    if study.race is None:
        return
    for lap in laps:
        click.echo(describe_lap(study.race, lap))
    coming = lap_to_come(study, stages, laps)
    if coming is not None:
        what = f"lap {coming.number} of {len(study.race.plan.replicates)}, to come: at most {coming.candidates} candidates"
        what += f", {counted(len(coming.flops), 'run')}{what_runs_take(coming.flops, finished_runs(tasks), share)}"
        if coming.is_too_much:
            budget = f"{study.race.plan.budget:g} {study.race.unit}"
            what += f"; that is more than the budget of {budget}, so that the race ends before it unless some are dropped"
        click.echo(what)


def describe_lap(race: Race, lap: Lap) -> str:
    """Say where a lap stands."""
    noun = "run"
    if race.follows_rungs:
        noun = "new seed"
    what = f"lap {lap.number} of {len(race.plan.replicates)}, {counted(lap.runs, noun)} each"
    if lap.waits_for:
        there = len(lap.candidates) - len(lap.waits_for)
        return f"{what}: {there} of {len(lap.candidates)} candidates are complete"
    left = f"{what}: {len(lap.left)} of {len(lap.candidates)} candidates are left"
    if lap.left:
        left += f": {names_in_short(lap.left)}"
    if lap.end is not None:
        left += f"; the race ends: {lap.end}"
    return left


def names_in_short(names: Sequence[str]) -> str:
    """Return names in a line, the first of them where they are many."""
    text = ", ".join(names[:NAMES_SHOWN])
    if len(names) > NAMES_SHOWN:
        text += f" and {len(names) - NAMES_SHOWN} more"
    return text


def says_what_runs_cost(tasks: Mapping[str, Task], names: Iterable[str]) -> bool:
    """Tell whether the template says how many FLOPs its runs take."""
    return any(tasks[name].flops for name in names)


def show_rows(
    tasks: Mapping[str, Task], findings: Mapping[str, Finding], seconds: Mapping[str, float]
) -> None:
    """Print a row a configuration."""
    width = max(map(len, ["configuration", *findings]))
    has_cost = says_what_runs_cost(tasks, findings)
    heading = [f"{'configuration':{width}}", f"{'state':10}"]
    if has_cost:
        heading.append("  TFLOP")
    click.echo("  ".join([*heading, "minutes", "why"]))
    for name, finding in findings.items():
        row = [f"{name:{width}}", f"{finding.state:10}"]
        if has_cost:
            row.append(f"{flops_left(tasks[name], findings) / 1e12:7.2f}")
        minutes = f"{seconds.get(name, 0.0) / 60:7.1f}"
        if not seconds and not finding.state.is_done:
            minutes = "      ?"
        click.echo("  ".join([*row, minutes, finding.reason]).rstrip())
