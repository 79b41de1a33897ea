"""The section on the factors: chains, their steps and their figure."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex

from drawn import LOOKS, check_texts, judged, judged_twice, texts_of
from nbstudy.decision.elimination import Verdict
from nbstudy.decision.metrics import metric_called
from nbstudy.records.results import Results
from nbstudy.report.colours import COLOURS
from nbstudy.report.factors import (
    Chain,
    Effects,
    Factor,
    Step,
    compute,
    draw,
    effect,
    effects_in_words,
    factor_of,
    scale_of_factors,
    shortest,
    steps_of,
    summed_up,
)
from nbstudy.report.labels import Label
from nbstudy.report.looks import Look
from nbstudy.report.rankings import Ranking, ranking_of
from planted import EPOCHS, Planted

LOSS, ACCURACY = metric_called("val_loss"), metric_called("val_accuracy")


def test_factor_compares_with_all_else_equal(results: Results) -> None:
    assert shortest(results) == EPOCHS  # wild diverged at epoch 12
    early = ranking_of(results, epochs=shortest(results))
    l2 = factor_of(results, "l2", early.values)
    assert l2.levels == ["0.0", "0.1", "0.2", "0.3", "0.5"]
    (chain,) = l2.chains
    assert chain.names == ["good", "near", "far", "tie"]  # both has dropout, too, and wild exploded
    assert chain.levels == ["0.0", "0.1", "0.2", "0.5"]
    assert chain.steps == pytest.approx(np.diff(chain.values))
    (units,) = factor_of(results, "units", early.values).chains
    assert units.names == ["good", "wide"]
    assert units.steps == pytest.approx([-0.005])  # between means
    assert factor_of(results, "dropout", early.values).chains == []


def test_levels_of_a_factor_are_in_the_order_of_their_size(tmp_path: Path) -> None:
    grid = "grid: [{name: 'n_{units}', units: [1000, 8, 64]}, {name: 'p_{precision}', precision: [mixed_bfloat16]}]\n"
    study = Planted(tmp_path, "notebooks: {run: train.ipynb}\n" + grid)
    names = list(study.record["configurations"])
    for name in names:
        study.run(name, [0.5])
    results = study.load()
    assert factor_of(results, "units", dict.fromkeys(names, 0.5)).levels == ["8", "64", "128", "1000"]
    assert factor_of(results, "precision", dict.fromkeys(names, 0.5)).levels == ["float32", "mixed_bfloat16"]


# --- steps ---
def test_effects_are_counted_in_steps(results: Results) -> None:
    effects = compute(results)
    assert effects is not None
    text = effects_in_words(effects)
    # between two single runs: Dunnett's 3.60 for 3 degrees of freedom and all others, times 0.01826 times the root of two
    assert text.startswith("By val_loss over the first 20 epochs; between single runs the rule sees 0.0930, ")
    # along l2 good, near, far and tie
    assert (
        "\n- Raising l2: of 3 steps 0 better and 0 worse by more than chance explains; median change +0.0020, from -0.0370 to +0.0350."
        in text
    )
    assert (
        "\n- Raising units: of 1 step 0 better and 0 worse by more than chance explains; median change -0.0050."
        in text
    )
    assert "dropout" not in text


def test_step_is_judged_as_one_of_all_comparisons(results: Results) -> None:
    verdict = ranking_of(results).verdict
    (step,) = steps_of(factor_of(results, "units", ranking_of(results).values), verdict)
    assert step.change == pytest.approx(-0.005)
    assert step.allowed == verdict.allowed("good", "wide") < verdict.least_step
    student = 2.35336 * 0.0182574 * math.sqrt(1 / 3 + 1 / 2)  # as if these two were alone
    assert step.allowed > 1.5 * student


def test_effect_on_an_accuracy_is_better_where_it_rises() -> None:
    steps = [Step(("8", "16"), change, 0.05) for change in (0.2, 0.2, -0.1, 0.04)]
    counts = "of 4 steps 2 better and 1 worse by more than chance explains"
    assert (
        effect("Raising units", steps, ACCURACY)
        == f"Raising units: {counts}; median change +0.1200, from -0.1000 to +0.2000."
    )
    assert "1 better and 2 worse" in effect("Raising units", steps, LOSS)
    unknown = [Step(("8", "16"), 0.2, math.inf)]
    assert "of 1 step 0 better, and nobody knows how much is chance; median" in effect(
        "Raising units", unknown, LOSS
    )


def test_effects_are_left_out_where_no_runs_differ_in_one_parameter(results: Results) -> None:
    ranking = ranking_of(results)
    assert effects_in_words(Effects([], ranking)) == ""
    assert effects_in_words(Effects([factor_of(results, "l2", {})], ranking, 5)) == ""


# --- the figure ---
def ranking(verdict: Verdict, metric: str = "loss") -> Ranking:
    """Return a ranking by what a metric settled at."""
    return Ranking(f"settled {metric}", metric_called(metric), verdict, None)


def test_factor_joins_what_differs_in_it_alone() -> None:
    chain = Chain(["a", "b", "c"], ["8", "16", "64"], [0.5, 0.4, 0.3])
    factor = Factor("units", ["8", "16", "32", "64"], [chain])
    verdict = judged({"c": 0.3, "b": 0.4, "a": 0.5})
    _, (axes,) = draw(Effects([factor, Factor("l2", ["0.0"], [])], ranking(verdict, "val_loss")), LOOKS)
    assert axes.lines[0].get_xdata().tolist() == [0, 1, 3]
    assert axes.lines[0].get_ydata().tolist() == [0.5, 0.4, 0.3]
    assert [to_hex(colour).upper() for colour in axes.collections[0].get_facecolor()] == COLOURS[:3]
    assert texts_of(axes) == ["a … c"]
    assert axes.get_xlabel() == "units"
    assert [label.get_text() for label in axes.get_xticklabels()] == factor.levels
    assert axes.figure.get_supylabel() == "settled val_loss (lower is better)"
    assert [each.get_visible() for each in axes.figure.axes] == [True, False]
    check_texts(axes.figure)


def test_long_names_beside_a_factor_are_those_at_the_right_end() -> None:
    looks = {name: Look("red", "-", name) for name in ("svm_C_10_gamma_0.01", "svm_C_10_gamma_0.1")}
    chain = Chain(list(looks), ["0.01", "0.1"], [0.5, 0.4])
    verdict = judged(dict(zip(looks, [0.5, 0.4], strict=True)))
    _, (axes,) = draw(Effects([Factor("gamma", ["0.01", "0.1"], [chain])], ranking(verdict)), looks)
    assert texts_of(axes) == ["… svm_C_10_gamma_0.1"]
    assert axes.get_window_extent().width > 0.2 * axes.figure.bbox.width  # there is room for the line
    check_texts(axes.figure)


def test_factors_are_on_the_survivors_scale_with_the_noise_as_a_band() -> None:
    close = Chain(["a", "b"], ["1", "2"], [0.400, 0.403])
    exploding = Chain(["c", "d"], ["1", "2"], [0.402, 8.0])
    factor = Factor("units", ["1", "2"], [close, exploding])
    verdict = judged({"a": 0.400, "c": 0.402, "b": 0.403, "d": 8.0}, dropped=("d",))
    _, (axes,) = draw(Effects([factor], ranking(verdict, "loss"), noise=0.01), LOOKS)
    low, high = axes.get_ylim()
    assert high - low < 0.05
    assert texts_of(axes) == ["a … b", "c … d ↑"]
    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (band.y0, band.y1) == pytest.approx((0.400, 0.410))
    assert axes.get_title(loc="left") == "shaded: within the noise of the best"
    check_texts(axes.figure)


def test_noise_reaches_down_from_the_best_score() -> None:
    chain = Chain(["a", "b"], ["1", "2"], [0.90, 0.88])
    verdict = judged({"a": -0.90, "b": -0.88})
    _, (axes,) = draw(
        Effects([Factor("units", ["1", "2"], [chain])], ranking(verdict, "accuracy"), noise=0.01), LOOKS
    )
    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (band.y0, band.y1) == pytest.approx((0.89, 0.90))


def test_lines_that_leave_on_one_side_are_counted() -> None:
    leaving = [Label(1.5, "a … b", "red"), Label(2.5, "c … d", "red"), Label(0.5, "e … f", "red")]
    assert [label.text for label in summed_up(leaving)] == ["e … f", "2 lines leave ↑"]
    assert [label.text for label in summed_up([Label(-0.5, "a … b", "red")])] == ["a … b ↓"]


def test_factor_of_very_many_lines_names_their_median() -> None:
    chains = [Chain(["a", "b"], ["1", "2"], [0.4 + number / 100, 0.5]) for number in range(50)]
    verdict = judged({"a": 0.4, "b": 0.5})
    _, (axes,) = draw(Effects([Factor("units", ["1", "2"], chains)], ranking(verdict, "loss")), LOOKS)
    assert texts_of(axes) == ["median of 50"]
    assert axes.lines[-1].get_ydata() == pytest.approx([0.645, 0.5])


def test_levels_of_a_factor_are_left_out_where_they_have_no_room() -> None:
    levels = [f"{number / 1000:.4f}" for number in range(40)]
    chain = Chain(["a"] * 40, levels, [0.5] * 40)
    _, (axes,) = draw(Effects([Factor("l2", levels, [chain])], ranking(judged({"a": 0.5}))), LOOKS)
    assert axes.get_xticklabels()[0].get_text() == "0.0000"
    check_texts(axes.figure)


def test_scale_of_factors_is_at_least_the_noise_high() -> None:
    values = {"a": 0.400, "b": 0.402, "c": 0.9}
    verdict = judged_twice(values, dropped=("c",))
    narrow = scale_of_factors(values, verdict, noise=math.nan)
    assert narrow == scale_of_factors(values, verdict, noise=math.inf)  # chance is unknown
    wide = scale_of_factors(values, verdict, noise=0.05)
    assert narrow.high - narrow.low < 0.01
    assert 0.05 < wide.high - wide.low < 0.06


def test_each_level_that_is_a_name_has_a_tick() -> None:
    names = ["forest", "k-nearest", "logistic", "mlp", "svm"]
    chain = Chain(["a", "b"], ["forest", "svm"], [0.5, 0.4])
    _, (axes,) = draw(
        Effects([Factor("model", names, [chain])], ranking(judged({"b": 0.4, "a": 0.5}), "val_loss")),
        LOOKS | {"a": Look("#000000", "-", "a long name beside the line")},
    )
    assert [label.get_text().strip() for label in axes.get_xticklabels()] == names
    check_texts(axes.figure)
