"""What several sections say in the same words."""

from __future__ import annotations

import math
from pathlib import Path

from nbstudy.decision.elimination import Verdict
from nbstudy.decision.metrics import metric_called
from nbstudy.decision.noise import Noise
from nbstudy.decision.odds import Odds
from nbstudy.report.phrases import interval, link, loss_in_words, noise_in_words
from planted import Planted

TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


def test_links_hold_for_directories_with_spaces(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO, "my study")
    study.run("a", [0.5])
    assert "/my%20study/a/a.ipynb)" in link(study.load().runs["a"])


def test_noise_is_said_as_it_is_known() -> None:
    assert noise_in_words(Noise(0.01, 6)).endswith("as replicates show (6 degrees of freedom).")
    assert "a guess from the last 20 epochs of a" in noise_in_words(Noise(0.01, 19, run="a"))
    assert "is unknown" in noise_in_words(Noise(math.nan, 0))


def test_interval_of_a_loss_that_reaches_below_zero_says_why() -> None:
    verdict = Verdict({"few": 0.2, "negative": -0.1}, {"few": 1, "negative": 1}, Noise(0.1, 2), {}, ())
    loss, reward = metric_called("val_loss"), metric_called("reward")
    assert interval(verdict, "few", loss) == "-0.2303 to 0.6303 (below zero because the runs are few)"
    assert interval(verdict, "negative", loss) == "-0.5303 to 0.3303"  # which is a density's, and no surprise
    assert "below zero" not in interval(verdict, "negative", reward)


def test_loss_that_values_do_not_show_is_said_to_be_less() -> None:
    odds = Odds(0.99, 0.000004)
    assert loss_in_words(odds, -0.9) == "less than 0.0001" and loss_in_words(odds, 0.00002) == "4e-06"
    assert (
        loss_in_words(Odds(0.5, 0.0021), -0.9) == "0.0021" and loss_in_words(Odds(1.0, 0.0), -0.9) == "0.0000"
    )
