"""The right of one runner at a time to write a study's outputs, told by the file `.lock` in them.

Every kernel of a runner looks into that file now and then, here or on another host: when it names another runner, or
nobody, nobody waits for the kernel any more, and it ends. A file that is gone or empty says nothing.

Whether a runner may have the study is decided by two locks: flock, which ends with its process, but which some file
systems lack, or keep for each host by itself; and a marker file, which its holder renews every moment.
"""

from __future__ import annotations

import errno
import os
import platform
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from nbstudy.checks import fail

if TYPE_CHECKING:
    from filelock import SoftFileLease

# what flock says on file systems without it
WITHOUT_FLOCK = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
# what a disk says while a file is written, without the file's name
OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
RENEWED = 3.0  # seconds between two renewals of the marker
EXPIRED = 30.0  # seconds without one, after which its holder counts as gone
NOBODY = "nobody\n"  # holds the study that was given back
Opened = TypeVar("Opened")


class Lost(click.ClickException):
    """The runner no longer holds the study; ends a command with status 1."""


@dataclass
class Lease:
    """The right of one runner to write a study's outputs, for as long as the lock file says so."""

    outputs: Path
    holder: str  # process id, start and host of the runner
    directory: tuple[int, int] | None = field(
        default=None, compare=False
    )  # device and inode, once it is held
    is_over: bool = field(default=False, compare=False)  # given back or lost

    @classmethod
    def of_this_process(cls, outputs: Path) -> Lease:
        """Return the lease that this process would take."""
        return cls(outputs, f"{os.getpid()} {time.time_ns()} {platform.node()}")

    @property
    def lock(self) -> Path:
        """The file that says who holds the study."""
        return self.outputs / ".lock"

    def is_held(self, unseen: bool = True) -> bool:
        """Tell whether the runner still holds the study; `unseen` is the answer where that cannot be seen."""
        if self.is_over:
            return False
        with suppress(OSError):
            text = self.lock.read_text(encoding="utf-8", errors="replace")
            if text:
                return text == self.holder
        return unseen

    def begin(self) -> None:
        """Say in the lock file that the runner holds the study."""
        self.directory = identity_of(self.outputs)
        self.lock.write_text(self.holder, encoding="utf-8")

    def check(self) -> None:
        """Raise Lost where another runner holds the study, or its directory was moved or removed.

        A lock file alone that was removed or emptied is written anew.
        """
        try:
            text = self.lock.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            text = ""
        except OSError:  # a network that is slow to answer
            return
        if text == self.holder:
            return
        if text:
            self.is_over = True
            by = in_words(*parse_holder(text))
            raise Lost(
                f"{self.outputs}: process {by} has taken this study over and goes on with it; this command has stopped, "
                "and what it completed stays"
            )
        if self.directory is not None and identity_of(self.outputs) != self.directory:
            self.is_over = True
            cure = "put it back, or name where it is with --outputs, and run the same command to resume"
            raise Lost(f"{self.outputs}: was moved or removed while its runs were under way; {cure}")
        with suppress(OSError):
            self.lock.write_text(self.holder, encoding="utf-8")

    def give_back(self) -> None:
        """End what runs for the study here or elsewhere: the lock file names nobody, unless it names another runner."""
        is_held = self.is_held(unseen=False)
        self.is_over = True
        if is_held:
            with suppress(OSError), self.lock.open("r+", encoding="utf-8") as lock:
                lock.write(NOBODY)  # over what stands there, for which a full disk has room
                lock.truncate()

    def __reduce__(self) -> tuple[type[Lease], tuple[Path, str]]:
        """Travel to other hosts with a path that holds there."""
        return Lease, (self.outputs.resolve(), self.holder)


def identity_of(directory: Path) -> tuple[int, int] | None:
    """Return what tells a directory from all others, whatever its name; None where there is none."""
    with suppress(OSError):
        found = directory.stat()
        return found.st_dev, found.st_ino
    return None


@contextmanager
def hold(lease: Lease, opening: AbstractContextManager[Opened]) -> Iterator[Opened]:
    """Take the study for this runner alone, then open where its runs go; yield what that gives.

    At the end, whatever it is, the study is given back first: what runs for it here or elsewhere ends by that, so
    that what was opened can be closed. Raises StudyError where another runner holds the study, and Lost where it
    was lost while it was held.
    """
    from filelock import Timeout

    try:
        lease.outputs.mkdir(parents=True, exist_ok=True)
        with take(lease.outputs):
            lease.begin()
            with opening as opened:
                try:
                    yield opened
                except SystemExit:
                    click.echo("Stopped. Run the same command to resume.", err=True)
                    raise
                except OSError:
                    lease.check()  # which says more than that a file is not there
                    raise
                finally:
                    lease.give_back()
    except Timeout as held:
        cure = "wait or stop it"
        if held.lock_file == str(marker_in(lease.outputs)):  # which outlives a process on another host
            cure += f"; if it is no longer alive, remove {held.lock_file}"
        fail(str(lease.outputs), f"process {holder_in(lease.outputs)} is running this study; {cure}")
    except OSError as error:  # a full disk, a read-only directory, or nothing of the kind
        if error.filename is None and error.errno not in OF_DISKS:
            raise click.ClickException(f"{type(error).__name__}: {error}") from error
        raise click.ClickException(f"{error.filename or lease.outputs}: {error.strerror}") from error


