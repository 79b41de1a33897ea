"""Print what was measured: the ways of training side by side, then every number beside its goal.

What was measured of the peers is printed as tables in Markdown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmark import lightness
from benchmark.comparison import OURS, TOLERANCE, Comparison
from benchmark.lightness import EARLIER, MEGABYTES_OF_PAGE, SECONDS_OF_PAGE, Growth, ratio_of
from benchmark.measures import MEASURES, AtLeast, AtMost, Rounds
from benchmark.networks import NETWORKS, seconds_of_whole_study
from benchmark.peers import EPOCHS, GOAL, LOOP, PEERS, SEEDS, Peers
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
        goal = goal_and_verdict(measure.goal, value)
        print(f"{measure.name:28}{value:9.3f} {measure.unit:6}{goal:22}{measure.meaning}")


def goal_and_verdict(goal: AtLeast | AtMost | None, value: float) -> str:
    """Return a goal and whether a value meets it, empty where there is no goal."""
    if goal is None:
        return ""
    if goal.is_met(value):
        return f"{goal}: met"
    return f"{goal}: missed"


# --- beside an earlier checkout ---
def print_lightness(comparisons: Mapping[str, Comparison]) -> None:
    """Print the table of what two checkouts take, and the ratio beside its goal."""
    print_row("seconds", EARLIER, "here", "ratio", "goal")
    print_row("---", "--:", "--:", "--:", "---")
    for measure in lightness.MEASURES:
        comparison = comparisons[measure.name]
        before, here, ratio = comparison.seconds(EARLIER), comparison.seconds(OURS), ratio_of(comparison)
        cells = (f"{before:.3f}", f"{here:.3f}", f"{ratio:.3f}")
        print_row(measure.meaning, *cells, goal_and_verdict(measure.goal, ratio))


def print_growth(growth: Sequence[Growth]) -> None:
    """Print what the pages of ever more runs take, and the largest beside the goals."""
    print_row("runs", "seconds of the page", "MB")
    print_row("--:", "--:", "--:")
    for page in growth:
        print_row(str(page.runs), f"{page.seconds:.1f}", f"{page.megabytes:.0f}")
    largest = growth[-1]
    print(f"\n{goal_and_verdict(SECONDS_OF_PAGE, largest.seconds)} (seconds of {largest.runs} runs)")
    print(f"{goal_and_verdict(MEGABYTES_OF_PAGE, largest.megabytes)} (MB)")


# --- the peers ---
def print_peers(peers: Peers) -> None:
    """Print who takes how long for the same runs, and the fastest peer beside the goal."""
    print_network(peers)
    print_row("", f"{OURS}, s", f"{LOOP}, s", "times as long")
    print_row("---", "--:", "--:", "--:")
    for what, comparison in peers.many_runs.items():
        ours, loop, times = comparison.seconds(OURS), comparison.seconds(LOOP), comparison.times_ours(LOOP)
        print_row(what, f"{ours:.1f}", f"{loop:.1f}", f"{times:.2f}")


def print_network(peers: Peers) -> None:
    """Print the table of the network that all train, and who did not train the same."""
    network = peers.network
    print_row(f"{SEEDS} runs of 5 x 128, {EPOCHS} epochs", "s", "times as long", "val_accuracy")
    print_row("---", "--:", "--:", "--:")
    for way in network.outcomes:
        seconds, times, accuracy = network.seconds(way), network.times_ours(way), network.accuracy(way)
        print_row(titled(way, peers), f"{seconds:.1f}", f"{times:.2f}", f"{accuracy:.3f}")
    fastest = network.fastest_peer()
    times = network.times_ours(fastest)
    print(f"\nThe fastest peer is {fastest}: {times:.2f} times as long, {goal_and_verdict(GOAL, times)}.\n")
    for way in network.outcomes:
        if not network.trained_the_same(way):
            print(f"**{way} did not train the same:** its val_accuracy is off by more than {TOLERANCE}.\n")


def titled(way: str, peers: Peers) -> str:
    """Return the name of a way, and the version of the package that it stands for where it is a peer."""
    if way == OURS:
        return way
    package = PEERS[way].packages[0].partition("[")[0]
    return f"{way} ({package} {peers.versions[way][package]})"


def print_row(*cells: str) -> None:
    """Print a row of a table in Markdown."""
    print(f"| {' | '.join(cells)} |")
