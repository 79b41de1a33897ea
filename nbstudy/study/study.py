"""A study file, read and checked: every mistake is found before anything runs.

A study is data. What it says is converted to the types that its template notebook declares, refused where it
makes no sense, and handed over as one resolved configuration a run.
"""

from __future__ import annotations

import copy
import fnmatch
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import CodeType
from typing import Any

from nbstudy.checks import Faults, Interrupted, StudyError, check_known, fail, mapping, sequence, shorten
from nbstudy.decision.elimination import Stage
from nbstudy.decision.metrics import Better
from nbstudy.files import CHECKPOINT, FORMAT, NOTEBOOKS
from nbstudy.study.configurations import (
    NAME,
    SEED,
    Named,
    check_names,
    check_replicates_differ,
    read_configurations,
    resolve,
)
from nbstudy.study.halving import Configurations, Halving, read_halving
from nbstudy.study.modules import hashes_of, importable
from nbstudy.study.notebook import compile_plain, read_notebook
from nbstudy.study.parameters import TEXT, WHOLE_NUMBER, convert, text_of
from nbstudy.study.template import Template, convert_parameters, read_template

RESERVED = {"incomplete", "study.json", "results.csv", "elimination.png", "test.json"}  # in outputs/<study>/
SET_BY_PREFLIGHT = ["flops", "lengthens", "checkpoint"]  # for the runner, where these are no parameters
OWN_FILES = {"run.json", "result.json", "history.csv"}  # of a run, none of which is its checkpoint
FINAL = "final"  # the configuration that is made where `final` is a mapping
TEST_SETS = ["fashion_mnist"]  # that the summary can open
EMPTY: dict[str, Any] = {  # a study file that says nothing
    "notebooks": {},
    "defaults": {},
    "configurations": {},
    "grid": [],
    "metric": None,
    "better": None,
    "rounds": [],
    "halving": None,
    "final": None,
    "test": None,
    "threads": 1,
}
LARGEST_FILE = 1_000_000  # bytes
MOST_THREADS = 1024  # of a run


@dataclass(frozen=True)
class Study:
    """All that a study file and the overrides of a command ask for."""

    name: str
    notebooks: dict[str, str]  # file by role: prepare, run, summary
    texts: dict[str, str]  # of these, ready to be executed
    template: Template
    overrides: dict[str, Any]
    configurations: dict[str, dict[str, Any]]  # every parameter of the template
    flops: dict[str, float]  # of a whole run; 0 where the template does not say
    lengthens: str | None  # the parameter whose increase continues a finished run
    rounds: list[dict[str, Any]]
    final: str | None
    test: str | None  # the test set that `final` meets
    preflight: Preflight  # which says what a run costs
    halving: Halving | None = None
    changes_of_final: dict[str, Any] | None = None  # where `final` is the choice with other values
    metric: str | None = None  # what decides where a round does not say
    better: str | None = None  # "lower" or "higher", of that metric
    checkpoint: str = CHECKPOINT  # the file that a run resumes from
    threads: int = 1  # that a run computes with
    notes: tuple[str, ...] = ()  # what a person should know of how the configurations came about

    @property
    def directory(self) -> str:
        """The name of the study's outputs: its own, and the overrides."""
        return "+".join([self.name, *(f"{name}={text_of(value)}" for name, value in self.overrides.items())])

    @property
    def unfolds(self) -> bool:
        """Whether what its runs come to decides which other runs it asks for."""
        return self.halving is not None or self.changes_of_final is not None

    @property
    def prepare(self) -> tuple[str, str] | None:
        """The file and the text of the notebook that a host executes before its first run."""
        if "prepare" not in self.notebooks:
            return None
        return self.notebooks["prepare"], self.texts["prepare"]

    def select(self, patterns: Collection[str]) -> list[str]:
        """Return the names of the configurations that match a pattern, all if there is no pattern."""
        if not patterns:
            return self.names
        selected: set[str] = set()
        for pattern in patterns:
            matching = fnmatch.filter(self.names, pattern)
            if not matching:
                check_known([pattern], self.names, "--only")
            selected.update(matching)
        return [name for name in self.names if name in selected]

    @property
    def beginning(self) -> list[Stage]:
        """Its rungs before anything is decided: the lowest one; empty without halving."""
        if self.halving is None:
            return []
        return [Stage(self.halving.rungs[0], list(self.halving.candidates), {})]

    @property
    def names(self) -> list[str]:
        """The configurations that it may ask for, however its runs come out."""
        names = dict.fromkeys(self.configurations)
        if self.halving is not None and self.lengthens is not None:
            *_, most = self.halving.all_that_may_be_asked(self.configurations, self.lengthens)
            names = dict.fromkeys(most)
        if self.changes_of_final is not None:
            names[FINAL] = None
        return list(names)

    def climbs(self, name: str) -> bool:
        """Tell whether a run is one of a candidate's that climbs rungs."""
        return self.halving is not None and self.halving.climbs(name)

    def at(self, stages: Sequence[Stage], choice: str | None = None) -> Study:
        """Return the study where its rungs stand so, with `final` where the choice is known that it is made of."""
        configurations = self.configurations
        if self.halving is not None and self.lengthens is not None:
            configurations = self.halving.asked(stages, configurations, self.lengthens)
        if choice is not None:
            configurations = configurations | {FINAL: self.final_of(choice, configurations)}
        flops = {}
        with importable(self.template.modules):
            for name, parameters in configurations.items():
                if parameters == self.configurations.get(name):
                    flops[name] = self.flops[name]
                else:
                    flops[name] = self.preflight.run(name, parameters, f"configuration {name}")
        return replace(self, configurations=configurations, flops=flops)

    def final_of(self, choice: str, configurations: Configurations) -> dict[str, Any]:
        """Return the parameters of `final` where it is made of this choice: as long as the last rung, then its changes."""
        parameters = dict(configurations[choice])
        if self.halving is not None and self.lengthens is not None:
            parameters[self.lengthens] = self.halving.rungs[-1].epochs
        return parameters | (self.changes_of_final or {})

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
            "halving": self.halving and self.halving.record(),
            "changes_of_final": self.changes_of_final,
            "final": self.final,
            "test": self.test,
            "code": [code for code, is_same in self.template.same_code.items() if is_same],
            "defaults": self.template.defaults,
            "metric": self.metric,
            "better": self.better,
            "checkpoint": self.checkpoint,
            "modules": hashes_of(self.template.modules),
            "threads": self.threads,
        }


