"""The right of one runner at a time to write a study's outputs, told by the file `.lock` in them.

Every kernel of a runner looks into that file now and then, here or on another host: when it no longer names the
runner, nobody waits for the kernel any more, and it ends.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from nbstudy.checks import fail

# what flock says on file systems without it
WITHOUT_FLOCK = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
# what a disk says while a file is written, without the file's name
OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
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
    from filelock import Timeout

    try:
        lease.outputs.mkdir(parents=True, exist_ok=True)
        with take(lease.outputs):
            lease.lock.write_text(lease.holder, encoding="utf-8")
            with opening as opened:
                try:
                    yield opened
                except SystemExit:
                    click.echo("Stopped. Run the same command to resume.", err=True)
                    raise
                finally:
                    os.truncate(lease.lock, 0)
    except Timeout as held:
        cure = "wait or stop it"
        if held.lock_file == str(marker_in(lease.outputs)):  # which outlives a process on another host
            cure += f"; if it is no longer alive, remove {held.lock_file}"
        fail(str(lease.outputs), f"process {process_in(lease.lock)} is running this study; {cure}")
    except OSError as error:  # a full disk, a read-only directory, or nothing of the kind
        if error.filename is None and error.errno not in OF_DISKS:
            raise click.ClickException(f"{type(error).__name__}: {error}") from error
        raise click.ClickException(f"{error.filename or lease.outputs}: {error.strerror}") from error


def take(outputs: Path) -> AbstractContextManager[object]:
    """Lock a study's outputs until the returned context ends, or this process; raise Timeout if they are locked.

    Where the file system has no flock, a marker file that names this process stands in for it. A marker that a
    killed process of this host left is replaced; whether one of another host is alive, nobody can tell here.
    """
    from filelock import FileLock, SoftFileLock, Timeout

    try:
        return FileLock(outputs / ".lock", timeout=0, fallback_to_soft=False).acquire()
    except Timeout:
        raise
    except OSError as error:
        if error.errno not in WITHOUT_FLOCK:
            raise
    return SoftFileLock(marker_in(outputs), timeout=0).acquire()


def marker_in(outputs: Path) -> Path:
    """Return the file that stands in for flock; filelock alone reads and writes it."""
    return outputs / ".lock.marker"


def holder_of(outputs: Path) -> str:
    """Return the process that is running a study, empty if there is none."""
    from filelock import Timeout

    lock = outputs / ".lock"
    with suppress(OSError):
        if not lock.exists():
            return ""
        try:
            with take(outputs):
                return ""
        except Timeout:
            return process_in(lock)
    return ""


def process_in(lock: Path) -> str:
    """Return the id of the process that a lock file names."""
    return lock.read_text(encoding="utf-8").partition(" ")[0]
