"""Whether the files of runs are as their hashes say: read, and not read again while they do not change.

A file counts as the one that was read while it has the same inode, size and times, on the same host, since it was started:
what a power loss or another host does to a file need not show in these.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from nbstudy.files import has_hash, object_in
from nbstudy.remembered import keep, recall
from nbstudy.study.inputs import SETTLED

KIND = "intact"  # among what commands remember
SINCE_START = Path("/proc/sys/kernel/random/boot_id")  # says when this host was started; Linux alone has it

Identity = list[int | str]  # of a file that was found intact: its inode, size, times and hash


def is_intact(file: Path, digest: str) -> bool:
    """Tell whether a file is as its hash says, or is a notebook with cells."""
    with suppress(OSError):
        return is_as_hashed(file.read_bytes(), digest)
    return False


def is_as_hashed(content: bytes, digest: str) -> bool:
    """Tell whether bytes are those of a file that had this hash, or of a notebook with cells."""
    return has_hash(content, digest) or bool((object_in(content) or {}).get("cells"))


@dataclass
class IntactFiles:
    """The files in a study's outputs that were found to be as their hashes say."""

    outputs: Path | None = None  # None: nothing is remembered
    before: dict[str, Identity] = field(default_factory=dict)  # by path, what earlier commands found
    now: dict[str, Identity] = field(default_factory=dict)  # likewise, what this one needed

    @classmethod
    def known_in(cls, outputs: Path) -> IntactFiles:
        """Return those that earlier commands found in a study's outputs; where that cannot be known, none ever."""
        if not SINCE_START.exists():
            return cls()
        before = recall(KIND, since_start(outputs))
        if not isinstance(before, dict):
            before = {}
        return cls(outputs, before)

    def keep(self) -> None:
        """Let the next command know those that this one needed, if that is anything new."""
        if self.outputs is not None and self.now != self.before:
            keep(KIND, since_start(self.outputs), self.now)
            self.before = dict(self.now)

    def is_intact(self, file: Path, digest: str) -> bool:
        """Tell whether a file is as its hash says, or is a notebook with cells."""
        if self.outputs is None:
            return is_intact(file, digest)
        path = os.fspath(file).removeprefix(f"{self.outputs}{os.sep}")
        try:
            status = file.stat()
        except OSError:
            return False
        times = (status.st_mtime_ns, status.st_ctime_ns)
        identity: Identity = [status.st_ino, status.st_size, *times, digest]
        if identity not in (self.now.get(path), self.before.get(path)):
            if not is_intact(file, digest):
                return False
            if time.time() - max(times) / 1e9 < SETTLED:  # it may still change and keep its times
                return True
        self.now[path] = identity
        return True

    def __reduce__(self) -> tuple[type[IntactFiles], tuple[()]]:
        """Travel to other hosts without what is known on this one."""
        return IntactFiles, ()


def since_start(outputs: Path) -> str:
    """Return what names these outputs on this host since it was started."""
    return f"{SINCE_START.read_text()} {outputs.absolute()}"
