"""What the page to explore knows of the runs, as plain data: its table, their curves, their parameters, the rounds.

Curves of very many runs are thinned: every n-th epoch and the last one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nbstudy.decision.metrics import Metric, written
from nbstudy.numbers import is_number, is_whole
from nbstudy.records.histories import as_array
from nbstudy.records.reading import Run
from nbstudy.records.record import log_of
from nbstudy.records.results import Results
from nbstudy.records.rounds import runs_in
from nbstudy.records.states import State
from nbstudy.records.table import column_of
from nbstudy.report import charts, first_chart
from nbstudy.report.colours import COLOURS
from nbstudy.report.markdown import with_arrows
from nbstudy.report.overview import description
from nbstudy.report.rankings import watched_metrics
from nbstudy.report.rounds import Judged
from nbstudy.report.search_space import MOST_TICKS
from nbstudy.report.sensitivity import is_spread_by_magnitude
from nbstudy.report.story import Story
from nbstudy.words import on_a_line

MOST_NUMBERS = 400_000  # of all curves together, about 7 bytes each
DIGITS = 5  # of a number in a curve
MOST_DRAWN = 20  # chosen runs whose curves are drawn
FIRST_CHOSEN = 5  # where no round says what to begin with
MOST_AXES = 9  # of parallel coordinates
LEAST_AXES = 2  # parameters, for which parallel coordinates show something


@dataclass(frozen=True)
class Column:
    """A column of the table of all runs."""

    title: str
    cells: list[Any]  # a number, a text, or None
    write: Callable[[Any], str]  # a cell

    def text(self, place: int) -> str:
        """Return a cell as the page writes it."""
        return self.write(self.cells[place])


def columns_of(results: Results) -> list[Column]:
    """Return the table of all runs: what they came to, then their parameters as far as they vary."""
    table, runs = results.table, list(results.runs.values())
    columns = []
    if results.incomplete:
        columns.append(Column("state", [run.word for run in runs], told))
    columns.append(Column("weights", [run.weights for run in runs], told))
    if results.has_epochs:
        columns.append(Column("epochs", [run.epochs for run in runs], told))
    columns.append(Column("minutes", [run.minutes for run in runs], minutes_told))
    best = f"best_{results.metric}"
    if results.is_by_epoch(results.metric) and best in table:
        columns.append(Column(f"best {results.metric}", numbers_in(table[best]), told))
        columns.append(Column("at epoch", numbers_in(table[f"{best}_epoch"]), told))
    for name in important_first(results, results.metrics):
        metric = results.metric_called(name)
        columns.append(Column(results.title(metric), numbers_in(table[column_of(results, name)]), told))
    for parameter in results.parameters.varying:
        columns.append(Column(parameter, [given(run, parameter) for run in runs], as_given))
    return [column for column in columns if any(each is not None for each in column.cells)]


def important_first(results: Results, names: Sequence[str]) -> list[str]:
    """Return metrics, those first by which the last round or all are judged, and those that could decide."""
    first = [each.metric.name for each in results.rounds[-1:]]
    watched = [metric.name for metric in watched_metrics(results)]
    return [name for name in dict.fromkeys([*first, *watched, *names]) if name in names]


def numbers_in(column: Any) -> list[Any]:
    """Return a column of a table, None for what is missing or not finite."""
    numbers: list[Any] = []
    for value in column.tolist():
        if is_whole(value) or (isinstance(value, float) and math.isfinite(value)):
            numbers.append(value)
        else:
            numbers.append(None)
    return numbers


def given(run: Run, parameter: str) -> Any:
    """Return a parameter of a run, as a text where it is no number; None where it has none."""
    value = run.parameters.get(parameter)
    if value is None or is_number(value):
        return value
    return on_a_line(str(value))


def as_given(value: Any) -> str:
    """Return a parameter as the page writes it: with all its digits."""
    if value is None:
        return ""
    return str(value)


def told(value: Any) -> str:
    """Return a value as the page writes it."""
    if value is None:
        return ""
    if is_whole(value):
        return f"{value:,}"
    if isinstance(value, float):
        return written(value)
    return str(value)


def minutes_told(minutes: float) -> str:
    """Return minutes as the page writes them; empty where they are not known."""
    if not minutes:
        return ""
    return f"{minutes:.1f}"


# --- all that the script knows ---
def data_of(story: Story) -> dict[str, Any]:
    """Return what the script of the page knows, to be written as JSON."""
    results = story.results
    names = list(results.runs)
    places = places_in(results)
    every = thinned_by(results)
    facts = facts_of(results)
    curved = important_first(results, results.curved) if results.has_epochs else []
    return {
        "directory": results.directory.resolve().name,
        "colours": len(COLOURS),
        "most_drawn": MOST_DRAWN,
        "every": every,
        "runs": [run_of(story, name, places, facts) for name in names],
        "facts": list(facts),
        "curves": {name: [curve_of(results, run, name, every) for run in names] for name in curved},
        "axes": {name: axis_of(results.metric_called(name)) for name in curved},
        "results": [result_of(results, name) for name in important_first(results, results.metrics)],
        "parameters": [parameter_of(results, name) for name in results.parameters.factors],
        "parallel": parallel_of(results),
        "rounds": [round_of(results, each) for each in story.judged],
        "chosen": chosen_at_first(story),
        "overview": overview_of(story),
        "charts": {"curves": charts.curves_chart()},
    }


def places_in(results: Results) -> dict[str, int]:
    """Return the place of each run among all, by which the script calls it."""
    return {name: place for place, name in enumerate(results.runs)}


def run_of(
    story: Story, name: str, places: Mapping[str, int], facts: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Return what the script knows of a run."""
    results, look = story.results, story.looks[name]
    return {
        "name": on_a_line(name),
        "epochs": results.runs[name].epochs,
        "configuration": places[results.parameters.first[name]],
        "colour": COLOURS.index(look.colour),
        "facts": [values[places[name]] for values in facts.values()],
    }


