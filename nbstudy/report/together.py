"""The section "All rounds together": one figure of all rounds, and how far the rule and the original agree."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nbstudy.decision.elimination import Verdict
from nbstudy.decision.metrics import Better, Metric
from nbstudy.records.results import Results
from nbstudy.records.rounds import Round
from nbstudy.report.colours import GREY
from nbstudy.report.curves import Curve, Scale, greyed, scale_of, within_reach
from nbstudy.report.figures import WIDTH, axis_label, save, set_margins, show_figures
from nbstudy.report.labels import SMALL, SMALLER, mark_exit, shortened, width_of
from nbstudy.report.lines import draw_lines, way_out
from nbstudy.report.looks import Look, dimmed
from nbstudy.report.markdown import show_texts, table
from nbstudy.report.rounds import Judged
from nbstudy.words import on_a_line

MOST_PANELS = 15  # rounds in a figure
MOST_IN_PANEL = 12  # curves, likewise
MOST_IN_LEGEND = 20
TITLE_LETTERS = 36  # of a panel, a line
LOOK_FOR = (
    "### All rounds together\n\n"
    "Look for names that stay in colour from round to round: these survive. Panels of one metric have a common "
    "scale; an overview has its own, and so has a rung, with its own epochs."
)

Kind = tuple[str, bool, int | None]  # the metric, whether it is an overview, and how long a rung is


@dataclass(frozen=True, eq=False)
class Panel:
    """A round in the figure of all rounds."""

    each: Round
    verdict: Verdict
    curves: list[Curve]

    @property
    def title(self) -> list[str]:
        """Its title, in lines."""
        return textwrap.wrap(
            f"{self.each.number} · {on_a_line(self.each.title)}", TITLE_LETTERS, max_lines=3, placeholder=" …"
        )

    @property
    def kind(self) -> Kind:
        """What it has in common with those on the same scale."""
        return self.each.metric.name, self.each.is_overview, self.rung_epochs

    @property
    def rung_epochs(self) -> int | None:
        """How long a rung is, or the race after it; None where it is neither."""
        if self.each.stage is None and self.each.lap is None:
            return None
        return self.each.epochs

    @property
    def grey(self) -> tuple[str, ...]:
        """What is grey in it."""
        return greyed(self.each, self.verdict)

    @property
    def survivors(self) -> list[Curve]:
        """The curves of what is not grey."""
        return [curve for curve in self.curves if curve.name not in self.grey]

    @property
    def outcome(self) -> str:
        """What the rule drops, in short."""
        dropped = [shortened(name) for name in self.verdict.dropped]
        if self.each.is_overview:
            return "overview"
        if not self.verdict.costs:
            return "not judged yet"
        if not dropped:
            return "drops none"
        text = f"drops {', '.join(dropped)}"
        if len(text) <= TITLE_LETTERS:
            return text
        return f"drops {len(dropped):,} of {len(self.verdict.costs):,}"

    @property
    def notes(self) -> list[str]:
        """What the rule drops, and what is not usual in it."""
        notes = [self.outcome]
        if len(self.each.candidates) > MOST_IN_PANEL:
            notes.append(f"the best {len(self.curves)} are shown")
        return notes


@dataclass(frozen=True)
class Agreement:
    """Where the rule and the original agree in a round, and where not."""

    number: int  # of the round
    judged: int  # candidates
    only_rule: list[str]  # that only the rule drops
    only_original: list[str]  # that only the original dropped

    @property
    def agreed(self) -> int:
        """How many candidates both drop, or both keep."""
        return self.judged - len(self.only_rule) - len(self.only_original)


@dataclass(frozen=True, eq=False)
class Together:
    """What there is to say of all rounds."""

    has_figure: bool  # whether several rounds have curves
    file: Path | None  # where the figure is kept; None where nothing can be written
    panels: list[Panel]
    main: Metric  # that of most panels
    scales: dict[Kind, Scale]
    agreements: list[Agreement]  # by round; none where there is no original


def compute(results: Results, judged: Sequence[Judged]) -> Together:
    """Compare the rounds of a study."""
    by_epoch = [each for each in results.rounds if results.is_by_epoch(each.metric)]
    file = None
    if results.is_writable:
        file = results.directory / "elimination.png"
    panels = panels_of(results, judged)
    return Together(
        has_figure=len(by_epoch) > 1,
        file=file,
        panels=panels,
        main=usual_metric(panels, results.metric),
        scales=common_scales(panels),
        agreements=agreements_in(judged),
    )


def show(together: Together, looks: Mapping[str, Look]) -> None:
    """Show the figure, keep it beside the runs, and say how far the rule and the original agree."""
    if together.has_figure:
        show_texts(LOOK_FOR)
        figure, _ = draw(together, looks)
        if together.file is not None:
            save(figure, together.file)
        show_figures()
    show_texts(agreement(together.agreements))


# --- what there is to say ---
def panels_of(results: Results, judged: Sequence[Judged]) -> list[Panel]:
    """Return what is drawn of the rounds that judge curves, the last ones where they are very many."""
    panels = []
    for given in judged:
        has_curves = given.each.metric.name not in results.numbers
        if has_curves and given.each.number > len(results.rounds) - MOST_PANELS:
            panels.append(Panel(given.each, given.verdict, given.curves[:MOST_IN_PANEL]))
    return panels


def usual_metric(panels: Sequence[Panel], metric: Metric) -> Metric:
    """Return the metric of most panels, this one where there are none."""
    metrics = Counter(panel.each.metric for panel in panels)
    return max(metrics, key=metrics.__getitem__, default=metric)


def common_scales(panels: Sequence[Panel]) -> dict[Kind, Scale]:
    """Return, for each kind of panels, the scale that fits the survivors of the best one and what is near it."""
    scales: dict[Kind, list[Scale]] = {}
    metrics = {panel.kind: panel.each.metric for panel in panels}
    for panel in panels:
        scale = scale_of(panel.survivors or panel.curves, panel.each.metric)
        if scale:
            scales.setdefault(panel.kind, []).append(scale)
    return {kind: common_scale(each, metrics[kind]) for kind, each in scales.items()}


def common_scale(scales: Sequence[Scale], metric: Metric) -> Scale:
    """Return the scale of the best of several figures, joined with those that are within reach of it."""
    if metric.better is Better.HIGHER:
        first, *others = sorted(scales, key=lambda scale: -scale.high)
    else:
        first, *others = sorted(scales, key=lambda scale: scale.low)
    common = first
    for scale in others:
        if within_reach(common.low, common.high, [scale.low, scale.high]):
            common = common.joined(scale)
    return common


def agreements_in(judged: Sequence[Judged]) -> list[Agreement]:
    """Compare the rule with the original, round by round, an overview aside."""
    agreements = []
    for given in judged:
        each, verdict = given.each, given.verdict
        if given.has_original and not each.is_overview:
            disputed = verdict.disputed(each.originally_dropped)
            only_rule = [name for name in disputed if name in verdict.dropped]
            only_original = [name for name in disputed if name not in verdict.dropped]
            agreements.append(Agreement(each.number, len(verdict.costs), only_rule, only_original))
    return agreements


# --- the figure ---
def draw(together: Together, looks: Mapping[str, Look]) -> tuple[Figure, list[Axes]]:
    """Draw the rounds together, a panel each, with one legend.

    Those of one metric have a common scale, but an overview and each length of a rung has its own. A small triangle
    is where a curve leaves its panel. Of very many rounds these are the last.
    """
    panels = together.panels
    legend = legend_of(panels, looks)
    columns = int(WIDTH / (0.65 + max(width_of(str(line.get_label()), SMALLER) for line in legend)))
    figure, all_axes = panel_grid(panels, math.ceil(len(legend) / columns))
    longest = max([curve.raw.index[-1] for panel in panels for curve in panel.curves], default=1)
    for axes, panel in zip(all_axes, panels, strict=True):
        axes.set_xlim(0, 1.01 * (panel.rung_epochs or longest))
        draw_panel(axes, panel, looks, together.scales.get(panel.kind))
        notes = panel.notes
        if panel.each.metric != together.main:
            notes.insert(0, shortened(panel.each.metric.name))
        write_above(axes, panel.title, ", ".join(notes))
    middle = (figure.subplotpars.bottom + figure.subplotpars.top) / 2
    figure.supylabel(axis_label(together.main), fontsize=SMALL, x=0.003, y=middle)
    figure.supxlabel("epoch", fontsize=SMALL, y=0.003)
    figure.legend(handles=legend, ncols=columns, loc="upper left", frameon=False, fontsize=SMALLER)
    return figure, all_axes


def legend_of(panels: Sequence[Panel], looks: Mapping[str, Look]) -> list[Artist]:
    """Return the lines of the common legend: what is in colour anywhere, and what grey and triangles mean."""
    in_colour = {curve.name for panel in panels for curve in panel.survivors}
    lines: list[Artist] = []
    for name, look in looks.items():
        if name in in_colour and len(lines) < MOST_IN_LEGEND:
            lines.append(
                Line2D([], [], color=look.colour, linestyle=look.style, linewidth=1.8, label=look.label)
            )
    if len(in_colour) > len(lines):
        lines.append(Line2D([], [], linestyle="", label=f"and {len(in_colour) - len(lines)} more"))
    if any(panel.grey for panel in panels):
        lines.append(Line2D([], [], color=GREY, linewidth=1.8, label="dropped"))
    lines.append(Line2D([], [], color=GREY, marker="^", linestyle="", markersize=4, label="leaves the panel"))
    return lines


def panel_grid(panels: Sequence[Panel], legend_rows: int) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels three to a row; only the outer ones have numbers at their axes, or a new metric's."""
    columns = max(1, min(3, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    above = 0.28 + 0.15 * max([len(panel.title) for panel in panels], default=1)  # for a title and a note
    gap = above + 0.1
    if any(panel.rung_epochs is not None for panel in panels):
        gap += 0.2  # for the numbers at each axis
    top, bottom, panel_height = 0.15 + 0.18 * legend_rows + above, 0.45, 1.3
    if rows < 3:
        panel_height = 2.2
    size = WIDTH, top + rows * panel_height + (rows - 1) * gap + bottom
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False)
    set_margins(figure, left=0.75, right=0.2, bottom=bottom, top=top)
    figure.subplots_adjust(wspace=0.18, hspace=gap / panel_height)
    all_axes = list(grid.flat)
    for axes in all_axes[len(panels) :]:
        axes.set_visible(False)
    for number, panel in enumerate(panels):
        is_first_of_its_kind = number % columns == 0 or panels[number - 1].kind != panel.kind
        has_epochs = number + columns >= len(panels) or panel.rung_epochs is not None
        all_axes[number].tick_params(
            labelleft=is_first_of_its_kind, labelbottom=has_epochs, labelsize=SMALLER, which="both"
        )
    return figure, all_axes[: len(panels)]


def draw_panel(axes: Axes, panel: Panel, looks: Mapping[str, Look], scale: Scale | None) -> None:
    """Draw the curves of a round without labels, and a triangle where one leaves the panel."""
    looks = dimmed(looks, panel.grey)
    draw_lines(axes, panel.curves, looks, scale, weight=0.75)
    for curve in panel.curves:
        at, arrow = way_out(axes, curve)
        if arrow:
            mark_exit(axes, at, arrow, looks[curve.name].colour)


def write_above(axes: Axes, title: Sequence[str], note: str) -> None:
    """Write the title of a panel, and a note below it."""
    note_points, title_points = 6, 17  # above the axes
    axes.annotate(
        note,
        (0, 1),
        (0, note_points),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=SMALLER,
        color=GREY,
    )
    axes.annotate(
        "\n".join(title),
        (0, 1),
        (0, title_points),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=SMALL,
    )


# --- the sentences ---
def agreement(agreements: Sequence[Agreement]) -> str:
    """Show in which rounds the rule and the original agree, and count their decisions."""
    if not agreements:
        return ""
    rows = []
    for each in agreements:
        rows.append(
            {
                "round": each.number,
                "judged": each.judged,
                "agreed": each.agreed,
                "only the rule drops": ", ".join(each.only_rule),
                "only the original dropped": ", ".join(each.only_original),
            }
        )
    judged = sum(each.judged for each in agreements)
    agreed = sum(each.agreed for each in agreements)
    entirely = sum(each.judged == each.agreed for each in agreements)
    sentence = f"The rule and the original agree entirely in {entirely} of {len(agreements)} rounds"
    return f"{table(rows)}\n\n{sentence}, and on **{agreed} of {judged} decisions**."
