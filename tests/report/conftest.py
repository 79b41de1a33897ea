"""Fixtures: what planted studies left, which tests only read, and drawing without a screen."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from nbstudy.records.results import Results
from nbstudy.report.figures import use_style
from planted import half_filled, halved, without_replicates


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What a half-filled study with replicates left."""
    return half_filled(tmp_path_factory.mktemp("planted")).load()


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What a complete study without replicates left."""
    return without_replicates(tmp_path_factory.mktemp("complete")).load()


@pytest.fixture(scope="session")
def climbed(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What a study left whose three rungs are decided."""
    return halved(tmp_path_factory.mktemp("climbed"), rungs=3).load()


@pytest.fixture(autouse=True)
def drawing() -> Iterator[None]:
    """Draw into memory, in the page's style, and close all figures."""
    with mpl.rc_context():
        plt.switch_backend("agg")
        use_style()
        yield
        plt.close("all")