def facts_of(results: Results) -> dict[str, list[str]]:
    """Return all that is known of the runs as texts, a list by what it is: what two of them are compared by."""
    runs = list(results.runs.values())
    facts: dict[str, list[str]] = {}
    for column in columns_of(results):
        facts[column.title] = [column.text(place) for place in range(len(runs))]
    shown = {*results.parameters.varying}
    for parameter in dict.fromkeys(key for run in runs for key in run.parameters):
        if parameter not in shown:
            facts[f"{parameter} (parameter)"] = [as_given(given(run, parameter)) for run in runs]
    facts["state"] = [run.word for run in runs]
    facts["why"] = [with_arrows(on_a_line(run.reason or "")) for run in runs]
    facts["began"] = [on_a_line(str(run.record.get("started") or "")) for run in runs]
    facts["attempts"] = [str(run.record.get("attempts") or "") for run in runs]
    facts["note"] = [on_a_line("; ".join(filter(None, [run.note, run.ended]))) for run in runs]
    facts["resumed with"] = [with_arrows("; ".join(run.environment_changes)) for run in runs]
    made_with = dict.fromkeys(key for run in runs for key in run.recorded_environment)
    for key in made_with:
        facts[f"made with {key}"] = [on_a_line(run.recorded_environment.get(key, "")) for run in runs]
    facts["log"] = [on_a_line((log_in(results, run) or Path()).as_posix()) for run in runs]
    return {title: values for title, values in facts.items() if any(values)}


def log_in(results: Results, run: Run) -> Path | None:
    """Return where the log of a run lies, as seen from the page; None where there is none."""
    if run.state is State.MISSING:
        return None
    return log_of(run.name, run.directory, run.record).relative_to(results.directory)


# --- curves ---
def thinned_by(results: Results) -> int:
    """Return which epochs of the curves are kept, every so many, so that all fit; 0 where there are no curves."""
    numbers = sum(run.epochs * len(run.curves) for run in results.runs.values())
    if not results.has_epochs:
        return 0
    return max(1, math.ceil(numbers / MOST_NUMBERS))


def curve_of(results: Results, name: str, metric: str, every: int) -> list[float | None]:
    """Return a metric of a run at every so many epochs, and at the last one; None for what is not finite or was not measured."""
    history = results.runs[name].written
    if metric not in history.metrics:
        return []
    values = as_array(history, metric)
    kept = values[::every].tolist()
    if len(values) and (len(values) - 1) % every:
        kept.append(float(values[-1]))
    return [rounded(value) for value in kept]


def rounded(value: float) -> float | None:
    """Return a number with the digits that a curve shows, None where it is not finite."""
    if not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}")


def axis_of(metric: Metric) -> charts.Chart:
    """Return the vertical axis of a metric."""
    return charts.value_axis(charts.with_better(on_a_line(metric.name), metric))


