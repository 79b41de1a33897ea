"""A study file, read and checked: every mistake is found before anything runs.

A study is data. What it says is converted to the types that its template notebook declares, refused where it
makes no sense, and handed over as one resolved configuration a run.
"""

from __future__ import annotations

import fnmatch
import itertools
import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

from nbstudy.checks import StudyError, check_known, fail, mapping, sequence, shorten
from nbstudy.files import FORMAT, NOTEBOOKS
from nbstudy.template import Template, convert, convert_parameters, read_template

SEED = "seed"  # the parameter in which replicates differ
NAME = re.compile(r"(?!\.)[A-Za-z0-9_.=,-]{1,100}")  # of a configuration: it is a directory's
RESERVED = {"incomplete", "study.json", "results.csv", "elimination.png", "test.json"}  # in outputs/<study>/
TEST_SETS = ["fashion_mnist"]  # that the summary can open
LARGEST_FILE = 1_000_000  # bytes
LARGEST_STUDY = 100_000  # configurations


@dataclass(frozen=True)
class Study:
    """All that a study file and the overrides of a command ask for."""

    name: str
    notebooks: dict[str, str]  # file by role: prepare, run, summary
    template: Template
    overrides: dict[str, Any]
    configurations: dict[str, dict[str, Any]]  # every parameter of the template
    flops: dict[str, float]  # of a whole run; 0 where the template does not say
    lengthens: str | None  # the parameter whose increase continues a finished run
    rounds: list[dict[str, Any]]
    final: str | None
    test: str | None  # the test set that `final` meets

    @property
    def directory(self) -> str:
        """The name of the study's outputs: its own, and the overrides."""
        return "+".join([self.name, *(f"{name}={value}" for name, value in self.overrides.items())])

    @property
    def prepare(self) -> tuple[str, str] | None:
        """The file and the text of the notebook that a host executes before its first run."""
        file = self.notebooks.get("prepare")
        if file is None:
            return None
        return file, (NOTEBOOKS / file).read_text(encoding="utf-8")

    def select(self, patterns: Collection[str]) -> list[str]:
        """Return the names of the configurations that match a pattern, all if there is no pattern."""
        if not patterns:
            return list(self.configurations)
        selected: set[str] = set()
        for pattern in patterns:
            matching = fnmatch.filter(self.configurations, pattern)
            if not matching:
                check_known([pattern], self.configurations, "--only")
            selected.update(matching)
        return [name for name in self.configurations if name in selected]

    def record(self) -> dict[str, Any]:
        """Return what study.json says: all that was asked, and hashes of code that is the same."""
        return {
            "format": FORMAT,
            "name": self.name,
            "notebooks": self.notebooks,
            "overrides": self.overrides,
            "configurations": self.configurations,
            "flops": self.flops,
            "lengthens": self.lengthens,
            "rounds": self.rounds,
            "final": self.final,
            "test": self.test,
            "code": [code for code, is_same in self.template.same_code.items() if is_same],
            "defaults": self.template.defaults,
        }


def load_study(file: Path, overrides: Iterable[tuple[str, str]] = ()) -> Study:
    """Return the study that a file holds; raise StudyError where anything is wrong."""
    document = read_document(file)
    notebooks = check_notebooks(document["notebooks"], f"{file}: notebooks")
    template = read_template(NOTEBOOKS / notebooks["run"])
    overridden = parse_overrides(overrides, template)
    given = read_configurations(document, file)
    replicates = add_replicates(given, file)
    check_seed(replicates, template, overridden, file)
    check_names(given, f"{file}: configurations", RESERVED | set(notebooks.values()))
    defaults = convert_parameters(document["defaults"], template, f"{file}: defaults")

    preflight = compile(template.preflight, f"{template.file}: preflight", "exec")
    configurations: dict[str, dict[str, Any]] = {}
    flops: dict[str, float] = {}
    lengthens = None
    for name in given:
        place = f"{file}: configuration {name}"
        own = convert_parameters(resolve(name, given, place), template, place)
        configurations[name] = template.defaults | defaults | own | overridden
        declared = run_preflight(preflight, configurations[name], place)
        flops[name] = float(declared.get("flops", 0))
        lengthens = declared.get("lengthens")

    check_replicates_differ(replicates, configurations, file)
    rounds = check_rounds(document["rounds"], f"{file}: rounds", configurations)
    if document["final"] is not None:
        check_known([document["final"]], configurations, f"{file}: final")
    if document["test"] is not None:
        check_known([document["test"]], TEST_SETS, f"{file}: test")
    return Study(
        name=file.stem,
        notebooks=notebooks,
        template=template,
        overrides=overridden,
        configurations=configurations,
        flops=flops,
        lengthens=lengthens,
        rounds=rounds,
        final=document["final"],
        test=document["test"],
    )


# --- the file ---
def read_document(file: Path) -> dict[str, Any]:
    """Return what a study file says, with what it leaves out as empty; refuse keys it cannot have."""
    empty: dict[str, Any] = {
        "notebooks": {},
        "defaults": {},
        "configurations": {},
        "grid": [],
        "rounds": [],
        "final": None,
        "test": None,
    }
    return empty | mapping(read_yaml(file), str(file), empty)


