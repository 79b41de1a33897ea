"""What several sections say in the same words."""

from __future__ import annotations

import math
from pathlib import Path

from nbstudy.decision.elimination import Noise
from nbstudy.report.phrases import link, noise_in_words
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
