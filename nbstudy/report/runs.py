"""The section "All configurations": what decides, and a table of what each came to, by every criterion."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbstudy.markdown import Markdown, plain
from nbstudy.records.reading import Run
from nbstudy.records.results import Results
from nbstudy.records.table import column_of
from nbstudy.report.markdown import SHOWN, number, show_texts, table_of_many, with_arrows
from nbstudy.report.phrases import link, why_nothing_decides, why_refitted
from nbstudy.report.rankings import Ranking
from nbstudy.study.configurations import REFIT, SEED

COMMON = 0.75  # a parameter that more than this share of configurations have in common gets no column
CRITERIA_SHOWN = 4
NUMBERS_SHOWN = 5  # criteria and other results in the table
SEEDS_SHOWN = 5  # of replicates, which are linked to


@dataclass(frozen=True)
class Value:
    """What a configuration came to by a criterion."""

    value: float
    is_kept: bool = False  # whether the rule would keep it by this criterion


@dataclass(frozen=True, eq=False)
class Came:
    """What a configuration came to."""

    run: Run  # the first of its replicates
    replicates: list[Run]  # the others
    values: dict[str, Value]  # by the title of a criterion
    uncommon: dict[str, str]  # the parameters in which it is not as nearly all


@dataclass(frozen=True, eq=False)
class AllRuns:
    """What the configurations of a study came to."""

    results: Results
    rankings: Sequence[Ranking]
    undecided: str  # why nothing can be decided; empty where it can
    varying: list[str]  # parameters with a column of their own
    common: dict[str, str]  # what nearly all have in common of the others
    groups: dict[
        str, list[Run]
    ]  # the replicates of each configuration; in the study's order, of many best first


def compute(results: Results, rankings: Sequence[Ranking]) -> AllRuns:
    """Find which configurations there are, and what they have in common."""
    common = common_parameters(results)
    groups: dict[str, list[Run]] = {}
    for name, first in results.parameters.first.items():
        groups.setdefault(first, []).append(results.runs[name])
    if len(groups) > SHOWN:
        groups = {name: groups[name] for name in best_first(results, groups, rankings)}
    return AllRuns(
        results=results,
        rankings=rankings,
        undecided=why_nothing_decides(results, results.metric),
        varying=[name for name in results.parameters.factors if name not in common],
        common=common,
        groups=groups,
    )


def show(runs: AllRuns) -> None:
    """Show what decides, and the table."""
    show_texts(write(runs))


def write(runs: AllRuns) -> str:
    """Return what values are, what decides, and the table."""
    parts = [what_decides(runs), what_values_are(runs.results), table_of_configurations(runs)]
    return "\n\n".join(filter(None, parts))


# --- what there is to say ---
def what_came_of(runs: AllRuns, name: str) -> Came:
    """Return what a configuration came to."""
    run, *replicates = runs.groups[name]
    values = values_of(runs.results, [run, *replicates], runs.rankings)
    return Came(run, replicates, values, uncommon(run, runs.common))


def best_first(results: Results, names: Collection[str], rankings: Sequence[Ranking]) -> list[str]:
    """Return configurations best first: of rungs and a race those that came furthest, else by the metric that decides."""
    order: dict[str, None] = {}
    if results.halving is None and results.race is None:
        order.update(dict.fromkeys(name for ranking in rankings[:1] for name in ranking.verdict.costs))
    else:
        for each in reversed(results.rounds):
            order.update(dict.fromkeys(results.judge(each).costs))
    return [*(name for name in order if name in names), *(name for name in names if name not in order)]


def values_of(results: Results, runs: Sequence[Run], rankings: Sequence[Ranking]) -> dict[str, Value]:
    """Return what a configuration came to by each criterion, then other results, as means over its runs."""
    name = runs[0].name
    values = {}
    for ranking in rankings[:CRITERIA_SHOWN]:
        column = column_of(results, ranking.metric.name)
        if ranking.by_best_epoch:
            column = f"best_{ranking.metric}"
        if name in ranking.values:
            judged = [results.runs[run] for run in ranking.runs[name]]
            is_kept = not ranking.verdict.drops(name)
            values[ranking.title] = Value(mean_of(results, judged, column), is_kept)
        else:
            values[ranking.title] = Value(mean_of(results, runs, column))
    for other in results.numbers:
        if other not in values and len(values) < NUMBERS_SHOWN:
            values[other] = Value(mean_of(results, runs, column_of(results, other)))
    return values


def mean_of(results: Results, runs: Sequence[Run], column: str) -> float:
    """Return the mean of what runs came to, of those that have something; NaN where none has, and of the refitted."""
    if column not in results.table:
        return math.nan
    names = [run.name for run in runs if not results.is_refitted(run.name)]
    values = [value for value in results.table.loc[names, column].astype(float) if math.isfinite(value)]
    if not values:
        return math.nan
    return statistics.fmean(values)


def common_parameters(results: Results) -> dict[str, str]:
    """Return the parameters that nearly all configurations have in common, and what they have."""
    firsts = set(results.parameters.first.values())
    common = {}
    for name in results.parameters.varying:
        texts = Counter(str(results.runs[first].parameters.get(name)) for first in firsts)
        text, count = texts.most_common(1)[0]
        if count > COMMON * len(firsts):
            common[name] = text
    return common


def uncommon(run: Run, common: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters in which a configuration is not as nearly all."""
    texts = {name: str(run.parameters.get(name)) for name in common if name != SEED}
    return {name: text for name, text in texts.items() if text != common[name]}


