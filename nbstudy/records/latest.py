"""How far a run has come: its epochs, and what was measured last; of one that is under way, by what was added since the last look."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from nbstudy.decision.settling import lost_after, measured
from nbstudy.files import HISTORY
from nbstudy.records.history import NO_METRICS, History, history_in
from nbstudy.records.plain import PLAIN, names_in

AT_ONCE = 1_000_000  # bytes that are in memory together
TAIL = 200  # bytes before those that were added, by which it shows that they were
RESTS = 99  # times as long as it took to read a history as a whole, before that is done again


@dataclass(frozen=True)
class Latest:
    """How far a history has come."""

    epochs: int = 0
    values: dict[str, float] = field(default_factory=dict)  # by metric, what was measured last
    lost: dict[str, int] = field(default_factory=dict)  # the epoch after which a metric has no value any more


def latest_of(history: History) -> Latest:
    """Return how far a history has come."""
    values = {}
    lost = {}
    for name, column in history.metrics.items():
        values[name] = measured(column)[-1]
        epoch = lost_after(column)
        if epoch is not None:
            lost[name] = epoch
    return Latest(history.epochs, values, lost)


# --- by increments ---
@dataclass(frozen=True)
class Followed:
    """How far the text of a history was read, and what it said until there."""

    names: tuple[str, ...] = ()
    end: int = 0  # of the last row that was read, in bytes
    tail: bytes = b""  # what stands before that
    first: int = 1  # the number of the first epoch
    latest: Latest = Latest()


class Follower:
    """A history that is written, of which each look reads what was added since the last one.

    What is not written plainly is read as a whole, and so seldom that it takes a hundredth of the time.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.known = Followed()
        self.rests_until = 0.0  # seconds of the monotonic clock

    def look(self) -> Latest:
        """Return how far it has come."""
        began = time.monotonic()
        if began < self.rests_until:
            return self.known.latest
        with suppress(OSError), (self.directory / HISTORY).open("rb") as file:
            followed = follow(file, self.known)
            if followed is None:
                file.seek(0)
                followed = Followed(latest=latest_of(history_in(file.read(), {})))
                self.rests_until = time.monotonic() + RESTS * (time.monotonic() - began)
            self.known = followed
            return followed.latest
        return Latest()


def follow(file: BinaryIO, known: Followed) -> Followed | None:
    """Read what was added to a history; None where it is not written plainly.

    A history that is replaced by a longer one, as each epoch may do, has what was known of it before what was added.
    """
    file.seek(known.end - len(known.tail))
    if file.read(len(known.tail)) != known.tail:
        known = Followed()
    while True:
        file.seek(known.end)
        content = file.read(AT_ONCE)
        added = content[: content.rfind(b"\n") + 1]
        if not added:
            return known
        followed = add(known, added)
        if followed is None:
            return None
        known = followed


def add(known: Followed, added: bytes) -> Followed | None:
    """Return how far a history has come by further bytes, which are whole rows; None where these are not plainly the next."""
    names, first, latest = known.names, known.first, known.latest
    body = added.replace(b"\r\n", b"\n")
    if not names:
        header, _, body = body.partition(b"\n")
        names = names_in(header)
    rows = [row.split(b",") for row in body.split(b"\n")[:-1]]
    if not names or body.translate(None, PLAIN) or any(len(row) != len(names) for row in rows):
        return None
    if "epoch" in names and rows:
        told = [row[names.index("epoch")] for row in rows]
        if not latest.epochs and told[0] == b"0":
            first = 0
        following = first + latest.epochs
        if told != [b"%d" % epoch for epoch in range(following, following + len(rows))]:
            return None
    try:
        values = latest.values | last_values(names, rows)
    except ValueError:
        return None
    tail = (known.tail + added)[-TAIL:]
    return Followed(names, known.end + len(added), tail, first, Latest(latest.epochs + len(rows), values))


def last_values(names: Sequence[str], rows: Sequence[Sequence[bytes]]) -> dict[str, float]:
    """Return what was measured last of each metric in rows of cells; raise ValueError where a cell is no number."""
    values = {}
    for place, name in enumerate(names):
        last = next((row[place] for row in reversed(rows) if row[place]), None)
        if last is not None and not NO_METRICS.fullmatch(name):
            values[name] = float(last)
    return values
