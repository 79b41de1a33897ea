"""Garbage is not looked for where all that is made stays, and is looked for again after that."""

from __future__ import annotations

import gc

import pytest

from nbstudy.uncollected import uncollected


@pytest.fixture(autouse=True)
def collected() -> None:
    """Begin as any Python does."""
    gc.enable()


def test_garbage_is_looked_for_again_at_the_end() -> None:
    @uncollected()
    def is_looked_for() -> bool:
        return gc.isenabled()

    assert not is_looked_for() and gc.isenabled()
    with pytest.raises(ValueError, match="anything"), uncollected():
        raise ValueError("anything")
    assert gc.isenabled()


def test_garbage_is_left_alone_where_somebody_wants_it_so() -> None:
    gc.disable()
    try:
        with uncollected(), uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
