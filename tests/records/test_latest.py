"""How far a run has come that is under way: what is added to its history is read, and nothing else."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbstudy.records import latest
from nbstudy.records.history import history_in
from nbstudy.records.latest import Followed, Follower, Latest, follow, latest_of

HEADER = b"epoch,loss,val_loss\n"
CELLS = st.one_of(st.floats(allow_nan=False, allow_infinity=False).map(repr), st.sampled_from(["", "7"]))


class CountedReads(io.BytesIO):
    """A file that knows how many bytes of it were read."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.count += len(content)
        return content


def row(epoch: int) -> bytes:
    """Return a row whose loss is its epoch, and whose validation loss is measured every second one."""
    return f"{epoch},{epoch}.0,{epoch / 2 if epoch % 2 == 0 else ''}\n".encode()


def history(epochs: int) -> bytes:
    """Return a history of so many epochs."""
    return HEADER + b"".join(map(row, range(1, epochs + 1)))


def test_only_what_was_added_is_read() -> None:
    known = follow(CountedReads(history(10_000)), Followed())
    assert known is not None and known.latest == Latest(10_000, {"loss": 10_000.0, "val_loss": 5_000.0})
    longer = CountedReads(history(10_001))
    after = follow(longer, known)
    assert after is not None and after.latest == Latest(10_001, {"loss": 10_001.0, "val_loss": 5_000.0})
    assert longer.count < 1000
    assert follow(longer, after) is after


def test_history_is_followed_where_each_epoch_replaces_the_file(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    assert follower.look() == Latest()
    for epochs in (0, 1, 2, 50):
        partial = tmp_path / "partial.csv"
        partial.write_bytes(history(epochs) + b"51,0")  # and a row that is still written
        partial.replace(tmp_path / "history.csv")
        assert follower.look() == latest_of(history_in(history(epochs), {}))


def test_history_that_begins_anew_is_followed_anew(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    for epochs in (30, 2, 40):
        (tmp_path / "history.csv").write_bytes(history(epochs))
        assert follower.look().epochs == epochs


@pytest.mark.parametrize(
    "odd",
    [b"epoch,step,loss\n0,1,3\n0,2,2\n1,3,1\n", HEADER + b"1,nan,NA\n2,1,1\n", HEADER + b"1,1\n2,2,2\n"],
)
def test_what_is_not_written_plainly_is_read_as_a_whole_but_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: bytes
) -> None:
    file = tmp_path / "history.csv"
    file.write_bytes(odd)
    follower = Follower(tmp_path)
    assert follower.look() == latest_of(history_in(odd, {}))
    follower.rests_until = math.inf
    file.write_bytes(history(5))
    assert follower.look() == latest_of(history_in(odd, {}))
    follower.rests_until = 0.0
    assert follower.look().epochs == 5


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(CELLS, CELLS), max_size=8),
    st.lists(st.integers(0, 300)),
    st.booleans(),
    st.integers(1, 99),
)
def test_follower_says_what_the_whole_history_says(
    cells: list[tuple[str, str]], cuts: list[int], is_numbered: bool, at_once: int
) -> None:
    lines = ["loss,val_loss"]
    lines += [",".join(each) for each in cells if any(each)]
    if is_numbered:
        lines = [f"{number or 'epoch'},{line}" for number, line in enumerate(lines)]
    content = "".join(f"{line}\n" for line in lines).encode()
    known = Followed()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latest, "AT_ONCE", max(at_once, max(map(len, content.splitlines(keepends=True)))))
        for cut in [*sorted(cuts), len(content)]:
            followed = follow(io.BytesIO(content[:cut]), known)
            whole = latest_of(history_in(content[:cut], {}))
            assert followed is not None
            assert (followed.latest.epochs, followed.latest.values) == (whole.epochs, whole.values)
            known = followed
