"""What the rule judges runs by: their settled values, or those of their best epochs, as costs."""

from __future__ import annotations

from collections.abc import Sequence

from nbstudy.decision.metrics import Metric
from nbstudy.decision.scores import Score
from nbstudy.decision.settling import best_epoch, lost_after, middle_of, settled_epochs, spread_of
from nbstudy.records.outputs import Outputs
from nbstudy.records.reading import Run
from nbstudy.records.states import State
from nbstudy.study.configurations import SEED


def scores_of(
    outputs: Outputs, metric: Metric | None = None, epochs: int | None = None, by_best_epoch: bool = False
) -> dict[str, Score]:
    """Return what the rule judges by, for each run that can be judged over the first epochs, or all.

    That is the settled value, or the value of the best epoch. Complete runs can be judged, and unfinished
    ones that have reached the epochs that are asked for; failed and stale ones cannot, nor can a final one that
    learned from the validation data. None can by a metric of which nobody knows what is better.
    """
    if metric is None:
        metric = outputs.metric
    asked = metric, epochs, by_best_epoch
    if asked not in outputs.scores:
        outputs.scores[asked] = find_scores(outputs, metric, epochs, by_best_epoch)
    return outputs.scores[asked]


def find_scores(
    outputs: Outputs, metric: Metric, epochs: int | None, by_best_epoch: bool
) -> dict[str, Score]:
    """Return what the rule judges by, as `scores_of` does."""
    if metric.better is None:
        return {}
    scores: dict[str, Score] = {}
    keys = set()
    for name, run in outputs.runs.items():
        values = outputs.values(name, metric.name, epochs)
        if name == outputs.made or outputs.is_refitted(name) or not can_be_judged(run, values, epochs):
            continue
        last = settled_epochs(values)
        value = middle_of(last)
        if by_best_epoch:
            value, _ = best_epoch(values, metric)
        key = outputs.parameters.keys[name]
        scores[name] = Score(
            cost=metric.cost(value),
            configuration=outputs.parameters.first[name],
            spread=spread_of(last),
            settled_epochs=len(last),
            is_copy=key in keys,
            seed=seed_of(run),
        )
        keys.add(key)
    return scores


def seed_of(run: Run) -> int | str | None:
    """Return the seed of a run; None where it has none that could be another run's, too."""
    seed = run.parameters.get(SEED)
    if isinstance(seed, int | str):
        return seed
    return None


def can_be_judged(run: Run, values: Sequence[float | None], epochs: int | None) -> bool:
    """Tell whether a run is judged by what was measured in its first epochs, or in all.

    One that is not complete is judged by so many epochs alone, and where the last of them may still be written, not yet.
    """
    if all(value is None for value in values):
        return False
    if run.state.is_done:
        return True
    if run.state is State.UNFINISHED and not run.error:
        return epochs is not None and len(values) >= epochs and lost_after(values) is None
    return False
