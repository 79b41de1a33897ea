"""Fixtures: how much is simulated."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def studies(request: pytest.FixtureRequest) -> int:
    """How many studies of a kind are drawn: 2,000 give a share of 5 % a standard error of half a percent."""
    return int(request.config.getoption("--simulations"))
