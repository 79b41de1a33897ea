"""The section "The race": its laps, who was dropped in which, and why it ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nbstudy.decision.metrics import written
from nbstudy.decision.race import End, Lap, largest_difference
from nbstudy.markdown import plain
from nbstudy.records.results import Results
from nbstudy.report.markdown import listed, show_texts, table
from nbstudy.study.race import RUNS, TFLOP, Race
from nbstudy.words import counted

UNITS = {RUNS: "runs", TFLOP: "TFLOP"}  # of a budget, as they are written


@dataclass(frozen=True, eq=False)
class Raced:
    """A race as far as it has come."""

    race: Race
    laps: list[Lap]

    @property
    def runs(self) -> int:
        """How many runs its laps take, the one that is under way included."""
        return runs_until(self.laps)

    @property
    def most_runs(self) -> int:
        """How many it would take if all had as many as those that are left to the last lap."""
        return len(self.laps[0].candidates) * self.race.plan.replicates[-1]


def compute(results: Results) -> Raced | None:
    """Find the laps of a race; None without one, or before it has begun."""
    laps = [each.lap for each in results.rounds if each.lap is not None]
    if results.race is None or not laps:
        return None
    return Raced(results.race, laps)


def show(raced: Raced | None) -> None:
    """Show the laps, and say how the race ended."""
    if raced is not None:
        show_texts(write(raced))


def write(raced: Raced) -> str:
    """Return the section."""
    parts = ["### The race", table_of_laps(raced), where_it_stands(raced), what_it_took(raced)]
    return "\n\n".join(filter(None, parts))


def runs_until(laps: Sequence[Lap]) -> int:
    """Return how many runs laps take together."""
    runs = before = 0
    for lap in laps:
        runs += len(lap.candidates) * (lap.runs - before)
        before = lap.runs
    return runs


def table_of_laps(raced: Raced) -> str:
    """Show a row a lap: how many runs there are, who is dropped and who is left."""
    rows = []
    for number, lap in enumerate(raced.laps, 1):
        row: dict[str, Any] = {"lap": lap.number, "candidates": len(lap.candidates), "runs each": lap.runs}
        row["runs so far"] = runs_until(raced.laps[:number])
        if raced.race.unit != RUNS:
            row["TFLOP so far"] = f"{lap.spent:.3g}"
        row["dropped"] = listed(lap.verdict.dropped)
        row["left"] = listed(lap.left)
        if lap.waits_for:
            row["left"] = "not decided yet"
        row["differ by at most"] = ""
        if len(lap.left) > 1 and math.isfinite(largest_difference(lap.verdict)):
            row["differ by at most"] = largest_difference(lap.verdict)
        rows.append(row)
    return table(rows)


# --- the sentences ---
def where_it_stands(raced: Raced) -> str:
    """Say how a race ended, or what it waits for."""
    last = raced.laps[-1]
    if last.end is None:
        return f"**The race is not decided yet:** {what_it_waits_for(raced.race, last)}."
    return how_it_ended(raced.race, last)


def what_it_waits_for(race: Race, lap: Lap) -> str:
    """Say which lap is under way, and for whom it waits."""
    return f"{lap_of(race, lap)} waits for {listed(lap.waits_for)}"


def lap_of(race: Race, lap: Lap) -> str:
    """Name a lap, and how many there may be."""
    return f"lap {lap.number} of {len(race.plan.replicates)}"


def how_it_ended(race: Race, lap: Lap) -> str:
    """Say why a race ended with a lap, and what is known of those that are left."""
    where = lap_of(race, lap)
    if lap.end is End.NONE_LEFT:
        return f"**The race ended in {where} with none left:** all have diverged."
    if lap.end is End.ONE_LEFT:
        return f"**The race is decided:** after {where} {plain(*lap.left)} alone is left."
    left = listed(lap.left)
    differ = f"differ by {written(largest_difference(lap.verdict))} at most, with 95 % confidence"
    if lap.end is End.TIE:
        margin = f"which is within the margin of {race.plan.margin:g}"
        return f"**The race ended in a tie:** after {where} {left} {differ}, {margin}."
    why = "that was the last lap"
    if lap.end is End.BUDGET:
        with_the_next = f"{lap.spent + lap.further:g} {UNITS[race.unit]}"
        why = f"with the next lap it would take {with_the_next}, more than the budget of {race.plan.budget:g}"
    text = f"**The race ended undecided:** after {where} {left} are left, and {why}."
    if math.isfinite(largest_difference(lap.verdict)):
        text += f" They {differ}."
    return text


def what_it_took(raced: Raced) -> str:
    """Say how many runs a race took, beside as many of all candidates as its last lap has."""
    if raced.laps[-1].end is None:
        return ""
    took, most = raced.runs, raced.most_runs
    all_of_them = f"all {len(raced.laps[0].candidates)} with {raced.race.plan.replicates[-1]} runs each would have taken {most}"
    return f"It took {counted(took, 'run')}; {all_of_them}: the share is **{took / most:.2f}**."
