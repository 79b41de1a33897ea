"""Points of a search space, drawn by a scrambled Sobol sequence: it covers the space evenly, and is the same everywhere.

Axes are what a row of the grid says of its fields. Their points depend on the axes and the seed alone, not on the
order in which the row names them, and more points begin with the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from nbstudy.study.parameters import text_of

DIGITS = 3  # of a number that is drawn, so that it can be read; and no processor's logarithm can change it


class Level(NamedTuple):
    """A value on an axis."""

    text: str  # how it stands in a configuration's name
    value: Any


@dataclass(frozen=True)
class Options:
    """An axis of single values, all equally likely."""

    levels: list[Level]

    @property
    def is_fixed(self) -> bool:
        """Whether there is nothing to draw."""
        return len(self.levels) < 2

    def at(self, share: float) -> Level:
        """Return the level at a share of the axis, from 0 to below 1."""
        return self.levels[math.floor(share * len(self.levels))]


@dataclass(frozen=True)
class Range:
    """An axis of numbers, both ends included; evenly spread, or so in their logarithm."""

    low: float
    high: float
    is_logarithmic: bool
    is_whole: bool

    @property
    def is_fixed(self) -> bool:
        """Whether there is nothing to draw."""
        return self.low == self.high

    def at(self, share: float) -> Level:
        """Return the number at a share of the axis, from 0 to below 1."""
        value = self.rounded(self.between(share))
        return Level(text_of(value), value)

    def between(self, share: float) -> float:
        """Return the exact number at a share of the way from the low to the high end.

        Whole numbers begin half a step lower and end half a step higher, so that none is rounded to more rarely.
        """
        low, high = self.low, self.high
        if self.is_whole:
            low, high = low - 0.5, high + 0.5
        if self.is_logarithmic:
            low, high = math.log(low), math.log(high)
            return math.exp(low + share * (high - low))
        return low + share * (high - low)

    def rounded(self, value: float) -> float:
        """Return a number as it is used: whole, or with DIGITS digits, more where the range is narrow."""
        readable = round(value) if self.is_whole else float(f"{value:.{self.digits_of(value)}g}")
        return min(max(readable, self.low), self.high)

    def digits_of(self, value: float) -> int:
        """Return the digits of a number that is drawn: as many as it takes to tell fifty in the range apart."""
        width = Decimal(str(self.high)) - Decimal(str(self.low))  # as they are written: 0.3 - 0.2 is 0.1
        return DIGITS + max(0, Decimal(value).adjusted() - (2 * width).adjusted())


Axis = Options | Range


def draw(axes: Mapping[str, Axis], number: int, seed: int) -> list[dict[str, Level]]:
    """Return so many points of the space that the axes span, by field; some may be equal.

    The points are those of Sobol's sequence, scrambled by a random matrix and shifted (Matousek, 1998): drawn in powers
    of two, which is where it is even, and cut.
    """
    from scipy.stats import qmc

    drawn = sorted(field for field, axis in axes.items() if not axis.is_fixed)
    exponent = math.ceil(math.log2(number))
    shares = qmc.Sobol(len(drawn), rng=seed).random_base2(exponent)[:number]
    points = []
    for row in shares.tolist():
        share_of = dict(zip(drawn, row, strict=True))
        points.append({field: axis.at(share_of.get(field, 0.0)) for field, axis in axes.items()})
    return points
