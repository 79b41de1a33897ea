"""What to do next, if anything: what is not complete, who was left out, where to search on, how to be surer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nbstudy.decision.metrics import written
from nbstudy.decision.power import MOST_REPLICATES, POWER
from nbstudy.markdown import Markdown, code, plain
from nbstudy.numbers import is_number
from nbstudy.records.reading import field_of
from nbstudy.records.results import Results
from nbstudy.report.choice import Chosen
from nbstudy.report.criteria import Criteria
from nbstudy.report.markdown import listed, show_texts
from nbstudy.report.rankings import candidates_of_choice
from nbstudy.study.configurations import SEED, replicate_of
from nbstudy.study.study_file import as_yaml
from nbstudy.words import duration, enumerated

FIRST_REPLICATES = 3  # what to begin with where there are none
END = 10  # the share of the values of a parameter that are an end
LEAST_LEVELS = 3  # values of a parameter between which there is an end and a middle


@dataclass(frozen=True)
class Edge:
    """A parameter of which all that the rule keeps have values at one end of what was searched."""

    parameter: str
    values: list[str]
    is_low: bool  # whether that is the lower end


@dataclass(frozen=True, eq=False)
class NextSteps:
    """What there is to do."""

    chosen: Chosen
    left_out: list[str]  # ahead of the choice by the metric that decided, but no candidates of the last round
    edges: list[Edge]

    @property
    def results(self) -> Results:
        """What the study left."""
        return self.chosen.results


def compute(chosen: Chosen, criteria: Criteria) -> NextSteps:
    """Find what there is to do."""
    return NextSteps(chosen, left_out_of(chosen, criteria), edges_of(chosen))


def show(steps: NextSteps) -> None:
    """Show the section."""
    show_texts(write(steps))


def write(steps: NextSteps) -> str:
    """Return the section; empty where nothing was chosen and nothing is missing."""
    parts = [run_again(steps.results), ask_again(steps), search_on(steps.edges)]
    surer = more_replicates(steps.chosen)
    if surer:
        parts.append(f"**Be surer:** {surer}")
    lines = [f"- {part}" for part in parts if part]
    if not lines and len(steps.chosen.verdict.finite) > 1:
        lines = ["Nothing: the choice is clear."]
    if not lines:
        return ""
    return "\n".join(["## What to do next\n", *lines])


# --- what there is to say ---
def left_out_of(chosen: Chosen, criteria: Criteria) -> list[str]:
    """Return what is ahead of the choice by the metric that chose it, and took no part in the last round."""
    if chosen.contest is None:
        return []
    candidates = set(candidates_of_choice(chosen.results))
    for ranking in criteria.rankings:
        if ranking.metric == chosen.contest.each.metric and not ranking.by_best_epoch:
            return [name for name in criteria.ahead(ranking) if name not in candidates]
    return []


def edges_of(chosen: Chosen) -> list[Edge]:
    """Return the parameters of a search of which all that the rule keeps, two or more, lie at one end."""
    results = chosen.results
    kept = {name for name in chosen.verdict.finite if not chosen.verdict.drops(name)}
    if len(kept) < 2 or not (results.halving or results.record.get("has_grid")):
        return []
    edges = []
    for parameter in results.parameters.factors:
        given = {name: run.parameters.get(parameter) for name, run in results.runs.items()}
        numbers = sorted({value for value in given.values() if is_number(value)})
        unset = any(results.parameters.not_set(name, [parameter]) for name in kept)
        if len(numbers) < LEAST_LEVELS or unset or not all(is_number(given[name]) for name in kept):
            continue
        values = sorted(value for name, value in given.items() if name in kept and is_number(value))
        reach = max(1, len(numbers) // END)
        told = list(dict.fromkeys(map(str, values)))
        if values[-1] <= numbers[reach - 1]:
            edges.append(Edge(parameter, told, is_low=True))
        if values[0] >= numbers[-reach]:
            edges.append(Edge(parameter, told, is_low=False))
    return edges


# --- the sentences ---
def run_again(results: Results) -> str:
    """Say what is not complete."""
    if not results.incomplete:
        return ""
    missing = f"{len(results.incomplete)} of {len(results.runs)} runs are not complete"
    return f"**Run the study again:** {missing}, so that all this may change ({listed(results.incomplete, most=6)})."


def ask_again(steps: NextSteps) -> str:
    """Say who was left out of the last round, and how to bring them in."""
    if not steps.left_out or steps.chosen.contest is None:
        return ""
    chosen, title = plain(steps.chosen.choice.chosen), plain(steps.chosen.contest.title)
    where = "the last round"
    advice = f"name them in `candidates` of the last round, with `replicates: {FIRST_REPLICATES}` for each that has one run"
    if steps.results.race is not None:
        where = "the race"
        advice = "name them in its `candidates`"
    are = "are"
    if len(steps.left_out) == 1:
        are = "is"
    return (
        f"**Let those compete that took no part in {where}:** by {title}, {listed(steps.left_out)} {are} ahead of "
        f"{chosen} by more than chance explains; {advice}."
    )


def search_on(edges: Sequence[Edge]) -> str:
    """Say at which end of the search the candidates lie that the rule keeps."""
    if not edges:
        return ""
    ends = []
    for edge in edges:
        end = "highest"
        if edge.is_low:
            end = "lowest"
        ends.append(f"{plain(edge.parameter)} {listed(edge.values)}, the {end} that was searched")
    return f"**Search further:** all that the rule keeps have {enumerated(ends)}."


def more_replicates(chosen: Chosen) -> str:
    """Say how many replicates would tell the two best apart, and the line for the study file, where that is open."""
    results, verdict = chosen.results, chosen.verdict
    if chosen.choice.chosen is None or len(verdict.kept) < 2 or chosen.is_tie:
        return ""
    first, second, *_ = verdict.kept
    if type(field_of(results.record, "defaults", dict).get(SEED)) is not int:
        return f"A parameter `{SEED}: int = 0` in the template would allow replicates, which say how much is chance."
    if SEED in results.overrides:
        return (
            f"Without `-p {SEED}`, which gives all runs the same one, replicates can say how much is chance."
        )
    if verdict.noise.is_guess or not verdict.noise.is_known:
        line = study_lines(results, first, second, FIRST_REPLICATES)
        return f"There are no replicates, so nobody knows how much is chance. To know it, {line}."
    if not verdict.excess[second]:
        return ""
    number = chosen.replicates_needed
    apart = f"To tell {plain(first)} and {plain(second)} apart at the difference seen, {written(verdict.excess[second])},"
    if number is None:
        return f"{apart} takes more than {MOST_REPLICATES:,} runs of each: for practical purposes they are equally good."
    more = sum(number - runs_that_count(chosen, name, number) for name in (first, second))
    minutes = (results.runs[first].minutes + results.runs[second].minutes) / 2 * more
    cost = f"{more} more runs, about {duration(minutes, digits=0)} of computing"
    chance = f"with a chance of {POWER:.0%}"
    return f"{apart} {chance} takes about {number} runs of each ({cost}): {study_lines(results, first, second, number)}."


def runs_that_count(chosen: Chosen, name: str, number: int) -> int:
    """Return how many runs there are of those that the lines for the study file ask for: none where they name it anew."""
    results = chosen.results
    is_unfolded = results.race is not None or results.halving is not None
    if is_unfolded or can_say_replicates(results, name, number):
        return chosen.verdict.runs[name]
    return 0


def study_lines(results: Results, first: str, second: str, number: int) -> str:
    """Say what to write into the study file for so many runs of two configurations."""
    lines = (
        lines_of_race(results, number)
        or lines_of_rungs(results, number)
        or lines_of_configurations(results, [first, second], number)
    )
    remark = ""
    if results.race is not None:
        remark = " (which is another race: the promise of this one holds for its own laps alone)"
    return f"write {lines} in the study file, and run it again{remark}"


def lines_of_race(results: Results, number: int) -> str:
    """Say which laps would give those that are left in a race so many runs; empty without one."""
    race = results.race
    if race is None:
        return ""
    replicates = [*race.plan.replicates, number]
    lines = f"`replicates: {sorted({*replicates})}`"
    if math.isfinite(race.plan.budget):
        lines += " and a larger budget"
    return f"{lines} into the race"


def lines_of_rungs(results: Results, number: int) -> str:
    """Say which rung would give its survivors so many runs; empty where none could: a last one follows another."""
    halving = results.halving
    if halving is None:
        return ""
    if len(halving.rungs) > 1:
        return f"`replicates: {number}` into the last rung"
    if len(halving.candidates) > 2:
        epochs = halving.rungs[0].epochs
        return f"`keep: 2` into the rung, and after it a rung `{{epochs: {epochs}, replicates: {number}}}`,"
    return ""


def lines_of_configurations(results: Results, names: Sequence[str], number: int) -> str:
    """Say which lines give configurations so many runs; one that a row of the grid makes is extended by another."""
    own, others = [], []
    for name, label in zip(names, ("best", "second"), strict=True):
        if can_say_replicates(results, name, number):
            own.append(name)
        else:
            others += extending(results, name, label, number)
    texts = []
    if own:
        texts.append(Markdown(f"`replicates: {number}` into {listed(own)}"))
    if others:
        texts.append(Markdown(f"{listed(map(code, others))} under `configurations`"))
    return listed(texts)


def can_say_replicates(results: Results, name: str, number: int) -> bool:
    """Tell whether a configuration stands in the study file, and its replicates would be no other runs that there are."""
    has = field_of(results.record, "replicable", dict).get(name)
    if not isinstance(has, int) or repeats_itself(results, name, number):
        return False
    return not any(replicate_of(name, seed) in results.runs for seed in range(has, number))


def repeats_itself(results: Results, name: str, number: int) -> bool:
    """Tell whether one of so many replicates of a configuration would have its own seed."""
    return results.runs[name].parameters.get(SEED) in range(1, number)


def extending(results: Results, name: str, label: str, number: int) -> list[str]:
    """Return lines of a study file that give a configuration more runs, whatever makes it."""
    free = label
    while any(run.casefold().startswith(free) for run in results.runs):
        free += "_"
    if repeats_itself(results, name, number):
        return [
            f"{free}: {{extends: {as_yaml(name)}, {SEED}: 0}}",
            f"{free}_again: {{extends: {free}, replicates: {number}}}",
        ]
    return [f"{free}: {{extends: {as_yaml(name)}, replicates: {number}}}"]