def load_study(file: Path, overrides: Iterable[tuple[str, str]] = ()) -> Study:
    """Return the study that a file holds; raise a StudyError that says all that is wrong."""
    faults = Faults()
    document = read_document(file, faults)
    try:
        notebooks, texts, template = read_notebooks(document["notebooks"], f"{file}: notebooks")
    except StudyError as error:  # without a template nothing else can be checked
        raise StudyError(*faults.found, *error.faults) from None

    threads = 1
    with faults:
        threads = check_threads(document["threads"], f"{file}: threads")
    overridden: dict[str, Any] | None = None
    defaults: dict[str, Any] | None = None
    with faults:
        overridden = parse_overrides(overrides, template)
    with faults:
        defaults = convert_parameters(document["defaults"], template, f"{file}: defaults")
    named = read_configurations(document, template, str(file), faults)
    with faults:
        check_names(named.own, f"{file}: configurations", RESERVED | set(notebooks.values()))

    configurations: dict[str, dict[str, Any]] = {}
    for name in named.own:
        with faults:
            own = resolve(name, named, f"{file}: configuration {name}")
            if own is not None and defaults is not None and overridden is not None:
                configurations[name] = template.defaults | defaults | own | overridden
    with faults:
        check_replicates_differ(named, configurations, overridden or {}, str(file))
    preflight = Preflight(template)
    flops, left_out = run_preflight(preflight, named, configurations, str(file), faults)
    known = None
    if named.is_whole:
        known = named.own
    check_decision(document, str(file), known, faults)
    rounds = check_rounds(document["rounds"], f"{file}: rounds", known, faults)
    halving = None
    with faults:
        if document["halving"] is not None and known is not None:
            usual = {key: document[key] for key in ("metric", "better")}
            halving = read_halving(document["halving"], f"{file}: halving", named.runs(), usual)
    with faults:
        if halving is not None and not faults.found:
            check_halving(halving, document, named, configurations, overridden or {}, preflight, str(file))
    final = document["final"]
    changes_of_final = None
    with faults:
        if isinstance(final, dict):
            changes_of_final = convert_parameters(final, template, f"{file}: final")
            final = FINAL
    faults.end()
    study = Study(
        name=file.stem,
        notebooks=notebooks,
        texts=texts,
        template=template,
        overrides=overridden or {},
        configurations=configurations,
        flops=flops,
        lengthens=preflight.lengthens,
        rounds=rounds,
        final=final,
        test=document["test"],
        preflight=preflight,
        halving=halving,
        changes_of_final=changes_of_final,
        metric=document["metric"],
        better=document["better"],
        checkpoint=preflight.checkpoint,
        threads=threads,
        notes=(*named.notes, *left_out),
    )
    check_what_may_be_asked(study, str(file))
    return study