def read_yaml(file: Path) -> Any:
    """Return what a YAML 1.2 file holds: data only, no tags, no duplicate keys."""
    from ruamel.yaml import YAML

    try:
        text = file.read_text(encoding="utf-8")
        if len(text) > LARGEST_FILE:
            fail(str(file), f"is larger than {LARGEST_FILE:,} bytes; use `grid` for many configurations")
        return YAML(typ="safe", pure=True).load(text)
    except StudyError:
        raise
    except OSError as error:
        fail(str(file), f"cannot be read: {error.strerror}; name a study, as params/smoke.yaml")
    except Exception as error:  # noqa: BLE001 - ruamel.yaml lets all kinds through
        fail(str(file), f"is not valid YAML 1.2: {error}".split("\n\n")[0])


def check_notebooks(value: Any, place: str) -> dict[str, str]:
    """Return the notebook files by role: prepare, run, summary."""
    notebooks = mapping(value, place, ["prepare", "run", "summary"])
    if "run" not in notebooks:
        fail(place, "`run` is missing; name the template, as in `run: train.ipynb`")
    available = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
    check_known(notebooks.values(), available, place)
    return notebooks


# --- overrides of the command line ---
def parse_overrides(overrides: Iterable[tuple[str, str]], template: Template) -> dict[str, Any]:
    """Return `-p NAME VALUE` pairs in the template's types, in the order of their names."""
    values: dict[str, Any] = {}
    for name, text in sorted(overrides):
        check_known([name], template.defaults, "-p")
        if name in values:
            fail(f"-p {name}", "is given twice")
        if not NAME.fullmatch(text):
            fail(f"-p {name}", f"{shorten(text)} cannot be part of a directory's name")
        if type(template.defaults[name]) is str:
            values[name] = text
        else:
            values[name] = parse_scalar(text)
    return convert_parameters(values, template, "-p")


def parse_scalar(text: str) -> Any:
    """Return what YAML takes a text for, the text itself where it takes it for nothing."""
    from ruamel.yaml import YAML

    try:
        return YAML(typ="safe", pure=True).load(text)
    except Exception:  # noqa: BLE001 - ruamel.yaml lets all kinds through
        return text


