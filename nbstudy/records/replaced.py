"""What was trained and then replaced: kept in replaced/<configuration>/<when>/ of a study's outputs, without its checkpoint.

That is a complete run whose place another one takes that does not go on from it, and an attempt that has trained something
which the run in its place does not have. Nothing here is ever removed, or looked at again but by `load_results`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nbstudy.files import sync

REPLACED = "replaced"  # in a study's outputs
TICK = timedelta(milliseconds=1)


def keep(directory: Path, name: str, outputs: Path, checkpoints: Collection[str]) -> Path:
    """Move what lies in a directory to where what is replaced of a configuration is kept; return that place.

    Whoever is killed on the way does it again.
    """
    for checkpoint in checkpoints:
        with suppress(OSError):
            (directory / checkpoint).unlink()
    place = new_place(outputs / REPLACED / name)
    place.parent.mkdir(parents=True, exist_ok=True)
    directory.rename(place)
    sync(place.parent)
    return place


def new_place(parent: Path) -> Path:
    """Return a directory that is not there yet, named by the time in UTC so that names sort by it."""
    now = datetime.now(UTC)
    while (place := parent / name_of(now)).exists():
        now += TICK
    return place


def name_of(moment: datetime) -> str:
    """Return a time as the name of a directory, as in 2026-01-31T23-59-59.123Z."""
    return f"{moment:%Y-%m-%dT%H-%M-%S}.{moment.microsecond // 1000:03d}Z"


def replaced_in(outputs: Path, name: str) -> Iterator[Path]:
    """Yield the directories of what was replaced of a configuration, the oldest first."""
    for record in sorted((outputs / REPLACED / name).glob("*/run.json")):
        yield record.parent
