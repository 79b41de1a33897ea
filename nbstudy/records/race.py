"""The race of a study as it stands: who is left after which lap, and what they are judged by there.

How a lap is decided is in decision/race.py, who takes part in study/race.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nbstudy.decision.critical import ERROR_RATE
from nbstudy.decision.halving import Stage, share_of_error
from nbstudy.decision.race import Lap, run_race, runs_at_last
from nbstudy.decision.scores import Score
from nbstudy.records.outputs import Outputs
from nbstudy.records.reading import Run
from nbstudy.records.rungs import (
    are_climbed,
    completed,
    first_by_name,
    has_climbed,
    runs_at,
    score_of_run,
    stages_of,
)


def laps_of(outputs: Outputs) -> list[Lap]:
    """Return the laps as far as they are decided, and the one that is under way; none without a race, or before it."""
    race = outputs.race
    if race is None:
        return []
    candidates = list(race.candidates)
    error_rate = ERROR_RATE
    if race.follows_rungs:
        stages = stages_of(outputs)
        if not are_climbed(outputs, stages):
            return []
        candidates = stages[-1].survivors
        error_rate = share_of_error([stage.rung for stage in stages], with_race=True)
    if not candidates:
        return []
    return run_race(
        race.plan,
        candidates,
        race.costs,
        lambda name, number: scores_of_first_runs(outputs, name, number),
        error_rate,
    )


def scores_of_first_runs(outputs: Outputs, name: str, number: int) -> dict[str, Score] | None:
    """Return what the first runs of a candidate came to, the first by its name; None where one is not complete."""
    scores = scores_in_race(outputs, {name: number})
    if len(scores) < number:
        return None
    return scores


def scores_in_race(outputs: Outputs, numbers: Mapping[str, int]) -> dict[str, Score]:
    """Return what the first runs of candidates came to, so many of each, as far as they are complete."""
    scores: dict[str, Score] = {}
    for name, number in numbers.items():
        own = {}
        for run_name in runs_in_race(outputs, name, number):
            run = ready(outputs, run_name)
            if run is not None:
                own[run_name] = score_of_run(outputs, run, name, epochs_of_race(outputs))
        scores |= first_by_name(name, own)
    return scores


def runs_in_race(outputs: Outputs, name: str, number: int) -> list[str]:
    """Return the first runs by which a candidate is judged in the race, so many of them."""
    if outputs.race is None:
        return []
    return outputs.race.runs_of(name, number, outputs.parameters.given)


def epochs_of_race(outputs: Outputs) -> int | None:
    """Return over how many epochs the race judges; None where these are all that its runs have."""
    if outputs.race is None:
        return None
    return outputs.race.epochs


def ready(outputs: Outputs, name: str) -> Run | None:
    """Return a run that the race can judge; None where it is not complete. After rungs it may be longer than is asked."""
    epochs = epochs_of_race(outputs)
    if epochs is None:
        run = outputs.runs.get(name)
        if run is not None and run.state.is_done:
            return run
        return None
    run = completed(outputs, name)
    if run is not None and has_climbed(outputs, run, epochs):
        return run
    return None


def has_ended(outputs: Outputs, stages: Sequence[Stage], laps: Sequence[Lap]) -> bool:
    """Tell whether nothing waits on any rung or in any lap, also where there are none."""
    if not are_climbed(outputs, stages):
        return False
    if laps:
        return laps[-1].end is not None
    return outputs.race is None or not stages[-1].survivors


def is_decided(outputs: Outputs, stages: Sequence[Stage], laps: Sequence[Lap]) -> bool:
    """Tell whether all is complete that the choice depends on: every configuration but the final one, rungs and race."""
    return has_ended(outputs, stages, laps) and all(name == outputs.final for name in outputs.incomplete)


def runs_with_new_seeds(
    outputs: Outputs, stages: Sequence[Stage], laps: Sequence[Lap]
) -> dict[str, list[str]]:
    """Return the runs of the last rung, or of the race in its place, by candidate, where they have new seeds."""
    if laps:
        return {name: runs_in_race(outputs, name, number) for name, number in runs_at_last(laps).items()}
    top = stages[-1]
    if not top.rung.replicates:
        return {}
    return {name: runs_at(outputs, name, top.rung) for name in top.candidates}
