"""A project: where a study lies, its notebooks, its outputs and its own modules."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbstudy.checks import Faults, fail, sequence, shorten

NOTEBOOKS = "notebooks"
STUDIES = (
    "params"  # that lie where they like, but beside the notebooks a directory of this name marks a project
)
OUTPUTS = "outputs"  # named in .gitignore, too


@dataclass(frozen=True)
class Project:
    """A directory with studies, and where in it modules of its own lie that are not beside a notebook."""

    root: Path
    python_path: tuple[str, ...] = ()

    @property
    def notebooks(self) -> Path:
        """Where its notebooks lie, as far as they are named without a directory."""
        return self.root / NOTEBOOKS

    @property
    def outputs(self) -> Path:
        """Where what its studies leave lies, a directory a study."""
        return self.root / OUTPUTS

    @property
    def import_places(self) -> list[Path]:
        """The directories of `python_path`."""
        return [self.root / place for place in self.python_path]


def project_root(directory: Path) -> Path:
    """Return the nearest directory, from this one upwards, that has notebooks beside studies, else this one."""
    absolute = Path(os.path.normpath(directory.absolute()))
    for place in (absolute, *absolute.parents):
        if (place / NOTEBOOKS).is_dir() and (place / STUDIES).is_dir():
            return place
    return absolute


def read_python_path(value: Any, root: Path, place: str) -> tuple[str, ...]:
    """Return the directories of a project that hold modules of its own, or refuse them."""
    faults = Faults()
    for each in sequence(value, place):
        with faults:
            if not isinstance(each, str):
                fail(place, f"must be a list of directories, not {shorten(each)}")
            if not is_within(each):
                fail(
                    place, f"{shorten(each)} leads out of the project {root}; name a directory in it, as src"
                )
            if not (root / each).is_dir():
                fail(place, f"{shorten(each)} is no directory in {root}; name one that is there, as src")
    faults.end()
    return tuple(value)


def is_within(path: str) -> bool:
    """Tell whether a path stays within the directory that it begins in."""
    parts = Path(os.path.normpath(path)).parts
    return not Path(path).is_absolute() and parts[:1] != ("..",)
