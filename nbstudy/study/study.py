"""A study, read from its file and checked: every mistake is found before anything runs.

A study is data. What it says is converted to the types that its template notebook declares, refused where it
makes no sense, and handed over as one resolved configuration a run.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from nbstudy.checks import Faults, StudyError, check_known
from nbstudy.decision.halving import Stage
from nbstudy.decision.metrics import Better
from nbstudy.files import CHECKPOINT, FORMAT, TEST
from nbstudy.study.configurations import check_names, check_replicates_differ, read_configurations, resolve
from nbstudy.study.halving import Configurations, Halving, check_halving, read_halving
from nbstudy.study.inputs import ProjectFiles, read_inputs
from nbstudy.study.modules import hashes_of, importable
from nbstudy.study.notes import read_notes
from nbstudy.study.overrides import parse_overrides
from nbstudy.study.parameters import text_of
from nbstudy.study.preflight import Preflight, run_preflight
from nbstudy.study.project import Project, project_root, read_python_path
from nbstudy.study.race import Race, check_race, read_race
from nbstudy.study.rounds import FINAL, check_decision, check_directions, check_rounds
from nbstudy.study.study_file import read_document, read_notebooks
from nbstudy.study.template import TESTED, Template, convert_parameters
from nbstudy.study.threads import read_threads

RESERVED = {  # in outputs/<study>/
    "incomplete",
    "replaced",
    "study.json",
    "results.csv",
    "elimination.png",
    "test.json",
}


class Preparation(NamedTuple):
    """The notebook that a host executes before its first run."""

    log: str  # its name in the outputs
    text: str
    modules: dict[str, str]  # of the project, that it imports: source by path


@dataclass(frozen=True)
class Study:
    """All that a study file and the overrides of a command ask for."""

    name: str
    project: Project  # that it lies in
    notebooks: dict[str, str]  # by role (prepare, run, test, summary), as the study names them
    texts: dict[str, str]  # of these, ready to be executed
    modules: dict[str, dict[str, str]]  # of the project, that each of these imports: source by path
    template: Template
    overrides: dict[str, Any]
    configurations: dict[str, dict[str, Any]]  # every parameter of the template
    flops: dict[str, float]  # of a whole run; 0 where the template does not say
    lengthens: str | None  # the parameter whose increase continues a finished run
    rounds: list[dict[str, Any]]
    final: str | None
    test: Template | None  # the notebook that opens the test set, for `final`
    preflight: Preflight  # which says what a run costs
    halving: Halving | None = None
    race: Race | None = None
    changes_of_final: dict[str, Any] | None = None  # where `final` is the choice with other values
    metric: str | None = None  # what decides where a round does not say
    better: str | None = None  # "lower" or "higher", of that metric
    checkpoint: str = CHECKPOINT  # the file that a run resumes from
    threads: int = 1  # that a run computes with
    has_grid: bool = False  # whether its configurations are a product or a sample of values
    files: ProjectFiles = field(default_factory=ProjectFiles)  # those that `inputs` names, once it was looked
    remarks: tuple[str, ...] = ()  # what a person should know of how the configurations came about
    notes: dict[str, str] = field(default_factory=dict)  # by configuration: what its author notes of it
    replicable: dict[str, int] = field(
        default_factory=dict
    )  # those that can say `replicates`, and their runs now

    @property
    def directory(self) -> str:
        """The name of the study's outputs: its own, and the overrides."""
        return "+".join([self.name, *(f"{name}={text_of(value)}" for name, value in self.overrides.items())])

    @property
    def unfolds(self) -> bool:
        """Whether what its runs come to decides which other runs it asks for."""
        return (self.halving or self.race or self.changes_of_final) is not None

    @property
    def deciding(self) -> str | None:
        """The metric by which the choice is made; None where the study file does not say."""
        if self.halving is not None:
            return self.halving.metric.name
        if self.race is not None:
            return self.race.metric.name
        last: dict[str, Any] = {}
        if self.rounds:
            last = self.rounds[-1]
        return last.get("metric") or self.metric

    @property
    def direction(self) -> Better | None:
        """Which values of that metric are better; None where the study file does not say."""
        if self.halving is not None:
            return self.halving.metric.better
        for each in [{"metric": self.metric, "better": self.better}, *self.rounds]:
            if each["better"] and each["metric"] in (None, self.deciding):
                return Better(each["better"])
        return None

    @property
    def prepare(self) -> Preparation | None:
        """The notebook that a host executes before its first run."""
        if "prepare" not in self.notebooks:
            return None
        return Preparation(self.log_of("prepare"), self.texts["prepare"], self.modules["prepare"])

    def log_of(self, role: str) -> str:
        """Return the name under which the notebook of a role, but `run`, is kept in the outputs as it was executed."""
        return Path(self.notebooks[role]).name

    @property
    def parameters_of_test(self) -> dict[str, Any]:
        """What the notebook is given that opens the test set; its working directory is that of an attempt."""
        if self.test is None:
            return {}
        return self.test.defaults | {TESTED: f"../../../{self.final}"}

    @property
    def directories(self) -> list[str]:
        """The directories of runs that it may have in its outputs."""
        if self.test is None:
            return self.names
        return [*self.names, TEST]

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
    def racing_at_first(self) -> dict[str, int]:
        """How many runs each has that takes part in its race, before anything is decided."""
        if self.race is None:
            return {}
        return self.race.beginning

    @property
    def names(self) -> list[str]:
        """The configurations that it may ask for, however its runs come out."""
        names = dict.fromkeys(self.configurations)
        if self.halving is not None and self.lengthens is not None:
            *_, most = self.halving.all_that_may_be_asked(self.configurations, self.lengthens)
            names = dict.fromkeys(most)
        if self.race is not None:
            names |= dict.fromkeys(self.race.all_that_may_be_asked(self.configurations, None))
        if self.changes_of_final is not None:
            names[FINAL] = None
        return list(names)

    def climbs(self, name: str) -> bool:
        """Tell whether a run is one of a candidate's that climbs rungs."""
        return self.halving is not None and self.halving.climbs(name)

    def at(
        self, stages: Sequence[Stage], racing: Mapping[str, int] | None = None, choice: str | None = None
    ) -> Study:
        """Return the study where its rungs stand so, with `final` where the choice is known that it is made of.

        `racing` says how many runs each has that takes part in its race.
        """
        configurations = self.configurations
        if self.halving is not None and self.lengthens is not None:
            configurations = self.halving.asked(stages, configurations, self.lengthens)
        if self.race is not None:
            configurations = self.race.asked(racing or {}, configurations, self.lengthens)
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
        """Return the parameters of `final` where it is made of this choice: as long as the last rung, then its changes.

        A race after rungs is the last of them.
        """
        parameters = dict(configurations[choice])
        if self.halving is not None and self.lengthens is not None:
            parameters[self.lengthens] = self.halving.rungs[-1].epochs
            if self.race is not None:
                parameters[self.lengthens] = self.race.epochs
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
            "race": self.race and self.race.record(),
            "changes_of_final": self.changes_of_final,
            "final": self.final,
            "test": self.record_of_test(),
            "code": self.template.codes,
            "defaults": self.template.defaults,
            "metric": self.metric,
            "better": self.better,
            "checkpoint": self.checkpoint,
            "modules": hashes_of(self.template.modules),
            "imported": dict(sorted(self.template.imported.items())),
            "inputs": self.files.inputs,
            "input_patterns": list(self.files.patterns),
            "threads": self.threads,
            "has_grid": self.has_grid,
            "replicable": self.replicable,
            "notes": self.notes,
        }

    def record_of_test(self) -> dict[str, Any] | None:
        """Return what study.json says of the notebook that opens the test set, as it does of the template."""
        if self.test is None:
            return None
        return {
            "notebook": self.test.file,
            "parameters": self.parameters_of_test,
            "code": self.test.codes,
            "modules": hashes_of(self.test.modules),
            "imported": dict(sorted(self.test.imported.items())),
            "inputs": self.files.inputs,
            "input_patterns": list(self.files.patterns),
        }


