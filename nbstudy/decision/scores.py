"""What the rule judges by: a score for each run, and which runs are those of a candidate."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """What a run is judged by."""

    cost: float  # its settled value, so that lower is better; infinite where that is not finite, or not there
    configuration: str  # the first of its replicates: runs that are equal but for their seed
    spread: float = math.nan  # standard deviation within its settled epochs, NaN for a single epoch
    settled_epochs: int = 1
    is_copy: bool = False  # equal to an earlier run, its seed included: no replicate of it
    seed: Hashable = None  # None where it is not known


def runs_of_candidates(scores: Mapping[str, Score], candidates: Collection[str]) -> dict[str, list[str]]:
    """Return the runs of each candidate that has a score: its own and its replicates, exact copies aside.

    Of candidates that are replicates or copies of each other, the first in the order of scores stands for all.
    """
    replicates = replicates_of(scores)
    runs = {}
    configurations = set()
    asked = set(candidates)
    for name, score in scores.items():
        if name in asked and score.configuration not in configurations:
            configurations.add(score.configuration)
            runs[name] = replicates.get(score.configuration, [name])
    return runs


def replicates_of(scores: Mapping[str, Score]) -> dict[str, list[str]]:
    """Return the runs of each configuration that are no copies, in the order of scores."""
    runs: dict[str, list[str]] = {}
    for name, score in scores.items():
        if not score.is_copy:
            runs.setdefault(score.configuration, []).append(name)
    return runs
