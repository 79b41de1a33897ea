"""How much of the differences between the candidates of a search goes back to each parameter: numbers in, shares out.

A Gaussian process, which is right for few points, is fitted to what candidates came to, and asked for the total-effect
index of each parameter (Sobol, 2001): the share of the variance that it has a part in, alone or with others. The index
is taken of many functions that the process holds possible, so that it comes with its uncertainty (Le Gratiet, Cannamela
and Iooss, 2014); and since few points tell little of the process itself, that is fitted again without each fifth of them.
What single runs differ by from chance is the process's noise, and belongs to no parameter.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nbstudy.numbers import is_number

Array = npt.NDArray[np.float64]

LEAST_POINTS = 12
MOST_POINTS = 128  # more are thinned, as the time grows with their cube
LEAST_FORESEEN = 0.1  # the share of the variance that the model must foresee where it has not looked
FOLDS = 5
BASE = 14  # points of the search space, at each of which one parameter after another is changed
LEVELS = 12  # that it is changed to, as often as candidates have them: what 2, 3, 4 and 6 values divide
DRAWS = 80  # functions for each fold
JITTER = 1e-6  # of the variance, so that a covariance stays positive in spite of rounding
STEP = 0.1  # to which logarithms of the process's parameters are rounded, so that machines agree
QUANTILES = [0.025, 0.5, 0.975]


@dataclass(frozen=True)
class Share:
    """The share of the variance that a parameter has a part in."""

    middle: float
    low: float  # of its 95 % interval
    high: float


@dataclass(frozen=True)
class Shares:
    """What parameters have a part in."""

    foreseen: float  # the share of the variance of the values that the model foresees of points that it has not seen
    by_parameter: dict[str, Share]  # the largest first


def shares_of(values: Sequence[float], parameters: Mapping[str, Sequence[Any]]) -> Shares | None:
    """Return the shares of parameters in what candidates came to; None where the points are too few to tell.

    `parameters` has what each candidate has of each parameter, in the order of `values`, which are finite.
    """
    if len(values) < LEAST_POINTS or len(parameters) < 2:
        return None
    kept = np.unique(np.linspace(0, len(values) - 1, min(len(values), MOST_POINTS)).astype(int))
    y = np.array(values, dtype=float)[kept]
    if y.std() == 0:
        return None
    y = (y - y.mean()) / y.std()
    columns = {name: encoded([given[place] for place in kept]) for name, given in parameters.items()}
    x = np.hstack(list(columns.values()))
    process = fitted(x, y)
    foreseen = share_foreseen(process, x, y)
    if foreseen < LEAST_FORESEEN:
        return None
    drawn = np.random.default_rng(0)
    order = drawn.permutation(len(y))
    found = []
    for fold in range(FOLDS):
        rest = np.sort(np.delete(order, slice(fold, None, FOLDS)))
        without = fitted(x[rest], y[rest], process)
        found.append(total_effects(without.kernel_, x, y, list(columns.values()), drawn))
    quantiles = np.quantile(np.vstack(found), QUANTILES, axis=0)
    shares = {}
    for place, name in enumerate(columns):
        low, middle, high = (min(1.0, float(each)) for each in quantiles[:, place])
        shares[name] = Share(middle, low, high)
    return Shares(foreseen, dict(sorted(shares.items(), key=lambda item: -item[1].middle)))


# --- the points ---
def encoded(values: Sequence[Any]) -> Array:
    """Return a parameter as columns from 0 to 1: numbers one, in their logarithm where they are of many magnitudes, texts one each."""
    if all(is_number(value) for value in values):
        numbers = np.array(values, dtype=float)
        if is_spread_by_magnitude(numbers):
            numbers = np.log(numbers)
        places: Array = (numbers - numbers.min()) / (np.ptp(numbers) or 1.0)
        return places[:, None]
    texts = [str(value) for value in values]
    return np.array([[float(text == level) for level in sorted(set(texts))] for text in texts])


def is_spread_by_magnitude(numbers: Array) -> bool:
    """Tell whether numbers lie more evenly in their logarithm, as those of a search on that scale."""
    low, middle, high = float(numbers.min()), float(np.median(numbers)), float(numbers.max())
    if low <= 0 or high < 3 * low:
        return False
    return abs(middle - math.sqrt(low * high)) < abs(middle - (low + high) / 2)


def base_of(columns: Sequence[Array], drawn: np.random.Generator) -> list[Array]:
    """Return points of the search space, parameter by parameter: each is drawn from what candidates have of it."""
    return [given[np.resize(drawn.permutation(len(given)), BASE)] for given in columns]


def levels_of(given: Array) -> Array:
    """Return values of a parameter from the lowest to the highest, as often as candidates have them."""
    places = ((np.arange(LEVELS) + 0.5) / LEVELS * len(given)).astype(int)
    levels: Array = given[np.lexsort(given.T)[places]]
    return levels


# --- the process ---
def fitted(x: Array, y: Array, like: Any = None) -> Any:
    """Return a Gaussian process with the parameters that fit points best, from those of another one on."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    scales = [1.0] * x.shape[1]
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(scales, (0.1, 1e2), nu=2.5) + WhiteKernel(
        0.3, (1e-3, 2.0)
    )
    if like is not None:
        kernel = like.kernel_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a parameter at its bound, as that of a column which has no effect
        best = GaussianProcessRegressor(kernel).fit(x, y).kernel_
    best.theta = np.round(best.theta / STEP) * STEP
    return GaussianProcessRegressor(best, optimizer=None).fit(x, y)


def share_foreseen(process: Any, x: Array, y: Array) -> float:
    """Return the share of the variance that a process foresees of each point from all others."""
    inverse = np.linalg.inv(process.kernel_(x))
    errors = (inverse @ y) / np.diag(inverse)
    return float(1 - np.mean(errors**2) / np.mean((y - y.mean()) ** 2))


def total_effects(
    kernel: Any, x: Array, y: Array, columns: Sequence[Array], drawn: np.random.Generator
) -> Array:
    """Return the total-effect indices of functions that a process holds possible: a row a function, a column a parameter.

    That is the variance along a parameter when all others stay, on average over the search space, of the whole variance.
    """
    base = base_of(columns, drawn)
    blocks = []
    for place, given in enumerate(columns):
        points = [np.repeat(each, LEVELS, axis=0) for each in base]
        points[place] = np.tile(levels_of(given), (BASE, 1))
        blocks.append(np.hstack(points))
    functions = draws_of(kernel, x, y, np.vstack(blocks), drawn)
    along = functions.reshape(len(columns), BASE, LEVELS, DRAWS).var(axis=2).mean(axis=1)
    effects: Array = (along / np.maximum(functions.var(axis=0), 1e-12)).T
    return effects


def draws_of(kernel: Any, x: Array, y: Array, points: Array, drawn: np.random.Generator) -> Array:
    """Return functions that a process holds possible after it has seen x and y, at points: a column a function."""
    from sklearn.gaussian_process import GaussianProcessRegressor

    mean, covariance = (
        GaussianProcessRegressor(kernel, optimizer=None).fit(x, y).predict(points, return_cov=True)
    )
    places = np.arange(len(points))
    covariance[places, places] += (
        JITTER - kernel.k2.noise_level
    )  # the noise is that of a run, not of the function
    factor = np.linalg.cholesky(covariance)
    functions: Array = mean[:, None] + factor @ drawn.standard_normal((len(points), DRAWS))
    return functions
