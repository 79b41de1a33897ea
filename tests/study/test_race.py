"""The race: what a study file may ask for, and which configurations are asked for lap by lap."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from asked import MakeStudy, load_whole
from nbstudy.checks import StudyError
from nbstudy.decision.race import Plan
from nbstudy.study.race import Race, race_in
from nbstudy.study.study import Study

STUDY = """
notebooks: {run: train.ipynb}
defaults: {units: 8}
configurations:
  a: {l2: 0.0}
  b: {l2: 0.1, replicates: 2}
  c: {l2: 0.2}
  other: {epochs: 7}
race:
  candidates: "[abc]"
  metric: val_accuracy
  replicates: [2, 3]
  margin: 0.001
  budget: {runs: 60}
final: {refit: true}
"""
AFTER_RUNGS = """
notebooks: {run: train.ipynb}
defaults: {units: 8}
configurations:
  a: {l2: 0.0}
  b: {l2: 0.1, replicates: 2}
  c: {l2: 0.2}
  other: {epochs: 7}
halving:
  candidates: "[abc]"
  metric: val_accuracy
  rungs:
    - {epochs: 2, keep: 2}
race:
  epochs: 6
  replicates: [2, 3]
final: {refit: true}
"""


def race_of(study: Study) -> Race:
    """Return the race of a study."""
    assert study.race is not None
    return study.race


def refusal_of(place: Path, text: str, *overrides: tuple[str, str]) -> str:
    """Return why a study is refused."""
    with pytest.raises(StudyError) as refusal:
        load_whole(place, text, overrides)
    return refusal.value.message


def seeds_of(study: Study) -> dict[str, int]:
    """Return the seed of each configuration that is asked for."""
    return {name: parameters["seed"] for name, parameters in study.configurations.items()}


# --- what is asked for ---
def test_all_candidates_begin_with_the_runs_of_the_first_lap(tmp_path: Path) -> None:
    study = load_whole(tmp_path, STUDY)
    first = study.at(study.beginning, study.racing_at_first)
    assert seeds_of(first) == {
        "a": 0,
        "a_seed_1": 1,
        "b": 0,
        "b_seed_1": 1,
        "c": 0,
        "c_seed_1": 1,
        "other": 0,
    }
    assert first.configurations["c_seed_1"] == first.configurations["c"] | {"seed": 1}
    assert first.flops["a_seed_1"] == first.flops["a"] > 0


def test_those_that_are_left_get_further_runs_and_the_others_keep_theirs(tmp_path: Path) -> None:
    study = load_whole(tmp_path, STUDY)
    second = study.at([], {"a": 3, "b": 3, "c": 2})
    assert list(second.configurations) == [
        *("a", "a_seed_1", "a_seed_2"),
        *("b", "b_seed_1", "b_seed_2"),
        *("c", "c_seed_1"),
        "other",
    ]
    assert set(second.configurations) < set(study.names)
    assert "c_seed_2" in study.names and "final" in study.names


def test_race_after_rungs_asks_for_new_seeds_as_long_as_it_says(tmp_path: Path) -> None:
    study = load_whole(tmp_path, AFTER_RUNGS)
    assert study.racing_at_first == {} and race_of(study).metric.name == "val_accuracy"
    reached = study.at(study.beginning, {"b": 2, "c": 2})
    new = {name: given for name, given in reached.configurations.items() if "_seed_" in name}
    assert {name: given["seed"] for name, given in new.items()} == {
        "b_seed_1": 1,
        "b_seed_2": 2,
        "b_seed_3": 3,  # b has had 0 and 1
        "c_seed_1": 1,
        "c_seed_2": 2,
    }
    assert [given["epochs"] for given in new.values()] == [2, 6, 6, 6, 6]
    assert study.final_of("c", study.configurations)["epochs"] == 6


def test_race_is_read_back_from_its_record(tmp_path: Path) -> None:
    for text in (STUDY, AFTER_RUNGS, STUDY.replace("runs: 60", "tflop: 2.5")):
        race = race_of(load_whole(tmp_path, text))
        assert race_in({"race": race.record()}) == race
    assert race_in({}) is None and race_in({"race": {"candidates": []}}) is None


def test_margin_and_budget_may_be_left_out(tmp_path: Path) -> None:
    race = race_of(load_whole(tmp_path, AFTER_RUNGS))
    assert race.plan == Plan((2, 3), 0.0, math.inf)


def test_budget_in_tflop_counts_what_runs_of_each_candidate_take(tmp_path: Path) -> None:
    text = STUDY.replace("runs: 60", "tflop: 2.5").replace("c: {l2: 0.2}", "c: {l2: 0.2, hidden_layers: 8}")
    study = load_whole(tmp_path, text)
    race = race_of(study)
    assert race.unit == "tflop" and race.costs["a"] == pytest.approx(study.flops["a"] / 1e12)
    assert race.costs["c"] > race.costs["a"]


# --- what is refused ---
BAD: dict[str, tuple[str, str, list[str]]] = {
    "key": ("margin:", "margins:", ["race", "'margins'", "did you mean 'margin'"]),
    "nobody": ('"[abc]"', '"mlp_*"', ["race: candidates", "'mlp_*'"]),
    "no_candidates": ('  candidates: "[abc]"\n', "", ["race: candidates", "are missing"]),
    "one": ('"[abc]"', "a", ["race: candidates", "a has nobody to race with"]),
    "no_metric": ("  metric: val_accuracy\n", "", ["`metric` is missing"]),
    "direction": ("val_accuracy", "val_quux", ["which values of 'val_quux' are better"]),
    "no_replicates": ("  replicates: [2, 3]\n", "", ["race: replicates", "are missing", "[3, 5, 8, 12]"]),
    "single": ("[2, 3]", "[1, 3]", ["race: replicates", "2 or more", "single runs"]),
    "falling": ("[2, 3]", "[3, 2]", ["race: replicates", "2 follows 3"]),
    "same": ("[2, 3]", "[3, 3]", ["race: replicates", "3 follows 3"]),
    "number": ("[2, 3]", "3", ["race: replicates", "must be a list"]),
    "margin": ("0.001", "-0.001", ["race: margin", "at least 0", "-0.001"]),
    "margin_text": ("0.001", "small", ["race: margin", "a number", "'small'"]),
    "budget": ("{runs: 60}", "60", ["race: budget", "must be a mapping"]),
    "two_budgets": ("{runs: 60}", "{runs: 60, tflop: 3}", ["race: budget", "one of the two"]),
    "budget_key": ("{runs: 60}", "{run: 60}", ["race: budget", "'run'", "did you mean 'runs'"]),
    "small_budget": (
        "{runs: 60}",
        "{runs: 5}",
        ["race: budget", "the first lap may take 6 runs, more than 5"],
    ),
    "half_a_run": ("{runs: 60}", "{runs: 60.5}", ["race: budget: runs", "a whole number"]),
    "epochs": ("  margin", "  epochs: 4\n  margin", ["race: epochs", "said by the configurations"]),
    "rounds": ("final:", "rounds: [{candidates: [a, b]}]\nfinal:", ["race", "`rounds`"]),
    "equal": (
        "c: {l2: 0.2}",
        "c: {l2: 0.0, seed: 5}",
        ["candidates", "a and c are equal but for their seed"],
    ),
    "seed": ("c: {l2: 0.2}", "c: {l2: 0.2, seed: 2}", ["c_seed_2 would repeat c", "write `seed: 0`"]),
    "new_run": ("  other:", "  c_seed_2: {}\n  other:", ["race", "c_seed_2 is there already", "rename"]),
    "final_values": ("refit: true", "dropout: 2", ["final, made of a", "dropout must be"]),
}
BAD_AFTER_RUNGS: dict[str, tuple[str, str, list[str]]] = {
    "no_epochs": ("  epochs: 6\n", "", ["race: epochs", "are missing"]),
    "fewer_epochs": ("epochs: 6", "epochs: 1", ["race: epochs", "1 are fewer than the 2 of the last rung"]),
    "metric": ("  epochs: 6", "  metric: val_loss\n  epochs: 6", ["race: metric", "is said by the rungs"]),
    "candidates": ("  epochs: 6", "  candidates: a\n  epochs: 6", ["race: candidates", "leave it out"]),
    "no_keep": ("{epochs: 2, keep: 2}", "{epochs: 2}", ["rung 1", "`keep` is missing"]),
    "keep_one": ("{epochs: 2, keep: 2}", "{epochs: 2, keep: 1}", ["rung 1: keep", "nobody to race with"]),
    "replicates": ("keep: 2}", "keep: 2, replicates: 2}", ["rung 1: replicates"]),
    "small_budget": (
        "[2, 3]",
        "[2, 3]\n  budget: {runs: 3}",
        ["race: budget", "the first lap may take 4 runs, more than 3"],
    ),
    "new_run": ("  other:", "  c_seed_3: {}\n  other:", ["race", "c_seed_3 is there already"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_race_is_refused(tmp_path: Path, case: str) -> None:
    old, new, expected = BAD[case]
    assert STUDY.count(old)
    message = refusal_of(tmp_path, STUDY.replace(old, new))
    for words in ["mine.yaml", *expected]:
        assert words in message, message


@pytest.mark.parametrize("case", BAD_AFTER_RUNGS)
def test_bad_race_after_rungs_is_refused(tmp_path: Path, case: str) -> None:
    old, new, expected = BAD_AFTER_RUNGS[case]
    assert AFTER_RUNGS.count(old)
    message = refusal_of(tmp_path, AFTER_RUNGS.replace(old, new))
    for words in ["mine.yaml", *expected]:
        assert words in message, message


def test_override_of_the_seed_is_refused(tmp_path: Path) -> None:
    assert "-p seed: would give all runs of the race the same seed" in refusal_of(
        tmp_path, STUDY.replace(", replicates: 2", ""), ("seed", "1")
    )


def test_quick_look_at_a_race_is_possible(tmp_path: Path) -> None:
    study = load_whole(tmp_path, STUDY, [("epochs", "1")])
    first = study.at([], study.racing_at_first)
    assert {parameters["epochs"] for parameters in first.configurations.values()} == {1}


def test_all_that_is_wrong_in_a_race_is_said_at_once(tmp_path: Path) -> None:
    message = refusal_of(
        tmp_path, STUDY.replace("[2, 3]", "[3, 2]").replace("0.001", "-1").replace("60", "0.5")
    )
    for key in ("replicates", "margin", "budget"):
        assert f"race: {key}" in message


RACED = "configurations: {a: , b: {rate: 0.2}}\nrace: {candidates: '*', metric: loss, replicates: [2, 3]}\n"


def test_template_without_a_seed_cannot_race(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match=r"race: needs a parameter `seed: int` in"):
        make_study(RACED)


def test_budget_in_tflop_needs_a_template_that_says_them(make_study: MakeStudy) -> None:
    budget = RACED.replace("[2, 3]", "[2, 3], budget: {tflop: 3}")
    with pytest.raises(StudyError, match=r"race: budget: \S+ does not say what runs cost"):
        make_study(budget, parameters="seed = 0\nrate = 0.1")
    race = race_of(make_study(budget, parameters="seed = 0\nrate = 0.1", preflight="flops = 1e12 * rate"))
    assert race.costs == {"a": pytest.approx(0.1), "b": pytest.approx(0.2)}
