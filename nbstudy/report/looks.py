"""Looks: every configuration has one colour and one line style in all figures."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from nbstudy.records.reading import Run
from nbstudy.records.results import Results
from nbstudy.records.states import State
from nbstudy.report.colours import COLOURS, GREY
from nbstudy.report.labels import shortened

LineStyle = Literal["-", ":", "-.", "--"]
STYLES: list[LineStyle] = ["-", ":", "-."]
INCOMPLETE: LineStyle = "--"  # the style of runs that are not complete


@dataclass(frozen=True)
class Look:
    """How a run is drawn, and what its line is called."""

    colour: str
    style: LineStyle
    label: str


def looks_of(results: Results) -> dict[str, Look]:
    """Give every run its look: replicates that of the first one, rivals in a round different colours if possible.

    Those that are in most rounds choose first.
    """
    rounds_of: dict[str, list[int]] = {first: [] for first in results.parameters.first.values()}
    for number, each in enumerate(results.rounds):
        for name in each.candidates:
            rounds_of[results.parameters.first[name]].append(number)
    order = sorted(rounds_of, key=lambda first: -len(rounds_of[first]))

    possible = list(itertools.product(STYLES, COLOURS))
    colours_in: list[Counter[str]] = [Counter() for _ in results.rounds]
    used: Counter[tuple[LineStyle, str]] = Counter()
    taken = {}
    for first in order:
        rivals: Counter[str] = Counter()
        for number in rounds_of[first]:
            rivals.update(colours_in[number])
        style, colour = min(possible, key=lambda look: (rivals[look[1]], used[look]))
        taken[first] = style, colour
        used[style, colour] += 1
        for number in rounds_of[first]:
            colours_in[number][colour] += 1
    looks = {}
    for name, run in results.runs.items():
        looks[name] = look_of(run, *taken[results.parameters.first[name]], results.is_refitted(name))
    return looks


def look_of(run: Run, style: LineStyle, colour: str, is_refitted: bool = False) -> Look:
    """Return a look that says in which state a run is that is not complete, or that it is refitted."""
    if run.state is State.COMPLETE and is_refitted:
        return Look(colour, style, f"{shortened(run.name)} (refitted)")
    if run.state is State.COMPLETE:
        return Look(colour, style, shortened(run.name))
    return Look(colour, INCOMPLETE, f"{shortened(run.name)} ({run.word})")


def dimmed(looks: Mapping[str, Look], names: Collection[str]) -> dict[str, Look]:
    """Return looks of which these are grey."""
    changed = dict(looks)
    for name in names:
        changed[name] = replace(changed[name], colour=GREY)
    return changed
