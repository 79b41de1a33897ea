"""The configurations that a study file comes to: named ones, rows of the grid, replicates, what each extends."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nbstudy.checks import STUDY_KEYS, Faults, check_known, fail, mapping, sequence, shorten
from nbstudy.numbers import is_number
from nbstudy.study.parameters import ANYTHING, WHOLE_NUMBER, Declaration, convert, convert_given, text_of
from nbstudy.study.sampling import Axis, Level, Options, Range, draw
from nbstudy.study.template import Template, check_parameters, convert_parameters

SEED = "seed"  # the parameter in which replicates differ
NAME = re.compile(r"(?!\.)[A-Za-z0-9_.=,-]{1,100}")  # of a configuration: it is a directory's
FIELD = re.compile(r"\{(\w+)\}")  # in the name of a grid's row
LARGEST_STUDY = 100_000  # configurations
ROW_KEYS = (
    "name",
    "sample",
    "sample_seed",
    "invalid",
)  # of a row of the grid, beside what configurations say
NUMBER = "n"  # the field of a point's number in the name of a row that is sampled
RANGE_KEYS = ("from", "to", "scale")
SCALES = ("linear", "log")

Point = dict[str, Level]  # of a row, by field


@dataclass(frozen=True)
class Named:
    """What configurations say themselves, in the study's order."""

    own: dict[str, dict[str, Any] | None]  # converted, with `extends`; None where something in it is wrong
    replicates: dict[str, int]  # how many runs each has that says so
    dispensable: dict[str, str]  # the row of each that is left out where the template refuses it
    remarks: list[str]  # what a person should know of how they came about
    is_whole: bool  # no name is missing because of a row or of replicates that are wrong
    replicable: dict[str, int]  # those that can say `replicates` in the file, and how many runs each has now

    def runs(self) -> dict[str, list[str]]:
        """Return the runs of each configuration that is no replicate of another: itself and its replicates."""
        runs = {}
        replicates = set()
        for name in self.own:
            if name not in replicates:
                number = self.replicates.get(name, 1)
                runs[name] = [name, *(replicate_of(name, seed) for seed in range(1, number))]
                replicates.update(runs[name])
        return runs


def read_configurations(document: Mapping[str, Any], template: Template, file: str, faults: Faults) -> Named:
    """Return what each configuration itself says, those of the grid after the named ones, replicates after each."""
    own: dict[str, dict[str, Any] | None] = {}
    dispensable: dict[str, str] = {}
    remarks: list[str] = []
    with faults:
        for name, given in mapping(document["configurations"], f"{file}: configurations").items():
            own[name] = None
            with faults:
                own[name] = read_own(given, template, f"{file}: configuration {name}")
    names = [*own]  # those that have a line of their own
    unknown = Faults()  # what leaves names of configurations unknown
    with unknown:
        for number, given in enumerate(sequence(document["grid"], f"{file}: grid"), 1):
            place = f"{file}: grid row {number}"
            with unknown:
                row = read_row(given, template, place, LARGEST_STUDY - len(own))
                points = row.points()
                add_points(row, points, place, own)
                if row.skips_invalid:
                    dispensable |= {row.name_of(point): place for point in points}
                if row.sample is not None and len(points) < row.sample:
                    equal = row.sample - len(points)
                    remarks.append(
                        f"{place}: {equal} of {row.sample} points equal earlier ones and are left out"
                    )
    if not own and not unknown.found and not faults.found:
        fail(file, "has no configuration; name some under `configurations` or `grid`")
    replicable = [name for name in names if SEED not in (own[name] or {})]
    own, replicates = add_replicates(own, template, file, unknown)
    for name, number in replicates.items():
        if name in dispensable:
            dispensable |= {replicate_of(name, seed): dispensable[name] for seed in range(1, number)}
    with faults:
        unknown.end()
    return Named(
        own,
        replicates,
        dispensable,
        remarks,
        is_whole=not unknown.found,
        replicable={name: replicates.get(name, 1) for name in replicable},
    )


