"""The files that runs leave, by name, and how JSON is read and written."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from nbstudy.checks import fail

CHECKPOINT = "model.keras"  # what a run resumes from, where its template does not say
HISTORY = "history.csv"  # of a run: a row an epoch
TEST = "test"  # in outputs/<study>/: what the notebook left that opens the test set
FORMAT = 1  # of run.json, study.json and test.json; files of before there was a format count as 1


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds, empty where the file is missing or damaged."""
    return read_object(path) or {}


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the object that a JSON file holds, None where the file is missing, damaged or holds anything else."""
    try:
        return object_in(path.read_bytes())
    except OSError:
        return None


def object_in(text: bytes) -> dict[str, Any] | None:
    """Return the object that the bytes of a JSON file are, None where they are anything else."""
    try:
        content = json.loads(text.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    return content


def read_record(path: Path) -> dict[str, Any]:
    """Return what a run.json or study.json says; refuse one that a newer version of nbstudy wrote."""
    record = read_json(path)
    written = record.get("format", FORMAT)
    if isinstance(written, int) and written > FORMAT:
        fail(
            str(path),
            f"has format {written}, and this version reads up to {FORMAT}; "
            "update nbstudy, or name another directory with --outputs",
        )
    return record


def write_json(path: Path, content: dict[str, Any], is_final: bool = True) -> None:
    """Replace a JSON file in one step: a power loss leaves the old one or the new one, a full disk the old one alone.

    One that is not final is soon written again: it is no text to read, and a power loss may take it.
    """
    partial = partial_of(path)
    indent = None  # which takes a tenth of the time
    if is_final:
        indent = 1
    text = json.dumps(content, indent=indent, ensure_ascii=False) + "\n"
    try:
        # half of a surrogate pair, as a kernel's error may hold, has no UTF-8; its backslash escape is JSON too
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
        if is_final:
            sync(partial)
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise


def partial_of(path: Path) -> Path:
    """Return the file that is written before it replaces another one; a kill may leave it."""
    return path.with_name(f"partial.{path.name}")


def sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk, where its file system can say so."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # of directories, on some
            raise
    finally:
        os.close(descriptor)


def sync_all(directory: Path) -> None:
    """Wait until a directory with all that is in it is on the disk."""
    for path in directory.iterdir():
        if path.is_symlink():
            continue
        if path.is_dir():
            sync_all(path)
        elif path.is_file():
            sync(path)
    sync(directory)


def has_hash(content: bytes, digest: str) -> bool:
    """Tell whether a file had this hash, but for what git and editors do to the line ends of a text.

    Git writes CRLF for LF or LF for CRLF, as it is set up; editors see to a newline at the end. What holds a zero byte is
    no text to git, and none here.
    """
    if hash_of(content) == digest:
        return True
    if b"\0" in content:
        return False
    body = content.replace(b"\r\n", b"\n").rstrip(b"\n")
    for end in (b"\n", b"", b"\n\n"):
        text = body + end
        if digest in (hash_of(text), hash_of(text.replace(b"\n", b"\r\n"))):
            return True
    return False


def as_seen(path: Path) -> Path:
    """Return a path as seen from the working directory."""
    return Path(os.path.relpath(path))


def is_in_git(path: Path) -> bool:
    """Tell whether a path lies in a git work tree."""
    return any((parent / ".git").exists() for parent in path.absolute().parents)


def hash_of(content: str | bytes) -> str:
    """Return a short hash of a text or of a file's bytes."""
    if isinstance(content, str):
        content = content.encode()
    return hashlib.sha256(content).hexdigest()[:16]