# --- the two locks ---
@contextmanager
def take(outputs: Path, patience: float = EXPIRED) -> Iterator[None]:
    """Lock a study's outputs while the context lasts, or this process; raise Timeout if they are locked.

    Where flock can be had, or is not there, the marker decides. One that a killed process of this host left is
    replaced at once. Whether another holder lives shows in its renewals, for which this waits up to so many seconds.
    """
    from filelock import FileLock, SoftFileLease, Timeout

    with ExitStack() as locks:
        try:
            locks.enter_context(FileLock(outputs / ".lock", timeout=0, fallback_to_soft=False).acquire())
        except Timeout:
            raise
        except OSError as error:
            if error.errno not in WITHOUT_FLOCK:
                raise
        marker = SoftFileLease(
            marker_in(outputs), timeout=0, lease_duration=EXPIRED, heartbeat_interval=RENEWED
        )
        try:
            marker.acquire()
        except Timeout:
            if not patience or is_stopped(outputs):
                raise
            wait_for_its_end(marker, outputs, patience)
        locks.callback(marker.release)
        yield


def wait_for_its_end(marker: SoftFileLease, outputs: Path, patience: float) -> None:
    """Take a marker that is not renewed for so many seconds; raise Timeout as soon as it is."""
    from filelock import Timeout

    file = marker_in(outputs)
    seen = last_change(file)

    def try_for(seconds: float) -> bool:
        with suppress(Timeout):
            marker.acquire(timeout=seconds, poll_interval=0.2, cancel_check=lambda: last_change(file) != seen)
        return marker.is_locked

    moment = RENEWED + 1
    if try_for(moment):
        return
    if last_change(file) == seen and marker.owner is None and not file.stat().st_size:
        file.unlink()  # emptied by a power loss: filelock itself never takes one that names nobody
    elif last_change(file) == seen and marker.owner is not None:
        click.echo(
            f"{outputs}: process {holder_in(outputs)} has not given this study back; "
            f"waiting {patience:g} seconds to see whether it is still running it"
        )
        if try_for(patience):
            return
    marker.acquire()


def last_change(file: Path) -> int | None:
    """Return when a file changed last, by the clock of its disk; None where there is none."""
    with suppress(OSError):
        return file.stat().st_mtime_ns
    return None


def is_stopped(outputs: Path) -> bool:
    """Tell whether the holder is a process of this host that was stopped: it renews nothing, and may go on."""
    pid, host = named_in(outputs)
    if not pid or host != platform.node():
        return False
    import psutil

    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    return False


def marker_in(outputs: Path) -> Path:
    """Return the file that its holder renews; filelock alone reads and writes it."""
    return outputs / ".lock.marker"


# --- who holds a study ---
def holder_of(outputs: Path) -> str:
    """Return the process that is running a study; empty if there is none."""
    from filelock import Timeout

    with suppress(OSError):
        if not (outputs / ".lock").exists():
            return ""
        try:
            with take(outputs, patience=0):
                return ""
        except Timeout:
            return holder_in(outputs)
    return ""


def holder_in(outputs: Path) -> str:
    """Return the process that the lock file of a study names."""
    return in_words(*named_in(outputs))


def named_in(outputs: Path) -> tuple[int, str]:
    """Return the process that the lock file names, and its host as far as it says it; 0 where it names none."""
    with suppress(OSError):
        return parse_holder((outputs / ".lock").read_text(encoding="utf-8", errors="replace"))
    return 0, ""


def parse_holder(text: str) -> tuple[int, str]:
    """Return the process that a text of a lock file names, and its host; 0 where it names none."""
    pid, *others = text.split() or [""]
    if not pid.isdecimal():
        return 0, ""
    return int(pid), " ".join(others[1:])


def in_words(pid: int, host: str) -> str:
    """Name a process, after the word, with its host where that is not this one."""
    if not pid:
        return "of another runner"
    if host in ("", platform.node()):
        return str(pid)
    return f"{pid} on {host}"
