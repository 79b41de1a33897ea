"""The configurations that a study file comes to: named ones, products of the grid, replicates, what each extends."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nbstudy.checks import STUDY_KEYS, Faults, check_known, fail, mapping, sequence, shorten
from nbstudy.parameters import ANYTHING, convert
from nbstudy.template import Template, check_parameters, convert_parameters

SEED = "seed"  # the parameter in which replicates differ
NAME = re.compile(r"(?!\.)[A-Za-z0-9_.=,-]{1,100}")  # of a configuration: it is a directory's
FIELD = re.compile(r"\{(\w+)\}")  # in the name of a grid's row
LARGEST_STUDY = 100_000  # configurations


@dataclass(frozen=True)
class Named:
    """What configurations say themselves, in the study's order."""

    own: dict[str, dict[str, Any] | None]  # converted, with `extends`; None where something in it is wrong
    replicates: dict[str, int]  # how many runs each has that says so
    is_whole: bool  # no name is missing because of a row or of replicates that are wrong


def read_configurations(document: Mapping[str, Any], template: Template, file: str, faults: Faults) -> Named:
    """Return what each configuration itself says, those of the grid after the named ones, replicates after each."""
    own: dict[str, dict[str, Any] | None] = {}
    with faults:
        for name, given in mapping(document["configurations"], f"{file}: configurations").items():
            own[name] = None
            with faults:
                own[name] = read_own(given, template, f"{file}: configuration {name}")
    unknown = Faults()  # what leaves names of configurations unknown
    with unknown:
        for number, row in enumerate(sequence(document["grid"], f"{file}: grid"), 1):
            with unknown:
                add_product(row, template, f"{file}: grid row {number}", own)
    if not own and not unknown.found and not faults.found:
        fail(file, "has no configuration; name some under `configurations` or `grid`")
    own, replicates = add_replicates(own, template, file, unknown)
    with faults:
        unknown.end()
    return Named(own, replicates, is_whole=not unknown.found)


def read_own(given: Any, template: Template, place: str) -> dict[str, Any]:
    """Return what a configuration says, its parameters in the declared types."""
    if given is None:  # nothing after the colon
        return {}
    parameters = mapping(given, place)
    settings = {key: parameters.pop(key) for key in sorted(STUDY_KEYS & parameters.keys())}
    return settings | convert_parameters(parameters, template, place)


# --- the grid ---
def add_product(row: Any, template: Template, place: str, own: dict[str, dict[str, Any] | None]) -> None:
    """Expand one row of the grid into configurations: lists multiply, single values stay."""
    fields = mapping(row, place)
    pattern = fields.pop("name", None)
    faults = Faults()
    with faults:
        check_pattern(pattern, fields, place)
    with faults:
        check_parameters(fields.keys() - STUDY_KEYS, template, place)
    axes: dict[str, list[tuple[str, Any]]] = {}
    for field, value in fields.items():
        axes[field] = []
        with faults:
            for each in values_of(field, value, template, place):
                with faults:
                    axes[field].append(read_value(field, each, template, place))
    size = math.prod(map(len, axes.values()))
    with faults:
        if not faults.found and not 1 <= size <= LARGEST_STUDY - len(own):
            fail(place, f"expands to {size} configurations; 1 to {LARGEST_STUDY} a study are possible")
    faults.end()
    for point in itertools.product(*axes.values()):
        texts = {}
        values = {}
        for field, (text, value) in zip(axes, point, strict=True):
            texts[field] = text
            values[field] = value
        name = fill_in(pattern, texts)
        if name in own:
            fail(place, f"makes the name {shorten(name)} again; put what varies into `name`")
        own[name] = values


def check_pattern(pattern: Any, fields: Mapping[str, Any], place: str) -> None:
    """Refuse a name of a grid row that is none, or holds more than bare fields of the row."""
    if not isinstance(pattern, str):
        fail(place, "needs a name, as in `name: mlp_{units}`")
    rest = FIELD.sub("", pattern)
    if "{" in rest or "}" in rest:
        fail(place, f"the name {shorten(pattern)} may hold bare fields only, as in {{units}}")
    check_known(FIELD.findall(pattern), fields, f"{place}: name {shorten(pattern)}")


def values_of(field: str, value: Any, template: Template, place: str) -> list[Any]:
    """Return the values of a field of a grid row: those of a list, or a single one.

    Of a parameter that is a list itself, a list is a single value, and a list of lists holds several.
    """
    if not isinstance(value, list):
        return [value]
    declared = template.declarations.get(field, ANYTHING)
    if list not in declared.kinds:
        return value
    holds_lists = declared.items is not None and list in declared.items.kinds
    if holds_lists or any(isinstance(item, list) for item in template.defaults[field] or []):
        cure = "name configurations with them, and extend those in the grid"
        fail(f"{place}: {field}", f"holds lists of lists, which could be several values or one; {cure}")
    lists = [each for each in value if isinstance(each, list)]
    if not lists:
        return [value]
    if len(lists) < len(value):
        cure = "write one list, [64, 64], for one value, and lists in a list, [[64], [64, 64]], for several"
        fail(f"{place}: {field}", f"mixes lists and single values in {shorten(value)}; {cure}")
    return value


