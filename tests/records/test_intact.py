"""Files that are as their hashes say are read once; what changes in whatever way is seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbstudy.files import hash_of
from nbstudy.records import intact
from nbstudy.records.intact import IntactFiles

CONTENT = b"epoch,loss\n1,0.5\n"
DIGEST = hash_of(CONTENT)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of a run, which was written long enough ago, in outputs of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(intact, "SETTLED", -1.0)
    file = tmp_path / "outputs" / "a" / "history.csv"
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    return file


def known_after(file: Path) -> IntactFiles:
    """Return what a command knows before which another one has found a file intact."""
    first = IntactFiles.known_in(file.parent.parent)
    assert first.is_intact(file, DIGEST)
    first.keep()
    return IntactFiles.known_in(file.parent.parent)


def test_intact_file_is_read_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = known_after(file)

    def read(*_: object) -> bool:
        raise AssertionError("is read again")

    monkeypatch.setattr(intact, "is_intact", read)
    assert later.is_intact(file, DIGEST)
    later.keep()
    assert IntactFiles.known_in(file.parent.parent).is_intact(file, DIGEST)


def test_file_that_changed_and_kept_its_size_and_time_is_damaged(file: Path) -> None:
    later = known_after(file)
    status = file.stat()
    file.write_bytes(CONTENT.replace(b"5", b"6"))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not later.is_intact(file, DIGEST)


def test_file_is_held_against_the_hash_that_is_asked_for(file: Path) -> None:
    assert not known_after(file).is_intact(file, hash_of(b"another"))


def test_file_that_is_gone_is_damaged(file: Path) -> None:
    later = known_after(file)
    file.unlink()
    assert not later.is_intact(file, DIGEST)


def test_nothing_counts_after_the_host_was_started_anew(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known_after(file)
    started = tmp_path / "boot_id"
    started.write_text("another start\n")
    monkeypatch.setattr(intact, "SINCE_START", started)
    assert IntactFiles.known_in(file.parent.parent).before == {}


def test_file_that_has_just_changed_is_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intact, "SETTLED", 60.0)
    assert known_after(file).before == {}