def read_own(given: Any, template: Template, place: str) -> dict[str, Any]:
    """Return what a configuration says, its parameters in the declared types."""
    if given is None:  # nothing after the colon
        return {}
    parameters = mapping(given, place)
    settings = {key: parameters.pop(key) for key in sorted(STUDY_KEYS & parameters.keys())}
    return settings | convert_parameters(parameters, template, place)


# --- the grid ---
@dataclass(frozen=True)
class Row:
    """A row of the grid: a product of its axes, or points drawn from them."""

    pattern: str  # of its names
    axes: dict[str, Axis]  # by field
    sample: int | None  # how many points are drawn; None: all of the product
    sample_seed: int
    skips_invalid: bool  # whether points that the template refuses are left out

    @property
    def size(self) -> int:
        """The number of its points, equal ones included."""
        if self.sample is not None:
            return self.sample
        return math.prod(len(axis.levels) for axis in self.axes.values() if isinstance(axis, Options))

    def points(self) -> list[Point]:
        """Return its points; of equal ones that were drawn, the first."""
        if self.sample is None:
            levels = [axis.levels for axis in self.axes.values() if isinstance(axis, Options)]
            product = itertools.product(*levels)
            return [dict(zip(self.axes, point, strict=True)) for point in product]
        different: dict[str, Point] = {}
        for number, point in enumerate(draw(self.axes, self.sample, self.sample_seed)):
            values = {field: level.value for field, level in point.items()}
            different.setdefault(json.dumps(values), point | {NUMBER: Level(str(number), number)})
        return list(different.values())

    def name_of(self, point: Point) -> str:
        """Return its name for a point; a value that itself looks like a field stays as it is."""
        return FIELD.sub(lambda field: point[field[1]].text, self.pattern)

    def values_at(self, point: Point) -> dict[str, Any]:
        """Return what the configuration of a point says."""
        return {field: point[field].value for field in self.axes}


def read_row(given: Any, template: Template, place: str, most: int) -> Row:
    """Return a row of the grid that comes to at most so many configurations, or refuse it."""
    fields = mapping(given, place)
    keys = {key: fields.pop(key) for key in ROW_KEYS if key in fields}
    is_sampled = "sample" in keys
    faults = Faults()
    with faults:
        check_keys(keys, template, place)
    with faults:
        known = [*fields]
        if is_sampled:
            known.append(NUMBER)
        check_pattern(keys.get("name"), known, place)
    with faults:
        check_parameters(fields.keys() - STUDY_KEYS, template, place)
    axes: dict[str, Axis] = {}
    for field, value in fields.items():
        with faults:
            axes[field] = read_axis(field, value, template, place, is_sampled)
    if is_sampled and not faults.found and all(axis.is_fixed for axis in axes.values()):
        with faults:
            fail(
                f"{place}: sample",
                "has nothing to draw from; give a field a range, {from: 1, to: 9}, or a list",
            )
    faults.end()
    skips_invalid = "invalid" in keys
    row = Row(keys["name"], axes, keys.get("sample"), keys.get("sample_seed", 0), skips_invalid)
    if not 1 <= row.size <= most:
        fail(place, f"expands to {row.size} configurations; 1 to {LARGEST_STUDY} a study are possible")
    return row


def add_points(row: Row, points: Iterable[Point], place: str, own: dict[str, dict[str, Any] | None]) -> None:
    """Add a configuration for each point of a row."""
    for point in points:
        name = row.name_of(point)
        if name in own:
            cure = "put what varies into `name`"
            values = [*(own[name] or {}).values(), *row.values_at(point).values()]
            if any("/" in str(value) for value in values):
                cure += ", where a value's / is written -"
            fail(place, f"makes the name {shorten(name)} again; {cure}")
        own[name] = row.values_at(point)


