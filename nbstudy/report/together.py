"""The section "Elimination": one figure and one table of all rounds, and how far the rule and the original agree."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nbstudy.decision.elimination import Verdict
from nbstudy.decision.metrics import Better, Metric, written
from nbstudy.markdown import plain
from nbstudy.records.results import Results
from nbstudy.records.rounds import Round
from nbstudy.report.colours import GREY
from nbstudy.report.curves import Curve, Scale, greyed, scale_of, within_reach
from nbstudy.report.figures import WIDTH, axis_label, save, set_margins, show_figures
from nbstudy.report.labels import SMALL, SMALLER, mark_exit, shortened, width_of
from nbstudy.report.lines import draw_lines, way_out
from nbstudy.report.looks import Look, dimmed
from nbstudy.report.markdown import show_texts, table_of_many
from nbstudy.report.phrases import link
from nbstudy.report.rounds import Judged
from nbstudy.report.rungs import how_likely_the_best_came, odd_of_a_rung
from nbstudy.words import enumerated, on_a_line

MOST_PANELS = 16  # rounds in a figure
MOST_IN_PANEL = 12  # curves, likewise
MOST_IN_LEGEND = 20
TITLE_LETTERS = {3: 36, 4: 26}  # of a panel, a line, by how many panels a row has at most
WIDE_FROM = 10  # panels, of which four are in a row
LOOK_FOR = (
    "Look for names that stay in colour from round to round: these survive. A curve is drawn twice, thin as it is and strong "
    "as its running median; a band is what replicates spread over. Panels of one metric have a common scale; an overview has "
    "its own, and so has a rung."
)
MOST_WITH_VALUES = 6  # rounds in the table, where there is room for what candidates came to
KEPT, DROPPED, NOT_JUDGED, DISPUTED = "✓", "✗", "?", "*"

Kind = tuple[str, bool, int | None]  # the metric, whether it is an overview, and how long a rung is


@dataclass(frozen=True, eq=False)
class Panel:
    """A round in the figure of all rounds."""

    each: Round
    verdict: Verdict
    curves: list[Curve]
    letters: int  # that a line above it has room for

    @property
    def title(self) -> list[str]:
        """Its title, in lines."""
        return textwrap.wrap(
            f"{self.each.number} · {on_a_line(self.each.title)}", self.letters, max_lines=3, placeholder=" …"
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
        if len(text) <= self.letters:
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
    judged: Sequence[Judged]  # the rounds
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
        judged=judged,
        agreements=agreements_in(judged),
    )


def show(together: Together, looks: Mapping[str, Look]) -> None:
    """Show the figure, keep it beside the runs, and show the table; nothing where no run left a number."""
    if not any(given.results.metrics for given in together.judged):
        return
    if together.has_figure:
        show_texts(LOOK_FOR)
        figure, _ = draw(together, looks)
        if together.file is not None:
            save(figure, together.file)
        show_figures(description(together))
    show_texts(write(together))


def write(together: Together) -> str:
    """Return the table of all rounds, and what there is to say of them."""
    parts = [
        rounds_in_words(together),
        table_of_rounds(together.judged),
        marks_in_words(together),
        " ".join(filter(None, [agreement(together.agreements), chance_in_words(together.judged)])),
        *what_is_odd(together.judged),
    ]
    return "\n\n".join(filter(None, parts))


# --- what there is to say ---
def panels_of(results: Results, judged: Sequence[Judged]) -> list[Panel]:
    """Return what is drawn of the rounds that judge curves, the last ones where they are very many."""
    shown = []
    for given in judged:
        has_curves = given.each.metric.name not in results.numbers
        if has_curves and given.each.number > len(results.rounds) - MOST_PANELS:
            shown.append(given)
    letters = TITLE_LETTERS[columns_of(len(shown))]
    return [Panel(given.each, given.verdict, given.curves[:MOST_IN_PANEL], letters) for given in shown]


def usual_metric(panels: Sequence[Panel], metric: Metric) -> Metric:
    """Return the metric of most panels, this one where there are none."""
    metrics = Counter(panel.each.metric for panel in panels)
    return max(metrics, key=metrics.__getitem__, default=metric)


def common_scales(panels: Sequence[Panel]) -> dict[Kind, Scale]:
    """Return, for each kind of panels, the scale that fits the survivors of the best one, what is near, and what is better."""
    scales: dict[Kind, list[Scale]] = {}
    metrics = {panel.kind: panel.each.metric for panel in panels}
    for panel in panels:
        scale = scale_of(panel.curves, panel.each.metric, panel.grey)
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
            only_rule = [name for name in disputed if verdict.drops(name)]
            only_original = [name for name in disputed if not verdict.drops(name)]
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


def columns_of(number: int) -> int:
    """Return how many of so many panels are in a row at most."""
    if number >= WIDE_FROM:
        return 4
    return 3


def panel_grid(panels: Sequence[Panel], legend_rows: int) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels in rows; only the outer ones have numbers at their axes, or a new metric's."""
    columns = max(1, min(columns_of(len(panels)), len(panels)))
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
    figure.subplots_adjust(wspace=0.06 * columns, hspace=gap / panel_height)
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


