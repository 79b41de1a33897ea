"""Metrics: which values are better, and which one decides."""

from __future__ import annotations

import math

import pytest

from nbstudy.decision.metrics import (
    Better,
    Data,
    can_decide,
    data_of,
    deciding,
    direction_of,
    metric_called,
    written,
)

LOWER = """
    loss val_loss val_cross_entropy mean_squared_error RMSE brier_score val_brier loss_score log_loss val_log_loss
    error error_rate perplexity hinge_loss negative_log_likelihood davies_bouldin_score
    """
HIGHER = """
    val_accuracy acc roc_auc val_precision recall f1 f1-score r2_score Val_F1 average_precision neg_log_loss
    neg_mean_squared_error val_neg_log_loss mean_test_neg_mae neg_brier_score log_likelihood bleu IoU explained_variance balanced_accuracy_score
    """
NOT_SURE = """
    score my_score metric rate space pace accuracy_loss error_recall learning_rate gap C f1_negative recall_neg
    val_recall_neg precision_negative
    """


@pytest.mark.parametrize(
    ("names", "better"), [(LOWER, Better.LOWER), (HIGHER, Better.HIGHER), (NOT_SURE, None)]
)
def test_direction_is_known_by_the_whole_words_of_a_name(names: str, better: Better | None) -> None:
    assert {name: direction_of(name) for name in names.split()} == dict.fromkeys(names.split(), better)


def test_what_is_said_counts_before_what_a_name_says() -> None:
    assert metric_called("my_score", Better.LOWER).better is Better.LOWER
    assert metric_called("val_loss", Better.HIGHER).better is Better.HIGHER
    assert metric_called("val_loss").better is Better.LOWER
    assert f"{metric_called('val_loss')}" == "val_loss"


def test_costs_are_lower_when_better_and_lead_back_to_the_values() -> None:
    loss, accuracy = metric_called("val_loss"), metric_called("val_accuracy")
    assert (accuracy.cost(0.9), loss.cost(0.9)) == (-0.9, 0.9)
    assert accuracy.cost(math.nan) == loss.cost(math.inf) == accuracy.cost(-math.inf) == math.inf
    assert accuracy.value(-0.9) == loss.value(0.9) == 0.9
    assert math.isnan(loss.value(math.inf)) and math.isnan(accuracy.value(math.inf))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["loss", "accuracy", "val_accuracy", "val_loss"], "val_loss"),
        (["Unnamed: 0", "epoch", "loss", "learning_rate", "val_mae"], "val_mae"),
        (["val_odd", "val_f1", "loss"], "val_f1"),  # whose direction is known
        (["loss", "val_odd"], "val_odd"),  # is asked for rather than a training loss taken
        (["fit_seconds", "index", "accuracy", "loss"], "loss"),
        (["step", "odd", "test_accuracy", "train_accuracy", "auc"], "auc"),
        (["train_accuracy", "test_accuracy"], "test_accuracy"),
        (["eval_accuracy", "accuracy"], "eval_accuracy"),
        (["time", "odd"], "odd"),
        (["Unnamed: 0", "seconds"], "val_loss"),  # nothing can decide, so what is missing is named
    ],
)
def test_metric_that_decides_says_most_of_what_nobody_has_seen(names: list[str], expected: str) -> None:
    assert deciding(names) == expected


@pytest.mark.parametrize(
    "name", ["Unnamed: 0", "epoch", "step", "iteration", "lr", "learning_rate", "fit_time"]
)
def test_indices_times_and_learning_rates_decide_nothing(name: str) -> None:
    assert not can_decide(name)


def test_data_of_a_metric_is_known_by_its_name() -> None:
    names = ["val_loss", "loss", "test_loss", "train_loss", "values"]
    expected = [Data.VALIDATION, Data.NOT_SAID, Data.TEST, Data.TRAINING, Data.NOT_SAID]
    assert [data_of(name) for name in names] == expected


def test_small_and_large_values_are_written_with_the_digits_they_have() -> None:
    assert [written(value) for value in (0.5, 12.34567, 0.0, 0.00012345)] == [
        "0.5000",
        "12.3457",
        "0.0000",
        "0.0001",
    ]
    assert [written(value) for value in (3.14159e-6, -2e-9, 1e-17)] == ["3.142e-06", "-2e-09", "0.0000"]
    assert (written(0.25, "+"), written(48213.56), written(-1000, "+")) == ("+0.2500", "48213.6", "-1000.0")
