"""A template notebook: the parameters it declares, its preflight cell, and its code.

The runner knows nothing about what a template computes. Cells are told apart by their tags: `parameters`
declares what can be set, `preflight` refuses values that make no sense, `presentation` only draws.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbstudy.checks import fail, mapping, shorten
from nbstudy.files import hash_of, read_json

TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text, in quotes"}
NOT_CODE = {"parameters", "injected-parameters", "preflight", "presentation"}  # these cells decide no result


@dataclass(frozen=True)
class Template:
    """A notebook that is executed once a configuration, and what its cells declare."""

    file: str
    text: str
    defaults: dict[str, Any]  # in the declared types
    preflight: str
    code: str
    same_code: dict[str, bool]  # by hash: this code, and other code that logs were found to have

    @property
    def hash(self) -> str:
        """The hash of the code."""
        return hash_of(self.code)

    def is_same_code(self, code: str, log: Path) -> bool:
        """Tell whether a run with this hash of its code had the template's code, but for its layout.

        The answers are kept in `same_code`: study.json lists them for the summary.
        """
        if code not in self.same_code:
            self.same_code[code] = equal_when_parsed(log, self.code)
        return self.same_code[code]


def equal_when_parsed(log: Path, code: str) -> bool:
    """Tell whether the code in a log and this code are equal but for comments and spacing."""
    try:
        logged = ast.parse(code_of(read_json(log)))
        return ast.dump(logged) == ast.dump(ast.parse(code))
    except Exception:  # noqa: BLE001 - a log may be damaged in any way
        return False


def read_template(path: Path) -> Template:
    """Read a template notebook and the parameters it declares."""
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # noqa: BLE001 - json's, nbformat's and jsonschema's
        fail(path.name, f"is not a notebook: {error}")
    code = code_of(notebook)
    return Template(
        file=path.name,
        text=nbformat.writes(notebook),
        defaults=declared_parameters(path),
        preflight=sources(notebook, lambda tags: "preflight" in tags),
        code=code,
        same_code={hash_of(code): True},
    )


def declared_parameters(path: Path) -> dict[str, Any]:
    """Return the defaults of the parameters that a template declares, in their declared types."""
    import papermill

    defaults = {}
    # papermill formats the path it is given, so braces in it are doubled
    inspected = papermill.inspect_notebook(re.sub(r"([{}])", r"\1\1", str(path)))
    for name, declared in inspected.items():
        place = f"{path.name}: parameter {name}"
        cure = "write `name: type = default  # help` on one line, type int, float, bool or str"
        if declared["inferred_type_name"] not in TYPES:
            fail(place, f"has no type that can be checked; {cure}")
        try:
            default = ast.literal_eval(declared["default"])
        except (ValueError, SyntaxError):
            fail(place, f"has no plain value as its default; {cure}")
        defaults[name] = convert(default, TYPES[declared["inferred_type_name"]], place)
    return defaults


def code_of(notebook: Any) -> str:
    """Return the code of a notebook, template or log, that decides its results."""
    return sources(notebook, lambda tags: not tags & NOT_CODE)


def sources(notebook: Any, wanted: Callable[[set[str]], bool]) -> str:
    """Return the code of the cells whose tags are wanted."""
    found = []
    for cell in notebook.get("cells", []):
        if cell["cell_type"] == "code" and wanted(set(cell["metadata"].get("tags", []))):
            found.append("".join(cell["source"]))  # a source may be a list of lines
    return "\n".join(found)


def convert_parameters(value: Any, template: Template, place: str) -> dict[str, Any]:
    """Return parameters in the types that the template declares; refuse unknown ones."""
    parameters = mapping(value, place, template.defaults)
    return {
        name: convert(given, type(template.defaults[name]), f"{place}: {name}")
        for name, given in parameters.items()
    }


def convert(value: Any, kind: type, place: str) -> Any:
    """Return the value as the declared type where nothing is lost, else refuse it."""
    if {type(value), kind} == {int, float} and abs(value) <= 2**53 and kind(value) == value:
        value = kind(value)
    if type(value) is not kind:
        fail(place, f"must be {KINDS[kind]}, not {shorten(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        fail(place, f"must be a finite number, not {value}")
    if isinstance(value, int) and abs(value) >= 2**63:
        fail(place, f"must be below 2**63, not {shorten(value)}")
    if isinstance(value, str) and not value.isprintable() and re.search(r"[\ud800-\udfff]", value):
        fail(place, f"must be valid Unicode, not {shorten(value)}")
    return value
