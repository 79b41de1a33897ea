"""What runs read of the project's own files: what their kernels noted of it, and whether it is as it was.

A kernel notes what it imports, in the file NOTES of its attempt (execution/watch.py). At the end of the attempt that is
put on record, `imported` in run.json, beside `inputs`, which the study file names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbstudy.files import has_hash
from nbstudy.records.record import IMPORTED
from nbstudy.study.inputs import LARGE, NO_FILE, ProjectFiles
from nbstudy.study.modules import write_modules
from nbstudy.study.template import Template, says_the_same

NOTES = ".read"  # of an attempt that is under way, or was killed
OF_A_FILE = "./"  # how a file of the project begins where modules beside a template are named by their paths
CHANGED = "changed while it ran"  # instead of a hash, and no file has it


@dataclass
class Noted:
    """What a kernel noted of the project's files."""

    hashes: dict[str, str] = field(default_factory=dict)  # of code, and of what lies with code
    texts: dict[str, str] = field(default_factory=dict)  # of what of that is Python
    others: set[str] = field(default_factory=set)  # that were read


def read_notes(attempt: Path) -> Noted:
    """Return what the kernel of an attempt noted, but of files that it wrote itself; a line may be cut short."""
    noted = Noted()
    written = set()
    lines: list[str] = []
    with suppress(OSError):
        lines = (attempt / NOTES).read_text(encoding="utf-8", errors="replace").splitlines()
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            note = json.loads(line)
            path = str(note["path"])
            if note.get("written"):
                written.add(path)
            elif "hash" not in note:
                noted.others.add(path)
            elif noted.hashes.setdefault(path, note["hash"]) != note["hash"]:
                noted.hashes[path] = CHANGED
            elif isinstance(note.get("text"), str):
                noted.texts[path] = note["text"]
    for path in written:
        noted.hashes.pop(path, None)
        noted.texts.pop(path, None)
    noted.others -= written | noted.hashes.keys()
    return noted


def imported_by(directory: Path, run: dict[str, Any]) -> dict[str, str]:
    """Return what a run or an attempt imported of the project, hashes by path; of one that was killed, until then."""
    if not run or run["finished"]:
        return dict(run.get("imported", {}))
    return together(run.get("imported", {}), read_notes(directory).hashes)


