"""The project's own modules that a notebook imports: their source, which travels with every run.

They lie beside it, or in a directory of the study's `python_path`.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from nbstudy.checks import Faults, fail
from nbstudy.files import hash_of
from nbstudy.study.cells import parse


def read_modules(names: Collection[str], directories: Sequence[Path], faults: Faults) -> dict[str, str]:
    """Return the source of the modules in directories that are imported by these names, and of those that they import.

    By path in their directory, the first that has one of the name. Of a package all modules are read. What cannot be
    imported is added to the faults.
    """
    sources: dict[str, str] = {}
    waiting = set(names)
    known: set[str] = set()
    while waiting - known:
        name = min(waiting - known)
        known.add(name)
        directory, files = find_module(name, directories)
        for file in files:
            path = file.relative_to(directory).as_posix()
            with faults:
                check_name(name, f"{directory.name}/{path}")
                sources[path], tree = read_module(file, f"{directory.name}/{path}")
                waiting.update(imported_names(tree))
    return dict(sorted(sources.items()))


def imported_packages(names: Collection[str], modules: Mapping[str, str]) -> list[str]:
    """Return the packages among names that code imports, and those that the modules beside it import.

    But for Python's own and these modules.
    """
    found = set(names)
    for source in modules.values():
        found.update(imported_names(parse(source)))
    return sorted(found - names_of(modules) - sys.stdlib_module_names)


def names_of(modules: Iterable[str]) -> set[str]:
    """Return the top-level names by which modules are imported, from their paths."""
    return {path.partition("/")[0].removesuffix(".py") for path in modules}


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Yield the top-level names that code imports, at its top or in a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def find_module(name: str, directories: Sequence[Path]) -> tuple[Path, list[Path]]:
    """Return the first directory that has a module or package of a name, and its files; none where no directory has."""
    for directory in directories:
        files = files_of(name, directory)
        if files:
            return directory, files
    return Path(), []


def files_of(name: str, directory: Path) -> list[Path]:
    """Return the files of a module or package of that name in a directory, none where it is not there."""
    package = directory / name
    module = directory / f"{name}.py"
    if module.is_file() and not (package / "__init__.py").is_file():
        return [module]
    files = []
    for file in sorted(package.rglob("*.py")):
        if not any(part.startswith(".") for part in file.relative_to(directory).parts):  # Jupyter's copies
            files.append(file)
    return files


def check_name(name: str, place: str) -> None:
    """Refuse a module that would take the place of one of Python's own, for the kernel itself too."""
    if name in sys.stdlib_module_names:
        fail(place, f"has the name of Python's own module {name}; rename it")


def read_module(file: Path, place: str) -> tuple[str, ast.Module]:
    """Return the source of a module, and what it says; refuse what cannot be imported."""
    try:
        source = file.read_bytes().decode("utf-8-sig")
        return source, parse(source)
    except OSError as error:
        fail(place, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        fail(place, "is not UTF-8 text; save it as UTF-8")
    except SyntaxError as error:
        fail(f"{place}, line {error.lineno or 1}", f"is not Python: {error.msg}; correct it")


# --- their copies ---
def hashes_of(modules: Mapping[str, str]) -> dict[str, str]:
    """Return the hashes of modules, by path."""
    return {path: hash_of(source) for path, source in modules.items()}


def write_modules(modules: Mapping[str, str], place: Path) -> None:
    """Write the sources of modules under a directory."""
    for path, source in modules.items():
        file = place / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")


def link_what_lies_beside(modules: Collection[str], places: Sequence[Path], copies: Path) -> None:
    """Let modules that were written under a directory find what lies beside them where they come from, but for modules.

    That is by links, so that whoever opens a file opens that of the project.
    """
    origins = {}
    for module in modules:
        found = [place / module for place in places if (place / module).exists()]
        for origin in found[:1]:
            origins[origin.parent] = (copies / module).parent
    with_modules = {parent for module in modules for parent in (copies / module).parents}
    for directory, copy in origins.items():
        for path in directory.iterdir():
            linked = copy / path.name
            is_hidden = path.name.startswith((".", "__"))
            is_code = path.suffix in (".py", ".ipynb") or linked in with_modules
            if not is_hidden and not is_code and not os.path.lexists(linked):
                linked.symlink_to(path.absolute())


@contextmanager
def importable(modules: Mapping[str, str]) -> Iterator[None]:
    """Let this process import modules, before all others of their names, as a kernel can; forget them afterwards."""
    if not modules:
        yield
        return
    # takes a moment to import, and few templates have modules
    from tempfile import TemporaryDirectory

    own = take_out(names_of(modules))
    with TemporaryDirectory() as place:
        write_modules(modules, Path(place))
        sys.path.insert(0, place)
        try:
            yield
        finally:
            sys.path.remove(place)
            take_out(names_of(modules))
            sys.modules.update(own)


def take_out(names: Collection[str]) -> dict[str, ModuleType]:
    """Remove modules of these top-level names from those that this process has imported; return them."""
    found = [name for name in sys.modules if name.partition(".")[0] in names]
    return {name: sys.modules.pop(name) for name in found}
