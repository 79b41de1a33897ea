"""The parameters that a template declares, and what may be given for them.

A declaration is a plain assignment, `name = value` or `name: type = value`. Its value and type say what a study
may give: the same type, where nothing is lost by the conversion. All values are plain: what JSON can hold.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

from nbstudy.checks import STUDY_KEYS, Faults, fail, mapping, shorten
from nbstudy.numbers import is_number
from nbstudy.study.notebook import Cell

KINDS: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text, in quotes",
    list: "a list",
    dict: "a mapping",
    NoneType: "null",
}
TYPES: dict[str, type] = {
    "int": int, "float": float, "bool": bool, "str": str, "list": list, "List": list, "dict": dict, "Dict": dict,
}  # fmt: skip
CHECKED = "int, float, bool, str, list, dict, list[int], dict[str, float], Any, and these with | or Optional"
RANGE_ENDS = (
    ("from", "to"),
    ("min", "max"),
    ("low", "high"),
)  # as those write a range who mean one to be drawn from
LARGEST_VALUE = 10_000  # items of a list or mapping
DEEPEST_VALUE = 20  # lists in lists


@dataclass(frozen=True)
class Declaration:
    """What may be given for a parameter: a value of one of these types, anything plain where there are none."""

    kinds: tuple[type, ...] = ()
    items: Declaration | None = None  # of a list's items and a mapping's values; None for anything plain

    def __or__(self, other: Declaration) -> Declaration:
        if not self.kinds or not other.kinds:
            return ANYTHING
        if self.items and other.items:
            raise ValueError("two types of items")
        return Declaration(self.kinds + other.kinds, self.items or other.items)


ANYTHING = Declaration()
TEXT = Declaration((str,))
WHOLE_NUMBER = Declaration((int,))
NUMBER = Declaration((float,))


# --- the cell ---
def read_parameters(cell: Cell, faults: Faults) -> tuple[dict[str, Any], dict[str, Declaration]]:
    """Return what a cell declares: defaults and declarations by name; add to the faults what is no declaration."""
    defaults: dict[str, Any] = {}
    declarations: dict[str, Declaration] = {}
    for statement in cell.tree.body:
        line = f"{cell.place}, line {statement.lineno}"
        with faults:
            name, annotation, value = read_assignment(statement, cell.source, line)
            place = f"{line}: parameter {name}"
            if name in defaults:
                fail(place, "is assigned twice; remove one of the two")
            if name in STUDY_KEYS:
                fail(place, "has a name that means something else in a study file; rename it")
            defaults[name] = None  # so that a second assignment is seen, whatever is wrong with this one
            given = literal(value, place)
            declarations[name] = read_type(annotation, given, place)
            defaults[name] = convert(given, declarations[name], place)
    return defaults, declarations


def read_assignment(statement: ast.stmt, source: str, place: str) -> tuple[str, ast.expr | None, ast.expr]:
    """Return name, type and value of a plain assignment; refuse every other statement."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name, None, value
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=ast.expr() as value):
            return name, annotation, value
    text = shorten(source.splitlines()[statement.lineno - 1].strip())
    fail(
        place,
        f"{text} is no plain assignment, `name = value` or `name: type = value`; move it to another cell",
    )


def literal(value: ast.expr, place: str) -> Any:
    """Return a value that is written out; refuse one that must be computed."""
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        computed = shorten(ast.unparse(value))
        fail(
            place, f"has no plain value, but {computed}; write the value itself, and compute in another cell"
        )


def read_type(annotation: ast.expr | None, default: Any, place: str) -> Declaration:
    """Return what a type lets through or, without one, what the default does."""
    if annotation is not None:
        try:
            return read_annotation(annotation)
        except (ValueError, KeyError, SyntaxError):
            written = ast.unparse(annotation)
            fail(place, f"has the type {written}, which cannot be checked; leave it out, or use {CHECKED}")
    if default is None:
        return ANYTHING
    if type(default) in (int, float):
        return Declaration((int, float))  # C = 1 may be 0.1
    return Declaration((type(default),))


def read_annotation(node: ast.expr) -> Declaration:
    """Return what a type lets through; raise ValueError, KeyError or SyntaxError where it is not known."""
    match node:
        case ast.Constant(value=None):
            return Declaration((NoneType,))
        case ast.Constant(value=str(text)):
            return read_annotation(ast.parse(text, mode="eval").body)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return read_annotation(left) | read_annotation(right)
        case ast.Subscript(value=value, slice=inner):
            return read_subscript(last_name(value), inner)
    name = last_name(node)
    if name == "Any":
        return ANYTHING
    return Declaration((TYPES[name],))


def read_subscript(name: str, inner: ast.expr) -> Declaration:
    """Return what `name[inner]` lets through."""
    match name, inner:
        case "Optional", _:
            return read_annotation(inner) | Declaration((NoneType,))
        case "Union", ast.Tuple(elts=[first, *others]):
            union = read_annotation(first)
            for other in others:
                union |= read_annotation(other)
            return union
        case (("list" | "List"), _):
            return Declaration((list,), read_annotation(inner))
        case (("dict" | "Dict"), ast.Tuple(elts=[ast.Name(id="str"), values])):
            return Declaration((dict,), read_annotation(values))
    raise ValueError(name)


