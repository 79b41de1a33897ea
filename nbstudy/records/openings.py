"""The record of a study's test set: each time that it was opened, for which model, and what that gave.

An opening is written to outputs/<study>/test.json before the notebook begins that reads the labels, so that none goes
unrecorded. Testing the same weights again is no new opening. The record is the study's own: other studies may have
opened the same test set for other models.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nbstudy.checks import fail
from nbstudy.files import FORMAT, read_record, sync, write_json

RECORD = "test.json"  # in outputs/<study>/
WEIGHTS = "model.weights.h5"  # in the file of a Keras model


@dataclass(frozen=True)
class Opening:
    """One opening of the test set."""

    configuration: str
    weights: str  # a hash of what was tested: see `hash_of_checkpoint`
    when: str  # UTC
    accuracy: float | None = None  # as earlier versions recorded what came of it, the next one likewise
    loss: float | None = None
    numbers: dict[str, float] | None = None  # of its result.json; None where it was cut short before that

    @property
    def is_concluded(self) -> bool:
        """Whether it says what came of it."""
        return self.accuracy is not None or self.numbers is not None


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


def is_on_record(directory: Path, weights: str) -> bool:
    """Tell whether the test set was opened for these weights before, so that doing it again is no new opening."""
    return any(opening.weights == weights for opening in read_openings(directory))


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


def record_result(directory: Path, weights: str, numbers: Mapping[str, float]) -> None:
    """Complete the record of an opening by what it gave, unless it says so already."""
    openings = read_openings(directory)
    completed = []
    for opening in openings:
        if opening.weights == weights and not opening.is_concluded:
            completed.append(replace(opening, numbers=dict(numbers)))
        else:
            completed.append(opening)
    if completed != openings:
        write_openings(directory, completed)


def write_openings(directory: Path, openings: Iterable[Opening]) -> None:
    """Write the record anew, in one step, and wait until it is on the disk."""
    entries = []
    for opening in openings:
        entries.append({key: value for key, value in asdict(opening).items() if value is not None})
    write_json(directory / RECORD, {"format": FORMAT, "openings": entries})
    sync(directory)


# --- what is tested ---
def hash_of_checkpoint(file: Path) -> str:
    """Return a short hash of what a checkpoint holds: the weight arrays of a Keras model, else the bytes of the file.

    The file of a Keras model has the date in it, so that its bytes differ where all weights are the same. Raise
    StudyError where its weights cannot be read: by its bytes they would count as others.
    """
    if has_weights_of_keras(file):
        weights = weights_in(file)
        if weights:
            return hash_of_weights(weights)
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]


def has_weights_of_keras(file: Path) -> bool:
    """Tell whether a file is an archive as Keras saves a model."""
    import zipfile  # which a command with nothing to do can spare

    with suppress(zipfile.BadZipFile), zipfile.ZipFile(file) as archive:
        return WEIGHTS in archive.namelist()
    return False


def weights_in(model: Path) -> list[Any]:
    """Return the weight arrays in the file of a Keras model, in the order of its layers' names; not its optimizer's.

    Neither Keras nor the classes of its layers are needed.
    """
    import zipfile  # likewise

    try:
        import h5py  # which comes with Keras
    except ImportError:
        fail(
            model.as_posix(),
            "is a Keras model, of which h5py reads the weights; install it: pip install h5py",
        )
    try:
        with (
            zipfile.ZipFile(model) as archive,
            archive.open(WEIGHTS) as content,
            h5py.File(content) as groups,
        ):
            names: list[str] = []
            groups.visit(names.append)
            arrays = [name for name in names if isinstance(groups[name], h5py.Dataset)]
            weights = [name for name in arrays if not name.startswith("optimizer/")]
            return [groups[name][()] for name in sorted(weights, key=by_number)]
    except (OSError, KeyError, RuntimeError) as error:  # as h5py raises them
        fail(
            model.as_posix(),
            f"h5py cannot read its {WEIGHTS} ({error}); update h5py, or save the model as Keras does",
        )


def by_number(name: str) -> list[tuple[str, int]]:
    """Return what sorts names with numbers in them as people count: dense_2 before dense_10."""
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D+)(\d*)", name)]


def hash_of_weights(weights: Iterable[Any]) -> str:
    """Return a short hash of a model's weight arrays: their shapes, types and values."""
    digest = hashlib.sha256()
    for array in weights:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
