"""The odds that a candidate is the best, and what one loses on average by choosing it."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbstudy.decision.elimination import Standing

if TYPE_CHECKING:
    from nbstudy.decision.blocks import Array

TIMES = 20  # that what candidates come to is drawn, each time in
AT_ONCE = 1000  # draws: then a probability has a standard error of 0.0035 at most
MOST_AT_ONCE = 1_000_000  # numbers: of more than a thousand candidates, among which the odds are shared, there are fewer draws
SEED = 0  # the same odds on every machine


@dataclass(frozen=True)
class Odds:
    """What there is to expect of a candidate among those that it is compared with."""

    best: float  # the probability that it is the best of them
    loss: float  # how much worse than the best of them it is on average


def odds_of(standing: Standing) -> dict[str, Odds]:
    """Return the odds of each finite candidate, best first; none where only a guess says what chance does.

    What candidates would come to in very many runs is drawn from what is known of it: around their means, with their
    common deviation, which is itself uncertain, and all values equally likely beforehand.
    """
    import numpy as np

    costs = np.array(list(standing.finite.values()))
    if not standing.noise.is_known or standing.noise.is_guess or len(costs) < 2:
        return {}
    runs = np.array([standing.runs[name] for name in standing.finite])
    factor = factor_of_seeds(standing)
    drawn = np.random.default_rng(SEED)
    best = np.zeros(len(costs))
    loss = np.zeros(len(costs))
    at_once = draws_at_once(len(costs))
    for _ in range(TIMES):
        squares = drawn.chisquare(standing.noise.degrees, (at_once, 1))
        deviations = standing.noise.deviation * np.sqrt(standing.noise.degrees / squares)
        chance = drawn.standard_normal((at_once, len(costs))) / np.sqrt(runs)
        if factor.size:
            chance += drawn.standard_normal((at_once, factor.shape[1])) @ factor.T
        values = costs + deviations * chance
        lowest = values.min(axis=1, keepdims=True)
        is_best = values == lowest
        best += (is_best / is_best.sum(axis=1, keepdims=True)).sum(axis=0)
        loss += (values - lowest).sum(axis=0)
    draws = number_of_draws(len(costs))
    return {
        name: Odds(float(best[place]) / draws, float(loss[place]) / draws)
        for place, name in enumerate(standing.finite)
    }


def chance_of_the_best(standing: Standing, survivors: Collection[str]) -> float:
    """Return the probability that the best of all finite candidates is among the survivors; NaN where chance is unknown.

    Beforehand candidates are taken to be spread around their mean as they are seen to be, less what chance adds to it: of
    many the luckiest are not as good as they look.
    """
    import numpy as np

    if not standing.noise.is_known or standing.noise.is_guess or not standing.finite:
        return math.nan
    costs = np.array(list(standing.finite.values()))
    runs = np.array([standing.runs[name] for name in standing.finite])
    among_survivors = set(survivors)
    goes_on = np.array([name in among_survivors for name in standing.finite])
    variances = standing.noise.of_a_mean.deviation**2 / runs
    spread = 0.0
    if len(costs) > 1:
        spread = max(0.0, costs.var(ddof=1) - variances.mean())
    trust = np.divide(spread, spread + variances, where=spread + variances > 0, out=np.ones_like(variances))
    means = costs.mean() + trust * (costs - costs.mean())
    drawn = np.random.default_rng(SEED)
    among = 0.0
    at_once = draws_at_once(len(costs))
    for _ in range(TIMES):
        values = means + np.sqrt(trust * variances) * drawn.standard_normal((at_once, len(costs)))
        is_best = values == values.min(axis=1, keepdims=True)
        among += float((is_best[:, goes_on].sum(axis=1) / is_best.sum(axis=1)).sum())
    return among / number_of_draws(len(costs))


def draws_at_once(candidates: int) -> int:
    """Return how many draws of so many candidates are made at once."""
    return max(1, min(AT_ONCE, MOST_AT_ONCE // candidates))


def number_of_draws(candidates: int) -> int:
    """Return how many draws of so many candidates are made together."""
    return TIMES * draws_at_once(candidates)


def factor_of_seeds(standing: Standing) -> Array:
    """Return a factor of what the effects of seeds add to the covariance of means; empty where that is the same for all."""
    import numpy as np

    if standing.within is None:
        return np.zeros((0, 0))
    weights = np.array([standing.within.weights(standing.seeds(name)) for name in standing.finite])
    unlike = weights - weights[0]
    if not unlike.any():
        return np.zeros((0, 0))
    sizes, vectors = np.linalg.eigh(standing.within.covariance)
    factor: Array = unlike @ (vectors * np.sqrt(np.maximum(sizes, 0.0)))
    return factor
