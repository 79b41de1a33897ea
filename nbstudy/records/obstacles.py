"""What must not be overwritten: another study's runs, and what is no run at all."""

from __future__ import annotations

from pathlib import Path

import click

from nbstudy.checks import fail
from nbstudy.files import partial_of, read_record
from nbstudy.records.record import is_there
from nbstudy.study.inputs import REMEMBERED
from nbstudy.study.study import Study


def check_outputs(study: Study, outputs: Path, named: bool) -> None:
    """Refuse to write where another study's runs lie, or where a directory named by hand holds other things."""
    record = outputs / "study.json"
    there = read_record(record)
    if record.exists() and not there:
        click.echo(f"{record} is damaged: running writes it anew")
    if there and (there.get("name"), there.get("overrides")) != (study.name, study.overrides):
        fail(str(outputs), "holds another study or other overrides; name another directory")
    found: set[str] = set()
    try:
        check_way(outputs)
        if outputs.exists():
            found = {path.name for path in outputs.iterdir()}
    except OSError as error:
        fail(str(outputs), f"cannot hold runs: {error.strerror}; name a directory")
    ours = {
        ".lock",
        ".lock.marker",
        REMEMBERED,
        partial_of(record).name,
    }  # which a kill or a full disk may leave
    if named and found - ours and "study.json" not in found:
        fail(str(outputs), "holds other things and no study.json; name a new or an empty directory")


def check_way(outputs: Path) -> None:
    """Refuse what is in the way of a study's directories: a file, or a link to nothing."""
    for path in [outputs / "incomplete", outputs, *outputs.parents]:
        if path.is_symlink() and not path.exists():
            target = path.readlink()
            fail(str(path), f"is a link to {target}, which is not there; make it, or remove the link")
        if path.exists() and not path.is_dir():
            fail(str(path), "is no directory and cannot hold runs; move it, or name another with --outputs")


def check_place(outputs: Path, name: str) -> None:
    """Refuse to replace a directory that is no run."""
    place = outputs / name
    traces = (place / "run.json", place / f"{name}.ipynb")
    holds_run = any(trace.exists() for trace in traces)
    if not holds_run and (place.is_symlink() or is_there(place)):
        fail(str(place), "is in the way and holds no run; move it, or rename the configuration")