def last_name(node: ast.expr) -> str:
    """Return the name of a type, without the module that it comes from."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    raise ValueError("not a name")


# --- values ---
def convert(value: Any, declared: Declaration, place: str) -> Any:
    """Return a copy of the value in a declared type where nothing is lost by it, else refuse it."""
    check_size(value, place)
    return convert_items(value, declared, place)


def convert_given(value: Any, declared: Declaration, default: Any, place: str) -> Any:
    """Return what a study gives for a parameter as `convert` does; refuse a range, from which nothing would be drawn."""
    check_size(value, place)
    check_is_no_range(value, declared, default, place)
    return convert_items(value, declared, place)


def check_is_no_range(value: Any, declared: Declaration, default: Any, place: str) -> None:
    """Refuse what looks like a range, at any depth, where neither type nor default says that a mapping belongs there."""
    inner = declared.items or ANYTHING
    if isinstance(value, list):
        usual = default if isinstance(default, list) else []
        usual_mapping = next((item for item in usual if isinstance(item, dict)), None)
        for at, item in enumerate(value, 1):
            check_is_no_range(item, inner, usual_mapping, f"{place}: item {at}")
    if not isinstance(value, dict):
        return
    is_mapping = dict in declared.kinds or isinstance(default, dict)
    ends = ends_of_range(value)
    if ends and not is_mapping:
        low, high = ends
        what = f"{shorten(value)} is a range, and nothing is drawn from it here"
        cure = f"did you mean a field {{from: {low}, to: {high}}} of a row of `grid` with `sample: N`?"
        if not declared.kinds and default is None:
            cure += " If a mapping is meant, let the template say so by a type, `dict` or, inside of one, `dict[str, dict]`"
        fail(place, f"{what}; {cure}")
    for key, item in value.items():
        usual_item = default.get(key) if isinstance(default, dict) else None
        check_is_no_range(item, inner, usual_item, f"{place}: {key}")


def ends_of_range(value: Mapping[Any, Any]) -> tuple[float, float] | None:
    """Return the ends of a mapping that looks like a range of numbers; None where it does not."""
    for first, last in RANGE_ENDS:
        low, high = value.get(first), value.get(last)
        if is_number(low) and is_number(high):
            return low, high
    return None


def check_size(value: Any, place: str) -> None:
    """Refuse lists and mappings that are very large or deep, or hold themselves, as YAML's aliases allow."""
    waiting = [(value, 0)]
    seen = 0
    while waiting:
        each, depth = waiting.pop()
        seen += 1
        if seen > LARGEST_VALUE or depth > DEEPEST_VALUE:
            fail(place, f"must hold at most {LARGEST_VALUE:,} values, {DEEPEST_VALUE} levels deep")
        if isinstance(each, list):
            waiting.extend((item, depth + 1) for item in each)
        elif isinstance(each, dict):
            waiting.extend((item, depth + 1) for item in each.values())


def convert_items(value: Any, declared: Declaration, place: str) -> Any:
    """Return a copy of the value, and of what it holds, in the declared types, or refuse it."""
    value = convert_number(value, declared.kinds)
    if declared.kinds and type(value) not in declared.kinds:
        fail(place, f"must be {describe_kinds(declared.kinds)}, not {shorten(value)}")
    if isinstance(value, list):
        items = enumerate(value, 1)
        return [convert_items(item, declared.items or ANYTHING, f"{place}: item {at}") for at, item in items]
    if isinstance(value, dict):
        converted = {}
        for key, item in mapping(value, place).items():
            check_plain(key, place)
            converted[key] = convert_items(item, declared.items or ANYTHING, f"{place}: {key}")
        return converted
    check_plain(value, place)
    return value


def convert_number(value: Any, kinds: tuple[type, ...]) -> Any:
    """Return a number in the type that is declared for it, as it is where that would lose something."""
    if type(value) not in (int, float) or type(value) in kinds:
        return value
    for kind in kinds:
        if kind in (int, float) and abs(value) <= 2**53 and kind(value) == value:
            return kind(value)
    return value


def check_plain(value: Any, place: str) -> None:
    """Refuse what JSON and another machine cannot take as it is."""
    if isinstance(value, tuple | set):
        fail(place, f"must be a list, as in [1, 2], not {shorten(value)}")
    if type(value) not in KINDS:
        fail(place, f"must be a number, text, true, false, null, a list or a mapping, not {shorten(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        fail(place, f"must be a finite number, not {value}")
    if isinstance(value, int) and abs(value) >= 2**63:
        fail(place, f"must be below 2**63, not {shorten(value)}")
    if isinstance(value, str) and not value.isprintable() and re.search(r"[\ud800-\udfff]", value):
        fail(place, f"must be valid Unicode, not {shorten(value)}")


def describe_kinds(kinds: tuple[type, ...]) -> str:
    """Say what is asked for, as in "a number or null"."""
    words = [KINDS[kind] for kind in kinds if kind is not int or float not in kinds]
    return " or ".join(dict.fromkeys(words))


def text_of(value: Any) -> str:
    """Return a value as it stands in a directory's name: [64, 64] as 64-64, {a: 1} as a=1, 1e+16 as 1e16, a/b as a-b."""
    if isinstance(value, list):
        return "-".join(map(text_of, value)) or "empty"
    if isinstance(value, dict):
        return ",".join(f"{key}={text_of(item)}" for key, item in value.items()) or "empty"
    if isinstance(value, float):
        return str(value).replace("+", "")
    return str(value).replace("/", "-")
