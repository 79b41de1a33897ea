"""What is tested, and which run that was."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nbstudy.checks import StudyError
from nbstudy.files import hash_of
from nbstudy.records.runs import read_run
from nbstudy.records.tested import hash_of_tested, identity_of, why_untestable
from planted import Planted

STUDY = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


@pytest.fixture
def study(tmp_path: Path) -> Planted:
    """A study of which one run is complete."""
    study = Planted(tmp_path, STUDY)
    place = study.run("a", [0.5])
    (place / "a.ipynb").write_text("a log")
    study.seal("a")
    return study


def test_run_is_told_from_another_of_its_configuration(study: Planted) -> None:
    run = read_run(study.outputs / "a")
    assert identity_of(run) == identity_of(run | {"accepted": ["threads 4"], "code": "0"})  # by --accept
    for change in ({"started": "later"}, {"seconds": 61.0}, {"files": {}}):
        assert identity_of(run | change) != identity_of(run)


def test_template_without_a_checkpoint_is_tested_by_what_it_left(study: Planted) -> None:
    place = study.outputs / "a"
    before = hash_of_tested(place, "model.keras", lengthens=None)
    (place / "a.ipynb").write_text("the log of another time")
    study.seal("a")
    assert hash_of_tested(place, "model.keras", lengthens=None) == before
    (place / "history.csv").write_text("epoch,val_loss\n1,0.25\n")
    study.seal("a")
    assert hash_of_tested(place, "model.keras", lengthens=None) != before
    (place / "forest.joblib").write_bytes(b"trees")
    assert hash_of_tested(place, "forest.joblib", lengthens=None) == hash_of("trees")


def test_checkpoint_that_is_gone_or_damaged_cannot_be_tested(study: Planted) -> None:
    place = study.outputs / "a"
    gone = f"{place}/model.keras: is not here; unless git has it, remove {place}/ and run the study again, "
    assert why_untestable(place, "model.keras", "epochs").startswith(gone)
    assert why_untestable(place, "model.keras", None) == ""
    (place / "model.keras").write_bytes(b"PK no archive")
    with pytest.raises(StudyError, match=re.escape(f"{place}/model.keras: is damaged; unless git has it")):
        hash_of_tested(place, "model.keras", lengthens=None)