def description(together: Together) -> str:
    """Say what the figure shows."""
    told = [f"{' '.join(panel.title)}: {panel.outcome}" for panel in together.panels]
    return f"{together.main} by epoch in {len(told)} rounds, a panel each. {'. '.join(told)}."


# --- the table ---
def table_of_rounds(judged: Sequence[Judged]) -> str:
    """Show what the rule does with each candidate in each round: a row a candidate, those that came furthest first."""
    furthest: dict[str, tuple[int, int]] = {}
    for given in judged:
        for place, name in enumerate(given.values):
            furthest[name] = -given.each.number, place

    def row_of(name: str) -> dict[str, Any]:
        row: dict[str, Any] = {"candidate": link(judged[0].results.runs[name])}
        for given in judged:
            row[str(given.each.number)] = mark_of(given, name, len(judged) <= MOST_WITH_VALUES)
        return row

    return table_of_many(sorted(furthest, key=furthest.__getitem__), row_of)


def mark_of(given: Judged, name: str, with_value: bool) -> str:
    """Return what the rule does with a candidate in a round as a mark, perhaps after what it comes to; empty without it."""
    if name not in given.values:
        return ""
    mark = KEPT
    if name not in given.verdict.costs:
        mark = NOT_JUDGED
    elif given.verdict.drops(name):
        mark = DROPPED
    if is_disputed(given, name):
        mark += DISPUTED
    value = given.values[name]
    if with_value and not math.isnan(value):
        return f"{written(value)} {mark}"
    return mark


def is_disputed(given: Judged, name: str) -> bool:
    """Tell whether the original decided otherwise of a candidate; in an overview it decided nothing."""
    if not given.has_original or given.each.is_overview:
        return False
    return name in given.verdict.disputed(given.each.originally_dropped)


# --- the sentences ---
def rounds_in_words(together: Together) -> str:
    """Name the rounds that have no panel."""
    shown = {panel.each.number for panel in together.panels if together.has_figure}
    names = []
    for given in together.judged:
        if given.each.number not in shown:
            names.append(f"{given.each.number} · {plain(given.each.title)} (by {plain(given.each.metric)})")
    if not names:
        return ""
    return f"The rounds: {'; '.join(names)}."


def marks_in_words(together: Together) -> str:
    """Explain the marks of the table."""
    kept, dropped = "kept", "dropped"
    if any(given.cut is not None for given in together.judged):
        kept, dropped = "goes on or is kept", "stops or is dropped"
    marks = [f"{KEPT} {kept}", f"{DROPPED} {dropped}"]
    if any(len(given.values) > len(given.verdict.costs) for given in together.judged):
        marks.append(f"{NOT_JUDGED} not judged")
    if any(each.judged > each.agreed for each in together.agreements):
        marks.append(f"{plain(DISPUTED)} the original decided otherwise")
    return f"{'; '.join(marks)}."


def agreement(agreements: Sequence[Agreement]) -> str:
    """Say in how many rounds the rule and the original agree, and count their decisions; empty without an original."""
    if not agreements:
        return ""
    judged = sum(each.judged for each in agreements)
    agreed = sum(each.agreed for each in agreements)
    entirely = sum(each.judged == each.agreed for each in agreements)
    sentence = f"The rule and the original agree entirely in {entirely} of {len(agreements)} rounds"
    return f"{sentence}, and on **{agreed} of {judged} decisions**."


def chance_in_words(judged: Sequence[Judged]) -> str:
    """Say by how much chance changes a run in each round."""
    rounds_by_noise: dict[str, list[int]] = {}
    for given in judged:
        noise = given.verdict.noise
        if given.verdict.costs and noise.is_known:
            deviation = written(noise.deviation)
            if noise.is_guess:
                deviation += ", a guess from within one run,"
            rounds_by_noise.setdefault(deviation, []).append(given.each.number)
    if not rounds_by_noise:
        return "By how much chance changes a run is unknown, as there are no replicates."
    known = enumerated(
        f"{deviation} in {numbered(numbers)}" for deviation, numbers in rounds_by_noise.items()
    )
    return f"Chance alone changes a run by a standard deviation of {known}."


def numbered(numbers: Sequence[int]) -> str:
    """Return the numbers of rounds in words, as in "rounds 1 to 7 and 9"."""
    stretches: list[list[int]] = []
    for number in numbers:
        if stretches and stretches[-1][-1] == number - 1:
            stretches[-1].append(number)
        else:
            stretches.append([number])
    words = []
    for stretch in stretches:
        if len(stretch) > 2:
            words.append(f"{stretch[0]} to {stretch[-1]}")
        else:
            words += map(str, stretch)
    if len(numbers) == 1:
        return f"round {words[0]}"
    return f"rounds {enumerated(words)}"


def what_is_odd(judged: Sequence[Judged]) -> list[str]:
    """Say what a reader has to know of single rounds: what is undecided, and how likely the best came through rungs."""
    told = []
    for given in judged:
        if not given.verdict.costs and given.undecided:
            told.append(f"**Nothing is decided in round {given.each.number}:** {given.undecided}.")
        if given.cut is not None:
            told += odd_of_a_rung(given.cut)
        if given.passage is not None:
            told.append(how_likely_the_best_came(given.passage))
    return told
