"""What one command found out and the next need not: kept in this user's cache directory, where it can be deleted.

What is kept is plain data, in JSON, by what it follows from; so it is never out of date, only missing. Where nothing can be kept,
everything is found anew.
"""

from __future__ import annotations

import importlib.util
import json
import os
import stat
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from nbstudy import __version__
from nbstudy.files import hash_of, read_object

KEPT = 100  # of a kind: what has not been used for longest gives way
FOUND = "found"  # the one field of a file


def remember(kind: str, about: str, modules: Iterable[str], find: Callable[[], Any]) -> Any:
    """Return what follows from a text, found anew where no earlier command has kept it.

    `modules` are those that find it: where one has changed, what it found before no longer counts.
    """
    about = "\n".join([*(version_of(module) for module in modules), about])
    known = recall(kind, about)
    if known is None:
        known = find()
        keep(kind, about, known)
    return known


def version_of(module: str) -> str:
    """Return a text that changes when the file of a module does; the module itself is not imported.

    Where the file lies plays no part: that of nbstudy travels to each kernel, into a directory of its own.
    """
    specification = importlib.util.find_spec(module)
    if specification is None or specification.origin is None:
        return module
    return f"{module} {hash_of(Path(specification.origin).read_bytes())}"


def recall(kind: str, about: str) -> Any:
    """Return what was kept of a kind about a text; None where there is nothing."""
    with suppress(OSError, RuntimeError):  # without a home, or with a full disk
        file = file_of(kind, about)
        content = read_object(file)
        if content is not None:
            with suppress(OSError):  # where the cache can only be read
                os.utime(file)  # when it was used last
            return content.get(FOUND)
    return None


def keep(kind: str, about: str, found: Any) -> None:
    """Keep what was found about a text, unless JSON would change it, or nothing can be kept here."""
    with suppress(OSError, TypeError, ValueError, RuntimeError):
        text = json.dumps({FOUND: found})
        if json.loads(text) != {FOUND: found}:
            return
        file = file_of(kind, about)
        partial = file.with_name(f"{file.name}.{os.getpid()}")
        partial.write_text(text, encoding="utf-8")
        partial.replace(file)
        make_room(file.parent, kind)


def make_room(directory: Path, kind: str) -> None:
    """Remove what has not been used for longest of a kind, until it is no more than is kept."""
    files = sorted(directory.glob(f"{kind}-*"), key=lambda file: file.stat().st_mtime)
    for file in files[:-KEPT]:
        file.unlink(missing_ok=True)


def file_of(kind: str, about: str) -> Path:
    """Return the file of what is kept about a text, in a directory that is there; raise OSError where there can be none."""
    return directory() / f"{kind}-{hash_of(f'{__version__} {sys.version} {about}')}.json"


def directory() -> Path:
    """Return the directory of this user's that all is kept in, made if it is not there; raise OSError for any other."""
    place = os.environ.get("XDG_CACHE_HOME", "")
    if not Path(place).is_absolute():  # as the XDG Base Directory Specification has it
        place = "~/.cache"
    found = Path(place).expanduser() / "nbstudy"
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = found.stat()
    if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        message = f"{found} can be written by others"
        raise PermissionError(message)
    return found
