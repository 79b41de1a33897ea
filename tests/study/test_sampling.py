"""Search spaces: what `sample` draws from a row of the grid, and what it refuses."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest

from asked import load_whole
from nbstudy.checks import StudyError
from nbstudy.study.sampling import Level, Options, Range, draw
from nbstudy.study.study import load_study
from project import ROOT

SPACE = {
    "units": "{from: 64, to: 1024, scale: log}",
    "learning_rate": "{from: 1e-4, to: 0.01, scale: log}",
    "dropout": "{from: 0, to: 0.5}",
    "hidden_layers": "[1, 2, 3]",
    "epochs": "4",
}


def row_of(space: dict[str, str], **keys: Any) -> str:
    """Return a study of a row of the grid with these fields, and keys of the row."""
    fields = {"name": '"mlp_{n}"'} | {key: str(value) for key, value in keys.items()} | space
    text = ", ".join(f"{key}: {value}" for key, value in fields.items())
    return f"notebooks: {{run: train.ipynb}}\ngrid:\n  - {{{text}}}\n"


def refusal_of(place: Path, text: str) -> str:
    """Return why a study is refused."""
    with pytest.raises(StudyError) as refusal:
        load_whole(place, text)
    return refusal.value.message


# --- what is drawn ---
def test_points_lie_in_the_space_and_have_the_declared_types(tmp_path: Path) -> None:
    study = load_whole(tmp_path, row_of(SPACE, sample=48))
    assert list(study.configurations) == [f"mlp_{number}" for number in range(48)]
    for parameters in study.configurations.values():
        assert type(parameters["units"]) is int and 64 <= parameters["units"] <= 1024
        assert type(parameters["learning_rate"]) is float and 1e-4 <= parameters["learning_rate"] <= 0.01
        assert 0 <= parameters["dropout"] <= 0.5
        assert parameters["hidden_layers"] in (1, 2, 3) and parameters["epochs"] == 4
        assert parameters["learning_rate"] == float(f"{parameters['learning_rate']:.3g}")


def test_points_cover_every_axis_evenly() -> None:
    axes = {
        "rate": Range(1e-4, 1.0, is_logarithmic=True, is_whole=False),
        "share": Range(0.0, 1.0, is_logarithmic=False, is_whole=False),
        "kind": Options([Level("a", "a"), Level("b", "b")]),
    }
    points = draw(axes, 64, seed=0)
    for quarter in range(4):  # each holds a quarter of the points, which chance would miss
        low, high = quarter / 4, (quarter + 1) / 4
        decades = [1 + math.log10(point["rate"].value) / 4 for point in points]
        assert sum(low <= decade < high for decade in decades) == pytest.approx(16, abs=1)
        assert sum(low <= point["share"].value < high for point in points) == pytest.approx(16, abs=1)
    assert sum(point["kind"].value == "a" for point in points) == 32


@pytest.mark.parametrize(("low", "high"), [(1, 4), (0, 1)])
def test_whole_numbers_are_equally_likely(low: int, high: int) -> None:
    axes = {"layers": Range(low, high, is_logarithmic=False, is_whole=True)}
    layers = [point["layers"].value for point in draw(axes, 64, seed=0)]
    for number in range(low, high + 1):
        assert layers.count(number) == pytest.approx(64 / (high - low + 1), abs=1)


def test_order_of_the_fields_changes_no_point(tmp_path: Path) -> None:
    forwards = load_whole(tmp_path, row_of(SPACE, sample=16)).configurations
    backwards = load_whole(tmp_path, row_of(dict(reversed(SPACE.items())), sample=16)).configurations
    assert forwards == backwards


def test_more_points_begin_with_the_same_ones(tmp_path: Path) -> None:
    few = load_whole(tmp_path, row_of(SPACE, sample=5)).configurations
    many = load_whole(tmp_path, row_of(SPACE, sample=48)).configurations
    assert few == {name: many[name] for name in few}


def test_another_seed_draws_other_points(tmp_path: Path) -> None:
    first = load_whole(tmp_path, row_of(SPACE, sample=8)).configurations
    assert load_whole(tmp_path, row_of(SPACE, sample=8, sample_seed=0)).configurations == first
    other = load_whole(tmp_path, row_of(SPACE, sample=8, sample_seed=1)).configurations
    assert not any(parameters in first.values() for parameters in other.values())


def test_points_are_these(tmp_path: Path) -> None:
    # a search that was begun with one release of SciPy is continued with the next
    study = load_whole(tmp_path, row_of(SPACE, sample=2))
    drawn = [{field: parameters[field] for field in SPACE} for parameters in study.configurations.values()]
    assert drawn == POINTS


POINTS = [
    {"units": 402, "learning_rate": 0.00519, "dropout": 0.205, "hidden_layers": 3, "epochs": 4},
    {"units": 167, "learning_rate": 0.000937, "dropout": 0.328, "hidden_layers": 1, "epochs": 4},
]


@pytest.mark.parametrize("is_logarithmic", [False, True])
@pytest.mark.parametrize(
    ("low", "high", "step"),
    [
        (1550.0, 1560.0, 0.1),
        (0.99, 0.9999, 0.0001),
        (0.2, 0.3, 0.001),
        (1.34, 1.5, 0.001),
        (1.0, 1.0 + 1e-9, 1e-11),
    ],
)
def test_narrow_range_has_digits_by_its_width(
    low: float, high: float, step: float, is_logarithmic: bool
) -> None:
    axes = {"x": Range(low, high, is_logarithmic, is_whole=False)}
    drawn = sorted({point["x"].value for point in draw(axes, 2048, seed=0)})
    assert (drawn[0], drawn[-1]) == (low, high)
    steps = [upper - lower for lower, upper in itertools.pairwise(drawn)]
    assert steps == pytest.approx([step] * len(steps), rel=1e-3)


def test_points_of_the_published_search_stay_what_they_are() -> None:
    published = json.loads((ROOT / "outputs" / "better_mlp" / "study.json").read_text())["configurations"]
    drawn = load_study(ROOT / "params" / "better_mlp.yaml").configurations
    assert len(drawn) == 64
    for name, parameters in drawn.items():
        assert parameters | {"epochs": published[name]["epochs"]} == published[name]


def test_point_that_equals_an_earlier_one_is_left_out_and_said(tmp_path: Path) -> None:
    study = load_whole(tmp_path, row_of({"units": "{from: 1, to: 4}"}, sample=16))
    assert sorted(parameters["units"] for parameters in study.configurations.values()) == [1, 2, 3, 4]
    (note,) = study.remarks
    assert "grid row 1: 12 of 16 points equal earlier ones and are left out" in note


def test_points_have_replicates_and_extend_others(tmp_path: Path) -> None:
    text = row_of({"units": "{from: 8, to: 99}", "replicates": "2", "extends": "base"}, sample=2)
    study = load_whole(tmp_path, text + "configurations: {base: {l2: 0.5}}\n")
    assert list(study.configurations) == ["base", "mlp_0", "mlp_0_seed_1", "mlp_1", "mlp_1_seed_1"]
    assert all(parameters["l2"] == 0.5 for parameters in study.configurations.values())


# --- what the template refuses ---
def test_points_that_the_template_refuses_are_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    space = {"dropout": "[0.2, 1.5, 2.5]", "units": "[8, 16]"}
    text = row_of(space, invalid="skip").replace("mlp_{n}", "mlp_{units}_{dropout}")
    study = load_whole(tmp_path, text)
    assert list(study.configurations) == ["mlp_8_0.2", "mlp_16_0.2"]
    (note,) = study.remarks
    assert "grid row 1: 4 configurations are left out, as train.ipynb refuses them" in note
    assert "dropout must be" in refusal_of(tmp_path, text.replace("invalid: skip, ", ""))


def test_round_cannot_name_a_point_that_was_left_out(tmp_path: Path) -> None:
    text = row_of({"dropout": "[0.2, 1.5]"}, invalid="skip").replace("mlp_{n}", "mlp_{dropout}")
    message = refusal_of(tmp_path, text + "rounds: [{candidates: [mlp_1.5]}]\n")
    assert "unknown name 'mlp_1.5'" in message


def test_study_of_which_the_template_refuses_everything_is_refused(tmp_path: Path) -> None:
    text = row_of({"dropout": "[1.5, 2]"}, invalid="skip").replace("mlp_{n}", "mlp_{dropout}")
    assert "no configuration that train.ipynb does not refuse" in refusal_of(tmp_path, text)


# --- what is refused ---
@pytest.mark.parametrize(
    ("space", "keys", "expected"),
    [
        ({"units": "{from: 9, to: 1}"}, {"sample": 4}, ["units", "from 9 to 1", "lower number first"]),
        ({"l2": "{from: 0, to: 1, scale: log}"}, {"sample": 4}, ["l2", "no logarithm", "scale: log"]),
        ({"l2": "{from: 0, to: 1, scale: cubic}"}, {"sample": 4}, ["l2: scale", "'cubic'", "linear"]),
        ({"l2": "{from: 0, to: 1, by: 2}"}, {"sample": 4}, ["l2", "'by'"]),
        ({"units": "{from: 1.5, to: 9}"}, {"sample": 4}, ["units: from", "whole number", "1.5"]),
        ({"precision": "{from: a, to: b}"}, {"sample": 4}, ["precision: from", "must be a number"]),
        ({"units": "{from: 1, to: 9}"}, {}, ["units", "needs `sample: N`"]),
        ({"units": "{min: 1, max: 9}"}, {"sample": 4}, ["units", "did you mean", "{from: 1, to: 9}"]),
        ({"l2": "[0, {low: 0.1, high: 0.2}]"}, {}, ["l2", "did you mean", "{from: 0.1, to: 0.2}"]),
        ({"l2": "{from: -1e308, to: 1e308}"}, {"sample": 4}, ["l2", "wider than numbers are"]),
        ({"units": "{from: 1}"}, {"sample": 4}, ["units", "range without `to`"]),
        ({"units": "{form: 1, to: 9}"}, {"sample": 4}, ["units", "'form'", "from"]),
        ({"units": "[]", "l2": "{from: 0, to: 1}"}, {"sample": 4}, ["units", "empty list"]),
        ({"units": "8"}, {"sample": 4}, ["sample", "nothing to draw from"]),
        ({"units": "{from: 1, to: 9}"}, {"sample": 0}, ["sample", "at least 1"]),
        ({"units": "{from: 1, to: 9}"}, {"sample": "many"}, ["sample", "whole number", "'many'"]),
        ({"units": "{from: 1, to: 9}"}, {"sample": 4, "sample_seed": -1}, ["sample_seed", "at least 0"]),
        ({"units": "[1, 2]"}, {"sample_seed": 1}, ["sample_seed", "needs `sample: N`"]),
        ({"units": "{from: 1, to: 9}"}, {"sample": 4, "invalid": "drop"}, ["invalid", "'drop'", "skip"]),
        ({"units": "{from: 1, to: 999999}"}, {"sample": 100_001}, ["100001", "100000 a study"]),
    ],
)
def test_bad_row_is_refused(
    tmp_path: Path, space: dict[str, str], keys: dict[str, Any], expected: list[str]
) -> None:
    message = refusal_of(
        tmp_path, row_of(space, **keys).replace("mlp_{n}", "mlp_{n}" if "sample" in keys else "m")
    )
    assert "mine.yaml: grid row 1" in message
    for words in expected:
        assert words in message, message