def load_study(file: Path, overrides: Iterable[tuple[str, str]] = ()) -> Study:
    """Return the study that a file holds; raise a StudyError that says all that is wrong."""
    faults = Faults()
    document = read_document(file, faults)
    project = Project(project_root(file.parent))
    with faults:
        python_path = read_python_path(document["python_path"], project.root, f"{file}: python_path")
        project = Project(project.root, python_path)
    try:
        notebooks = read_notebooks(document["notebooks"], project, f"{file}: notebooks")
    except StudyError as error:  # without a template nothing else can be checked
        raise StudyError(*faults.found, *error.faults) from None
    template = notebooks.template

    threads = 1
    with faults:
        threads = read_threads(document["threads"], f"{file}: threads")
    files = ProjectFiles(project.root)
    with faults:
        files = read_inputs(document["inputs"], project.root, f"{file}: inputs")
    overridden: dict[str, Any] | None = None
    defaults: dict[str, Any] | None = None
    with faults:
        overridden = parse_overrides(overrides, template)
    with faults:
        defaults = convert_parameters(document["defaults"], template, f"{file}: defaults")
    named = read_configurations(document, template, str(file), faults)
    with faults:
        check_names(named.own, f"{file}: configurations", names_taken_by(notebooks.files))

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
    if document["halving"] is None and document["race"] is None:  # whose metric decides
        check_directions(document, rounds, str(file), faults)
    usual = {key: document[key] for key in ("metric", "better")}
    halving = None
    has_race = document["race"] is not None
    with faults:
        if document["halving"] is not None and known is not None:
            place = f"{file}: halving"
            halving = read_halving(document["halving"], place, named.runs(), usual, has_race)
    with faults:
        if halving is not None and not faults.found:
            check_halving(halving, document, named, configurations, overridden or {}, preflight, str(file))
    race = None
    with faults:
        if has_race and known is not None and (halving is not None) == (document["halving"] is not None):
            race = read_race(document["race"], f"{file}: race", named.runs(), usual, halving)
    with faults:
        if race is not None and not faults.found:
            race = check_race(
                race, halving, document, named, configurations, overridden or {}, preflight, str(file)
            )
    final = document["final"]
    changes_of_final = None
    with faults:
        if isinstance(final, dict):
            changes_of_final = convert_parameters(final, template, f"{file}: final")
            final = FINAL
    notes: dict[str, str] = {}
    noted: Collection[str] | None = known
    if known is not None and changes_of_final is not None:
        noted = [*known, FINAL]
    with faults:
        notes = read_notes(document["notes"], f"{file}: notes", noted)
    faults.end()
    study = Study(
        name=file.stem,
        project=project,
        notebooks=notebooks.files,
        texts=notebooks.texts,
        modules=notebooks.modules,
        template=template,
        overrides=overridden or {},
        configurations=configurations,
        flops=flops,
        lengthens=preflight.lengthens,
        rounds=rounds,
        final=final,
        test=notebooks.test,
        preflight=preflight,
        halving=halving,
        race=race,
        changes_of_final=changes_of_final,
        metric=document["metric"],
        better=document["better"],
        checkpoint=preflight.checkpoint,
        threads=threads,
        has_grid=bool(document["grid"]),
        files=files,
        remarks=(*named.remarks, *left_out),
        notes=notes,
        replicable=named.replicable,
    )
    check_what_may_be_asked(study, str(file))
    return study


