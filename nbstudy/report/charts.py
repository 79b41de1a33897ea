"""The charts of the page to explore, in Vega-Lite: what each shows by which field; the page gives them their rows.

Colours are those of the page's style sheet, which has them for light and for dark; so is that of all letters and lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nbstudy.decision.metrics import Metric
from nbstudy.report.colours import COLOURS, GREY, STRONG

Chart = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
OVERVIEW_HEIGHT = 320  # pixels
LABEL_HEIGHT = 14  # from one label to the next
LETTERS = "currentColor"  # that of the text around a chart


@dataclass(frozen=True)
class Colours:
    """The colours of the rows of a chart."""

    of_runs: list[str]  # in the order of `colours.COLOURS`
    grey: str
    letters: str


OF_THE_PAGE = Colours([f"var(--colour-{place})" for place in range(len(COLOURS))], "var(--grey)", LETTERS)
OF_THE_SUMMARY = Colours(COLOURS, GREY, STRONG)  # always on white

COLOUR = {"field": "colour", "type": "nominal", "scale": None}  # as the row says it


def style_in(letters: str, background: str | None) -> Chart:
    """Return the style of a chart whose letters and lines have this colour."""
    return {
        "background": background,
        "font": "system-ui, sans-serif",
        "view": {"stroke": None},
        "axis": {
            "labelColor": letters,
            "titleColor": letters,
            "domainColor": letters,
            "tickColor": letters,
            "gridColor": letters,
            "gridOpacity": 0.15,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
        },
        "text": {"color": letters},
    }


def framed(height: int, description: str, layers: list[Chart]) -> Chart:
    """Return a chart as wide as its place on the page."""
    return {
        "$schema": SCHEMA,
        "description": description,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "config": style_in(LETTERS, None),
        "data": {"name": "rows"},
        "layer": layers,
    }


def alone(chart: Chart, rows: list[dict[str, Any]], width: int, description: str) -> Chart:
    """Return a chart with its rows, black on white, of the version that JupyterLab draws."""
    return chart | {
        "$schema": SCHEMA.replace("v6", "v5"),
        "config": style_in(STRONG, "white"),
        "data": {"values": rows},
        "description": description,
        "width": width,
    }


def value_axis(title: str, is_log: bool = False) -> Chart:
    """Return the vertical axis of values, which need not begin at zero."""
    scale: Chart = {"zero": False, "nice": True}
    if is_log:
        scale = {"type": "log", "nice": True}
    return {"field": "value", "type": "quantitative", "title": title, "scale": scale}


def with_better(title: str, metric: Metric) -> str:
    """Return the title of an axis, with which values are better."""
    if metric.better is None:
        return title
    return f"{title} ({metric.better} is better)"


def tooltip(*fields: str) -> list[Chart]:
    """Return what is shown of a row below the pointer, each field by its own name."""
    return [{"field": field, "title": field} for field in fields]


def overview_chart(title: str, cost: str, is_log: bool, values: list[float]) -> Chart:
    """Return the chart of the first screen: a dot with its interval for each configuration, by its cost.

    `values` is the extent of the vertical axis. Its rows have name, value, at (the value, or the edge where it is beyond),
    low, high, interval, cost, dy (of the label), colour, shape, size, opacity, label and note.
    """
    y = {"field": "at", "type": "quantitative", "title": title, "scale": {"domain": values, "zero": False}}
    scale: Chart = {"nice": False, "padding": 25, "zero": False}
    if is_log:
        scale = {"nice": False, "padding": 25, "type": "log"}
    axis = {"format": "~s", "tickCount": 6, "labelOverlap": "greedy"}
    x = {"field": "cost", "type": "quantitative", "title": cost, "scale": scale, "axis": axis}
    opacity = {"field": "opacity", "type": "quantitative", "scale": None}
    told = tooltip("name", "value", "interval", "cost", "note")
    interval = {
        "mark": {"type": "rule", "strokeWidth": 2},
        "encoding": {
            "x": x,
            "y": y | {"field": "low"},
            "y2": {"field": "high"},
            "color": COLOUR,
            "opacity": opacity,
        },
    }
    dot = {
        "mark": {"type": "point", "filled": True},
        "encoding": {
            "x": x,
            "y": y,
            "color": COLOUR,
            "opacity": opacity,
            "shape": {"field": "shape", "type": "nominal", "scale": None},
            "size": {"field": "size", "type": "quantitative", "scale": None},
            "tooltip": told,
        },
    }
    name = {
        "mark": {"type": "text", "align": "left", "dx": 9, "dy": {"expr": "datum.dy"}, "fontSize": 12},
        "encoding": {"x": x, "y": y, "text": {"field": "label"}, "color": COLOUR},
    }
    return framed(OVERVIEW_HEIGHT, f"{title} of each configuration by {cost}", [interval, dot, name])


def curves_chart() -> Chart:
    """Return the chart of the chosen runs' curves, of which the one nearest to the pointer says its run and value.

    Its rows have run, epoch, value, colour and told, what is said below the pointer, and dash where the colour is another
    run's, too. The first layer has rows of its own: the epoch that is marked.
    """
    x = {
        "field": "epoch",
        "type": "quantitative",
        "title": "epoch",
        "axis": {"tickMinStep": 1, "format": "d"},
    }
    y = value_axis("value")
    line = {
        "mark": {"type": "line", "strokeWidth": 2},
        "encoding": {
            "x": x,
            "y": y,
            "detail": {"field": "run"},
            "color": COLOUR,
            "strokeDash": {"field": "dash", "type": "nominal", "scale": None},
        },
    }
    nearest = {
        "params": [
            {
                "name": "hover",
                "select": {"type": "point", "on": "pointermove", "nearest": True, "clear": "pointerout"},
            }
        ],
        "mark": {"type": "point", "filled": True, "size": 70},
        "encoding": {
            "x": x,
            "y": y,
            "color": COLOUR,
            "opacity": {"condition": {"param": "hover", "value": 1, "empty": False}, "value": 0},
        },
    }
    # not as a tooltip: below the pointer is the cell of the nearest point, of which Vega-Lite 6.4 does not find the row
    told = {
        "transform": [{"filter": {"param": "hover", "empty": False}}],
        "mark": {"type": "text", "align": "right", "baseline": "top", "fontSize": 13, "fontWeight": "bold"},
        "encoding": {
            "x": {"value": {"expr": "width - 4"}},
            "y": {"value": 4},
            "text": {"field": "told"},
            "color": COLOUR,
        },
    }
    at = {
        "mark": {"type": "rule", "strokeWidth": 1, "strokeDash": [3, 3]},
        "encoding": {"x": x, "color": {"value": LETTERS}},
    }
    return framed(340, "The curves of the chosen runs", [at, line, nearest, told])


def parameter_chart(parameter: str, kind: str, levels: list[float]) -> Chart:
    """Return the chart of values by a parameter, whose axis is numbered at some levels, or where it will.

    Its rows have run, given, value, colour, size and opacity.
    """
    given: Chart = {"field": "given", "type": "quantitative", "title": parameter, "scale": {"zero": False}}
    if kind == "magnitude":
        given["scale"] = {"type": "log"}
    if levels:
        given["axis"] = {"values": levels, "format": "~g"}
    if kind == "text":
        given = {"field": "given", "type": "nominal", "title": parameter, "axis": {"labelAngle": 0}}
    dot = {
        "mark": {"type": "circle"},
        "encoding": {
            "x": given,
            "y": value_axis("value"),
            "color": COLOUR,
            "size": {"field": "size", "type": "quantitative", "scale": None},
            "opacity": {"field": "opacity", "type": "quantitative", "scale": None},
            "tooltip": tooltip("run", "given", "value"),
        },
    }
    return framed(300, f"Values by {parameter}", [dot])


def parallel_chart(axes: list[str]) -> Chart:
    """Return parallel coordinates: a line a run through what it has of each parameter, and the value it came to.

    Its rows have run, axis, place (from 0 to 1), given, colour, opacity and width.
    """
    x = {
        "field": "axis",
        "type": "ordinal",
        "title": None,
        "sort": axes,
        "axis": {
            "labelAngle": -25,
            "labelLimit": 140,
            "labelPadding": 18,
            "domain": False,
            "ticks": False,
            "grid": True,
        },
        "scale": {"padding": 0.1},
    }
    y = {
        "field": "place",
        "type": "quantitative",
        "title": None,
        "axis": None,
        "scale": {"domain": [0, 1]},
    }
    line = {
        "mark": {"type": "line", "strokeWidth": 1.5},
        "encoding": {
            "x": x,
            "y": y,
            "detail": {"field": "run"},
            "color": COLOUR,
            "opacity": {"field": "opacity", "type": "quantitative", "scale": None},
        },
    }
    dot = {
        "mark": {"type": "point", "filled": True, "size": 40},
        "encoding": {
            "x": x,
            "y": y,
            "color": COLOUR,
            "opacity": {"field": "opacity", "type": "quantitative", "scale": None},
            "tooltip": tooltip("run", "axis", "given"),
        },
    }
    end = {
        "transform": [{"filter": "isValid(datum.end)"}],
        "mark": {"type": "text", "fontSize": 11, "dy": {"expr": "datum.place > 0.5 ? -8 : 12"}},
        "encoding": {"x": x, "y": y, "text": {"field": "end"}, "color": {"value": LETTERS}},
    }
    return framed(320, "Parallel coordinates of the runs in the table", [line, dot, end])
