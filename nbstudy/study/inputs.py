"""The files of a project that its runs read: what `inputs` names, and how any of them is told from a changed one.

A file is known by its hash. It is hashed again when its size or its time has changed; what is large is remembered from
one command to the next.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbstudy.checks import Faults, fail, sequence, shorten
from nbstudy.files import read_json, write_json
from nbstudy.study.project import OUTPUTS, is_within

NO_FILE = "none"  # instead of the hash of a file that is not there
LARGE = 1_000_000  # bytes from which on a file's hash is remembered
SETTLED = 2.0  # seconds after which a file cannot change any more and keep its time
REMEMBERED = ".hashes.json"  # in a study's outputs; not for git, since times are those of this machine
CHUNK = 1 << 20  # bytes
PRIVATE = re.compile(r"kernel-[0-9a-f]{4}-\d+-")  # as in execution/watch.py, for a TMPDIR in the project


@dataclass(frozen=True)
class Hashed:
    """The hash of a file, and what it is known to be good for."""

    size: int
    time: int  # of its last change, in nanoseconds
    hash: str


@dataclass
class ProjectFiles:
    """The files of a project, those that `inputs` names among them, as they are or were when it was looked last."""

    root: Path | None = None  # of the project
    patterns: tuple[str, ...] = ()  # what `inputs` says
    outputs: Path | None = None  # of the study, which are no inputs wherever they lie
    inputs: dict[str, str] = field(
        default_factory=dict
    )  # the hashes of what that names, by path in the project
    hashed: dict[str, Hashed] = field(default_factory=dict)  # any files, by path in the project
    remembered: dict[str, Hashed] = field(
        default_factory=dict
    )  # what an earlier command says, as last written

    @property
    def is_here(self) -> bool:
        """Whether the project can be seen: a worker of a cluster may have nothing but the outputs."""
        return self.root is not None and self.root.is_dir()

    def look(self) -> None:
        """Find and hash again what `inputs` names."""
        if self.root is not None and self.is_here:
            names = {name for pattern in self.patterns for name in matching(pattern, self.root, self.outputs)}
            self.inputs = {name: self.hash_of(name) for name in sorted(names)}

    def hash_of(self, name: str) -> str:
        """Return the hash of a file by its path in the project; NO_FILE where it cannot be read."""
        if self.root is None:
            return NO_FILE
        path = self.root / name
        try:
            status = path.stat()
            known = self.hashed.get(name)
            if known and (known.size, known.time) == (status.st_size, status.st_mtime_ns):
                return known.hash
            found = Hashed(status.st_size, status.st_mtime_ns, hash_of_file(path))
        except OSError:
            return NO_FILE
        self.hashed.pop(name, None)
        if abs(time.time() - status.st_mtime) > SETTLED:
            self.hashed[name] = found
        return found.hash

    # --- from one command to the next ---
    def recall(self, outputs: Path) -> None:
        """Take the hashes of large files from those that an earlier command left in a study's outputs."""
        for name, each in read_json(outputs / REMEMBERED).items():
            with suppress(TypeError, ValueError):  # it may be damaged
                size, moment, digest = each
                self.remembered[name] = Hashed(int(size), int(moment), str(digest))
        self.hashed |= self.remembered

    def remember(self, outputs: Path) -> None:
        """Leave the hashes of large files in a study's outputs, if that says anything new."""
        large = {name: each for name, each in self.hashed.items() if each.size >= LARGE}
        if large != self.remembered:
            content = {name: [each.size, each.time, each.hash] for name, each in sorted(large.items())}
            write_json(outputs / REMEMBERED, content)
            self.remembered = large


def hash_of_file(path: Path) -> str:
    """Return the short hash of a file's bytes, as `files.hash_of` does, however large it is."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while content := file.read(CHUNK):
            digest.update(content)
    return digest.hexdigest()[:16]


# --- the key of a study file ---
def read_inputs(value: Any, root: Path, place: str) -> ProjectFiles:
    """Return the files of a project of which a study file names inputs; refuse what names none."""
    faults = Faults()
    patterns = []
    for each in sequence(value, place):
        with faults:
            patterns.append(read_pattern(each, root, place))
    faults.end()
    return ProjectFiles(root, tuple(patterns))


def read_pattern(value: Any, root: Path, place: str) -> str:
    """Return the path of a file in the project, or a pattern of such paths, or refuse it."""
    if not isinstance(value, str):
        fail(place, f"must be a list of paths in the project, as data/houses.csv, not {shorten(value)}")
    if not is_within(value):
        fail(place, f"{shorten(value)} leads out of the project {root}; name files in it, as data/houses.csv")
    found = False
    for name in matching(value, root):
        found = True
        if not os.access(root / name, os.R_OK):
            fail(place, f"{name} cannot be read; see to its permissions")
    if found:
        return value
    if (root / value).is_dir():
        cure = f"{(Path(value) / '**').as_posix()} names all files in it"
        fail(place, f"{shorten(value)} is a directory; {cure}")
    fail(place, f"{shorten(value)} names no file in {root}; correct it, or put the file there")


def matching(pattern: str, root: Path, outputs: Path | None = None) -> Iterator[str]:
    """Yield the files that a pattern names, by their paths in the project.

    A pattern names nothing that is hidden, nor what runs leave, in these outputs of a study too. A path of a file may
    be any.
    """
    if (root / pattern).is_file():
        yield Path(os.path.normpath(pattern)).as_posix()
        return
    left = (outputs or root / OUTPUTS).resolve()
    left_here = os.path.relpath(left, root.resolve())  # which begins with .. where that is elsewhere
    # pathlib's `**` names no files before Python 3.13
    for name in glob.iglob(pattern, root_dir=root, recursive=True):  # noqa: PTH207
        path = Path(os.path.normpath(name))
        if path.parts[:1] == (OUTPUTS,) or any(is_foreign(part) for part in path.parts):
            continue
        if not path.is_relative_to(left_here) and (root / path).is_file():
            yield path.as_posix()


def is_foreign(name: str) -> bool:
    """Tell whether a directory of this name holds nothing of a project: what Python compiles, what a kernel has."""
    return name == "__pycache__" or PRIVATE.match(name) is not None