# --- the sentences ---
def what_values_are(results: Results) -> str:
    """Explain what a run comes to, where there are epochs to settle over."""
    if not results.has_epochs:
        return ""
    return (
        "*Settled* is the mean over the last tenth of the epochs, so that jumps from one to the next matter less; *best* is the "
        "best value of any epoch. Values are means over seeds; bold is what the rule would keep by that column."
    )


def what_decides(runs: AllRuns) -> str:
    """Say which metric decides and which values of it are better, or what is missing to know that."""
    if runs.undecided:
        return f"**Nothing decides yet:** {runs.undecided}."
    results = runs.results
    decides = f"**{plain(results.metric)} decides** ({results.metric.better} is better)"
    if results.halving is not None or results.race is not None:
        return f"{decides}."
    return f"{decides}, where a round does not name another metric."


# --- the table ---
def table_of_configurations(runs: AllRuns) -> str:
    """Show what each configuration came to, and its parameters as far as they vary; of many, the best."""
    results = runs.results

    def row_of(name: str) -> dict[str, Any]:
        came = what_came_of(runs, name)
        row: dict[str, Any] = {"configuration": link(came.run)}
        if came.replicates:
            row["configuration"] = Markdown(f"{link(came.run)} ({links_of(came.replicates)})")
        row["weights"] = came.run.weights
        row["minutes"] = mean_minutes([came.run, *came.replicates])
        for title, value in came.values.items():
            row[title] = value.value
            if value.is_kept and not math.isnan(value.value):
                row[title] = Markdown(f"**{number(value.value)}**")
        for parameter in runs.varying:
            row[parameter] = str(came.run.parameters.get(parameter))
        row["note"] = note_of(results, came)
        return row

    names = list(runs.groups)
    if results.final in names[SHOWN:]:
        return table_of_many(names, row_of, also=results.final, called=results.final)
    return table_of_many(names, row_of)


def links_of(replicates: Sequence[Run]) -> str:
    """Return links to the logs of replicates, by their seeds."""
    links = [link(run, text=str(run.parameters.get(SEED))) for run in replicates[:SEEDS_SHOWN]]
    if len(replicates) > SEEDS_SHOWN:
        links.append(Markdown(f"{len(replicates) - SEEDS_SHOWN} more"))
    return f"seeds {', '.join(links)}"


def mean_minutes(runs: Sequence[Run]) -> str:
    """Return the mean of the minutes that runs took; empty where none is known."""
    known = [run.minutes for run in runs if run.minutes]
    if not known:
        return ""
    return f"{statistics.fmean(known):.1f}"


def note_of(results: Results, came: Came) -> str:
    """Return what is not as with nearly all, and what to be careful of, in short."""
    run = came.run
    notes = [f"{name} {text}" for name, text in came.uncommon.items() if name != REFIT]
    runs = [run, *came.replicates]
    states = [each.word for each in runs if not each.state.is_done]
    if states and len(runs) > 1:
        notes.append(f"{len(states)} of {len(runs)} runs {' or '.join(dict.fromkeys(states))}")
    elif states:
        notes += states
    if results.is_refitted(run.name):
        notes.append(why_refitted(results, run))
    if run.note:
        notes.append(run.note)
    ended = [each.ended for each in runs if each.ended]
    notes += [f"ended early: {text}" for text in dict.fromkeys(ended)]
    changes = [with_arrows(change) for each in runs for change in each.environment_changes]
    notes += dict.fromkeys(changes)
    return "; ".join(notes)
