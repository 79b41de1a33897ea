"""The record of a test set's openings."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from nbstudy.checks import StudyError
from nbstudy.files import FORMAT
from nbstudy.records.openings import (
    RECORD,
    Opening,
    hash_of_weights,
    read_openings,
    record_opening,
    record_result,
)


def test_opening_is_on_record_before_anything_is_known(tmp_path: Path) -> None:
    opening = record_opening(tmp_path, "final", "abc")
    assert read_openings(tmp_path) == [opening]
    assert (opening.configuration, opening.weights, opening.accuracy, opening.loss) == (
        "final",
        "abc",
        None,
        None,
    )
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", opening.when)
    record = json.loads((tmp_path / RECORD).read_text())
    assert record["format"] == FORMAT and len(record["openings"]) == 1


def test_result_completes_the_record_once(tmp_path: Path) -> None:
    record_opening(tmp_path, "final", "abc")
    record_result(tmp_path, "abc", 0.88, 0.4)
    record_result(tmp_path, "abc", 0.99, 0.1)
    record_result(tmp_path, "other", 0.99, 0.1)
    (opening,) = read_openings(tmp_path)
    assert (opening.accuracy, opening.loss) == (0.88, 0.4)


def test_same_weights_again_are_no_new_opening(tmp_path: Path) -> None:
    first = record_opening(tmp_path, "final", "abc")
    record_result(tmp_path, "abc", 0.88, 0.4)
    before = (tmp_path / RECORD).read_bytes()
    again = record_opening(tmp_path, "renamed", "abc")
    assert (again.configuration, again.when, again.accuracy) == ("final", first.when, 0.88)
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
    assert Opening("a", hash_of_weights(weights), "now").accuracy is None
