"""The Gaussian process, beside scikit-learn's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from nbstudy.report.gaussian_process import STEP, Process, fitted, unlikelihood


def seen(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points and what they came to: the first column matters most, the last one not at all."""
    drawn = np.random.default_rng(0)
    x = drawn.uniform(0, 1, (number, 3))
    y = np.sin(4 * x[:, 0]) + 0.5 * x[:, 1] + 0.2 * drawn.standard_normal(number)
    return x, (y - y.mean()) / y.std()


def scikit_learns() -> GaussianProcessRegressor:
    """Return scikit-learn's process, before it is fitted."""
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern([1.0] * 3, (0.1, 1e2), nu=2.5)
    return GaussianProcessRegressor(kernel + WhiteKernel(0.3, (1e-3, 2.0)))


def test_process_is_that_of_scikit_learn() -> None:
    x, y = seen(40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the scale of what does not matter is at its bound
        theirs = scikit_learns().fit(x, y)
    assert fitted(x, y).logarithms == pytest.approx(np.round(theirs.kernel_.theta / STEP) * STEP)
    ours = Process.of_logarithms(theirs.kernel_.theta)
    points = np.random.default_rng(1).uniform(0, 1, (9, 3))
    mean, covariance = ours.seen(x, y, points)
    their_mean, their_covariance = theirs.predict(points, return_cov=True)
    assert mean == pytest.approx(their_mean, abs=1e-6)
    assert covariance + ours.noise * np.eye(9) == pytest.approx(their_covariance, abs=1e-6)


def test_slopes_are_those_of_the_likelihood() -> None:
    x, y = seen(20)
    at = np.log([0.8, 0.5, 1.5, 3.0, 0.2])
    value, slopes = unlikelihood(at, x, y)
    for place, slope in enumerate(slopes):
        step = 1e-5 * (np.arange(len(at)) == place)
        further, _ = unlikelihood(at + step, x, y)
        assert (further - value) / 1e-5 == pytest.approx(slope, abs=1e-3)


def test_nothing_is_sure_far_from_what_was_seen() -> None:
    x, y = seen(30)
    process = Process(1.0, np.full(3, 0.3), 0.1)
    far = np.full((1, 3), 50.0)
    mean, covariance = process.seen(x, y, far)
    assert mean == pytest.approx([0.0]) and covariance == pytest.approx(np.array([[1.0]]))
    near, _ = process.seen(x, y, x)
    assert np.corrcoef(near, y)[0, 1] > 0.9
