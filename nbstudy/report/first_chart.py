"""The figure of the first screen as a chart: on the page to explore, and where JupyterLab shows it, live, in the summary.

JupyterLab draws Vega-Lite of version 5 without a question of trust, and by its description a screen reader says what it
shows; whoever cannot draw it has the picture of `overview` instead, which lies beside it.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

from IPython.display import display

from nbstudy.decision.metrics import written
from nbstudy.report import charts
from nbstudy.report.charts import Chart
from nbstudy.report.colours import COLOURS
from nbstudy.report.curves import Scale
from nbstudy.report.figures import closed_as_png
from nbstudy.report.labels import apart
from nbstudy.report.looks import Look
from nbstudy.report.overview import (
    Overview,
    Point,
    Role,
    description,
    draw,
    is_spread,
    label_of,
    scale_of_overview,
)
from nbstudy.report.test_set import Measured
from nbstudy.words import on_a_line

LIVE = "application/vnd.vegalite.v5+json"  # what JupyterLab 4.6 draws; Altair 6 writes another one
WIDTH = 860  # pixels: JupyterLab's width, as of the other figures

Row = dict[str, Any]


def show(overview: Overview | None, looks: Mapping[str, Look]) -> None:
    """Show the chart, and beside it the same as a picture for whoever cannot draw charts."""
    if overview is None:
        return
    picture = base64.b64encode(closed_as_png(draw(overview, looks))).decode()
    told = description(overview)
    rows = rows_of(overview, looks, charts.OF_THE_SUMMARY)
    live = charts.alone(chart_of(overview), rows, WIDTH, told)
    display(
        {LIVE: live, "image/png": picture, "text/plain": told},
        metadata={"image/png": {"alt": told}},
        raw=True,
    )


def chart_of(overview: Overview) -> Chart:
    """Return the chart without its rows."""
    scale = scale_of_overview(overview)
    title = charts.with_better(on_a_line(overview.title), overview.metric)
    is_log = is_spread(overview.costs)
    return charts.overview_chart(title, overview.cost, is_log, [scale.low, scale.high])


def rows_of(overview: Overview, looks: Mapping[str, Look], colours: charts.Colours) -> list[Row]:
    """Return the rows of the chart: the configurations, those that matter on top, then the test."""
    scale = scale_of_overview(overview)
    rows = []
    for point in reversed(overview.drawn):
        row = row_of(point, scale, colours)
        if point.name in overview.named:
            row |= named(point, looks, colours)
        rows.append(row)
    if overview.test is not None and math.isfinite(overview.tested_cost):
        rows.append(row_of_test(overview.test, overview.tested_cost, colours))
    set_apart(rows, scale)
    return rows


def row_of(point: Point, scale: Scale, colours: charts.Colours) -> Row:
    """Return a configuration as a row without a name beside it."""
    half = 0.0
    interval = "unknown"
    if math.isfinite(point.half_width):
        half = point.half_width
        interval = f"{written(point.value - half)} to {written(point.value + half)}"
    row: Row = {
        "name": on_a_line(point.name),
        "value": point.value,
        "at": within(scale, point.value),
        "low": within(scale, point.value - half),
        "high": within(scale, point.value + half),
        "interval": interval,
        "cost": point.cost,
        "colour": colours.grey,
        "shape": "circle",
        "size": 50,
        "opacity": 0.6,
        "label": "",
        "short": "",
        "dy": 0,
        "note": point.role.value,
    }
    if point.value < scale.low:
        row |= {"shape": "triangle-down", "high": scale.low}
    if point.value > scale.high:
        row |= {"shape": "triangle-up", "low": scale.high}
    return row


def named(point: Point, looks: Mapping[str, Look], colours: charts.Colours) -> Row:
    """Return what else the row of a configuration has that is named."""
    place = COLOURS.index(looks[point.name].colour)
    row: Row = {
        "colour": colours.of_runs[place],
        "size": 110,
        "opacity": 1,
        "label": label_of(point, looks),
    }
    if point.role is Role.CHOSEN:
        row |= {"size": 220, "short": "chosen"}
    return row


def row_of_test(test: Measured, cost: float, colours: charts.Colours) -> Row:
    """Return what the test set says as a row."""
    low, high = test.interval or (test.value, test.value)
    return {
        "name": "test set",
        "value": test.value,
        "at": test.value,
        "low": low,
        "high": high,
        "interval": f"{written(low)} to {written(high)}",
        "cost": cost,
        "colour": colours.letters,
        "shape": "diamond",
        "size": 110,
        "opacity": 1,
        "label": f"test set {written(test.value)}",
        "short": "test set",
        "dy": 0,
        "note": "what the test set says of the final configuration",
    }


def within(scale: Scale, value: float) -> float:
    """Return a value, or the edge of the axis that it is beyond."""
    return min(max(value, scale.low), scale.high)


def set_apart(rows: Sequence[Row], scale: Scale) -> None:
    """Move labels up or down, by pixels, so that none lies over another."""
    labelled = sorted((row for row in rows if row["label"]), key=lambda row: -row["at"])
    height = charts.OVERVIEW_HEIGHT
    wanted = [height * (scale.high - row["at"]) / (scale.high - scale.low) for row in labelled]
    placed = apart(wanted, [charts.LABEL_HEIGHT] * len(wanted), height)
    for row, there, here in zip(labelled, wanted, placed, strict=True):
        row["dy"] = round(here - there)
