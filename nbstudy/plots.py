"""Figures of the summary: data, axes and colours in, axes out.

Every configuration has one colour and line style in all figures, which `looks` gives it.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nbstudy.elimination import Verdict, lower_is_better
from nbstudy.results import Factor, Results, Round, Run

# Okabe and Ito's colours, which colour-blind people can tell apart, but brown for their yellow
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31"]
STYLES = ["-", ":", "-."]
INCOMPLETE = "--"  # the style of runs that are not complete
GREY = "0.5"
WIDTH = 9.0  # inches of a figure: JupyterLab's width
LABEL_HEIGHT = 0.16  # inches from one label to the next
LATEST_SHARE = 9, 10  # of the epochs, that the vertical axis fits


@dataclass(frozen=True)
class Look:
    """How a run is drawn, and what its line is called."""

    colour: str
    style: str
    label: str


@dataclass(frozen=True, order=True)
class End:
    """The end of a line, and what is written beside it."""

    y: float
    x: float
    label: str
    colour: str


def use_style() -> None:
    """Set what all figures of the page have in common."""
    plt.rcParams.update(
        {
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "figure.constrained_layout.use": True,
        }
    )


def looks(results: Results) -> dict[str, Look]:
    """Give every run its look: replicates that of the first one, rivals in a round different colours if possible."""
    rounds = [each.candidates for each in results.rounds]
    order = [results.first[name] for name in itertools.chain(*rounds, results.runs)]
    free = list(itertools.product(STYLES, COLOURS)) * (1 + len(results.runs) // (len(STYLES) * len(COLOURS)))
    taken: dict[str, tuple[str, str]] = {}
    for first in dict.fromkeys(order):
        rivals = rivals_of(first, rounds)
        colours = Counter(taken[rival][1] for rival in rivals if rival in taken)
        taken[first] = min(free, key=lambda look: colours[look[1]])
        free.remove(taken[first])
    return {name: look_of(run, *taken[results.first[name]]) for name, run in results.runs.items()}


def rivals_of(name: str, rounds: Sequence[Collection[str]]) -> list[str]:
    """Return the candidates of the rounds that a configuration is in, as often as they meet."""
    return [rival for candidates in rounds if name in candidates for rival in candidates]


def look_of(run: Run, style: str, colour: str) -> Look:
    """Return a look that says in which state a run is that is not complete."""
    if run.state.is_done:
        return Look(colour, style, run.name)
    return Look(colour, INCOMPLETE, f"{run.name} ({run.word})")


# --- curves ---
def new_axes(lines: int = 0) -> Axes:
    """Make a figure of the page's width, high enough for the labels of so many lines."""
    _, axes = plt.subplots(figsize=(WIDTH, max(3.8, lines / 5)))
    return axes


def curves(
    axes: Axes,
    lines: pd.DataFrame,
    metric: str,
    looks: Mapping[str, Look],
    grey: Collection[str] = (),
    unlabelled: Collection[str] = (),
    fit: pd.DataFrame | None = None,
) -> Axes:
    """Draw lines by epoch (a row an epoch, a column a run), labelled at their ends.

    The vertical axis fits what they do after the first tenth of their epochs, or what `fit` does.
    """
    ends = []
    for name in lines.columns[lines.notna().any()]:
        line = lines[name].dropna()
        colour = looks[name].colour
        order = 2
        if name in grey:
            colour, order = GREY, 1
        axes.plot(line, color=colour, linestyle=looks[name].style, zorder=order)
        if name not in unlabelled:
            ends.append(End(line.iloc[-1], line.index[-1], looks[name].label, colour))
    if fit is None:
        fit = lines
    fit_to_late_epochs(axes, fit)
    axes.set(xlabel="epoch", ylabel=axis_label(metric))
    axes.locator_params(axis="x", integer=True)
    return label_ends(axes, ends)


def axis_label(metric: str, what: str = "") -> str:
    """Return the label of an axis, which says whether lower or higher is better."""
    better = "higher"
    if lower_is_better(metric):
        better = "lower"
    return f"{what} {metric} ({better} is better)".strip()