def together(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Return the hashes of files at two times, CHANGED for what was another file then."""
    both = {**before, **after}
    for path in before.keys() & after.keys():
        if before[path] != after[path]:
            both[path] = CHANGED
    return dict(sorted(both.items()))


# --- on record ---
def asked_inputs(files: ProjectFiles) -> dict[str, Any]:
    """Return what the record of an attempt says when it begins: what it is told to read, as that is now."""
    files.look()
    return {"inputs": dict(files.inputs), "input_patterns": list(files.patterns)}


def what_was_read(
    attempt: Path, run: dict[str, Any], files: ProjectFiles
) -> tuple[dict[str, Any], list[str]]:
    """Return what the record of an attempt says at its end, and what else of the project it read.

    The sources of what it imported are kept in it, unless the template has files of these names.
    """
    was = run.get("inputs", {})
    files.look()
    inputs = {path: digest if files.inputs.get(path) == digest else CHANGED for path, digest in was.items()}
    noted = read_notes(attempt)
    with suppress(FileExistsError, NotADirectoryError, IsADirectoryError):  # of what the template wrote there
        write_modules(noted.texts, attempt / IMPORTED)
    imported = together(run.get("imported", {}), noted.hashes)
    for path in inputs:
        imported.pop(path, None)
    return {"imported": imported, "inputs": inputs}, sorted(noted.others - inputs.keys())


# --- is it as it was? ---
IsAsItWas = Callable[[str, str, str], bool]  # of a file: its path, its hash then, its hash now


def changed_files(
    directory: Path, run: dict[str, Any], files: ProjectFiles, template: Template
) -> dict[str, str]:
    """Say by file what of the project a run read that is not as it was.

    Notes with the template which of these files are what today, and which hashes are of the same code.
    """
    root = files.root
    imported = imported_by(directory, run)
    has_read = imported or run.get("inputs") or files.inputs
    if root is None or not has_read or not files.is_here:
        return {}
    today = {path: files.hash_of(path) for path in imported}
    template.imported.update(today)

    def is_as_it_was(path: str, was: str, now: str) -> bool:
        if now == NO_FILE:
            return False
        known, key = template.same_code, key_of(path, f"{was} {now}")
        if key not in known:
            is_same = is_the_same(root / path, was, directory, path)
            if is_same is None:  # another run may tell
                return False
            known[key] = is_same
        return known[key]

    return changes(run, imported, today, files.inputs, files.patterns, is_as_it_was)


def changes(
    run: dict[str, Any],
    imported: Mapping[str, str],
    today: Mapping[str, str],
    inputs: Mapping[str, str],
    patterns: tuple[str, ...] | list[str],
    is_as_it_was: IsAsItWas,
) -> dict[str, str]:
    """Say by file what is not as it was when a run read it, of what it imported and of what it was told to read.

    `today` are the hashes of what it imported, as far as they are known. Files that are named only now make nothing
    stale, nor those that are no longer named.
    """
    made_before = run.get("accepted", [])
    was_told = run.get("inputs", {})
    told_by = set(run.get("input_patterns", []))
    before, now = dict(imported), dict(today)
    for path in was_told.keys() | inputs.keys():
        has_gone = path not in inputs and told_by <= set(patterns)
        is_new = path not in was_told and set(patterns) <= told_by
        if has_gone or is_new or (path in was_told and path in inputs):
            before[path] = was_told.get(path, NO_FILE)
            now[path] = inputs.get(path, NO_FILE)
    found = {}
    for path in sorted(before.keys() & now.keys()):
        was, is_now = before[path], now[path]
        if was == is_now or key_of(path, is_now) in made_before or is_as_it_was(path, was, is_now):
            continue
        found[key_of(path)] = f"{path} {what_became(was, is_now)}"
    return found


def what_became(was: str, now: str) -> str:
    """Say what has become of a file that had a hash and has another."""
    if now == NO_FILE:
        return "is gone"
    if was == NO_FILE:
        return "is new"
    if was == CHANGED:
        return CHANGED
    return "changed"


def key_of(path: str, digest: str = "") -> str:
    """Return how a file of the project is told from the modules beside a template, which are named by their paths, too."""
    return f"{OF_A_FILE}{path} {digest}".rstrip()


def is_the_same(file: Path, digest: str, directory: Path, path: str) -> bool | None:
    """Tell whether a file had this hash but for line ends, or is code of which a run has a copy that says the same.

    None where it has none: then nothing is known but that the bytes are others.
    """
    with suppress(OSError, UnicodeDecodeError):
        if file.stat().st_size > LARGE:
            return False
        content = file.read_bytes()
        if has_hash(content, digest):
            return True
        for was in copies_of(directory, path):
            if has_hash(was, digest):
                return says_the_same([was.decode()], [content.decode()])
    return None


def copies_of(directory: Path, path: str) -> Iterator[bytes]:
    """Yield what a run or an attempt kept of a file that it imported; of an attempt that was killed, what it noted."""
    with suppress(OSError):
        yield (directory / IMPORTED / path).read_bytes()
    text = read_notes(directory).texts.get(path)
    if text is not None:
        yield text.encode()


# --- accepted ---
def accepted_files(run: dict[str, Any], files: ProjectFiles) -> tuple[list[str], dict[str, Any]]:
    """Return what files a run was made with that are others today, as `accepted` says it, and what its record says then."""
    imported = {path: files.hash_of(path) for path in run.get("imported", {})}
    inputs = dict(run.get("inputs", {}))
    if "input_patterns" in run:
        inputs = dict(files.inputs)
    was = run.get("imported", {}) | run.get("inputs", {})
    now = imported | inputs
    notes = [key_of(path, was.get(path, NO_FILE)) for path in sorted(now) if was.get(path) != now[path]]
    today: dict[str, Any] = {"imported": imported}
    if "input_patterns" in run:
        today |= {"inputs": inputs, "input_patterns": list(files.patterns)}
    return notes, today
