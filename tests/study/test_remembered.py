"""What a command found out and the next need not: it is right or missing, whatever becomes of the cache directory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from asked import MakeStudy
from nbstudy import remembered
from nbstudy.remembered import KEPT, recall, remember
from nbstudy.study import yaml_reader

STUDY = "configurations: {a: {rate: 1.0}}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "nbstudy"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are read as YAML, as they come."""
    texts = []
    load = yaml_reader.load

    def load_and_note(text: str) -> object:
        texts.append(text)
        return load(text)

    monkeypatch.setattr(yaml_reader, "load", load_and_note)
    return texts


def test_study_file_is_read_once_while_it_stays(make_study: MakeStudy, read: list[str]) -> None:
    first = make_study(STUDY)
    assert make_study(STUDY).record() == first.record()
    assert len(read) == 1
    assert make_study(STUDY.replace("1.0", "2.0")).configurations["a"]["rate"] == 2.0
    assert len(read) == 2


def test_text_that_json_would_change_is_read_each_time(make_study: MakeStudy, read: list[str]) -> None:
    for _ in range(2):
        study = make_study("x-when: 2026-01-31\nx-numbers: {1: one}\n" + STUDY)
        assert study.configurations["a"]["rate"] == 1.0
    assert len(read) == 2


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"found": null}'])
def test_damaged_cache_is_as_none(make_study: MakeStudy, cache: Path, content: str) -> None:
    first = make_study(STUDY)
    files = list(cache.iterdir())
    assert files
    for file in files:
        file.write_text(content, encoding="utf-8")
    assert make_study(STUDY).record() == first.record()


def test_study_is_read_where_nothing_can_be_kept(make_study: MakeStudy, cache: Path) -> None:
    make_study(STUDY)
    shutil.rmtree(cache)
    cache.touch()  # in the way of the directory
    assert make_study(STUDY).configurations["a"]["rate"] == 1.0


def test_cache_that_others_can_write_is_not_read(cache: Path) -> None:
    assert remember("kind", "about", [], lambda: [1]) == [1]
    assert remember("kind", "about", [], lambda: [2]) == [1]
    cache.chmod(0o777)
    assert remember("kind", "about", [], lambda: [3]) == [3]


def test_what_another_version_found_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "finder.py"
    module.write_text("1")
    monkeypatch.syspath_prepend(tmp_path)
    assert remember("kind", "about", ["finder"], lambda: 1) == 1
    assert remember("kind", "about", ["finder"], lambda: 2) == 1
    module.write_text("22")
    assert remember("kind", "about", ["finder"], lambda: 2) == 2
    monkeypatch.setattr(remembered, "__version__", "later")
    assert remember("kind", "about", ["finder"], lambda: 3) == 3


def test_what_a_module_found_counts_wherever_its_file_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "finder.py").write_text("1")
        with monkeypatch.context() as patched:
            patched.syspath_prepend(tmp_path / place)
            assert remember("kind", "about", ["finder"], lambda place=place: place) == "here"


def test_no_more_is_kept_than_is_used(cache: Path) -> None:
    for number in range(KEPT + 5):
        assert remember("kind", str(number), [], lambda number=number: number) == number
        assert recall("kind", "0") == 0
    assert len(list(cache.iterdir())) == KEPT
    assert recall("kind", "1") is None
    assert all(json.loads(file.read_text()) for file in cache.iterdir())