def check_keys(keys: Mapping[str, Any], template: Template, place: str) -> None:
    """Refuse keys of a row whose values make no sense, and those that could be a parameter's name."""
    faults = Faults()
    names = [*keys]
    if "sample" in keys:
        names.append(NUMBER)
    for name in names:
        if name in template.defaults:
            with faults:
                cure = "rename the parameter, or write the configurations out under `configurations`"
                fail(
                    place,
                    f"`{name}` could be the row's own or {template.file}'s parameter of that name; {cure}",
                )
    with faults:
        if "sample" in keys:
            check_count(keys["sample"], 1, f"{place}: sample")
    with faults:
        if "sample_seed" in keys:
            if "sample" not in keys:
                fail(f"{place}: sample_seed", "needs `sample: N`, the number of points to draw")
            check_count(keys["sample_seed"], 0, f"{place}: sample_seed")
    with faults:
        if "invalid" in keys:
            check_known([keys["invalid"]], ["skip"], f"{place}: invalid")
    faults.end()


def check_count(value: Any, least: int, place: str) -> None:
    """Refuse what is no whole number, or a smaller one."""
    if convert(value, WHOLE_NUMBER, place) < least:
        fail(place, f"must be at least {least}, not {value}")


def check_pattern(pattern: Any, fields: Collection[str], place: str) -> None:
    """Refuse a name of a grid row that is none, or holds more than bare fields of the row."""
    if not isinstance(pattern, str):
        fail(place, "needs a name, as in `name: mlp_{units}`")
    rest = FIELD.sub("", pattern)
    if "{" in rest or "}" in rest:
        fail(place, f"the name {shorten(pattern)} may hold bare fields only, as in {{units}}")
    check_known(FIELD.findall(pattern), fields, f"{place}: name {shorten(pattern)}")


def read_axis(field: str, value: Any, template: Template, place: str, is_sampled: bool) -> Axis:
    """Return what a field of a row says as an axis: a single value, a list of them, or a range."""
    declared = template.declarations.get(field, ANYTHING)
    default = template.defaults.get(field)
    is_range = isinstance(value, dict) and value.keys() & {"from", "to"} and dict not in declared.kinds
    if is_range and is_sampled:
        return read_range(value, declared, default, f"{place}: {field}")
    if is_range and declared.kinds:
        fail(
            f"{place}: {field}",
            "is a range, which needs `sample: N`, the number of points to draw, in the row",
        )
    faults = Faults()
    levels = []
    for each in values_of(field, value, template, place):
        with faults:
            converted = convert_given(each, declared, default, f"{place}: {field}")
            levels.append(Level(text_of(each), converted))
    faults.end()
    if is_sampled and not levels:
        fail(f"{place}: {field}", "is an empty list; name the values to draw from, or give it a range")
    return Options(levels)


def read_range(value: Mapping[str, Any], declared: Declaration, default: Any, place: str) -> Range:
    """Return a range of numbers, in the type that is declared or that the default has, or refuse it."""
    check_known(value, RANGE_KEYS, place)
    faults = Faults()
    for key in ("from", "to"):
        with faults:
            if key not in value:
                fail(place, f"is a range without `{key}`; write both ends, as in {{from: 1, to: 9}}")
    faults.end()
    ends = []
    for key in ("from", "to"):
        with faults:
            end = convert(value[key], declared, f"{place}: {key}")
            if not is_number(end):
                fail(f"{place}: {key}", f"must be a number, not {shorten(end)}")
            ends.append(end)
    scale = value.get("scale", "linear")
    with faults:
        check_known([scale], SCALES, f"{place}: scale")
    faults.end()
    low, high = ends
    if low > high:
        fail(place, f"goes from {low} to {high}; write the lower number first")
    if scale == "log" and low <= 0:
        fail(place, f"goes from {low}, which has no logarithm; begin above 0, or leave `scale: log` out")
    if not math.isfinite(high - low):
        fail(place, f"goes from {low} to {high}, which is wider than numbers are; narrow it")
    is_whole = isinstance(low, int) and isinstance(high, int) and not isinstance(default, float)
    return Range(low, high, scale == "log", is_whole)


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
                replicate = replicate_of(name, seed)
                if replicate in own:
                    fail(place, f"makes the name {replicate} again; remove one of the two")
                written_out[replicate] = {"extends": name, SEED: seed}
    return written_out, replicates


def replicate_of(name: str, seed: int) -> str:
    """Return the name of a configuration's replicate with a seed."""
    return f"{name}_{SEED}_{seed}"


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
