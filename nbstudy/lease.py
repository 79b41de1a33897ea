"""The right of one runner at a time to write a study's outputs, told by the file `.lock` in them.

Every kernel of a runner looks into that file now and then, here or on another host: when it no longer names the
runner, nobody waits for the kernel any more, and it ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from nbstudy.checks import fail

Opened = TypeVar("Opened")


@dataclass(frozen=True)
class Lease:
    """The right of one runner to write a study's outputs, for as long as the lock file says so."""

    outputs: Path
    holder: str  # process id and start of the runner

    @property
    def lock(self) -> Path:
        """The file that says who holds the study."""
        return self.outputs / ".lock"

    def is_held(self, unseen: bool = True) -> bool:
        """Tell whether the runner still holds the study; `unseen` is the answer where that cannot be seen."""
        with suppress(OSError):
            return self.lock.read_text(encoding="utf-8") == self.holder
        return unseen

    def __reduce__(self) -> tuple[type[Lease], tuple[Path, str]]:
        """Travel to other hosts with a path that holds there."""
        return Lease, (self.outputs.resolve(), self.holder)


@contextmanager
def hold(lease: Lease, opening: AbstractContextManager[Opened]) -> Iterator[Opened]:
    """Take the study for this runner alone, then open where its runs go; yield what that gives.

    At the end, whatever it is, the lock is emptied first: what runs for the study here or elsewhere ends by that, so
    that what was opened can be closed. Raises StudyError where another runner holds the study.
    """
    from filelock import FileLock, Timeout

    try:
        lease.outputs.mkdir(parents=True, exist_ok=True)
        with FileLock(lease.lock, timeout=0):
            lease.lock.write_text(lease.holder, encoding="utf-8")
            with opening as opened:
                try:
                    yield opened
                except SystemExit:
                    click.echo("Stopped. Run the same command to resume.", err=True)
                    raise
                finally:
                    os.truncate(lease.lock, 0)
    except Timeout:
        fail(str(lease.outputs), f"process {process_in(lease.lock)} is running this study; wait or stop it")
    except OSError as error:  # a full disk or a read-only directory
        raise click.ClickException(f"{error.filename or lease.outputs}: {error.strerror}") from error


def holder_of(outputs: Path) -> str:
    """Return the process that is running a study, empty if there is none."""
    from filelock import FileLock, Timeout

    lock = outputs / ".lock"
    with suppress(OSError):
        if not lock.exists():
            return ""
        try:
            with FileLock(lock, timeout=0):
                return ""
        except Timeout:
            return process_in(lock)
    return ""


def process_in(lock: Path) -> str:
    """Return the id of the process that a lock file names."""
    return lock.read_text(encoding="utf-8").partition(" ")[0]
