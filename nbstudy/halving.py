"""Successive halving, as a study file asks for it: which rungs there are, and who may climb them.

Many configurations train a little, few of them long, and none twice, since a longer run goes on from a shorter one.
Who survives is decided in elimination.py, by the histories alone.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from nbstudy.checks import Faults, check_known, fail, mapping, sequence, shorten
from nbstudy.elimination import Rung
from nbstudy.metrics import Better, Metric, metric_called
from nbstudy.parameters import TEXT, WHOLE_NUMBER, convert

KEYS = ("candidates", "metric", "better", "rungs")
RUNG_KEYS = ("epochs", "keep", "replicates")


@dataclass(frozen=True)
class Halving:
    """The rungs of a study, and the configurations on the lowest one."""

    candidates: tuple[str, ...]  # in the study's order; of replicates, the first stands for all
    metric: Metric  # a column of history.csv
    rungs: tuple[Rung, ...]


def read_halving(given: Any, place: str, firsts: Collection[str], faults: Faults) -> Halving | None:
    """Return what a study file says of halving, None where that is nothing or wrong; add to the faults what is wrong.

    `firsts` are the configurations that may be candidates: all that are no replicates of others.
    """
    if given is None:
        return None
    wrong = Faults()
    candidates: tuple[str, ...] = ()
    metric = None
    rungs: tuple[Rung, ...] = ()
    with wrong:
        said = dict.fromkeys(KEYS) | mapping(given, place, KEYS)
        with wrong:
            candidates = read_candidates(said["candidates"], f"{place}: candidates", firsts)
        with wrong:
            metric = read_metric(said, place)
        with wrong:
            rungs = read_rungs(said["rungs"], f"{place}: rungs", len(candidates))
    faults.found += wrong.found
    if wrong.found or metric is None:
        return None
    return Halving(candidates, metric, rungs)


def read_candidates(given: Any, place: str, firsts: Collection[str]) -> tuple[str, ...]:
    """Return the configurations that match a pattern, or one of several, in the study's order."""
    patterns = given
    if isinstance(given, str):
        patterns = [given]
    if not patterns:
        fail(place, 'are missing; write a pattern of their names, as in candidates: "mlp_*"')
    matching: set[str] = set()
    faults = Faults()
    for pattern in sequence(patterns, place):
        with faults:
            found = fnmatch.filter(firsts, convert(pattern, TEXT, place))
            if not found:
                check_known([pattern], firsts, place)
            matching.update(found)
    faults.end()
    return tuple(name for name in firsts if name in matching)


def read_metric(said: Mapping[str, Any], place: str) -> Metric:
    """Return the metric by which rungs are decided: what is better must be known before anything runs."""
    if said["metric"] is None:
        fail(place, "`metric` is missing; name a column of history.csv, as in `metric: val_accuracy`")
    name = convert(said["metric"], TEXT, f"{place}: metric")
    better = None
    if said["better"] is not None:
        check_known([said["better"]], [each.value for each in Better], f"{place}: better")
        better = Better(said["better"])
    metric = metric_called(name, better)
    if metric.better is None:
        fail(place, f"which values of {shorten(name)} are better? add `better: lower` or `better: higher`")
    return metric


def read_rungs(given: Any, place: str, number: int) -> tuple[Rung, ...]:
    """Return the rungs that so many candidates climb, or refuse them."""
    if not given:
        fail(place, "are missing; write one a line, as in `- {epochs: 4, keep: 16}`")
    rungs: list[Rung] = []
    faults = Faults()
    lines = sequence(given, place)
    for at, line in enumerate(lines, 1):
        here = f"{place}: rung {at}"
        with faults:
            rung = read_rung(line, here, is_last=at == len(lines))
            if rungs and rung.epochs < rungs[-1].epochs:
                cure = "a run is never shortened; raise it"
                fail(f"{here}: epochs", f"{rung.epochs} are fewer than the {rungs[-1].epochs} before; {cure}")
            if rung.keep is not None:
                if number and rung.keep >= number:
                    cure = "keep fewer, or leave the rung out"
                    fail(f"{here}: keep", f"{rung.keep} of {number} candidates would drop none; {cure}")
                number = rung.keep
            rungs.append(rung)
    faults.end()
    return tuple(rungs)


def read_rung(given: Any, place: str, is_last: bool) -> Rung:
    """Return a rung, or refuse it."""
    said = mapping(given, place, RUNG_KEYS)
    faults = Faults()
    numbers: dict[str, int] = {}
    for key, value in said.items():
        with faults:
            numbers[key] = convert(value, WHOLE_NUMBER, f"{place}: {key}")
            if numbers[key] < 1:
                fail(f"{place}: {key}", f"must be at least 1, not {value}")
    with faults:
        if "epochs" not in said:
            fail(place, "`epochs` is missing: how long its candidates train")
    with faults:
        if is_last and "keep" in said:
            fail(f"{place}: keep", "has no place in the last rung, where the rule decides; leave it out")
        if not is_last and "keep" not in said:
            fail(place, "`keep` is missing: how many candidates go on to the next rung")
        if not is_last and "replicates" in said:
            cure = "where many are compared, `replicates` of the candidates themselves count from the first rung on"
            fail(f"{place}: replicates", f"are for the last rung; {cure}")
    faults.end()
    return Rung(numbers["epochs"], numbers.get("keep"), numbers.get("replicates", 0))
