"""The whole page, computed once: what the summary notebook shows cell by cell, and summary.html on one page.

A new section is computed here, and shown by a cell of summary.ipynb and by `page`.
"""

from __future__ import annotations

from dataclasses import dataclass

from nbstudy.records.results import Results
from nbstudy.report import (
    choice,
    criteria,
    factors,
    loaded,
    next_steps,
    original,
    overview,
    race,
    rounds,
    runs,
    search_space,
    test_set,
    together,
)
from nbstudy.report.answer import Answer
from nbstudy.report.looks import Look, looks_of
from nbstudy.uncollected import uncollected


@dataclass(frozen=True, eq=False)
class Story:
    """What each section has to say."""

    results: Results
    looks: dict[str, Look]
    answer: Answer
    overview: overview.Overview | None
    steps: next_steps.NextSteps
    loaded: loaded.Loaded
    runs: runs.AllRuns
    judged: list[rounds.Judged]
    raced: race.Raced | None
    together: together.Together
    space: search_space.SearchSpace | None
    effects: factors.Effects | None
    unseen: original.Unseen | None


@uncollected()
def tell(results: Results) -> Story:
    """Compute all sections."""
    judged = [rounds.compute(results, each) for each in results.rounds]
    chosen = choice.compute(results)
    ranked = criteria.compute(results, chosen.choice)
    opened = test_set.compute(results, chosen.choice)
    return Story(
        results=results,
        looks=looks_of(results),
        answer=Answer(chosen, ranked, opened),
        overview=overview.compute(results, chosen, opened),
        steps=next_steps.compute(chosen, ranked),
        loaded=loaded.compute(results),
        runs=runs.compute(results, ranked.rankings),
        judged=judged,
        raced=race.compute(results),
        together=together.compute(results, judged),
        space=search_space.compute(results, judged),
        effects=factors.compute(results),
        unseen=original.compute(results, judged, chosen.choice),
    )
