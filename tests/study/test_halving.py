"""Successive halving: what a study file may ask for, and which configurations are asked for as rungs are decided."""

from __future__ import annotations

from pathlib import Path

import pytest

from asked import load_whole
from nbstudy.checks import StudyError
from nbstudy.decision.halving import Rung, Stage
from nbstudy.study.halving import halving_in
from nbstudy.study.study import Study

STUDY = """
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
    - {epochs: 6, keep: 1}
    - {epochs: 6, replicates: 2}
final: {refit: true}
"""


def load(place: Path, text: str, *overrides: tuple[str, str]) -> Study:
    """Write and load a study."""
    return load_whole(place, text, overrides)


def refusal_of(place: Path, text: str, *overrides: tuple[str, str]) -> str:
    """Return why a study is refused."""
    with pytest.raises(StudyError) as refusal:
        load(place, text, *overrides)
    return refusal.value.message


def epochs_of(study: Study) -> dict[str, int]:
    """Return the epochs that each configuration is asked to train."""
    return {name: parameters["epochs"] for name, parameters in study.configurations.items()}


# --- what is asked for ---
def test_all_candidates_and_their_replicates_begin_with_the_first_rung(tmp_path: Path) -> None:
    study = load(tmp_path, STUDY)
    assert study.halving
    bottom = Stage(study.halving.rungs[0], ["a", "b", "c"], {})
    assert epochs_of(study.at([bottom])) == {"a": 2, "b": 2, "b_seed_1": 2, "c": 2, "other": 7}


def test_survivors_train_longer_and_the_others_stay_as_they_are(tmp_path: Path) -> None:
    study = load(tmp_path, STUDY)
    assert study.halving
    first, second, _ = study.halving.rungs
    stages = [Stage(first, ["a", "b", "c"], {"b": 0.1, "c": 0.2, "a": 0.3}), Stage(second, ["b", "c"], {})]
    reached = study.at(stages)
    assert epochs_of(reached) == {"a": 2, "b": 6, "b_seed_1": 6, "c": 6, "other": 7}
    assert reached.flops["b"] == pytest.approx(3 * study.at(stages[:1]).flops["b"])


def test_last_rung_asks_for_new_seeds_of_the_survivors(tmp_path: Path) -> None:
    study = load(tmp_path, STUDY)
    assert study.halving
    first, second, third = study.halving.rungs
    stages = [
        Stage(first, ["a", "b", "c"], {"b": 0.1, "c": 0.2, "a": 0.3}),
        Stage(second, ["b", "c"], {"b": 0.1, "c": 0.2}),
        Stage(third, ["b"], {}),
    ]
    reached = study.at(stages)
    assert list(reached.configurations) == ["a", "b", "b_seed_2", "b_seed_3", "b_seed_1", "c", "other"]
    for seed in (2, 3):  # b has had 0 and 1
        new = reached.configurations[f"b_seed_{seed}"]
        assert new == reached.configurations["b"] | {"seed": seed, "epochs": 6}


def test_final_is_the_choice_with_changes(tmp_path: Path) -> None:
    study = load(tmp_path, STUDY.replace("final: {refit: true}", "final: {refit: true, epochs: 9}"))
    assert study.halving and study.final == "final" and "final" not in study.configurations
    bottom = Stage(study.halving.rungs[0], ["a", "b", "c"], {})
    final = study.at([bottom], choice="c").configurations["final"]
    assert (final["refit"], final["epochs"], final["l2"]) == (True, 9, 0.2)


def test_final_can_be_a_mapping_without_halving(tmp_path: Path) -> None:
    text = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\nfinal: {refit: true}\n"
    study = load(tmp_path, text)
    assert study.at([], choice="b").configurations["final"]["units"] == 8