# --- parameters ---
def result_of(results: Results, name: str) -> dict[str, Any]:
    """Return what runs came to by a metric; None for the refitted, which nobody should compare."""
    metric = results.metric_called(name)
    came_to = results.table.loc[list(results.runs), column_of(results, name)].astype(float)
    values = [rounded(value) for value in came_to.tolist()]
    for place, run in enumerate(results.runs):
        if results.is_refitted(run):
            values[place] = None
    return {"title": charts.with_better(on_a_line(results.title(metric)), metric), "values": values}


def kind_of(values: Sequence[Any]) -> str:
    """Tell what an axis of a parameter is like: numbers, numbers of many magnitudes, or texts."""
    known = [value for value in values if value is not None]
    if not known or not all(is_number(value) for value in known):
        return "text"
    if is_spread_by_magnitude(np.array(known, dtype=float)):
        return "magnitude"
    return "number"


def parameter_of(results: Results, name: str) -> dict[str, Any]:
    """Return what runs have of a parameter, and the chart of values by it."""
    values = [given(run, name) for run in results.runs.values()]
    kind = kind_of(values)
    if kind == "text":
        values = [as_given(value) for value in values]
    levels = sorted({value for value in values if is_number(value)})
    if len(levels) > MOST_TICKS:
        levels = []
    title = on_a_line(name)
    return {"name": title, "given": values, "chart": charts.parameter_chart(title, kind, levels)}


def parallel_of(results: Results) -> dict[str, Any] | None:
    """Return the axes of parallel coordinates, the last of which is the metric that decides; None of few parameters."""
    names = results.parameters.factors[:MOST_AXES]
    if len(names) < LEAST_AXES:
        return None
    axes = []
    for name in names:
        axes.append(
            places_along(on_a_line(name), [given(run, name) for run in results.runs.values()], as_given)
        )
    came_to = result_of(results, results.metric.name) if results.metric.name in results.metrics else None
    if came_to is not None:
        axes.append(places_along(results.title(results.metric), came_to["values"], told))
    chart = charts.parallel_chart([axis["title"] for axis in axes])
    return {"axes": axes, "chart": chart}


def places_along(title: str, values: Sequence[Any], write: Callable[[Any], str]) -> dict[str, Any]:
    """Return where values lie on an axis, from 0 to 1, and how they are written; None where there is no value."""
    kind = kind_of(values)
    texts = [write(value) for value in values]
    if kind == "text":
        levels = sorted(set(texts))
        place_of = {text: float(place) for place, text in enumerate(levels)}
        numbers: list[float | None] = [place_of[text] for text in texts]
        ends = [levels[0], levels[-1]]
    else:
        numbers = [
            math.log(value) if kind == "magnitude" and value is not None else value for value in values
        ]
        known = [value for value in values if value is not None]
        ends = [write(min(known)), write(max(known))]
    known_places = [number for number in numbers if number is not None]
    low, high = min(known_places), max(known_places)
    places = []
    for number in numbers:
        place = None
        if number is not None:
            place = round((number - low) / (high - low or 1), 4)
        places.append(place)
    return {"title": title, "places": places, "texts": texts, "ends": ends}


# --- the rounds, and the first screen ---
def round_of(results: Results, judged: Judged) -> dict[str, Any]:
    """Return the runs of a round's candidates."""
    each = judged.each
    title = f"{each.number} · {on_a_line(each.title)}"
    return {"title": title, "runs": places_of_runs(results, judged), "metric": each.metric.name}


def places_of_runs(results: Results, judged: Judged) -> list[int]:
    """Return the places of the runs by which the candidates of a round are judged."""
    places = places_in(results)
    first = results.parameters.first
    alike: dict[str, list[str]] = {}
    for name in places:
        alike.setdefault(first[name], []).append(name)
    by_rung_or_lap = runs_in(results, judged.each)
    found = []
    for candidate in judged.each.candidates:
        runs = by_rung_or_lap.get(candidate)
        if runs is None:
            runs = alike[first[candidate]]
        found += [places[name] for name in runs]
    return list(dict.fromkeys(found))


def chosen_at_first(story: Story) -> list[int]:
    """Return the runs that are chosen when the page opens: those of the last round."""
    for judged in story.judged[-1:]:
        if judged.verdict.costs:
            return places_of_runs(story.results, judged)[:MOST_DRAWN]
    return list(range(min(FIRST_CHOSEN, len(story.results.runs))))


def overview_of(story: Story) -> dict[str, Any] | None:
    """Return the chart of the first screen and its rows; None where there is none."""
    if story.overview is None:
        return None
    return {
        "chart": first_chart.chart_of(story.overview),
        "rows": first_chart.rows_of(story.overview, story.looks, charts.OF_THE_PAGE),
        "description": description(story.overview),
    }
