"""What a kernel reads of the project's own files, noted by its interpreter, whichever way they are read.

This runs in kernels and in the process that forks them, on hosts too that have nothing of this project, so it
imports nothing of it. Python tells an audit hook of each file that it opens: modules as they are imported, by whatever
import, and data, as far as Python opens them and not the C code of a library. A process that was forked by a kernel goes
on with its notes; of a program that a kernel starts, the script in the project is noted, not what that reads.

A note is a line of JSON: the path in the project of a file of code, or of one that lies with code, its hash at that
moment, and its text where it is Python's; of other files that are read the path alone, of some hundred at most; of those
that are written, that they are.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import mmap
import os
import re
import sys
from contextlib import suppress
from functools import cache
from typing import Any

CODE = (".py", ".so", ".dylib", ".ipynb")  # what is run, and not only read
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
OUTPUTS = "outputs"  # of a project, which are none of its inputs
HEEDED = {"open", "import", "ctypes.dlopen", "os.rename", "subprocess.Popen"}  # events of an audit hook
FOREIGN = {"site-packages", "dist-packages", "node_modules", "__pycache__"}  # directories, wherever they lie
PRIVATE = re.compile(r"kernel-[0-9a-f]{4}-\d+-")  # how the names of kernels' own directories begin
ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")  # one of which lies in a directory with a Python of its own


READ, WRITTEN = "read", "written"  # what is noted of files without their hash
MOST = {READ: 500, WRITTEN: 50_000}  # such notes of a kernel and all processes that it forks
KEPT = 10_000  # notes with a hash that none of these makes again
KEY = 8  # bytes


class Watch:
    """What this process has read of a project since it was told to watch."""

    def __init__(self, root: str, outputs: str) -> None:
        """Take the project's directory, and the study's outputs, which are no inputs wherever they lie."""
        self.root = root
        self.roots = (root + os.sep, os.path.realpath(root) + os.sep)
        self.places: tuple[str, ...] = self.roots  # in which what is read is the project's, or may be
        self.outputs = outputs + os.sep
        self.inputs: set[str] = set()  # files that are on record without any note
        self.notes: list[dict[str, Any]] = []  # as long as it is not said where they go
        self.path: str | None = None
        self.copies: str | None = None
        self.file: tuple[int, tuple[int, int]] | None = None  # that of the notes, once there are any
        self.taken: dict[str, mmap.mmap] = {}  # of MOST notes, which forked processes share
        self.kept: mmap.mmap | None = None  # which they share, too: keys of the notes with a hash
        self.known: set[tuple[Any, ...]] = set()  # what needs no other note
        self.is_own: dict[str, bool] = {
            "": True
        }  # whether directories are the project's, by their path in it
        self.with_code: set[str] = set()  # the directories from which code was read

    def begin(self) -> None:
        """Watch from now on, and note what has been imported before."""
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file.startswith(self.roots):
                self.note_quietly(self.see_code, file)

        def see(event: str, arguments: tuple[Any, ...]) -> None:
            if event in HEEDED:  # which of thousands of events is one
                self.see(event, arguments)

        sys.addaudithook(see)

    def write_to(self, path: str, modules: str, inputs: list[str]) -> None:
        """Add the notes to a file, those that there are and those to come, as soon as there are any.

        `modules` is where this process has copies of modules, and links to what lies beside them in the project.
        `inputs` are files that are on record by themselves.
        """
        self.path = path
        self.copies = modules + os.sep
        self.places = (*self.roots, self.copies)
        self.inputs = set(inputs)
        self.taken = {kind: mmap.mmap(-1, most) for kind, most in MOST.items()}
        self.kept = mmap.mmap(-1, KEPT * KEY)
        notes, self.notes = self.notes, []
        for each in notes:
            self.note(**each)

    # --- what Python tells of ---
    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take what Python tells an audit hook."""
        if event == "open":
            self.note_quietly(self.see_opened, *arguments)
        elif event == "import":
            self.note_quietly(
                self.see_code, arguments[1]
            )  # the file of an extension; of other modules there is none
        elif event == "ctypes.dlopen":
            self.note_quietly(self.see_code, arguments[0])
        elif event == "os.rename":
            self.note_quietly(self.see_written, arguments[1])
        elif event == "subprocess.Popen":
            self.note_quietly(self.see_started, *arguments[1:3])

    def note_quietly(self, note: Any, *arguments: Any) -> None:
        """Note something; what goes wrong with that must not stop the run."""
        with suppress(Exception):  # a path may be anything, and a file may be gone
            note(*arguments)

    def see_opened(self, path: Any, mode: str | None, flags: int | None) -> None:
        """Note a file that is about to be opened."""
        if isinstance(path, int):  # it was opened before
            return
        if (flags or 0) & WRITING or set(mode or "") & set("wax+"):
            self.see_written(path)
            return
        name = self.path_of(path)
        if name is None or (name in self.inputs and not name.endswith(CODE)):
            return
        if name.endswith(CODE) or self.lies_with_code(name):
            self.note_code(name)
        elif (READ, name) not in self.known and self.is_file(name):
            self.known.add((READ, name))
            self.note(path=name)

    def see_code(self, path: Any) -> None:
        """Note a file that is about to be run, whatever its name."""
        if path is None:
            return
        name = self.path_of(path)
        if name is not None:
            self.note_code(name)

    def see_written(self, path: Any) -> None:
        """Note a file that is about to be written, but what Python itself compiles."""
        if os.fsdecode(path).endswith(".pyc"):
            return
        name = self.path_of(path)
        if name is not None and (WRITTEN, name) not in self.known:
            self.known.add((WRITTEN, name))
            self.note(path=name, written=True)

    def see_started(self, words: Any, directory: Any) -> None:
        """Note the files of code among the words of a command that is about to be started."""
        if isinstance(words, str | bytes | os.PathLike):
            words = [words]
        for word in words:
            path = os.path.join(os.fspath(directory or ""), os.fspath(word))
            name = self.path_of(path)
            if name is not None and name.endswith(CODE):
                self.note_code(name)

    # --- which files these are ---
    def path_of(self, path: Any) -> str | None:
        """Return the path in the project of a file of its own, None for all others; of compiled code that of its source."""
        full = os.fsdecode(path)
        if full.endswith(".pyc"):
            full = source_of(full)
        if self.is_elsewhere(full):
            return None
        full = os.path.abspath(full)
        is_linked = self.copies is not None and full.startswith(self.copies)
        if is_linked:
            full = os.path.realpath(full)
        for root in self.roots:
            if full.startswith(root) and not full.startswith(self.outputs):
                name = full[len(root) :].replace(os.sep, "/")
                directory = name.rpartition("/")[0]
                if self.is_own_directory(directory):
                    if is_linked:
                        self.with_code.add(directory)
                    return name
        return None

    def is_elsewhere(self, path: str) -> bool:
        """Tell whether a path is plainly none of the project's, as most are: it is a test of texts, which costs little."""
        is_plain = path.startswith(os.sep) and "/." not in path and "//" not in path
        return is_plain and not path.startswith(self.places)

    def is_own_directory(self, name: str) -> bool:
        """Tell whether a directory below the project's is its own: no outputs, nothing hidden, no Python's, no kernel's."""
        if name not in self.is_own:
            above, _, last = name.rpartition("/")
            is_foreign = last.startswith(".") or last in FOREIGN or name == OUTPUTS
            is_foreign = is_foreign or PRIVATE.match(last) is not None
            if not is_foreign:
                place = os.path.join(self.root, name)
                is_foreign = any(os.path.exists(os.path.join(place, each)) for each in ENVIRONMENTS)
            self.is_own[name] = not is_foreign and self.is_own_directory(above)
        return self.is_own[name]

    def is_file(self, name: str) -> bool:
        """Tell whether there is a file at a path in the project."""
        return os.path.isfile(os.path.join(self.root, name))

    def lies_with_code(self, name: str) -> bool:
        """Tell whether a file lies in a directory from which code was read, or below one that is not the whole project."""
        place = name.rpartition("/")[0]
        if not place:
            return "" in self.with_code
        while place and place not in self.with_code:
            place = place.rpartition("/")[0]
        return bool(place)

    # --- the notes ---
    def note_code(self, name: str) -> None:
        """Note a file with its hash, once as long as it does not change."""
        if not self.is_file(name):
            return
        path = os.path.join(self.root, name)
        status = os.stat(path)
        key = (name, status.st_size, status.st_mtime_ns)
        if key in self.known:
            return
        self.known.add(key)  # first, since it is opened now
        if name.endswith(CODE):
            self.with_code.add(name.rpartition("/")[0])
        if self.was_noted(key):
            return
        with open(path, "rb") as file:
            content = file.read()
        text = None
        if name.endswith(".py"):
            text = content.decode("utf-8", errors="replace")
        self.note(path=name, hash=hashlib.sha256(content).hexdigest()[:16], text=text)
        self.keep(key)

    def was_noted(self, key: tuple[Any, ...]) -> bool:
        """Tell whether a forked process, or that which forked this one, is known to have noted a file as it is."""
        if self.kept is None:
            return False
        content, place = kept_as(key)
        return self.kept[place : place + KEY] == content

    def keep(self, key: tuple[Any, ...]) -> None:
        """Let all these processes know that a file is noted; another one's key may give way."""
        if self.kept is not None:
            content, place = kept_as(key)
            self.kept[place : place + KEY] = content

    def note(self, **content: Any) -> None:
        """Keep a note, in the file if there is one."""
        if self.path is None:
            self.notes.append(content)
        elif "hash" in content or self.takes(content["path"], WRITTEN if "written" in content else READ):
            line = json.dumps(content) + "\n"
            os.write(self.file_at(self.path), line.encode())

    def takes(self, name: str, kind: str) -> bool:
        """Tell whether a file without a hash needs a note, and take one of the MOST that there can be.

        No forked process notes it again. Which note it is follows from the name, so that another file may have it: then
        this one has none.
        """
        if kind == WRITTEN and (name.endswith(CODE) or self.lies_with_code(name)):
            return True
        if kind == READ and name in self.inputs:
            return False
        taken = self.taken[kind]
        number = hash(name) % len(taken)
        if taken[number]:
            return False
        taken[number] = 1
        return True

    def file_at(self, path: str) -> int:
        """Return the open file of the notes, opened anew where a forked process has closed all that it was left with."""
        if self.file is not None:
            number, identity = self.file
            with suppress(OSError):
                if identity_of(number) == identity:
                    return number
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self.file = (number, identity_of(number))
        return number


def kept_as(key: tuple[Any, ...]) -> tuple[bytes, int]:
    """Return what is kept of the key of a note, and where."""
    number = hash(key)
    return number.to_bytes(KEY, "little", signed=True), number % KEPT * KEY


def identity_of(number: int) -> tuple[int, int]:
    """Return what tells an open file from all others, whatever its number."""
    status = os.fstat(number)
    return status.st_dev, status.st_ino


@cache
def watch(root: str, outputs: str) -> Watch:
    """Return the watch of this process over a project, begun when it is first asked for."""
    begun = Watch(root, outputs)
    begun.begin()
    return begun


def source_of(compiled: str) -> str:
    """Return the source of a compiled module, itself where there is none."""
    try:
        return importlib.util.source_from_cache(compiled)
    except ValueError:
        return compiled
