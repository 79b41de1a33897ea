"""The section "All runs": what decides, and a table of what each run came to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nbstudy.decision.metrics import Metric
from nbstudy.markdown import Markdown, plain
from nbstudy.records.reading import Run
from nbstudy.records.results import Results
from nbstudy.records.table import column_of
from nbstudy.report.markdown import SHOWN, show_texts, table_of_many, with_arrows
from nbstudy.report.phrases import link, why_nothing_decides, why_refitted
from nbstudy.report.rankings import watched_metrics

COMMON = 0.75  # a parameter that more than this share of runs have in common gets no column
METRICS_SHOWN = 2  # of those watched by epoch in the table of runs
NUMBERS_SHOWN = 6  # of the results in the table of runs


@dataclass(frozen=True, eq=False)
class Came:
    """What a run came to."""

    run: Run
    values: dict[str, Any]  # its row of `results.table`
    uncommon: dict[str, str]  # the parameters in which it is not as nearly all


@dataclass(frozen=True, eq=False)
class AllRuns:
    """What the runs of a study came to."""

    results: Results
    undecided: str  # why nothing can be decided; empty where it can
    by_epoch: list[Metric]  # that are shown of the histories
    numbers: list[str]  # that are shown of the results
    varying: list[str]  # parameters with a column of their own
    came: list[Came]  # in the study's order; of many runs, best first


def compute(results: Results) -> AllRuns:
    """Find what is worth showing of each run."""
    watched = watched_metrics(results)
    by_epoch = [each for each in watched if each.name in results.curved]
    numbers = [each.name for each in watched if each.name in results.numbers]
    numbers += [name for name in results.numbers if name not in numbers]
    common = common_parameters(results)
    came = []
    for name, values in most_important(results).to_dict("index").items():
        run = results.runs[name]
        came.append(Came(run, values, uncommon(run, common)))
    return AllRuns(
        results=results,
        undecided=why_nothing_decides(results, results.metric),
        by_epoch=by_epoch[:METRICS_SHOWN],
        numbers=numbers[:NUMBERS_SHOWN],
        varying=[name for name in results.parameters.varying if name not in common],
        came=came,
    )


def show(runs: AllRuns) -> None:
    """Show what decides, and the table."""
    show_texts(what_values_are(runs.results), what_decides(runs), table_of_runs(runs))


def what_values_are(results: Results) -> str:
    """Explain what a run comes to, where there are epochs to settle over."""
    if not results.has_epochs:
        return ""
    parts = [
        "*Settled* values are means over the last tenth of the epochs looked at, rounded up, so that jumps from one epoch to the next matter less."
    ]
    if results.is_by_epoch(results.metric) and results.metric.better:
        parts.insert(0, "*Best* is the best value of any epoch, that is of any pass over the training data.")
    if {"loss", "val_loss"} <= set(results.curved):
        parts.append(
            "The *gap* is the settled validation loss minus the settled training loss: how much was learned by heart, "
            "that is overfitting."
        )
    return " ".join(parts)


def what_decides(runs: AllRuns) -> str:
    """Say which metric decides and which values of it are better, or what is missing to know that."""
    if runs.undecided:
        return f"**Nothing decides yet:** {runs.undecided}."
    results = runs.results
    decides = f"**{plain(results.metric)} decides** ({results.metric.better} is better)"
    if results.halving is not None or results.race is not None:
        return f"{decides}: `metric` in the study file says which."
    return f"{decides}, where a round does not name another metric: `metric` in the study file says which."


# --- the table ---
def most_important(results: Results) -> pd.DataFrame:
    """Return the table of results in the study's order; of many runs, best first."""
    column = column_of(results, results.metric.name)
    if len(results.runs) <= SHOWN or column not in results.table or results.metric.better is None:
        return results.table
    costs = []
    for name, value in results.table[column].astype(float).items():
        cost = results.metric.cost(value)
        if results.is_refitted(name):
            cost = math.inf
        costs.append(cost)
    return results.table.iloc[pd.Series(costs).argsort(kind="stable")]


def common_parameters(results: Results) -> dict[str, str]:
    """Return the parameters that nearly all runs have in common, and what they have."""
    common = {}
    for name in results.parameters.varying:
        texts = Counter(str(run.parameters.get(name)) for run in results.runs.values())
        text, count = texts.most_common(1)[0]
        if count > COMMON * len(results.runs):
            common[name] = text
    return common


def uncommon(run: Run, common: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters in which a run is not as nearly all."""
    texts = {name: str(run.parameters.get(name)) for name in common}
    return {name: text for name, text in texts.items() if text != common[name]}


def table_of_runs(runs: AllRuns) -> str:
    """Show what each run came to, and its parameters as far as they vary; of many, the best."""
    results = runs.results
    rows = []
    for came in runs.came:
        run = came.run
        others = [plain(f"{name} {text}") for name, text in came.uncommon.items()]
        row: dict[str, Any] = {"configuration": Markdown("<br>".join([link(run), *others]))}
        row["weights"] = came.values["weights"]
        row |= metric_cells(runs, came.values)
        row["minutes"] = f"{run.minutes:.1f}"
        row["state"] = ""
        if not run.state.is_done:
            row["state"] = run.word
        for parameter in runs.varying:
            row[parameter] = str(run.parameters.get(parameter))
        row["note"] = note_of(results, run)
        rows.append(row)
    names = [came.run.name for came in runs.came]
    if results.final in names[SHOWN:]:
        return table_of_many(rows, also=rows[names.index(results.final)], called=results.final)
    return table_of_many(rows)


def metric_cells(runs: AllRuns, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of a run's metrics: the most important ones by epoch, and numbers of its result."""
    results = runs.results
    metric = results.metric
    cells = {}
    if results.has_epochs:
        cells["epochs"] = values["epochs"]
    if results.is_by_epoch(metric):
        cells[f"best {metric}"] = values.get(f"best_{metric}")
        cells["at epoch"] = values.get(f"best_{metric}_epoch")
    for each in runs.by_epoch:
        cells[results.title(each)] = values[column_of(results, each.name)]
    for name in runs.numbers:
        cells[name] = values[column_of(results, name)]
    cells["gap"] = values.get("gap")
    return cells


def note_of(results: Results, run: Run) -> str:
    """Return what to be careful of with a run, in short."""
    notes = []
    if results.is_refitted(run.name):
        notes.append(why_refitted(results, run))
    if run.note:
        notes.append(run.note)
    if run.ended:
        notes.append(f"ended early: {run.ended}")
    notes += [with_arrows(change) for change in run.environment_changes]
    return "; ".join(notes)
