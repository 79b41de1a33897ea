"""The part of the page to explore in which runs are chosen, sorted, filtered and compared, as it is before the script begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

from nbstudy.numbers import is_number
from nbstudy.records.results import Results
from nbstudy.report.explored import Column, columns_of, log_in
from nbstudy.report.phrases import address_of
from nbstudy.words import on_a_line


def explorer(results: Results, data: dict[str, Any]) -> str:
    """Return the section; `data` is what the script knows."""
    parts = [
        '<section id="explore" aria-labelledby="explore-title">',
        '<h2 id="explore-title">Explore the runs</h2>',
        "<p>Tick runs in the table to see their curves; what you search for in it is what the charts below it show.</p>",
        *chooser(data),
    ]
    if data["curves"]:
        parts += curves(results, data)
    parts += ["<h3>All runs</h3>", scrolled(table_of_runs(results), "the table of all runs")]
    if data["parameters"] and data["results"]:
        parts += by_parameter(data)
    if data["parallel"]:
        parts += ["<h3>All parameters at once</h3>", chart("parallel")]
    parts += comparison(data)
    return "\n".join([*parts, "</section>"])


# --- its parts ---
def chooser(data: dict[str, Any]) -> Iterator[str]:
    """Yield what chooses many runs at once, and what says which are chosen."""
    yield '<div class="controls">'
    if data["rounds"]:
        yield select(
            "round",
            "Choose the runs of a round",
            [each["title"] for each in data["rounds"]],
            "choose a round",
        )
    yield '<button type="button" id="shown">Choose all in the table</button>'
    yield '<button type="button" id="none">Choose none</button>'
    yield '</div>\n<p id="chosen" class="quiet" aria-live="polite"></p>'


def curves(results: Results, data: dict[str, Any]) -> Iterator[str]:
    """Yield the chart of curves, and what they are at an epoch, as a table."""
    longest = max(run.epochs for run in results.runs.values())
    yield '<h3>Curves</h3>\n<div class="controls">'
    yield select("metric", "Metric", list(data["curves"]), named=True)
    yield f'<label>Epoch <input type="range" id="epoch" min="1" max="{longest}" value="{longest}"></label>'
    yield '<label>Logarithmic <input type="checkbox" id="logarithmic"></label>'
    yield "</div>"
    if data["every"] > 1:
        yield f'<p class="quiet">There are many epochs, so one in {data["every"]} is shown, and the last one.</p>'
    yield chart("curves")
    head = "<tr><th>run</th><th>epoch</th><th>value</th></tr>"
    table = f'<table aria-live="polite"><thead>{head}</thead><tbody id="values"></tbody></table>'
    yield f'<details open><summary>Values at epoch <span id="at"></span></summary>{table}</details>'


def by_parameter(data: dict[str, Any]) -> Iterator[str]:
    """Yield the chart of values by a parameter."""
    yield '<h3>By parameter</h3>\n<div class="controls">'
    yield select("parameter", "Parameter", [each["name"] for each in data["parameters"]])
    yield select("result", "Value", [each["title"] for each in data["results"]])
    yield "</div>"
    yield chart("by-parameter")


def comparison(data: dict[str, Any]) -> Iterator[str]:
    """Yield two runs side by side: what differs, and what is the same, folded."""
    names = [run["name"] for run in data["runs"]]
    yield '<h3>Two runs side by side</h3>\n<div class="controls">'
    yield select("one", "One", names)
    yield select("other", "The other", names, first=min(1, len(names) - 1))
    yield '</div>\n<p id="how-many-differ" class="quiet" aria-live="polite"></p>'
    head = "<thead><tr><th>what</th><th></th><th></th></tr></thead><tbody></tbody>"
    yield scrolled(f'<table id="differing">{head}</table>', "what differs between two runs")
    same = scrolled(f'<table id="same">{head}</table>', "what is the same of two runs")
    yield f"<details><summary>What is the same</summary>{same}</details>"


# --- the table of all runs ---
def table_of_runs(results: Results) -> str:
    """Return the table of all runs, each with a box to tick."""
    columns = columns_of(results)
    head = ["<th>show</th>", '<th scope="col">run</th>']
    head += [f'<th scope="col">{escape(on_a_line(column.title))}</th>' for column in columns]
    rows = [row_of(results, name, place, columns) for place, name in enumerate(results.runs)]
    return f'<table id="runs" class="compact"><thead><tr>{"".join(head)}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def row_of(results: Results, name: str, place: int, columns: Iterable[Column]) -> str:
    """Return the row of a run."""
    shown = escape(on_a_line(name))
    log = log_in(results, results.runs[name])
    if log:
        shown = f'<span data-log="{escape(address_of(log))}">{shown}</span>'
    box = f'<input type="checkbox" data-choose="{place}" aria-label="Show {escape(on_a_line(name))}">'
    cells = [f'<td>{box}</td><th scope="row">{shown}</th>']
    cells += [cell(column, place) for column in columns]
    return f'<tr data-run="{place}">{"".join(cells)}</tr>'


def cell(column: Column, place: int) -> str:
    """Return a cell, which is sorted by what it is and not by how it is written."""
    value = column.cells[place]
    if is_number(value):
        return f'<td class="number" data-order="{value!r}">{column.text(place)}</td>'
    return f"<td>{escape(column.text(place))}</td>"


# --- elements ---
def select(
    name: str, label: str, options: Sequence[str], none: str = "", named: bool = False, first: int = 0
) -> str:
    """Return a choice of these options, whose values are their places, or where they are `named`, themselves."""
    texts = []
    if none:
        texts.append(f'<option value="">{escape(none)}</option>')
    for place, option in enumerate(options):
        value = str(place)
        if named:
            value = escape(option)
        chosen = " selected" if place == first and not none else ""
        texts.append(f'<option value="{value}"{chosen}>{escape(option)}</option>')
    return f'<label>{escape(label)} <select id="{name}">{"".join(texts)}</select></label>'


def chart(name: str) -> str:
    """Return the place of a chart."""
    return f'<div id="{name}" class="chart" role="img"></div>'


def scroll(what: str) -> str:
    """Return the beginning of what scrolls to the side where it is wider than the page, with the keyboard, too."""
    return f'<div class="scroll" role="group" tabindex="0" aria-label="{escape(what)}">'


def scrolled(content: str, what: str) -> str:
    """Return HTML that scrolls."""
    return f"{scroll(what)}{content}</div>"
