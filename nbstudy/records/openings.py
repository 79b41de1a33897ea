"""The record of a study's test set: each time that it was opened, for which model, and what that gave.

An opening is written to outputs/<study>/test.json before the labels are read, so that none goes unrecorded. Testing
the same weights again is no new opening. The record is the study's own: other studies may have opened the same
test set for other models.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nbstudy.checks import fail
from nbstudy.files import FORMAT, read_record, sync, write_json

RECORD = "test.json"  # in outputs/<study>/


@dataclass(frozen=True)
class Opening:
    """One opening of the test set."""

    configuration: str
    weights: str  # a hash of the model's weight arrays
    when: str  # UTC
    accuracy: float | None = None  # None where it was cut short before it could be computed
    loss: float | None = None


def read_openings(directory: Path) -> list[Opening]:
    """Return the openings on record for a study, oldest first; none where there is no record.

    Raise StudyError where the record is damaged: what it said must not be forgotten.
    """
    file = directory / RECORD
    if not file.exists():
        return []
    try:
        return [Opening(**entry) for entry in read_record(file)["openings"]]
    except (KeyError, TypeError):
        fail(
            file.as_posix(),
            "is damaged; bring it back, as from git, since it says when the test set was opened",
        )


def record_opening(directory: Path, configuration: str, weights: str) -> Opening:
    """Put an opening on record before the labels are read; return it, or the one of the same weights.

    Raise StudyError where it is new and cannot be written: then the test set stays shut.
    """
    openings = read_openings(directory)
    for opening in openings:
        if opening.weights == weights:
            return opening
    opening = Opening(configuration, weights, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    try:
        write_openings(directory, [*openings, opening])
    except OSError as error:
        fail(
            (directory / RECORD).as_posix(),
            f"cannot be written ({error.strerror}), and this model is not on record",
        )
    return opening


def record_result(directory: Path, weights: str, accuracy: float, loss: float) -> None:
    """Complete the record of an opening by what it gave, unless it says so already."""
    openings = read_openings(directory)
    completed = []
    for opening in openings:
        if opening.weights == weights and opening.accuracy is None:
            completed.append(replace(opening, accuracy=accuracy, loss=loss))
        else:
            completed.append(opening)
    if completed != openings:
        write_openings(directory, completed)


def write_openings(directory: Path, openings: Iterable[Opening]) -> None:
    """Write the record anew, in one step, and wait until it is on the disk."""
    write_json(directory / RECORD, {"format": FORMAT, "openings": [asdict(opening) for opening in openings]})
    sync(directory)


def hash_of_weights(weights: Iterable[Any]) -> str:
    """Return a short hash of a model's weight arrays: their shapes, types and values."""
    digest = hashlib.sha256()
    for array in weights:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
