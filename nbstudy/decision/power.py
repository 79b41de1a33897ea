"""How many replicates would tell the two best candidates apart."""

from __future__ import annotations

import math
from collections import Counter

from nbstudy.decision.critical import critical_value
from nbstudy.decision.elimination import Verdict

POWER = 0.8  # the chance with which enough replicates tell a difference
MOST_REPLICATES = 500  # whoever needs more to see a difference can do without it


def replicates_needed(verdict: Verdict) -> int | None:
    """Return how many runs each of the two best needs for the rule to tell them apart, with POWER.

    That is at the difference and the deviation that were seen, whose degrees of freedom grow with the runs. None
    where they are told apart already or equal, where it takes more than MOST_REPLICATES, or without replicates.
    """
    first, second = (*verdict.finite, "", "")[:2]
    if not second or second in verdict.dropped or not verdict.excess[second] or verdict.noise.is_guess:
        return None
    has = verdict.runs[first], verdict.runs[second]
    low, high = max(has), MOST_REPLICATES
    if power_of(verdict, high) < POWER:
        return None
    if power_of(verdict, low) >= POWER and min(has) < max(has):
        return low
    while high - low > 1:  # `low` are too few, `high` are enough
        middle = (low + high) // 2
        if power_of(verdict, middle) >= POWER:
            high = middle
        else:
            low = middle
    return high


def power_of(verdict: Verdict, runs: int) -> float:
    """Return the chance that the rule drops the second best where the two best have so many runs each."""
    from scipy import special

    first, second, *_ = verdict.finite
    has = Counter([verdict.runs[first], verdict.runs[second]])
    others = verdict.numbers - has + Counter([runs])
    degrees = verdict.noise.degrees + 2 * runs - has.total()
    if verdict.within is not None:  # each seed that is new to both takes one to estimate its effect
        seeds = {*verdict.seeds(first), *verdict.seeds(second)}
        degrees -= max(0, runs - len(seeds))
    critical = critical_value(runs, others, degrees, verdict.error_rate)
    shift = verdict.excess[second] / (verdict.deviation(second, first) * math.sqrt(2 / runs))
    return 1 - float(special.nctdtr(degrees, shift, critical))
