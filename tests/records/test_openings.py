"""The record of a test set's openings."""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from nbstudy.checks import StudyError
from nbstudy.files import FORMAT, hash_of
from nbstudy.records.openings import (
    RECORD,
    hash_of_checkpoint,
    hash_of_weights,
    read_openings,
    record_opening,
    record_result,
)
from project import ROOT


def test_opening_is_on_record_before_anything_is_known(tmp_path: Path) -> None:
    opening = record_opening(tmp_path, "final", "abc")
    assert read_openings(tmp_path) == [opening]
    assert (opening.configuration, opening.weights, opening.numbers) == ("final", "abc", None)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", opening.when)
    record = json.loads((tmp_path / RECORD).read_text())
    assert record["format"] == FORMAT and len(record["openings"]) == 1


def test_result_completes_the_record_once(tmp_path: Path) -> None:
    record_opening(tmp_path, "final", "abc")
    record_result(tmp_path, "abc", {"test_rmse": 0.88})
    record_result(tmp_path, "abc", {"test_rmse": 0.99})
    record_result(tmp_path, "other", {"test_rmse": 0.99})
    (opening,) = read_openings(tmp_path)
    assert opening.numbers == {"test_rmse": 0.88}


def test_same_weights_again_are_no_new_opening(tmp_path: Path) -> None:
    first = record_opening(tmp_path, "final", "abc")
    record_result(tmp_path, "abc", {"test_rmse": 0.88})
    before = (tmp_path / RECORD).read_bytes()
    again = record_opening(tmp_path, "renamed", "abc")
    assert (again.configuration, again.when, again.numbers) == ("final", first.when, {"test_rmse": 0.88})
    assert (tmp_path / RECORD).read_bytes() == before


def test_other_weights_are_another_opening(tmp_path: Path) -> None:
    record_opening(tmp_path, "final", "abc")
    record_opening(tmp_path, "final", "def")
    assert [opening.weights for opening in read_openings(tmp_path)] == ["abc", "def"]


def test_study_without_a_record_has_no_openings(tmp_path: Path) -> None:
    assert read_openings(tmp_path) == []
    assert read_openings(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"openings": 3}',
        '{"openings": [3]}',
        '{"openings": [{"configuration": "a"}]}',
        '{"format": 9}',
    ],
)
def test_damaged_or_newer_record_is_not_forgotten(tmp_path: Path, content: str) -> None:
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(StudyError, match=r"test\.json: (is damaged|has format 9)"):
        record_opening(tmp_path, "final", "abc")
    assert (tmp_path / RECORD).read_text() == content


def test_where_no_record_can_be_written_only_weights_on_record_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = record_opening(tmp_path, "final", "abc")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert record_opening(tmp_path, "final", "abc") == opening
    with pytest.raises(StudyError, match=r"test\.json: cannot be written \(Read-only file system\)"):
        record_opening(tmp_path, "final", "def")
    assert read_openings(tmp_path) == [opening]


def test_hash_tells_weights_by_shape_type_and_value() -> None:
    weights = [np.zeros((2, 3), "float32"), np.ones(3, "float32")]
    others = [
        [np.zeros((3, 2), "float32"), np.ones(3, "float32")],
        [np.zeros((2, 3), "float64"), np.ones(3, "float32")],
        [np.zeros((2, 3), "float32"), np.full(3, 1.0000001, "float32")],
        weights[:1],
    ]
    hashes = {hash_of_weights(each) for each in [weights, *others]}
    assert len(hashes) == 5
    assert hash_of_weights(array.copy() for array in weights) == hash_of_weights(weights)


# --- what is tested ---
def test_published_models_are_those_on_record() -> None:
    for study in ("fashion_mnist", "better_mlp"):
        outputs = ROOT / "outputs" / study
        (opening,) = read_openings(outputs)
        assert hash_of_checkpoint(outputs / "final" / "model.keras") == opening.weights


def keras_file(path: Path, layers: int, bias: float, date: str) -> Path:
    """Write what Keras saves of a model of so many layers, as far as it matters here."""
    weights = io.BytesIO()
    with h5py.File(weights, "w") as groups:
        for number in range(layers):
            name = f"dense_{number}".removesuffix("_0")
            groups[f"layers/{name}/vars/0"] = np.full((2, 2), float(number), "float32")
            groups[f"layers/{name}/vars/1"] = np.full(2, bias, "float32")
        groups["optimizer/vars/0"] = np.full(2, len(date), "float32")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"date_saved": date}))
        archive.writestr("model.weights.h5", weights.getvalue())
    return path


def test_hash_of_a_keras_model_is_that_of_its_weights_alone(tmp_path: Path) -> None:
    one = hash_of_checkpoint(keras_file(tmp_path / "one.keras", 12, 0.5, "today"))
    assert hash_of_checkpoint(keras_file(tmp_path / "two.keras", 12, 0.5, "the day after")) == one
    assert hash_of_checkpoint(keras_file(tmp_path / "three.keras", 12, 0.25, "today")) != one
    arrays = []
    for number in range(12):  # as people count: dense_10 after dense_9
        arrays += [np.full((2, 2), float(number), "float32"), np.full(2, 0.5, "float32")]
    assert hash_of_weights(arrays) == one


def test_keras_model_whose_weights_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = keras_file(tmp_path / "model.keras", 1, 0.5, "today")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "h5py", None)
        with pytest.raises(StudyError, match=r"model\.keras: is a Keras model, .* pip install h5py"):
            hash_of_checkpoint(model)
    with zipfile.ZipFile(model, "w") as archive:
        archive.writestr("model.weights.h5", "no HDF5")
    with pytest.raises(StudyError, match=r"model\.keras: h5py cannot read its model\.weights\.h5"):
        hash_of_checkpoint(model)


def test_hash_of_any_other_checkpoint_is_that_of_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    for content in (b"weights", b"PK\x03\x04 no archive"):
        file.write_bytes(content)
        assert hash_of_checkpoint(file) == hash_of(content)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data.pkl", "weights")
    assert hash_of_checkpoint(file) == hash_of(file.read_bytes())
    keras_file(file, 0, 0.0, "a model without weights")
    assert hash_of_checkpoint(file) == hash_of(file.read_bytes())


def test_published_entry_is_read_and_never_rewritten(tmp_path: Path) -> None:
    published = (ROOT / "outputs" / "fashion_mnist" / RECORD).read_bytes()
    (tmp_path / RECORD).write_bytes(published)
    (opening,) = read_openings(tmp_path)
    assert record_opening(tmp_path, "final", opening.weights) == opening
    record_result(tmp_path, opening.weights, {"test_accuracy": 0.1})
    assert (tmp_path / RECORD).read_bytes() == published
    record_opening(tmp_path, "final", "other")
    first, second = json.loads((tmp_path / RECORD).read_text())["openings"]
    assert first == json.loads(published)["openings"][0]
    assert second.keys() == {"configuration", "weights", "when"}
