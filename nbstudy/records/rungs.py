"""The rungs of a study as they stand: who has climbed which, and what they are judged by there.

How a rung is decided is in decision/elimination.py, which rungs there are in study/halving.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from nbstudy.checks import fail
from nbstudy.decision.halving import Rung, Stage, climb
from nbstudy.decision.scores import Score
from nbstudy.decision.settling import measured, settled, settled_epochs, spread
from nbstudy.files import HISTORY
from nbstudy.records.outputs import Outputs
from nbstudy.records.progress import describe_early_end
from nbstudy.records.reading import Run
from nbstudy.records.scores import seed_of
from nbstudy.records.states import State
from nbstudy.words import counted


def stages_of(outputs: Outputs) -> list[Stage]:
    """Return the rungs as far as they are decided, and the one that is under way; none without halving."""
    if outputs.halving is None:
        return []
    return climb(
        outputs.halving.rungs,
        list(outputs.halving.candidates),
        lambda name, rung: complete_scores(outputs, name, rung),
        outputs.race is not None,
    )


def stage_before(outputs: Outputs, stage: Stage) -> Stage | None:
    """Return a decided rung as it would have stood one epoch earlier; None where there was none."""
    if stage.rung.epochs < 2 or stage.waits_for:
        return None
    earlier = replace(stage.rung, epochs=stage.rung.epochs - 1)
    (before,) = climb([earlier], stage.candidates, lambda name, rung: complete_scores(outputs, name, rung))
    return before


def complete_scores(outputs: Outputs, name: str, rung: Rung) -> dict[str, Score] | None:
    """Return the scores of a candidate's runs on a rung; None where one of them has not completed it."""
    scores = scores_on_rung(outputs, name, rung)
    if len(scores) < len(runs_at(outputs, name, rung)):
        return None
    return first_by_name(name, scores)


def scores_at(outputs: Outputs, stage: Stage) -> dict[str, Score]:
    """Return what the rule judges the candidates of a rung by, a score for each of their runs there.

    The first run of a candidate goes by the candidate's name, also where it is one with a new seed.
    """
    scores: dict[str, Score] = {}
    for name in stage.candidates:
        scores |= first_by_name(name, scores_on_rung(outputs, name, stage.rung))
    return scores


def witnesses_at(outputs: Outputs, rung: Rung, new: Mapping[str, Sequence[str]]) -> dict[str, Score]:
    """Return what new runs of some candidates came to in the epochs of a rung below.

    They say what chance does there. The runs that climbed say less of it: they were picked for their luck.
    """
    witnesses = {}
    for name, runs in new.items():
        for run_name in runs:
            run = completed(outputs, run_name)
            if run is not None and has_climbed(outputs, run, rung.epochs):
                witnesses[run_name] = score_of_run(outputs, run, f"{name} again", rung.epochs)
    return witnesses


def first_by_name(name: str, scores: Mapping[str, Score]) -> dict[str, Score]:
    """Return the scores of a candidate's runs, of which the first goes by the candidate's name."""
    first = next(iter(scores), "")
    return {name if run == first else run: score for run, score in scores.items()}


def scores_on_rung(outputs: Outputs, name: str, rung: Rung) -> dict[str, Score]:
    """Return the scores of those of a candidate's runs that have completed a rung, in their order."""
    scores = {}
    for run_name in runs_at(outputs, name, rung):
        run = completed(outputs, run_name)
        if run is not None and has_climbed(outputs, run, rung.epochs):
            scores[run_name] = score_of_run(outputs, run, name, rung.epochs)
    return scores


def runs_at(outputs: Outputs, name: str, rung: Rung) -> list[str]:
    """Return the runs by which a candidate is judged on a rung."""
    if outputs.halving is None:
        return []
    return outputs.halving.runs_of(name, rung, outputs.parameters.given)


def completed(outputs: Outputs, name: str) -> Run | None:
    """Return the complete run of a configuration, also where a longer one is asked for now; None without one."""
    run = outputs.runs.get(name)
    if run is None or run.state is State.MISSING:
        return None
    if run.state is State.UNFINISHED:
        return run.earlier
    if run.changes.keys() <= {outputs.lengthens}:
        return run
    return None


def has_climbed(outputs: Outputs, run: Run, epochs: int) -> bool:
    """Tell whether a complete run has so many epochs, or ended before them by itself.

    What is asked for now plays no part: a rung that is decided stays so.
    """
    if outputs.halving is None or not has_column(run, outputs.halving.metric.name):
        return False
    return run.epochs >= epochs or bool(describe_early_end(run.result))


def score_of_run(outputs: Outputs, run: Run, candidate: str, epochs: int | None) -> Score:
    """Return what a run of a candidate is judged by over its first epochs, all where that is not said.

    It is infinite if it diverged in them, or has no value at their end.
    """
    metric = outputs.metric  # which is that of the rungs, or of the race
    values = outputs.values_in(run, metric.name, epochs)
    cost = metric.cost(settled(values))
    if run.diverged and run.diverged <= (epochs or math.inf):
        cost = math.inf
    return Score(
        cost=cost,
        configuration=candidate,
        spread=spread(values),
        settled_epochs=len(settled_epochs(values)),
        seed=seed_of(run),
    )


def check_rungs_can_be_decided(outputs: Outputs) -> None:
    """Raise StudyError where a candidate was trained that does not have the metric by which the rungs decide.

    That is also where none of them has it in the epochs of the lowest rung.
    """
    if outputs.halving is None:
        return
    metric, epochs = outputs.halving.metric.name, outputs.halving.rungs[0].epochs
    runs = [completed(outputs, name) for name in sorted(outputs.halving.first_runs)]
    trained = [run for run in runs if run is not None and run.epochs]
    for run in trained:
        if not has_column(run, metric):
            known = ", ".join(run.curves)
            place = f"{run.directory / HISTORY}: halving: metric"
            fail(place, f"there is no column {metric}; the columns are {known}")
    if trained and not any(measured(run.curves.get(metric, [])[:epochs]) for run in trained):
        place = f"{trained[0].directory / HISTORY}: halving: metric"
        cure = "measure it there, or write longer rungs"
        fail(place, f"{metric} is empty in the {counted(epochs, 'epoch')} of the lowest rung; {cure}")


def has_column(run: Run, metric: str) -> bool:
    """Tell whether a run's history has a column, also where nothing was ever measured in it."""
    return metric in run.curves or metric in run.written.empty


def are_climbed(outputs: Outputs, stages: Sequence[Stage]) -> bool:
    """Tell whether nothing waits on any rung, also where there is none."""
    if outputs.halving is None:
        return True
    top = stages[-1]
    return top.rung == outputs.halving.rungs[-1] and not top.waits_for