def fit_to_late_epochs(axes: Axes, lines: pd.DataFrame) -> None:
    """Make the vertical axis fit what lines do after their first tenth, an explosion aside."""
    share, whole = LATEST_SHARE
    late = lines.tail(max(1, len(lines) * share // whole)).stack()
    if len(late):
        axes.dataLim.intervaly = late.min(), min(late.max(), 10 * late.abs().median())


def label_ends(axes: Axes, ends: Sequence[End]) -> Axes:
    """Write labels beside the ends of lines, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    height = axes.bbox.height / axes.figure.dpi  # inches
    gap = LABEL_HEIGHT * (high - low) / height
    leader = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.5, "relpos": (0, 0.5)}  # to the left edge
    at = -math.inf
    for end in sorted(ends):
        y = float(np.clip(end.y, low, high))
        at = max(y, at + gap)
        axes.annotate(
            end.label,
            (end.x, y),
            (1.03, at),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=8.5,
            color=end.colour,
            annotation_clip=False,
            arrowprops=leader,
        )
    return axes


def greyed(each: Round, verdict: Verdict) -> tuple[str, ...]:
    """Return the candidates of a round that are drawn in grey: the dropped, but in an overview none."""
    if each.is_overview:
        return ()
    return verdict.dropped


def bands(
    axes: Axes, lines: pd.DataFrame, metric: str, looks: Mapping[str, Look], first: Mapping[str, str]
) -> Axes:
    """Draw the mean of replicates by epoch, with a band from the lowest to the highest of them.

    `lines` has a row an epoch and a column a run; `first` names the first of its replicates for each run.
    """
    means = {}
    for name, replicates in lines.T.groupby(first, sort=False):
        means[name] = replicates.mean()
        axes.fill_between(
            lines.index, replicates.min(), replicates.max(), color=looks[name].colour, alpha=0.2
        )
    return curves(axes, pd.DataFrame(means), metric, looks, fit=lines)


# --- small multiples ---
def small_multiples(count: int, columns: int, width: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels, inches wide each, those that are left over invisible; options as of plt.subplots."""
    height = math.ceil(count / columns) or 1
    figure, grid = plt.subplots(
        height, columns, figsize=(width * columns, 2.8 * height), squeeze=False, **options
    )
    panels = list(grid.flat)
    for left_over in panels[count:]:
        left_over.set_visible(False)
    return figure, panels[:count]


def rounds(
    results: Results, verdicts: Sequence[Verdict], looks: Mapping[str, Look]
) -> tuple[Figure, list[Axes]]:
    """Draw all rounds together, a panel each; the dropped are grey, and have no label."""
    columns = max(1, min(3, len(results.rounds)))
    figure, panels = small_multiples(len(results.rounds), columns, width=4.3)
    for axes, each, verdict in zip(panels, results.rounds, verdicts, strict=True):
        lines = results.curves(each.candidates, each.metric, each.epochs)
        grey = greyed(each, verdict)
        curves(axes, lines, each.metric, looks, grey=grey, unlabelled=grey)
        axes.set_title(f"{each.number} · {each.title:.56}", fontsize="small", loc="left")
    return figure, panels


def factors(given: Sequence[Factor], metric: str, looks: Mapping[str, Look]) -> tuple[Figure, list[Axes]]:
    """Draw a panel for each parameter on a common vertical axis; one that no lines run along is left empty."""
    figure, panels = small_multiples(len(given), columns=2, width=WIDTH / 2, sharey=True)
    figure.supylabel(axis_label(metric, "settled"), fontsize="medium")
    for axes, each in zip(panels, given, strict=True):
        factor(axes, each, looks)
    return figure, panels


def factor(axes: Axes, given: Factor, looks: Mapping[str, Look]) -> Axes:
    """Draw a line for each chain of configurations that differ in this parameter alone, with its ends' names."""
    ends = []
    for chain in reversed(given.chains):  # the best on top
        x = [given.levels.index(level) for level in chain.levels]
        axes.plot(x, chain.values, color="0.7", zorder=1)
        axes.scatter(x, chain.values, color=[looks[name].colour for name in chain.names], zorder=2)
        ends.append(End(chain.values[-1], x[-1], f"{chain.names[0]} … {chain.names[-1]}", "0.3"))
    axes.set(
        xticks=range(len(given.levels)),
        xticklabels=given.levels,
        xlabel=given.name,
        visible=bool(given.chains),
    )
    return label_ends(axes, ends)


# --- test set ---
def confusion(counts: pd.DataFrame) -> Axes:
    """Draw how often each class (rows) is taken for each (columns)."""
    from sklearn.metrics import ConfusionMatrixDisplay

    _, axes = plt.subplots(figsize=(7, 6))
    axes.grid(visible=False)
    display = ConfusionMatrixDisplay(counts.to_numpy(), display_labels=counts.index)
    display.plot(cmap="Blues", xticks_rotation=45, colorbar=False, ax=axes)
    return axes


def mistakes(images: np.ndarray[Any, Any], worst: pd.DataFrame, classes: Sequence[str]) -> Figure:
    """Draw up to twelve images that were taken for another class, by their number: the index of `worst`.

    `images` are grey values (number, height, width); `worst` has columns true, said (classes by number) and
    certainty (0 to 1).
    """
    figure, grid = plt.subplots(2, 6, figsize=(WIDTH, 4), subplot_kw={"xticks": [], "yticks": []})
    for axes, (number, row) in zip(grid.flat, worst.iterrows(), strict=False):
        axes.grid(visible=False)
        axes.imshow(images[number], cmap="gray_r")
        true, said = classes[int(row["true"])], classes[int(row["said"])]
        axes.set_title(f"{true},\nsays {said}\n({row['certainty']:.1%})", fontsize=8.5)
    return figure