def run_preflight(
    preflight: Preflight,
    named: Named,
    configurations: dict[str, dict[str, Any]],
    file: str,
    faults: Faults,
) -> tuple[dict[str, float], list[str]]:
    """Return the FLOPs of each configuration, and notes on the dispensable ones that the template refuses.

    These are taken out of `named` and of `configurations`.
    """
    template = preflight.template
    flops: dict[str, float] = {}
    left_out: Counter[str] = Counter()  # by the row of the grid that they come from
    with importable(template.modules):
        for name, parameters in list(configurations.items()):
            with faults:
                try:
                    flops[name] = preflight.run(name, parameters, f"{file}: configuration {name}")
                except InvalidConfiguration:
                    if name not in named.dispensable:
                        raise
                    left_out[named.dispensable[name]] += 1
                    del configurations[name], named.own[name]
    with faults:
        if left_out and not named.own and not faults.found:
            fail(file, f"has no configuration that {template.file} does not refuse; widen the grid")
    notes = []
    for place, number in left_out.items():
        notes.append(f"{place}: {number} configurations are left out, as {template.file} refuses them")
    return flops, notes


# --- the file ---
def read_document(file: Path, faults: Faults) -> dict[str, Any]:
    """Return what a study file says, with what it leaves out as empty; refuse keys it cannot have."""
    document = mapping(read_yaml(file), str(file))
    with faults:
        check_known(document, EMPTY, str(file))
    return EMPTY | document


def read_yaml(file: Path) -> Any:
    """Return what a YAML 1.2 file holds: data only, no tags, no duplicate keys."""
    from ruamel.yaml import YAML

    try:
        text = file.read_text(encoding="utf-8-sig")
        if len(text) > LARGEST_FILE:
            fail(str(file), f"is larger than {LARGEST_FILE:,} bytes; use `grid` for many configurations")
        return YAML(typ="safe", pure=True).load(text)
    except StudyError:
        raise
    except OSError as error:
        fail(str(file), f"cannot be read: {error.strerror}; name a study, as params/smoke.yaml")
    except Exception as error:  # noqa: BLE001 - ruamel.yaml lets all kinds through
        fail(str(file), f"is not valid YAML 1.2: {error}".split("\n\n")[0])


def read_notebooks(value: Any, place: str) -> tuple[dict[str, str], dict[str, str], Template]:
    """Return the notebook files by role (prepare, run, summary), their texts, and the template."""
    notebooks = mapping(value, place, ["prepare", "run", "summary"])
    if "run" not in notebooks:
        fail(place, "`run` is missing; name the template, as in `run: train.ipynb`")
    available = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
    check_known(notebooks.values(), available, place)
    faults = Faults()
    texts = {}
    for role, file in notebooks.items():
        with faults:
            if role == "run":
                template = read_template(NOTEBOOKS / file)
                texts[role] = template.text
            else:
                texts[role] = read_notebook(NOTEBOOKS / file, faults).text
    faults.end()
    return notebooks, texts, template


def check_threads(value: Any, place: str) -> int:
    """Return the number of threads that a run computes with, or refuse what is none."""
    threads: int = convert(value, WHOLE_NUMBER, place)
    if not 1 <= threads <= MOST_THREADS:
        fail(place, f"must be from 1 to {MOST_THREADS}, not {value}")
    return threads


# --- overrides of the command line ---
def parse_overrides(overrides: Iterable[tuple[str, str]], template: Template) -> dict[str, Any]:
    """Return `-p NAME VALUE` pairs in the template's types, in the order of their names."""
    values: dict[str, Any] = {}
    for name, text in sorted(overrides):
        if name in values:
            fail(f"-p {name}", "is given twice")
        values[name] = text
        if name in template.declarations:
            values[name] = parse_value(text, template.declarations[name].kinds)
    values = convert_parameters(values, template, "-p")
    faults = Faults()
    for name, value in values.items():
        with faults:
            if not NAME.fullmatch(text_of(value)):
                cure = "write a configuration with it instead"
                fail(f"-p {name}", f"{shorten(value)} cannot be part of a directory's name; {cure}")
    faults.end()
    return values


def parse_value(text: str, kinds: Collection[type]) -> Any:
    """Return what YAML takes a text for, the text itself where that is asked for or YAML takes it for nothing."""
    from ruamel.yaml import YAML

    if kinds == (str,):
        return text
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except Exception:  # noqa: BLE001 - ruamel.yaml lets all kinds through
        return text
    if str in kinds and type(value) not in kinds:
        return text
    return value