def read_value(field: str, value: Any, template: Template, place: str) -> tuple[str, Any]:
    """Return a value of a grid row as it stands in a name, as it was written, and in its declared type."""
    declared = template.declarations.get(field, ANYTHING)
    converted = convert(value, declared, f"{place}: {field}")
    return text_of(value), converted


def fill_in(pattern: str, texts: Mapping[str, str]) -> str:
    """Return a grid row's name for one point; a value that itself looks like a field stays as it is."""
    return FIELD.sub(lambda field: texts[field[1]], pattern)


def text_of(value: Any) -> str:
    """Return a value as it stands in a directory's name: [64, 64] as 64-64, {a: 1} as a=1, 1e+16 as 1e16."""
    if isinstance(value, list):
        return "-".join(map(text_of, value)) or "empty"
    if isinstance(value, dict):
        return ",".join(f"{key}={text_of(item)}" for key, item in value.items()) or "empty"
    if isinstance(value, float):
        return str(value).replace("+", "")
    return str(value)


# --- replicates ---
def add_replicates(
    own: Mapping[str, dict[str, Any] | None], template: Template, file: str, faults: Faults
) -> tuple[dict[str, dict[str, Any] | None], dict[str, int]]:
    """Write out `replicates: N` as NAME and NAME_seed_1 to NAME_seed_(N-1); return all, and each NAME's N."""
    written_out: dict[str, dict[str, Any] | None] = {}
    replicates = {}
    for name, given in own.items():
        written_out[name] = given
        if given is None or "replicates" not in given:
            continue
        place = f"{file}: configuration {name}: replicates"
        number = given["replicates"]
        written_out[name] = {key: value for key, value in given.items() if key != "replicates"}
        with faults:
            check_replicates(number, LARGEST_STUDY - len(written_out), given, template, place)
            replicates[name] = number
            for seed in range(1, number):
                replicate = f"{name}_{SEED}_{seed}"
                if replicate in own:
                    fail(place, f"makes the name {replicate} again; remove one of the two")
                written_out[replicate] = {"extends": name, SEED: seed}
    return written_out, replicates


def check_replicates(
    number: Any, most: int, given: Mapping[str, Any], template: Template, place: str
) -> None:
    """Refuse replicates that are no number, or that could not differ in their seed."""
    if type(number) is not int or not 1 <= number <= most:
        fail(place, f"must be a whole number, at least 1, not {shorten(number)}")
    if type(template.defaults.get(SEED)) is not int:
        fail(place, f"need a parameter `{SEED}: int` in {template.file}, which has none")
    if SEED in given:
        fail(place, f"cannot stand beside a {SEED}; leave the {SEED} out, or list seeds in a grid")


def check_replicates_differ(
    named: Named, configurations: Mapping[str, Mapping[str, Any]], overridden: Mapping[str, Any], file: str
) -> None:
    """Refuse replicates that would all be given the same seed, or one of them that of its first."""
    faults = Faults()
    for name, number in named.replicates.items():
        with faults:
            if SEED in overridden:
                fail(f"-p {SEED}", f"would give all replicates of {name} the same {SEED}; leave it out")
            own = configurations.get(name, {}).get(SEED)
            if own in range(1, number):
                place = f"{file}: configuration {name}: replicates"
                source = "`defaults`"  # whose seed counts before the template's
                if SEED in (resolve(name, named, place) or {}):
                    source = "what it extends"
                cure = f"write `{SEED}: 0` into {source}"
                fail(place, f"{name}_{SEED}_{own} would repeat {name}, which inherits {SEED} {own}; {cure}")
    faults.end()


# --- names, and what extends what ---
def check_names(names: Iterable[str], place: str, taken: set[str]) -> None:
    """Refuse names that cannot be directories of their own on every file system."""
    faults = Faults()
    seen = {name.lower(): name for name in taken}
    for name in names:
        with faults:
            if not NAME.fullmatch(name):
                cure = "use letters, digits and _ - . = , (no leading dot, at most 100)"
                fail(place, f"the name {shorten(name)} cannot be a directory's; {cure}")
            if name.lower() in seen:
                fail(place, f"the name {name!r} is taken by {seen[name.lower()]!r}; choose another")
        seen[name.lower()] = name
    faults.end()


def resolve(name: str, named: Named, place: str) -> dict[str, Any] | None:
    """Return what a configuration and those it extends say; what is nearer wins.

    None where something in one of them is wrong, which has been said.
    """
    chain: dict[str, dict[str, Any]] = {}
    base: Any = name
    while base is not None:
        if named.is_whole or not isinstance(base, str):
            check_known([base], named.own, f"{place}: extends")
        given = named.own.get(base)
        if given is None:
            return None
        if base in chain:
            fail(place, f"`extends` is circular: {' -> '.join([*chain, base])}")
        chain[base] = given
        base = given.get("extends")
    resolved: dict[str, Any] = {}
    for own in reversed(chain.values()):
        resolved.update(own)
    resolved.pop("extends", None)
    return resolved
