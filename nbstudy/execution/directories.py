"""The directories that a kernel has to itself, on whatever host: where they may lie, and what killed runners left of them."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from nbstudy.execution.environment import CHILDREN
from nbstudy.execution.guarded import end_what_is_left
from nbstudy.files import hash_of


@contextmanager
def temporary_directory(place: Path) -> Iterator[Path]:
    """Yield a new directory that only this user can enter, named after this process; remove it at the end."""
    prefix = f"{directory_prefix()}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place, ignore_cleanup_errors=True) as directory:
        yield Path(directory)


def socket_place() -> Path:
    """Return the first place where a kernel's sockets can lie; raise OSError if there is none."""
    for place in places():
        with (
            suppress(OSError),
            temporary_directory(place) as directory,
            socket.socket(socket.AF_UNIX) as trial,
        ):
            trial.bind(str(directory / CHILDREN))  # fails where the path is longer than some hundred bytes
            return place
    message = f"no socket can be made in any of {', '.join(map(str, places()))}: set TMPDIR to a short path"
    raise OSError(message)


def places() -> list[Path]:
    """Return where the directories of kernels may lie, the preferred place first."""
    names = [tempfile.gettempdir(), "/tmp", f"/run/user/{os.getuid()}", "/var/tmp"]
    return [Path(name) for name in dict.fromkeys(names)]


def remove_what_is_left() -> None:
    """Remove the directories that runners on this host left which were killed, and end what their kernels started.

    What belongs to another user stays, and what a link leads to, also where root could remove it.
    """
    left = []
    for place in places():
        for directory in place.glob(f"{directory_prefix()}*"):
            pid = directory.name.removeprefix(directory_prefix()).split("-")[0]
            if pid.isdecimal() and not psutil.pid_exists(int(pid)) and is_own_directory(directory):
                left.append(directory)
    if left:
        end_what_is_left(*left)
    for directory in left:
        shutil.rmtree(directory, ignore_errors=True)


def is_own_directory(path: Path) -> bool:
    """Tell whether a path is a directory of this user, and no link to one."""
    with suppress(OSError):  # another runner has removed it
        status = path.lstat()
        return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    return False


def directory_prefix() -> str:
    """Return how the names of kernels' directories begin on this host: others may use the same place.

    A container that shares it counts as another host: the processes of each are not those of the other.
    """
    processes = ""
    with suppress(OSError):  # elsewhere than on Linux there is one namespace of processes
        processes = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - which names no file
    return f"kernel-{hash_of(platform.node() + processes)[:4]}-"
