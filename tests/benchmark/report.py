"""Print what was measured: the ways of training side by side, then every number beside its goal."""

from __future__ import annotations

from benchmark.measures import MEASURES, Measure, Rounds
from benchmark.networks import NETWORKS, seconds_of_whole_study
from benchmark.training import Way


def print_ways(rounds: Rounds) -> None:
    """Print the seconds of an epoch of each network, and the minutes of the whole study, way by way."""
    ways = {
        "a original": rounds.epoch(Way.ORIGINAL),
        "b plain loop": rounds.epoch(Way.PLAIN_LOOP),
        "c runner.py": rounds.epoch(Way.RUNNER),
        "c mixed_bfloat16": rounds.epoch(Way.RUNNER_MIXED),
        "d limit": rounds.limit("sgemm"),
        "d by TensorFlow": rounds.limit("tensorflow"),
    }
    titles = "".join(f"{network:>10}" for network in NETWORKS)
    print(f"{'seconds an epoch':18}{titles}  whole study, min")
    for way, epoch in ways.items():
        cells = "".join(f"{epoch[network]:10.3f}" for network in NETWORKS)
        print(f"{way:18}{cells}{seconds_of_whole_study(epoch) / 60:18.1f}")


def print_measures(values: dict[str, float]) -> None:
    """Print the value, the goal and the meaning of every measure, a line each."""
    print(f"\n{'measure':28}{'value':>9} {'unit':6}{'goal':22}what it is")
    for measure in MEASURES:
        value = values[measure.name]
        goal = goal_and_verdict(measure, value)
        print(f"{measure.name:28}{value:9.3f} {measure.unit:6}{goal:22}{measure.meaning}")


def goal_and_verdict(measure: Measure, value: float) -> str:
    """Return the goal of a measure and whether a value meets it, empty where there is no goal."""
    if measure.goal is None:
        return ""
    if measure.goal.is_met(value):
        return f"{measure.goal}: met"
    return f"{measure.goal}: missed"
