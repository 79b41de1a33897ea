"""The log of a run: when it is saved while it grows, and what a full disk leaves of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from executed import execute, log_in
from nbstudy.execution import log
from nbstudy.execution.log import finish_log
from project import outputs_of

WAIT_FOR_LOG = """
import time
from pathlib import Path

while "said" + " before" not in Path("log.ipynb").read_text():
    time.sleep(0.05)
"""
SAY_IT = "print('said', 'before')"


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each save of a log is the final one, as they come."""
    saves = []
    write_json = log.write_json

    def write_and_note(path: Path, content: dict[str, Any], is_final: bool = True) -> None:
        saves.append(is_final)
        write_json(path, content, is_final)

    monkeypatch.setattr(log, "write_json", write_and_note)
    return saves


def test_log_is_saved_seldom_while_cells_follow_each_other(
    tmp_path: Path, saves: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "AT_MOST_EVERY", 3600.0)
    assert execute(tmp_path, *(f"print('cell {number}')" for number in range(20))) is None
    assert saves == [
        False,
        False,
        True,
    ]  # before the first cell, after the last, and without this machine's paths
    assert outputs_of(log_in(tmp_path)).count("cell ") == 20


def test_error_is_in_the_log_however_seldom_it_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "AT_MOST_EVERY", 3600.0)
    assert execute(tmp_path, "print('said before')", "1 / 0", "2") == "ZeroDivisionError: division by zero"
    assert "said before" in outputs_of(log_in(tmp_path)) and "ZeroDivisionError" in outputs_of(
        log_in(tmp_path)
    )


def test_log_of_a_cell_that_takes_long_is_saved_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "AT_MOST_EVERY", 0.2)
    assert execute(tmp_path, SAY_IT, WAIT_FOR_LOG) is None


def test_output_of_a_cell_is_saved_while_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "AT_MOST_EVERY", 0.2)
    assert execute(tmp_path, f"{SAY_IT}\n{WAIT_FOR_LOG}") is None


def test_full_disk_while_a_cell_runs_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "AT_MOST_EVERY", 0.2)
    write_json = log.write_json

    def write_once(path: Path, content: dict[str, Any], is_final: bool = True) -> None:
        monkeypatch.setattr(log, "write_json", fail)
        write_json(path, content, is_final)

    def fail(path: Path, *_: object, **__: object) -> None:
        Path(tmp_path, "full").touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(log, "write_json", write_once)
    wait = "import time\nfrom pathlib import Path\nwhile not Path('full').exists(): time.sleep(0.05)"
    error = execute(tmp_path, wait, "Path('went on').touch()")
    assert error and "No space left on device" in error
    assert not (tmp_path / "went on").exists()


# --- a full disk ---
@pytest.mark.parametrize("left", ["", "[]", '{"cells": [', None])
def test_log_that_a_full_disk_left_is_kept_as_it_is(tmp_path: Path, left: str | None) -> None:
    file = tmp_path / "log.ipynb"
    if left is not None:
        file.write_text(left)
    finish_log(file, ["1 thread"], "OSError: [Errno 28] No space left on device")
    assert not file.exists() if left is None else file.read_text() == left


def test_first_error_of_a_full_disk_is_the_one_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_half(path: Path, *_: object, **__: object) -> None:
        path.write_text(path.read_text()[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(log, "write_json", write_half)
    error = execute(tmp_path, "1")
    assert error and "No space left on device" in error
