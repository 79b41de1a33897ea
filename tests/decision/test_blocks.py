"""Differences within seeds: when they are taken, and what they come to, beside least squares with a column a parameter."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from nbstudy.decision.blocks import design_of, finite_runs, fit_apart, fit_within_seeds, variance
from nbstudy.decision.critical import critical_for, critical_value
from nbstudy.decision.elimination import Family, judge
from nbstudy.decision.odds import odds_of
from nbstudy.decision.scores import Score

BALANCED: dict[str, Sequence[int]] = {"a": range(3), "b": range(3), "c": range(3)}
UNBALANCED: dict[str, Sequence[int]] = {
    "a": range(6),
    "b": range(3),
    "c": range(2),
    "d": [5, 1, 0],
    "witness": [7, 8],  # which shares no seed
    "single": [0],
}


# statsmodels 0.15.0, ols("cost ~ C(configuration) + C(seed)"), of the runs in test_fit_is_that_of_statsmodels
STATSMODELS = {
    "degrees": 6,
    "deviation": 0.2445233458520202,
    "b - a": 0.574999999999999,
    "c - a": -0.6416666666666662,
    "d - a": 0.7499999999999996,
    "error of b - a": 0.19331267849436756,
    "error of c - a": 0.22507071933884193,
    "error of d - a": 0.17290411601038697,
}


def planted(runs: dict[str, Sequence[int]], effect: float = 1.0, noise: float = 0.1) -> dict[str, Score]:
    """Return the scores of configurations with runs of these seeds: a cost, an effect of the seed, and the rest."""
    drawn = random.Random(7)
    of_seed = [effect * drawn.gauss(0, 1) for _ in range(20)]
    scores = {}
    for cost, (name, seeds) in enumerate(runs.items()):
        for place, seed in enumerate(seeds):
            key = f"{name}_{seed}" if place else name
            scores[key] = Score(cost / 10 + of_seed[seed] + drawn.gauss(0, noise), name, seed=seed)
    return scores


@pytest.mark.parametrize("runs", [BALANCED, UNBALANCED])
def test_fit_is_that_of_least_squares(runs: dict[str, Sequence[int]]) -> None:
    scores = planted(runs)
    fitted = fit_within_seeds(finite_runs(scores), ["a", "b", "c"])
    assert fitted is not None
    names = list(runs)
    seeds = sorted({score.seed for score in scores.values()}, key=str)
    columns = np.zeros((len(scores), len(names) + len(seeds)))
    for row, score in enumerate(scores.values()):
        columns[row, names.index(score.configuration)] = 1
        columns[row, len(names) + seeds.index(score.seed)] = 1
    costs = np.array([score.cost for score in scores.values()])
    solved, *_ = np.linalg.lstsq(columns, costs)
    residuals = costs - columns @ solved
    degrees = len(costs) - np.linalg.matrix_rank(columns)
    inverse = np.linalg.pinv(columns.T @ columns)
    left = 1 - np.diag(columns @ inverse @ columns.T)

    assert fitted.design.degrees == degrees
    assert fitted.deviation == pytest.approx(math.sqrt(residuals @ residuals / degrees), rel=1e-9)
    for other in ("b", "c"):
        contrast = np.zeros(columns.shape[1])
        contrast[names.index("a")], contrast[names.index(other)] = 1, -1
        difference = fitted.estimate("a", (0, 1)) - fitted.estimate(other, (0, 1))
        assert difference == pytest.approx(contrast @ solved, abs=1e-9)
        own, theirs = fitted.design.seeds["a"], fitted.design.seeds[other]
        assert variance(fitted.design, own, theirs) == pytest.approx(contrast @ inverse @ contrast, rel=1e-9)
    for name, own in fitted.own.items():
        rows = [row for row, score in enumerate(scores.values()) if score.configuration == name]
        expected = math.sqrt((residuals[rows] ** 2).sum() / left[rows].sum())
        assert own.deviation == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert own.degrees == pytest.approx(left[rows].sum())


def test_fit_is_that_of_statsmodels() -> None:
    costs = {"a": [1.0, 2.0, 4.0, 3.5], "b": [1.5, 2.9, 4.4], "c": [0.2, 1.6], "d": [2.0, 2.5, 4.9, 4.1]}
    scores = {}
    for name, runs in costs.items():
        for seed, cost in enumerate(runs):
            scores[f"{name}{seed}"] = Score(cost, name, seed=seed)
    fitted = fit_within_seeds(finite_runs(scores), [*costs])
    assert fitted is not None and fitted.design.degrees == STATSMODELS["degrees"]
    assert fitted.deviation == pytest.approx(STATSMODELS["deviation"], abs=1e-6)
    for other in "bcd":
        difference = fitted.estimate(other, (0, 1)) - fitted.estimate("a", (0, 1))
        assert difference == pytest.approx(STATSMODELS[f"{other} - a"], abs=1e-6)
        seeds = fitted.design.seeds
        error = fitted.deviation * math.sqrt(variance(fitted.design, seeds[other], seeds["a"]))
        assert error == pytest.approx(STATSMODELS[f"error of {other} - a"], abs=1e-6)


# --- when they are taken ---
@pytest.mark.parametrize(
    ("runs", "is_blocked"),
    [
        ({"a": range(3), "b": range(3), "c": range(3)}, True),
        ({"a": range(5), "b": range(5)}, True),
        ({name: range(2) for name in "abcde"}, True),
        ({"a": range(4), "b": range(4)}, False),  # three degrees of freedom would be left
        ({name: range(2) for name in "abcd"}, False),
        ({"a": range(9), "b": range(9), "c": [0]}, False),  # c shares one seed alone
        ({"a": range(5), "b": range(5, 10), "c": range(10)}, False),  # a and b share none
        ({"a": range(9), "b": range(3, 5), "c": range(6)}, True),
    ],
)
def test_blocks_are_taken_by_the_design(runs: dict[str, Sequence[int]], is_blocked: bool) -> None:
    for effect in (0.0, 9.0):  # whatever the seeds do
        verdict = judge(planted(runs, effect), [*runs])
        assert (verdict.within is not None) == is_blocked
        assert (verdict.noise.between is not None) == is_blocked


def test_blocks_need_all_of_the_family() -> None:
    runs = {"a": range(5), "b": range(5), "c": [0]}
    scores = planted(runs)
    assert judge(scores, ["a", "b"]).within is not None
    assert judge(scores, ["a", "b"], Family(("a", "b", "c"))).within is None


def test_seeds_that_nobody_knows_make_no_blocks() -> None:
    scores = {f"{name}{run}": Score(run / 10, name) for name in "abc" for run in range(4)}
    assert judge(scores, ["a0", "b0", "c0"]).within is None


# --- what they come to ---
def test_balanced_blocks_leave_means_as_they_are_and_take_seeds_out_of_the_noise() -> None:
    scores = planted(BALANCED, effect=5.0)
    verdict = judge(scores, [*BALANCED])
    apart = fit_apart(finite_runs(scores))
    assert verdict.costs == {name: apart.means[name] for name in verdict.costs}
    assert verdict.noise.of_a_mean.deviation > 10 * verdict.noise.deviation
    assert (verdict.noise.degrees, verdict.noise.of_a_mean.degrees) == (4, 6)
    half = stats.t.isf(0.025, 6) * apart.deviation / math.sqrt(3)
    assert verdict.half_width("a") == pytest.approx(half)  # a mean is as uncertain as ever


def test_unbalanced_blocks_compare_what_runs_come_to_with_the_seeds_that_all_share() -> None:
    runs = {"a": range(8), "b": range(3), "c": range(3)}
    scores = planted(runs, effect=5.0, noise=0.0)
    verdict = judge(scores, [*runs])
    shared = {name: sum(scores[run].cost for run in (name, f"{name}_1", f"{name}_2")) / 3 for name in runs}
    assert verdict.costs == pytest.approx(shared)
    assert [verdict.excess[name] for name in "abc"] == pytest.approx([0, 0.1, 0.2])


def test_critical_value_of_equal_seeds_is_dunnetts() -> None:
    design = design_of({name: tuple(seeds) for name, seeds in BALANCED.items()})
    own = design.seeds["a"]
    assert critical_for(design, own, Counter({own: 2}), 4, 0.05) == critical_value(3, {3: 2}, 4)


@pytest.mark.parametrize("error_rate", [0.05, 0.0167])
def test_critical_value_of_unlike_seeds_is_that_of_scipys_multivariate_t(error_rate: float) -> None:
    design = design_of({name: tuple(seeds) for name, seeds in UNBALANCED.items() if name in "abcd"})
    own, *others = (design.seeds[name] for name in "abcd")
    critical = critical_for(design, own, Counter(others), design.degrees, error_rate)
    covariance = np.array(
        [[1 / len(own) + design.covariance_of(own, one, two) for two in others] for one in others]
    ) + np.diag([1 / len(each) for each in others])
    sizes = np.sqrt(np.diag(covariance))
    known = {
        0.05: 2.7325,
        0.0167: 3.7442,
    }  # found with multivariate_t.cdf over 400,000 points, which takes 20 seconds
    assert critical == pytest.approx(known[error_rate], abs=1e-3)
    coverage = stats.multivariate_t.cdf(
        [critical] * 3,
        shape=covariance / np.outer(sizes, sizes),
        df=design.degrees,
        maxpts=20_000,
        random_state=1,
    )
    assert coverage == pytest.approx(1 - error_rate, abs=5e-4)


def test_odds_within_seeds_are_those_of_the_differences() -> None:
    scores = planted({"a": range(6), "b": [0, 1, 2, 3, 4, 9]}, effect=5.0)
    verdict = judge(scores, ["a", "b"])
    assert verdict.within is not None
    seeds = verdict.seeds("a"), verdict.seeds("b")
    error = verdict.noise.deviation * math.sqrt(variance(verdict.within, *seeds))
    expected = stats.t.cdf((verdict.costs["b"] - verdict.costs["a"]) / error, verdict.noise.degrees)
    assert odds_of(verdict)["a"].best == pytest.approx(expected, abs=0.015)