# --- the preflight cell ---
class InvalidConfiguration(StudyError):
    """A configuration whose values the template refuses."""


class Preflight:
    """The template's preflight cell, run on every configuration, and what it says of them."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self.cells: list[CodeType] = []
        for source in template.preflight:
            self.cells.append(compile_plain(source, f"{template.file}: preflight"))
        self.has_run = False
        self.lengthens: str | None = None
        self.checkpoint = CHECKPOINT

    def run(self, name: str, parameters: Mapping[str, Any], place: str) -> float:
        """Run it on one configuration; keep what it sets for all, and return the FLOPs of the run."""
        names: dict[str, Any] = copy.deepcopy(dict(parameters))  # it may change lists in place
        for cell in self.cells:
            try:
                exec(cell, names)  # noqa: S102 - the template's code, which is about to run anyway
            except ValueError as error:
                raise InvalidConfiguration(f"{place}: {error}") from None
            except Interrupted:
                raise
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the template got wrong
                fail(f"{place}: {cell.co_filename}", f"{type(error).__name__}: {error}")
        place = f"{place}: {self.template.file}: preflight"
        said = {key: names[key] for key in SET_BY_PREFLIGHT if key in names and key not in parameters}
        flops = check_flops(said.get("flops", 0), f"{place}: flops")
        lengthens = said.get("lengthens")
        if lengthens is not None:
            check_known([lengthens], parameters, f"{place}: lengthens")
            convert(parameters[lengthens], WHOLE_NUMBER, f"{place}: lengthens: {lengthens}")
        checkpoint = check_checkpoint(said.get("checkpoint", CHECKPOINT), f"{place}: checkpoint")
        if self.has_run and (lengthens, checkpoint) != (self.lengthens, self.checkpoint):
            fail(place, "`lengthens` and `checkpoint` must be the same for all configurations")
        self.has_run, self.lengthens, self.checkpoint = True, lengthens, checkpoint
        return flops


def check_flops(value: Any, place: str) -> float:
    """Return the cost of a run as a number, or refuse what is none."""
    try:
        flops = float(value)
    except (TypeError, ValueError, OverflowError):
        fail(place, f"must be a number, not {shorten(value)}")
    if not 0 <= flops < math.inf:
        fail(place, f"must be at least 0 and finite, not {flops}")
    return flops


def check_checkpoint(value: Any, place: str) -> str:
    """Return the name of the file that a run resumes from, or refuse it."""
    if not isinstance(value, str) or not NAME.fullmatch(value) or value in OWN_FILES:
        others = ", ".join(sorted(OWN_FILES))
        fail(place, f"must be the name of a file in the run's directory, not {shorten(value)}, {others}")
    return value


# --- what decides ---
def check_decision(
    document: Mapping[str, Any], file: str, known: Collection[str] | None, faults: Faults
) -> None:
    """Add to the faults what makes no sense of metric, final and test set."""
    with faults:
        check_metric(document, file)
    with faults:
        if isinstance(document["final"], dict):
            if known is not None and FINAL in known:
                cure = "rename the one that there is"
                fail(f"{file}: final", f"is a mapping, which makes a configuration called {FINAL}; {cure}")
        elif document["final"] is not None and known is not None:
            check_known([document["final"]], known, f"{file}: final")
    with faults:
        if document["test"] is not None:
            check_known([document["test"]], TEST_SETS, f"{file}: test")


def check_metric(given: Mapping[str, Any], place: str) -> None:
    """Refuse a metric that is no name, and a direction that is none; whether runs have it is not known yet."""
    if given["metric"] is not None and not convert(given["metric"], TEXT, f"{place}: metric"):
        fail(f"{place}: metric", "must name a column of history.csv or a number in result.json")
    if given["better"] is not None:
        check_known([given["better"]], [better.value for better in Better], f"{place}: better")


def check_halving(
    halving: Halving,
    document: Mapping[str, Any],
    named: Named,
    configurations: dict[str, dict[str, Any]],
    overridden: Collection[str],
    preflight: Preflight,
    file: str,
) -> None:
    """Refuse a halving that contradicts something else in the study, the template or the command."""
    place = f"{file}: halving"
    faults = Faults()
    lengthens = preflight.lengthens
    with faults:
        if document["rounds"]:
            fail(place, "cannot stand beside `rounds`: its rungs are the rounds; remove one of the two")
    with faults:
        if lengthens is None:
            file_ = preflight.template.file
            fail(
                place,
                f"needs a template that says what `lengthens` a run, which {file_} does not; see notebooks/README.md",
            )
    with faults:
        if lengthens in overridden:
            fail(
                f"-p {lengthens}",
                "has no place in a study with `halving`, whose rungs say it; for a quick look copy the study file, and "
                "write shorter rungs into it",
            )
    with faults:
        check_candidates_differ(halving, configurations, place, lengthens)
    for name in halving.candidates:
        with faults:
            if lengthens in (resolve(name, named, place) or {}):
                fail(
                    f"{file}: configuration {name}: {lengthens}",
                    "is said by the rungs of `halving`; leave it out",
                )
    with faults:
        if halving.rungs[-1].replicates:
            if type(preflight.template.defaults.get(SEED)) is not int:
                fail(
                    place,
                    f"the last rung's replicates need a parameter `{SEED}: int` in {preflight.template.file}",
                )
            if SEED in overridden:
                fail(f"-p {SEED}", "would give the last rung's replicates the same seed; leave it out")
            for name in halving.candidates:
                for run in halving.runs_of(name, halving.rungs[-1], configurations):
                    if run in configurations:
                        cure = "which the last rung would make; rename it"
                        fail(place, f"a configuration {run} is there already, {cure}")
    faults.end()


def check_candidates_differ(
    halving: Halving, configurations: Configurations, place: str, lengthens: str | None
) -> None:
    """Refuse candidates that are equal but for the seed, of which each would take a place of its own."""
    first: dict[str, str] = {}
    faults = Faults()
    for name in halving.candidates:
        own = {key: value for key, value in configurations[name].items() if key not in (SEED, lengthens)}
        same = first.setdefault(json.dumps(own, sort_keys=True), name)
        if same != name:
            with faults:
                cure = f"remove one, or write `replicates: 2` into {same} instead of another seed"
                fail(f"{place}: candidates", f"{same} and {name} are equal but for their {SEED}; {cure}")
    faults.end()


def check_what_may_be_asked(study: Study, file: str) -> None:
    """Refuse a study of which a configuration that could be asked for later has a wrong name or values."""
    if not study.unfolds:  # what it asks for has been checked
        return
    faults = Faults()
    candidates = list(study.configurations)
    everything = [study.configurations]
    if study.halving is not None and study.lengthens is not None:
        candidates = list(study.halving.candidates)
        everything = list(study.halving.all_that_may_be_asked(study.configurations, study.lengthens))
        with faults:
            check_names(everything[-1], f"{file}: halving", RESERVED | set(study.notebooks.values()))
    with importable(study.template.modules):
        for configurations in everything:
            for name, parameters in configurations.items():
                with faults:
                    study.preflight.run(name, parameters, f"{file}: halving: configuration {name}")
        if study.changes_of_final is not None:
            for name in candidates:
                with faults:
                    parameters = study.final_of(name, everything[-1])
                    study.preflight.run(FINAL, parameters, f"{file}: final, made of {name}")
    faults.end()


def check_rounds(
    value: Any, place: str, known: Collection[str] | None, faults: Faults
) -> list[dict[str, Any]]:
    """Return the rounds of elimination, complete with their defaults; add to the faults what is wrong in them."""
    rounds = []
    with faults:
        for number, given in enumerate(sequence(value, place), 1):
            empty: dict[str, Any] = {
                "title": f"Round {number}",
                "candidates": [],
                "metric": None,  # the study's
                "better": None,
                "epochs": None,
                "originally_dropped": [],
            }
            here = f"{place}: round {number}"
            with faults:
                round_ = empty | mapping(given, here, empty)
                check_round(round_, here, known)
                rounds.append(round_)
    return rounds


def check_round(round_: Mapping[str, Any], place: str, known: Collection[str] | None) -> None:
    """Refuse a round whose fields make no sense."""
    faults = Faults()
    with faults:
        convert(round_["title"], TEXT, f"{place}: title")
    with faults:
        check_metric(round_, place)
    with faults:
        epochs = round_["epochs"]
        if epochs is not None and convert(epochs, WHOLE_NUMBER, f"{place}: epochs") < 1:
            fail(f"{place}: epochs", f"must be at least 1, not {epochs}")
    with faults:
        if not sequence(round_["candidates"], f"{place}: candidates"):
            fail(f"{place}: candidates", "are missing; name the configurations that it compares")
        if known is not None:
            check_known(round_["candidates"], known, f"{place}: candidates")
        dropped = sequence(round_["originally_dropped"], f"{place}: originally_dropped")
        check_known(dropped, round_["candidates"], f"{place}: originally_dropped")
    faults.end()
