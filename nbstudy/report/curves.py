"""What figures show of a configuration: its curve, what is strong and what pale in it, and the scale it fits.

A curve that jumps from epoch to epoch is drawn twice, from the same numbers: thin and pale as it is, and strong as
its running median.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from nbstudy.decision.elimination import Verdict
from nbstudy.decision.metrics import Metric
from nbstudy.decision.scores import runs_of_candidates
from nbstudy.decision.settling import settled
from nbstudy.records.results import Results
from nbstudy.records.rounds import Round
from nbstudy.records.scores import scores_of

MOST_CURVES = 30  # of more candidates the best are ranked, not drawn as curves
EXPLOSION = 5.0  # times the best: what is further away needs a logarithmic axis
FURTHEST = 30.0  # times the best: what is further away leaves that axis, too
USUAL = [0.03, 0.97]  # quantiles of a curve between which the axis fits it; single jumps may leave it
LEAST_HEIGHT = 0.02  # of survivors as a share of their value, when it is judged what is within reach
ROOM = 0.05  # of an axis above and below what it fits


# --- curves ---
@dataclass(frozen=True, eq=False)
class Curve:
    """A metric of a configuration by epoch; of a metric without epochs it is one point."""

    name: str
    runs: pd.DataFrame  # a row an epoch, a column a run: the configuration's replicates
    settled: list[float]  # what each run comes to; NaN where its last values are not finite
    value: float = math.nan  # that decides; NaN where it is not judged, or not finite

    @cached_property
    def raw(self) -> pd.Series:
        """The mean over the runs where all were measured and are finite; lines skip the other epochs."""
        return self.runs.mean(axis=1, skipna=False).dropna()

    @cached_property
    def medians(self) -> pd.DataFrame:
        """The running median of each run."""
        return running_median(self.runs)

    @cached_property
    def median(self) -> pd.Series:
        """The mean over these, likewise."""
        return self.medians.mean(axis=1, skipna=False).dropna()

    @cached_property
    def end(self) -> float:
        """The value that decides, or else the end of the line."""
        if math.isnan(self.value):
            return float(self.median.iloc[-1])
        return self.value


def running_median(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the median of a tenth of the epochs around each epoch, column by column."""
    window = 2 * (len(curves) // 20) + 1  # odd, so that as many lie before as after
    return curves.rolling(window, center=True, min_periods=1).median().where(curves.notna())


def curves_of(
    results: Results,
    candidates: Collection[str],
    verdict: Verdict,
    metric: Metric,
    epochs: int | None = None,
    runs: Mapping[str, list[str]] | None = None,
) -> list[Curve]:
    """Return the curves of candidates, best first and then those not judged: the first ones of very many.

    A candidate that is a replicate of one that is judged is part of that one's curve. `runs` are those by which each
    is judged, where that is not by all.
    """
    if not runs:
        runs = runs_of_candidates(scores_of(results, metric, epochs), candidates)
    names = list(verdict.costs)
    first = results.parameters.first
    judged = {first[name] for name in names}
    for name in candidates:
        if first[name] not in judged:
            names.append(name)
    given = []
    for name in names[:MOST_CURVES]:
        own = runs.get(name, [name])
        curve = Curve(
            name,
            results.curves(own, metric.name, epochs),
            [settled(results.values(run, metric.name, epochs)) for run in own],
            metric.value(verdict.costs.get(name, math.inf)),
        )
        if len(curve.raw):
            given.append(curve)
    return given


def greyed(each: Round, verdict: Verdict) -> tuple[str, ...]:
    """Return the candidates of a round that are drawn in grey: the dropped, but in an overview none."""
    if each.is_overview:
        return ()
    return verdict.dropped


# --- scales ---
@dataclass(frozen=True)
class Scale:
    """What an axis of values shows."""

    low: float
    high: float
    is_log: bool = False

    def joined(self, other: Scale) -> Scale:
        """Return the scale that shows what this and another one show."""
        return Scale(min(self.low, other.low), max(self.high, other.high), self.is_log or other.is_log)


def scale_of(curves: Sequence[Curve], metric: Metric, grey: Collection[str] = ()) -> Scale | None:
    """Return the scale that fits what survivors do in the last half of the epochs; None where there is no curve.

    Others are on it if they end within reach, that is at most the survivors' height away from them. Where survivors
    themselves are many times apart, the scale is logarithmic, up to FURTHEST times the best. It hides no value of any epoch
    that is better than these, whoever has it.
    """
    if not curves:
        return None
    colourful = [curve for curve in curves if curve.name not in grey] or list(curves)
    survivors = [curve for curve in colourful if math.isfinite(curve.value)] or colourful
    best = min(survivors, key=lambda curve: metric.cost(curve.end))
    last = max(curve.raw.index[-1] for curve in curves)
    extents = []
    for curve in survivors:
        if abs(curve.end) <= FURTHEST * abs(best.end) or curve is best:
            extents.append(extent(curve, last // 2))
    low, high = joined(extents)
    best_ever = best_of_any_epoch(curves, metric)
    if low > 0 and high > EXPLOSION * low:
        high = min(high, FURTHEST * low)
        low, high = min([low, *(value for value in best_ever if value > 0)]), max([high, *best_ever])
        return Scale(low / 1.1, 1.1 * high, is_log=True)
    return padded(low, high, [*within_reach(low, high, [curve.end for curve in curves]), *best_ever])


def best_of_any_epoch(curves: Sequence[Curve], metric: Metric) -> list[float]:
    """Return the best value of any epoch of those that are judged; none where nobody knows what is better."""
    values = [
        value
        for curve in curves
        if math.isfinite(curve.value)
        for value in (curve.raw.min(), curve.raw.max())
    ]
    if not values or metric.better is None:
        return []
    return [float(min(values, key=metric.cost))]


def extent(curve: Curve, epoch: int) -> tuple[float, float]:
    """Return where a curve lies after an epoch, but for single jumps, and where it ends."""
    late = curve.raw.loc[epoch + 1 :]
    if late.empty:
        return curve.end, curve.end
    medians = curve.median.loc[epoch + 1 :]
    usual = late.quantile(USUAL)
    return min(curve.end, medians.min(), usual.min()), max(curve.end, medians.max(), usual.max())


def joined(extents: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Return the lowest and the highest of several extents."""
    lows, highs = zip(*extents, strict=True)
    return min(lows), max(highs)


def within_reach(low: float, high: float, values: Iterable[float], heights: float = 1) -> list[float]:
    """Return the values that are at most the height of an extent away from it, or several heights."""
    height = heights * max(high - low, LEAST_HEIGHT * abs(high))
    return [value for value in values if low - height <= value <= high + height]


def padded(low: float, high: float, values: Iterable[float] = ()) -> Scale:
    """Return the scale that holds an extent and values, with room above and below."""
    low = min([low, *values])
    high = max([high, *values])
    room = ROOM * (high - low) or ROOM * abs(high) or 0.5
    return Scale(low - room, high + room)