def names_taken_by(notebooks: Mapping[str, str]) -> set[str]:
    """Return what else has a name in outputs/<study>/, so that no configuration can."""
    names = RESERVED | {Path(name).name for name in notebooks.values()}
    if "test" in notebooks:
        names.add(TEST)
    return names


def check_what_may_be_asked(study: Study, file: str) -> None:
    """Refuse a study of which a configuration that could be asked for later has a wrong name or values."""
    if not study.unfolds:  # what it asks for has been checked
        return
    faults = Faults()
    candidates = list(study.configurations)
    everything = [study.configurations]
    place = file
    if study.halving is not None and study.lengthens is not None:
        place = f"{file}: halving"
        candidates = list(study.halving.candidates)
        everything = list(study.halving.all_that_may_be_asked(study.configurations, study.lengthens))
    if study.race is not None:
        place = f"{file}: race"
        candidates = list(study.race.candidates)
        everything.append(study.race.all_that_may_be_asked(everything[-1], study.lengthens))
    with faults:
        check_names(everything[-1], place, names_taken_by(study.notebooks))
    with importable(study.template.modules):
        for configurations in everything:
            for name, parameters in configurations.items():
                with faults:
                    study.preflight.run(name, parameters, f"{place}: configuration {name}")
        if study.changes_of_final is not None:
            for name in candidates:
                with faults:
                    parameters = study.final_of(name, everything[-1])
                    study.preflight.run(FINAL, parameters, f"{file}: final, made of {name}")
    faults.end()
