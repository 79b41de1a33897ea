"""What the benchmark makes of the times that it measures; the measuring itself takes hours of a quiet machine."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from benchmark import lightness, measures, networks, report
from benchmark.comparison import OURS, TOLERANCE, Comparison, Outcome, compare
from benchmark.lightness import EARLIER, Growth, many_factors, ratio_of
from benchmark.measures import AtLeast, AtMost, Measured, Rounds
from benchmark.networks import NETWORKS
from benchmark.peers import LOOP, PEERS, Peers
from benchmark.training import Way
from benchmark.watching import median_seconds
from nbstudy.study.study import load_study
from project import Project

RATE = 2e11  # FLOP/s of a machine


def comparison(**seconds: list[float]) -> Comparison:
    """Return a comparison of ways that took so many seconds, and came to the same."""
    outcomes = {}
    for way, took in seconds.items():
        outcomes[way] = [Outcome(each, [0.85]) for each in took]
    return Comparison(outcomes)


def rounds(share_of_limit: float) -> Rounds:
    """Return a round in which runner.py trained at a share of the limit, and the original's way at half of that."""
    runner = {name: network.flops / RATE / share_of_limit for name, network in NETWORKS.items()}
    original = {name: 2 * seconds for name, seconds in runner.items()}
    return Rounds([{"sgemm": RATE, "tensorflow": RATE / 2, Way.RUNNER: runner, Way.ORIGINAL: original}])


# --- the networks ---
def test_networks_cost_what_the_template_says(project: Project) -> None:
    study = load_study(project.root / project.study(networks.as_study()))
    for name, network in NETWORKS.items():
        for seed in networks.SEEDS:
            assert study.flops[f"{name}_{seed}"] == network.flops * network.epochs


def test_every_configuration_counts_as_the_network_that_costs_nearly_the_same() -> None:
    for name, network in NETWORKS.items():
        assert networks.nearest(1.1 * network.flops, network.units, network.dropout) == name


# --- shares and ratios ---
def test_share_of_the_limit_and_speedup_are_those_of_the_whole_study() -> None:
    measured = Measured(rounds(0.8).figures, cheap_runs=None, page=None)  # type: ignore[arg-type]
    assert measures.of_limit(measured) == pytest.approx(0.8)
    assert measures.of_limit_5x128(measured) == pytest.approx(0.8)
    assert measures.of_tensorflow_limit(measured) == pytest.approx(1.6)
    assert measures.speedup(measured) == pytest.approx(2)


def test_medians_of_the_rounds_count() -> None:
    figures = [{"sgemm": rate, Way.RUNNER: dict.fromkeys(NETWORKS, rate)} for rate in (1.0, 9.0, 2.0)]
    assert Rounds(figures).median("sgemm") == 2
    assert Rounds(figures).epoch(Way.RUNNER) == dict.fromkeys(NETWORKS, 2)


def test_first_epoch_of_a_run_does_not_count() -> None:
    assert median_seconds([{100.0, 101.0, 103.0}, {200.0, 209.0}]) == 2


@pytest.mark.parametrize(
    ("goal", "value", "said"),
    [
        (None, 1, ""),
        (AtLeast(0.9), 0.9, "at least 0.9: met"),
        (AtLeast(0.9), 0.89, "at least 0.9: missed"),
        (AtMost(3), 3, "at most 3: met"),
        (AtMost(3), 3.01, "at most 3: missed"),
    ],
)
def test_verdict_names_the_goal(goal: AtLeast | AtMost | None, value: float, said: str) -> None:
    assert report.goal_and_verdict(goal, value) == said


# --- beside an earlier checkout ---
def test_ratio_is_what_we_take_of_what_the_earlier_one_does() -> None:
    assert ratio_of(comparison(**{OURS: [1.0, 3.0, 2.0], EARLIER: [9.0, 8.0, 4.0]})) == pytest.approx(0.25)


@pytest.mark.parametrize("runs", [100, 1000])
def test_page_tells_of_as_many_runs_as_it_says(project: Project, runs: int) -> None:
    study = project.study(f"notebooks: {{run: train.ipynb}}\ngrid: [{many_factors(runs)}]\n", "told")
    assert len(load_study(project.root / study).configurations) == runs


def test_every_row_has_its_ratio_and_its_goal(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {measure.name: comparison(**{OURS: [1.0], EARLIER: [1000.0]}) for measure in lightness.MEASURES}
    report.print_lightness(rows)
    printed = capsys.readouterr().out
    assert (
        "| a command with nothing to do, the published study | 1000.000 | 1.000 | 0.001 | at most 0.15: met |"
        in printed
    )
    assert len(printed.splitlines()) == 2 + len(lightness.MEASURES)


def test_largest_page_is_held_against_the_goals(capsys: pytest.CaptureFixture[str]) -> None:
    report.print_growth([Growth(100, 90.0, 900.0), Growth(10_000, 24.0, 701.0)])
    printed = capsys.readouterr().out
    assert "| 100 | 90.0 | 900 |" in printed
    assert "at most 25: met" in printed
    assert "at most 700: missed" in printed


# --- the peers ---
def test_ways_take_turns_each_in_an_empty_directory_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    turns: list[str] = []
    places: list[Path] = []

    def way(name: str, seconds: float, place: Path) -> Outcome:
        assert not list(place.iterdir())
        (place / "left behind").touch()
        turns.append(name)
        places.append(place)
        return Outcome(seconds, [])

    ways = {OURS: partial(way, OURS, 1), "theirs": partial(way, "theirs", 3)}
    result = compare(ways, 2)
    assert turns == [OURS, "theirs", OURS, "theirs"]
    assert len(set(places)) == 4
    assert not any(place.exists() for place in places)
    assert result.times_ours("theirs") == 3
    assert capsys.readouterr().err.count("theirs: 3.0 s") == 2


def test_fastest_peer_is_the_one_with_the_least_median() -> None:
    result = comparison(**{OURS: [10, 11, 90], "lucky once": [1, 40, 40], "steady": [30, 33, 31]})
    assert result.fastest_peer() == "steady"
    assert result.times_ours("steady") == pytest.approx(31 / 11)


def test_way_that_did_not_train_the_same_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = {way: [10.0] for way in (OURS, *PEERS)}
    network = comparison(**seconds)
    network.outcomes["Optuna"] = [Outcome(20, [0.85 - 2 * TOLERANCE])]
    versions = {name: {peer.packages[0].partition("[")[0]: "1.2.3"} for name, peer in PEERS.items()}
    peers = Peers(versions, network, {"many runs": comparison(**{OURS: [2.0], LOOP: [5.0]})})
    report.print_peers(peers)
    printed = capsys.readouterr().out
    assert "| Optuna (optuna 1.2.3) | 20.0 | 2.00 | 0.790 |" in printed
    assert "**Optuna did not train the same:**" in printed
    assert printed.count("did not train the same") == 1
    assert "| many runs | 2.0 | 5.0 | 2.50 |" in printed
    assert "1.00 times as long, at least 2.2: missed" in printed
    assert peers.as_json()["times_fastest_peer"] == 1