# --- what is refused ---
RUNGS = "    - {epochs: 2, keep: 2}\n    - {epochs: 6, keep: 1}\n    - {epochs: 6, replicates: 2}\n"
BAD: dict[str, tuple[str, str, list[str]]] = {
    "fewer_epochs": (
        "{epochs: 6, keep: 1}",
        "{epochs: 1, keep: 1}",
        ["rung 2: epochs", "1 are fewer than the 2"],
    ),
    "keep": ("{epochs: 2, keep: 2}", "{epochs: 2, keep: 4}", ["rung 1: keep", "4 of 3 candidates"]),
    "keep_all": ("{epochs: 2, keep: 2}", "{epochs: 2, keep: 3}", ["rung 1: keep", "would drop none"]),
    "keep_none": ("{epochs: 2, keep: 2}", "{epochs: 2, keep: 0}", ["rung 1: keep", "at least 1"]),
    "no_keep": ("{epochs: 2, keep: 2}", "{epochs: 2}", ["rung 1", "`keep` is missing"]),
    "keep_in_the_last": (
        "{epochs: 6, replicates: 2}",
        "{epochs: 6, keep: 1}",
        ["rung 3: keep", "the rule decides"],
    ),
    "early_replicates": (
        "{epochs: 2, keep: 2}",
        "{epochs: 2, keep: 2, replicates: 3}",
        ["rung 1: replicates", "last"],
    ),
    "rule_of_single_runs": (
        "{epochs: 2, keep: 2}",
        "{epochs: 2, keep: rule, most: 2}",
        ["rung 1: keep", "between single runs", "replicates: 3"],
    ),
    "rule_without_most": ("{epochs: 2, keep: 2}", "{epochs: 2, keep: rule}", ["rung 1", "`most` is missing"]),
    "most_without_rule": (
        "{epochs: 2, keep: 2}",
        "{epochs: 2, keep: 2, most: 2}",
        ["rung 1: most", "belongs to `keep: rule`"],
    ),
    "only_rung": (RUNGS, "    - {epochs: 6, replicates: 2}\n", ["rung 1: replicates", "the last of several"]),
    "equal": (
        "c: {l2: 0.2}",
        "c: {l2: 0.0, seed: 5}",
        ["candidates", "a and c are equal but for their seed", "replicates"],
    ),
    "no_epochs": ("{epochs: 2, keep: 2}", "{keep: 2}", ["rung 1", "`epochs` is missing"]),
    "text": ("{epochs: 2, keep: 2}", "{epochs: two, keep: 2}", ["rung 1: epochs", "whole number", "'two'"]),
    "rung": ("{epochs: 2, keep: 2}", "2", ["rung 1", "must be a mapping"]),
    "key": ("{epochs: 2, keep: 2}", "{epoch: 2, keep: 2}", ["rung 1", "'epoch'", "did you mean 'epochs'"]),
    "no_rungs": (RUNGS, "", ["rungs", "are missing"]),
    "nobody": ('"[abc]"', '"mlp_*"', ["candidates", "'mlp_*'"]),
    "no_candidates": ('candidates: "[abc]"\n  ', "", ["candidates", "are missing"]),
    "replicate": ('"[abc]"', "b_seed_1", ["candidates", "'b_seed_1'"]),
    "no_metric": ("  metric: val_accuracy\n", "", ["`metric` is missing"]),
    "direction": ("val_accuracy", "val_quux", ["which values of 'val_quux' are better"]),
    "better": ("metric: val_accuracy", "metric: val_quux\n  better: up", ["halving: better", "'up'"]),
    "epochs": ("c: {l2: 0.2}", "c: {l2: 0.2, epochs: 3}", ["configuration c: epochs", "rungs of `halving`"]),
    "rounds": ("final:", "rounds: [{candidates: [a, b]}]\nfinal:", ["halving", "`rounds`"]),
    "new_run": ("  other:", "  c_seed_2: {}\n  other:", ["halving", "c_seed_2 is there already", "rename"]),
    "final_values": ("refit: true", "dropout: 2", ["final, made of a", "dropout must be"]),
    "final_parameter": ("refit: true", "refits: true", ["final", "'refits'", "did you mean 'refit'"]),
    "final_is_there": ("  other:", "  final: {}\n  other:", ["final", "is a mapping"]),
    "lengthens": ("train.ipynb", "digits.ipynb", ["halving"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_halving_is_refused(tmp_path: Path, case: str) -> None:
    old, new, expected = BAD[case]
    assert STUDY.count(old)
    message = refusal_of(tmp_path, STUDY.replace(old, new))
    for words in ["mine.yaml", *expected]:
        assert words in message, message


def test_rule_may_say_who_goes_on_where_all_have_replicates(tmp_path: Path) -> None:
    text = """
    notebooks: {run: train.ipynb}
    configurations: {a: {replicates: 2}, b: {l2: 0.1, replicates: 3}, c: {l2: 0.2, replicates: 2}}
    halving: {candidates: "[abc]", metric: val_loss, rungs: [{epochs: 2, keep: rule, most: 2}, {epochs: 4}]}
    """
    halving = load(tmp_path, text).halving
    assert halving is not None
    assert halving.rungs == [Rung(2, "rule", most=2), Rung(4, None)]
    assert halving_in({"halving": halving.record()}) == halving


def test_metric_of_the_study_is_that_of_its_rungs(tmp_path: Path) -> None:
    study = load(
        tmp_path, STUDY.replace("  metric: val_accuracy\n", "") + "metric: val_quux\nbetter: higher\n"
    )
    assert study.halving and study.halving.record()["metric"] == "val_quux"
    assert study.halving.record()["better"] == "higher"


def test_template_that_lengthens_nothing_cannot_be_halved(tmp_path: Path) -> None:
    text = """
    notebooks: {run: digits.ipynb}
    configurations: {a: , b: }
    halving: {candidates: "*", metric: val_accuracy, rungs: [{epochs: 1, keep: 1}, {epochs: 2}]}
    """
    message = refusal_of(tmp_path, text)
    assert "needs a template that says what `lengthens` a run, which digits.ipynb does not" in message


@pytest.mark.parametrize(("name", "value"), [("epochs", "3"), ("seed", "1")])
def test_overrides_that_undo_halving_are_refused(tmp_path: Path, name: str, value: str) -> None:
    text = STUDY.replace("b: {l2: 0.1, replicates: 2}", "b: {l2: 0.1}")
    assert f"-p {name}" in refusal_of(tmp_path, text, (name, value))