# --- configurations ---
def read_configurations(document: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return what each configuration itself says, those of the grid after the named ones."""
    given: dict[str, Any] = {}
    for name, own in mapping(document["configurations"], f"{file}: configurations").items():
        given[name] = own
        if own is None:  # nothing after the colon
            given[name] = {}
    for number, row in enumerate(sequence(document["grid"], f"{file}: grid"), 1):
        add_product(row, f"{file}: grid row {number}", given)
    if not given:
        fail(str(file), "has no configuration; name some under `configurations` or `grid`")
    return given


def add_product(row: Any, place: str, given: dict[str, Any]) -> None:
    """Expand one row of the grid into the given configurations: lists multiply, single values stay."""
    fields = mapping(row, place)
    pattern = fields.pop("name", None)
    check_pattern(pattern, fields, place)
    axes = {}
    for field, value in fields.items():
        axes[field] = value
        if not isinstance(value, list):
            axes[field] = [value]
    size = math.prod(map(len, axes.values()))
    if size == 0 or len(given) + size > LARGEST_STUDY:
        fail(place, f"expands to {size} configurations; 1 to {LARGEST_STUDY} a study are possible")
    for point in itertools.product(*axes.values()):
        values = dict(zip(axes, point, strict=True))
        name = fill_in(pattern, values)
        if name in given:
            fail(place, f"makes the name {shorten(name)} again; put what varies into `name`")
        given[name] = values


def check_pattern(pattern: Any, fields: Collection[str], place: str) -> None:
    """Refuse a name of a grid row that is none, or holds more than bare fields of the row."""
    if not isinstance(pattern, str):
        fail(place, "needs a name, as in `name: mlp_{units}`")
    bare_field = re.compile(r"\{(\w+)\}")
    rest = bare_field.sub("", pattern)
    if "{" in rest or "}" in rest:
        fail(place, f"the name {shorten(pattern)} may hold bare fields only, as in {{units}}")
    check_known(bare_field.findall(pattern), fields, f"{place}: name {shorten(pattern)}")


def fill_in(pattern: str, values: dict[str, Any]) -> str:
    """Return a grid row's name for one point; a value that itself looks like a field stays as it is."""
    return re.sub(r"\{(\w+)\}", lambda field: str(values[field[1]]), pattern)


# --- replicates ---
def add_replicates(given: dict[str, Any], file: Path) -> dict[str, int]:
    """Write out `replicates: N`: NAME, then NAME_seed_1 to NAME_seed_(N-1); return each NAME's N."""
    written_out: dict[str, Any] = {}
    replicates = {}
    for name, own in given.items():
        written_out[name] = own
        if not isinstance(own, dict) or "replicates" not in own:
            continue
        place = f"{file}: configuration {name}: replicates"
        written_out[name] = {key: value for key, value in own.items() if key != "replicates"}
        number = own["replicates"]
        if type(number) is not int or not 1 <= number <= LARGEST_STUDY - len(written_out):
            fail(place, f"must be a whole number, at least 1, not {shorten(number)}")
        if SEED in own:
            fail(place, f"cannot stand beside a {SEED}; leave the {SEED} out, or list seeds in a grid")
        replicates[name] = number
        for seed in range(1, number):
            replicate = f"{name}_{SEED}_{seed}"
            if replicate in given:
                fail(place, f"makes the name {replicate} again; remove one of the two")
            written_out[replicate] = {"extends": name, SEED: seed}
    given.clear()
    given.update(written_out)
    return replicates


def check_seed(
    replicates: dict[str, int], template: Template, overridden: dict[str, Any], file: Path
) -> None:
    """Refuse replicates of a template without a seed, and those that would all be given the same one."""
    for name in replicates:
        if type(template.defaults.get(SEED)) is not int:
            place = f"{file}: configuration {name}: replicates"
            fail(place, f"need a parameter `{SEED}: int` in {template.file}, which has none")
        if SEED in overridden:
            fail(f"-p {SEED}", f"would give all replicates of {name} the same {SEED}; leave it out")


def check_replicates_differ(
    replicates: dict[str, int], configurations: dict[str, dict[str, Any]], file: Path
) -> None:
    """Refuse a configuration whose inherited seed is that of one of its replicates."""
    for name, number in replicates.items():
        own = configurations[name][SEED]
        if 1 <= own < number:
            place = f"{file}: configuration {name}: replicates"
            cure = f"write `{SEED}: 0` into what it extends"
            fail(place, f"{name}_{SEED}_{own} would repeat {name}, which inherits {SEED} {own}; {cure}")


# --- names ---
def check_names(names: Iterable[str], place: str, taken: set[str]) -> None:
    """Refuse names that cannot be directories of their own on every file system."""
    seen = {name.lower(): name for name in taken}
    for name in names:
        if not NAME.fullmatch(name):
            cure = "use letters, digits and _ - . = , (no leading dot, at most 100)"
            fail(place, f"the name {shorten(name)} cannot be a directory's; {cure}")
        if name.lower() in seen:
            fail(place, f"the name {name!r} is taken by {seen[name.lower()]!r}; choose another")
        seen[name.lower()] = name


def resolve(name: str, given: dict[str, Any], place: str) -> dict[str, Any]:
    """Return what a configuration and those it extends say; what is nearer wins."""
    chain: dict[str, dict[str, Any]] = {}
    base: Any = name
    while base is not None:
        check_known([base], given, f"{place}: extends")
        if base in chain:
            fail(place, f"`extends` is circular: {' -> '.join([*chain, base])}")
        chain[base] = mapping(given[base], place)
        base = chain[base].pop("extends", None)
    resolved: dict[str, Any] = {}
    for own in reversed(chain.values()):
        resolved.update(own)
    return resolved


def run_preflight(preflight: CodeType, parameters: dict[str, Any], place: str) -> dict[str, Any]:
    """Run the template's preflight cell on one configuration; return the names it sets."""
    names = dict(parameters)
    try:
        exec(preflight, names)  # noqa: S102 - the template's code, which is about to run anyway
    except ValueError as error:
        fail(place, str(error))
    except Exception as error:  # noqa: BLE001 - whatever the template got wrong
        fail(f"{place}: {preflight.co_filename}", f"{type(error).__name__}: {error}")
    return names


# --- rounds ---
def check_rounds(value: Any, place: str, known: Collection[str]) -> list[dict[str, Any]]:
    """Return the rounds of elimination, complete with their defaults."""
    rounds = []
    for number, given in enumerate(sequence(value, place), 1):
        empty: dict[str, Any] = {
            "title": f"Round {number}",
            "candidates": [],
            "metric": "val_loss",
            "epochs": None,
            "originally_dropped": [],
        }
        here = f"{place}: round {number}"
        round_ = empty | mapping(given, here, empty)
        check_round(round_, here, known)
        rounds.append(round_)
    return rounds


def check_round(round_: dict[str, Any], place: str, known: Collection[str]) -> None:
    """Refuse a round whose fields make no sense."""
    convert(round_["title"], str, f"{place}: title")
    convert(round_["metric"], str, f"{place}: metric")
    epochs = round_["epochs"]
    if epochs is not None and convert(epochs, int, f"{place}: epochs") < 1:
        fail(f"{place}: epochs", f"must be at least 1, not {epochs}")
    if not sequence(round_["candidates"], f"{place}: candidates"):
        fail(f"{place}: candidates", "are missing; name the configurations that it compares")
    check_known(round_["candidates"], known, f"{place}: candidates")
    dropped = sequence(round_["originally_dropped"], f"{place}: originally_dropped")
    check_known(dropped, round_["candidates"], f"{place}: originally_dropped")
