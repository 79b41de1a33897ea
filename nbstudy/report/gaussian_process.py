"""A Gaussian process: which functions are possible, given what some points came to (Rasmussen and Williams, 2006).

Its covariance is Matérn's with nu = 5/2, with a length scale for each column of the points, and noise. It is what scikit-learn's
`GaussianProcessRegressor` is with `ConstantKernel() * Matern(nu=2.5) + WhiteKernel()`, which takes half a second to import.
SciPy is imported when one is fitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

STEP = 0.1  # to which the logarithms of its parameters are rounded, so that machines agree
ROUNDING = 1e-10  # of the variance, so that a covariance stays positive in spite of it
# where its parameters begin, and between what they are sought
VARIANCE, VARIANCES = 1.0, (1e-2, 1e2)
SCALE, SCALES = 1.0, (0.1, 1e2)
NOISE, NOISES = 0.3, (1e-3, 2.0)


@dataclass(frozen=True, eq=False)
class Process:
    """A Gaussian process, before it has seen any point."""

    variance: float
    scales: Array  # by column
    noise: float  # the variance of what chance adds to a function's value

    @classmethod
    def of_logarithms(cls, logarithms: Array) -> Process:
        """Return the process whose parameters have these logarithms."""
        variance, *scales, noise = np.exp(logarithms)
        return cls(float(variance), np.array(scales), float(noise))

    @property
    def logarithms(self) -> Array:
        """The logarithms of its parameters: the variance, the scales, the noise."""
        return np.log([self.variance, *self.scales, self.noise])

    def between(self, one: Array, other: Array) -> Array:
        """Return the covariance of a function's values at points with those at others: a row for each of the first."""
        from scipy.spatial.distance import cdist

        distances = math.sqrt(5) * cdist(one / self.scales, other / self.scales)
        covariance: Array = self.variance * (1 + distances + distances**2 / 3) * np.exp(-distances)
        return covariance

    def of_runs(self, points: Array) -> Array:
        """Return the covariance of what runs come to at points, which have noise."""
        return self.between(points, points) + self.noise * np.eye(len(points))

    def slopes(self, points: Array) -> list[Array]:
        """Return how that covariance changes with the logarithm of each parameter."""
        squares = ((points[:, None, :] - points[None, :, :]) / self.scales) ** 2
        distances = np.sqrt(5 * squares.sum(axis=-1))
        along = 5 / 3 * self.variance * (1 + distances) * np.exp(-distances)
        by_scales = [along * squares[:, :, column] for column in range(points.shape[1])]
        return [self.between(points, points), *by_scales, self.noise * np.eye(len(points))]

    def seen(self, x: Array, y: Array, points: Array) -> tuple[Array, Array]:
        """Return the mean and the covariance of a function's values at points, once y was seen at x."""
        from scipy.linalg import cho_solve, solve_triangular

        factor = factor_of(self.of_runs(x))
        across = self.between(points, x)
        mean: Array = across @ cho_solve((factor, True), y)
        explained = solve_triangular(factor, across.T, lower=True)
        covariance: Array = self.between(points, points) - explained.T @ explained
        return mean, covariance


def fitted(x: Array, y: Array, like: Process | None = None) -> Process:
    """Return the process by which y at x is likeliest, sought from another one on."""
    from scipy.optimize import minimize

    begin = like or Process(VARIANCE, np.full(x.shape[1], SCALE), NOISE)
    bounds = np.log([VARIANCES, *[SCALES] * x.shape[1], NOISES])
    best = minimize(unlikelihood, begin.logarithms, (x, y), "L-BFGS-B", jac=True, bounds=bounds)
    return Process.of_logarithms(np.round(best.x / STEP) * STEP)


def unlikelihood(logarithms: Array, x: Array, y: Array) -> tuple[float, Array]:
    """Return the negative logarithm of the likelihood of y at x, and its slopes along the logarithms."""
    from scipy.linalg import cho_solve

    process = Process.of_logarithms(logarithms)
    factor = factor_of(process.of_runs(x))
    weights = cho_solve((factor, True), y)
    inner = np.outer(weights, weights) - cho_solve((factor, True), np.eye(len(y)))
    slopes = [-0.5 * np.sum(inner * slope) for slope in process.slopes(x)]
    value = 0.5 * (y @ weights) + np.log(np.diag(factor)).sum() + 0.5 * len(y) * math.log(2 * math.pi)
    return float(value), np.array(slopes)


def factor_of(covariance: Array) -> Any:
    """Return the lower triangular factor of a covariance."""
    return np.linalg.cholesky(covariance + ROUNDING * np.eye(len(covariance)))
