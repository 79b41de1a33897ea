"""A template notebook: the parameters it declares, its preflight cell, its code, and the modules it imports.

The runner knows nothing about what a template computes. Cells are told apart by their tags: `parameters`
declares what can be set, `preflight` refuses values that make no sense, `presentation` only draws.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbstudy.checks import Faults, check_known, fail, mapping
from nbstudy.files import hash_of, read_json
from nbstudy.remembered import remember
from nbstudy.study.cells import compile_plain, parse_cell
from nbstudy.study.modules import imported_names, imported_packages, read_modules
from nbstudy.study.notebook import Cell, Notebook, read_notebook
from nbstudy.study.parameters import Declaration, convert_given, read_parameters

TESTED = "run"  # the parameter of a notebook that opens the test set: the directory of the final run
NOT_CODE = {"parameters", "injected-parameters", "preflight", "presentation"}  # these cells decide no result


@dataclass(frozen=True)
class Template:
    """A notebook that is executed once a configuration, and what its cells declare."""

    file: str
    text: str
    defaults: dict[str, Any]  # in the declared types
    declarations: dict[str, Declaration]  # what may be given for each parameter
    preflight: list[str]  # cells
    cells: list[str]  # of code that decides its results
    # Whether other code is this but for its layout, as the runs that had it show: that of a template by its hash,
    # that of a module by its path and hash, "helper.py 0123456789abcdef". study.json lists what is, for the summary.
    same_code: dict[str, bool]
    # Those beside it that it imports, source by path; then the packages that it and these import, but for Python's own.
    modules: dict[str, str] = field(default_factory=dict)
    imports: list[str] = field(default_factory=list)
    module_places: tuple[Path, ...] = ()  # the directories that modules come from, the first that has one
    # The hashes of today of the project's other files that runs imported, by path in it, as these runs show.
    imported: dict[str, str] = field(default_factory=dict)
    # Of the code. No `cached_property`, whose lock does not travel to a worker before Python 3.12.
    hash: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", hash_of_code(self.cells))

    @property
    def codes(self) -> list[str]:
        """The hashes of all code that is known to be this but for its layout, and of modules that are."""
        return [code for code, is_same in self.same_code.items() if is_same]

    def is_same_code(self, code: str, log: Path) -> bool:
        """Tell whether a run with this hash of its code had the template's code, but for its layout.

        A log that is gone or holds other code than the hash names says nothing of the other runs with that hash.
        """
        if code not in self.same_code:
            was = code_of_log(log)
            if hash_of_code(was) != code:
                return False
            self.same_code[code] = says_the_same(was, self.cells)
        return self.same_code[code]


def hash_of_code(cells: Iterable[str]) -> str:
    """Return the hash of the code of cells."""
    return hash_of("\n".join(cells))


def says_the_same(was: Iterable[str], now: Iterable[str]) -> bool:
    """Tell whether the code of cells, or of modules, is equal but for comments and spacing."""
    both = [list(was), list(now)]
    modules = (__name__, "nbstudy.study.cells")
    is_same: bool = remember("code", json.dumps(both), modules, lambda: are_same_statements(*both))
    return is_same


def are_same_statements(was: Iterable[str], now: Iterable[str]) -> bool:
    """Compare code as `says_the_same` does."""
    with suppress(SyntaxError):  # what this Python cannot parse
        return statements(was) == statements(now)
    return False


def statements(cells: Iterable[str]) -> list[str]:
    """Return what cells say, a statement each, whatever their layout."""
    found = []
    for source in cells:
        found += [ast.dump(statement) for statement in parse_cell(source).body]
    return found


def code_of_log(log: Path) -> list[str]:
    """Return the cells of a log that decide its results, none where it cannot be read."""
    found = []
    with suppress(Exception):  # it may be damaged in any way
        for cell in read_json(log)["cells"]:
            if cell["cell_type"] == "code" and not NOT_CODE.intersection(cell["metadata"].get("tags", [])):
                found.append("".join(cell["source"]))  # a source may be a list of lines
    return found


# --- reading a template ---
def read_template(path: Path, import_places: Sequence[Path] = ()) -> Template:
    """Read a template notebook, the parameters it declares, and the modules that it imports.

    These lie beside it, or in one of the import places. Raise StudyError for all that is wrong in them.
    """
    faults = Faults()
    notebook = read_notebook(path, faults)
    check_tags(notebook, faults)
    defaults: dict[str, Any] = {}
    declarations: dict[str, Declaration] = {}
    for cell in notebook.tagged("parameters")[:1]:
        defaults, declarations = read_parameters(cell, faults)
    names = names_in(notebook)
    module_places = (path.parent, *import_places)
    modules = read_modules(names, module_places, faults)
    faults.end()
    cells = [cell.source for cell in notebook.cells if cell.is_code and not cell.tags & NOT_CODE]
    return Template(
        file=path.name,
        text=notebook.text,
        defaults=defaults,
        declarations=declarations,
        preflight=[cell.source for cell in notebook.tagged("preflight")],
        cells=cells,
        same_code={hash_of_code(cells): True},
        modules=modules,
        module_places=module_places,
        imports=imported_packages(names, modules),
    )


def read_test(path: Path, import_places: Sequence[Path] = ()) -> Template:
    """Read the notebook that opens the test set: a template that is told the directory of the run that it tests.

    Raise StudyError for all that is wrong in it.
    """
    notebook = read_template(path, import_places)
    if not isinstance(notebook.defaults.get(TESTED), str):
        fail(
            notebook.file,
            f"opens the test set, and has no parameter `{TESTED}`, the directory of the run that it tests; write "
            f'`{TESTED} = "."` into its cell tagged `parameters`',
        )
    return notebook


def names_in(notebook: Notebook) -> set[str]:
    """Return the top-level names that the code of a notebook imports."""
    names: set[str] = set()
    for cell in notebook.cells:
        if "import" in cell.source:  # no other cell need be walked through
            names.update(imported_names(cell.tree))
    return names


def check_tags(notebook: Notebook, faults: Faults) -> None:
    """Refuse tags by which a run would not compute with the parameters that it is given."""
    for tag in ("parameters", "preflight"):
        for cell in notebook.tagged(tag):
            with faults:
                if not cell.is_code:
                    fail(cell.place, f"is tagged `{tag}` and is no code; untag it")
    for cell in notebook.tagged("injected-parameters"):
        with faults:
            fail(cell.place, "is tagged `injected-parameters`, as in an executed log; delete the cell")
    declaring = [cell for cell in notebook.tagged("parameters") if cell.is_code]
    for cell in declaring[1:]:
        with faults:
            fail(
                cell.place, f"is tagged `parameters`, as cell {declaring[0].number} is; untag one of the two"
            )
    for cell in notebook.tagged("preflight"):
        with faults:
            if declaring and cell.number <= declaring[0].number:
                fail(cell.place, "is tagged `preflight` and stands before the parameters; move it below them")
            if cell.tree.body:  # it can be parsed
                check_preflight(cell)


def check_preflight(cell: Cell) -> None:
    """Refuse a preflight cell that works in a notebook only: it is run for every configuration before anything else."""
    try:
        compile_plain(cell.source, cell.place)
    except SyntaxError as error:
        place = f"{cell.place}, line {error.lineno or 1}"
        fail(place, "is tagged `preflight` and must be plain Python; put magics and `await` in another cell")


def convert_parameters(value: Any, template: Template, place: str) -> dict[str, Any]:
    """Return parameters in the types that the template declares; refuse unknown ones, and what does not fit."""
    given = mapping(value, place)
    faults = Faults()
    with faults:
        check_parameters(given, template, place)
    converted = {}
    for name in given:
        if name in template.declarations:
            with faults:
                declared, default = template.declarations[name], template.defaults[name]
                converted[name] = convert_given(given[name], declared, default, f"{place}: {name}")
    faults.end()
    return converted


def check_parameters(names: Collection[str], template: Template, place: str) -> None:
    """Refuse parameters that the template does not declare."""
    if names and not template.defaults:
        fail(place, f"{template.file} declares no parameters; tag the cell that assigns them `parameters`")
    check_known(names, template.defaults, place)
