"""Load a study file, check all of it before anything runs, find what is there of it, predict the rest.

A study is data: what it says is converted to the types that its template notebook declares,
refused where it makes no sense, and handed over as one resolved configuration a run. The file
system is the state: a directory in its final place, outputs/<study>/<configuration>/, is complete
by construction.
"""

from __future__ import annotations

import ast
import csv
import difflib
import fnmatch
import hashlib
import heapq
import itertools
import json
import math
import re
import reprlib
import shutil
import statistics
import time
import zipfile
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import CodeType
from typing import Any, NoReturn

import click

NOTEBOOKS = Path(__file__).resolve().parent / "notebooks"
TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text, in quotes"}
NAME = re.compile(r"(?!\.)[A-Za-z0-9_.=,-]{1,100}")
RESERVED = {"incomplete", "study.json", "results.csv", "elimination.png"}  # in outputs/<study>/
CHECKPOINT, HISTORY = "model.keras", "history.csv"  # what a run goes on from, and its epochs
LARGEST_FILE = 1_000_000  # bytes
LARGEST_GRID = 100_000  # configurations a study
NOT_CODE = {"parameters", "injected-parameters", "preflight", "presentation"}  # tags of cells


class StudyError(click.ClickException):
    """What is wrong with a study or a command, where, and the cure."""

    exit_code = 2


@dataclass(frozen=True)
class Template:
    """A notebook that is executed once a configuration, and what its cells declare."""

    file: str
    text: str
    defaults: dict[str, Any]  # in the declared types
    preflight: str
    code: str
    same_code: dict[str, bool]  # by hash: this code, and other code that was compared with it

    @property
    def hash(self) -> str:
        """The hash of the code."""
        return hash_of(self.code)

    def is_same_code(self, code: str, log: Path) -> bool:
        """Tell whether a run with this hash of its code had the template's, but for layout."""
        if code not in self.same_code:
            try:
                was, now = ast.parse(code_of(read_json(log))), ast.parse(self.code)
                self.same_code[code] = ast.dump(was) == ast.dump(now)
            except Exception:  # noqa: BLE001 - a log may be damaged in any way
                self.same_code[code] = False
        return self.same_code[code]


@dataclass(frozen=True)
class Study:
    """All that a study file and the overrides of a command ask for."""

    name: str
    notebooks: dict[str, str]
    template: Template
    overrides: dict[str, Any]
    configurations: dict[str, dict[str, Any]]  # every parameter of the template
    flops: dict[str, float]  # of a whole run; 0 where the template does not say
    lengthens: str | None
    rounds: list[dict[str, Any]]
    final: str | None

    @property
    def directory(self) -> str:
        """The name of the study's outputs: its own, and the overrides."""
        return "+".join([self.name, *(f"{k}={value}" for k, value in self.overrides.items())])

    @property
    def prepare(self) -> tuple[str, str] | None:
        """The file and the text of the notebook that a host executes before its first run."""
        file = self.notebooks.get("prepare")
        return (file, (NOTEBOOKS / file).read_text(encoding="utf-8")) if file else None

    def select(self, patterns: Iterable[str]) -> list[str]:
        """Return the names of the configurations that match a pattern, all if there is none."""
        for pattern in patterns:
            if not fnmatch.filter(self.configurations, pattern):
                check_known([pattern], self.configurations, "--only")
        chosen = {n for p in patterns or "*" for n in fnmatch.filter(self.configurations, p)}
        return [name for name in self.configurations if name in chosen]

    def record(self) -> dict[str, Any]:
        """Return what study.json says: all that was asked, and hashes of code that is the same."""
        code = [text for text, same in self.template.same_code.items() if same]
        kept = {name: value for name, value in vars(self).items() if name != "template"}
        return kept | {"code": code, "defaults": self.template.defaults}


def load_study(file: Path, overrides: Iterable[tuple[str, str]] = ()) -> Study:
    """Return the study that a file holds; raise StudyError where anything is wrong."""
    empty: dict[str, Any] = {"notebooks": {}, "defaults": {}, "configurations": {}}
    empty |= {"grid": [], "rounds": [], "final": None}
    document = empty | mapping(read_yaml(file), str(file), empty)
    notebooks = checked_notebooks(document["notebooks"], f"{file}: notebooks")
    template = read_template(NOTEBOOKS / notebooks["run"])
    changed = parse_overrides(overrides, template)
    asked = mapping(document["configurations"], f"{file}: configurations")
    asked = {name: {} if own is None else own for name, own in asked.items()}
    for number, row in enumerate(sequence(document["grid"], f"{file}: grid"), 1):
        add_product(row, f"{file}: grid row {number}", asked)
    if not asked:
        fail(str(file), "has no configuration; name some under `configurations` or `grid`")
    check_names(asked, f"{file}: configurations", RESERVED | set(notebooks.values()))
    defaults = typed(document["defaults"], template, f"{file}: defaults")
    configurations, flops, lengthens = {}, {}, None
    check = compile(template.preflight, f"{template.file}: preflight", "exec")
    for name in asked:
        place = f"{file}: configuration {name}"
        own = typed(resolve(name, asked, place), template, place)
        configurations[name] = template.defaults | defaults | own | changed
        found = preflight(check, configurations[name], place)
        flops[name], lengthens = float(found.get("flops", 0)), found.get("lengthens")
    rounds = checked_rounds(document["rounds"], f"{file}: rounds", configurations)
    final = document["final"]
    if final is not None:
        check_known([final], configurations, f"{file}: final")
    return Study(file.stem, notebooks, template, changed, configurations, flops, lengthens, rounds, final)


def fail(place: str, what: str) -> NoReturn:
    """Refuse a study or a command."""
    message = f"{place}: {what}"
    raise StudyError(message)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds, empty where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace a JSON file in one step."""
    partial = path.with_name(f"partial.{path.name}")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def check_outputs(study: Study, outputs: Path, named: bool) -> None:
    """Refuse to write where another study's runs lie, or where a named directory holds other things."""
    there = read_json(record := outputs / "study.json")
    if record.exists() and not there:
        click.echo(f"{record} is damaged: running writes it anew")
    if there and (there.get("name"), there.get("overrides")) != (study.name, study.overrides):
        fail(str(outputs), "holds another study or other overrides; name another directory")
    try:
        found = {path.name for path in outputs.iterdir()} if outputs.exists() else set()
    except OSError as error:
        fail(str(outputs), f"cannot hold runs: {error.strerror}; name a directory")
    if named and found - {".lock"} and "study.json" not in found:
        fail(str(outputs), "holds other things and no study.json; name a new or an empty directory")


def shorten(value: Any) -> str:
    """Return a text of bounded length that shows a value, however large that is."""
    try:
        return reprlib.repr(value)
    except ValueError:  # of integers with more digits than Python converts
        return "a number with thousands of digits"


def check_known(names: Iterable[Any], known: Collection[str], place: str) -> None:
    """Refuse a name that is not among the known ones, with the nearest that is."""
    for name in names:
        if not isinstance(name, str) or name not in known:
            close = difflib.get_close_matches(name, known, 1) if isinstance(name, str) else []
            some = ", ".join(list(known)[:20]) + ", …" * (len(known) > 20)
            cure = f"did you mean {close[0]!r}?" if close else f"known: {some}"
            fail(place, f"unknown name {shorten(name)}; {cure}")


def mapping(value: Any, place: str, known: Collection[str] | None = None) -> dict[str, Any]:
    """Return a mapping from names, all of them known where that is asked, or refuse it."""
    if not isinstance(value, dict):
        fail(place, f"must be a mapping, `name: value` a line, not {shorten(value)}")
    for key in value:
        if not isinstance(key, str):
            fail(place, f"the name {shorten(key)} must be text; put it in quotes")
    if known is not None:
        check_known(value, known, place)
    return dict(value)


def sequence(value: Any, place: str) -> list[Any]:
    """Return a list, or refuse what is none."""
    if not isinstance(value, list):
        fail(place, f"must be a list, `- ...` a line, not {shorten(value)}")
    return list(value)


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


def checked_notebooks(value: Any, place: str) -> dict[str, str]:
    """Return the notebook files by role: prepare, run, summary."""
    notebooks = mapping(value, place, ["prepare", "run", "summary"])
    if "run" not in notebooks:
        fail(place, "`run` is missing; name the template, as in `run: train.ipynb`")
    available = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
    check_known(notebooks.values(), available, place)
    return notebooks


def read_template(path: Path) -> Template:
    """Read a template notebook and the parameters it declares."""
    import nbformat
    import papermill

    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # noqa: BLE001 - json's, nbformat's and jsonschema's
        fail(path.name, f"is not a notebook: {error}")
    # papermill formats the path it is given, so braces in it are doubled
    inspected = papermill.inspect_notebook(re.sub(r"([{}])", r"\1\1", str(path)))
    defaults = {}
    for name, declared in inspected.items():
        place = f"{path.name}: parameter {name}"
        cure = "write `name: type = default  # help` on one line, type int, float, bool or str"
        if declared["inferred_type_name"] not in TYPES:
            fail(place, f"has no type that can be checked; {cure}")
        try:
            default = ast.literal_eval(declared["default"])
        except (ValueError, SyntaxError):
            fail(place, f"has no plain value as its default; {cure}")
        defaults[name] = converted(default, TYPES[declared["inferred_type_name"]], place)
    preflight, code = sources(notebook, lambda tags: "preflight" in tags), code_of(notebook)
    same = {hash_of(code): True}
    return Template(path.name, nbformat.writes(notebook), defaults, preflight, code, same)


def hash_of(content: str | bytes) -> str:
    """Return a short hash of a text or of a file's bytes."""
    content = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(content).hexdigest()[:16]


def sources(notebook: Any, wanted: Callable[[set[str]], bool]) -> str:
    """Return the code of the cells whose tags are wanted; a source may be a list of lines."""
    cells = (cell for cell in notebook.get("cells", []) if cell["cell_type"] == "code")
    kept = (cell for cell in cells if wanted(set(cell["metadata"].get("tags", []))))
    return "\n".join("".join(cell["source"]) for cell in kept)


def code_of(notebook: Any) -> str:
    """Return the code of a notebook, template or log, that decides its results."""
    return sources(notebook, lambda tags: not tags & NOT_CODE)


def typed(value: Any, template: Template, place: str) -> dict[str, Any]:
    """Return parameters in the types that the template declares; refuse unknown ones."""
    parameters = mapping(value, place, template.defaults)
    return {
        name: converted(parameters[name], type(template.defaults[name]), f"{place}: {name}")
        for name in parameters
    }


def converted(value: Any, kind: type, place: str) -> Any:
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


def parse_overrides(overrides: Iterable[tuple[str, str]], template: Template) -> dict[str, Any]:
    """Return `-p NAME VALUE` pairs in the template's types, in the order of their names."""
    values: dict[str, Any] = {}
    for name, text in sorted(overrides):
        check_known([name], template.defaults, "-p")
        if name in values:
            fail(f"-p {name}", "is given twice")
        if not NAME.fullmatch(text):
            fail(f"-p {name}", f"{shorten(text)} cannot be part of a directory's name")
        values[name] = text if type(template.defaults[name]) is str else parse_scalar(text)
    return typed(values, template, "-p")


def parse_scalar(text: str) -> Any:
    """Return what YAML takes a text for, the text itself where it takes it for nothing."""
    from ruamel.yaml import YAML

    try:
        return YAML(typ="safe", pure=True).load(text)
    except Exception:  # noqa: BLE001 - ruamel.yaml lets all kinds through
        return text


def add_product(row: Any, place: str, asked: dict[str, Any]) -> None:
    """Expand one row of the grid: lists multiply, single values stay."""
    axes = mapping(row, place)
    pattern = axes.pop("name", None)
    axes = {field: v if isinstance(v, list) else [v] for field, v in axes.items()}
    if not isinstance(pattern, str):
        fail(place, "needs a name, as in `name: mlp_{units}`")
    if set("{}") & set(re.sub(r"\{\w+\}", "", pattern)):
        fail(place, f"the name {shorten(pattern)} may hold bare fields only, as in {{units}}")
    check_known(re.findall(r"\{(\w+)\}", pattern), axes, f"{place}: name {shorten(pattern)}")
    size = math.prod(map(len, axes.values()))
    if size == 0 or len(asked) + size > LARGEST_GRID:
        fail(place, f"expands to {size} configurations; 1 to {LARGEST_GRID} a study are possible")
    for point in itertools.product(*axes.values()):
        values = dict(zip(axes, point, strict=True))
        name = pattern
        for field, value in values.items():
            name = name.replace(f"{{{field}}}", str(value))
        if name in asked:
            fail(place, f"makes the name {shorten(name)} again; put what varies into `name`")
        asked[name] = values


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


def resolve(name: str, asked: dict[str, Any], place: str) -> dict[str, Any]:
    """Return what a configuration and those it extends say; what is nearer wins."""
    chain: dict[str, dict[str, Any]] = {}
    while name is not None:
        check_known([name], asked, f"{place}: extends")
        if name in chain:
            fail(place, f"`extends` is circular: {' -> '.join([*chain, name])}")
        chain[name] = mapping(asked[name], place)
        name = chain[name].pop("extends", None)
    return {key: value for link in reversed(chain.values()) for key, value in link.items()}


def preflight(check: CodeType, parameters: dict[str, Any], place: str) -> dict[str, Any]:
    """Run the template's preflight cell on one configuration; return the names it sets."""
    names = dict(parameters)
    try:
        exec(check, names)  # noqa: S102 - the template's code, which is about to run anyway
    except ValueError as error:
        fail(place, str(error))
    except Exception as error:  # noqa: BLE001 - whatever the template got wrong
        fail(f"{place}: {check.co_filename}", f"{type(error).__name__}: {error}")
    return names


def checked_rounds(value: Any, place: str, known: Collection[str]) -> list[dict[str, Any]]:
    """Return the rounds of elimination, complete with their defaults."""
    rounds = []
    for number, each in enumerate(sequence(value, place), 1):
        here = f"{place}: round {number}"
        empty: dict[str, Any] = {"title": f"Round {number}", "candidates": []}
        empty |= {"metric": "val_loss", "epochs": None, "originally_dropped": []}
        row = empty | mapping(each, here, empty)
        for key, kind in [("title", str), ("metric", str), ("epochs", int)]:
            if row[key] is not None or key != "epochs":
                converted(row[key], kind, f"{here}: {key}")
        if not sequence(row["candidates"], f"{here}: candidates"):
            fail(f"{here}: candidates", "are missing; name two or more configurations")
        if row["epochs"] is not None and row["epochs"] < 1:
            fail(f"{here}: epochs", f"must be at least 1, not {row['epochs']}")
        check_known(row["candidates"], known, f"{here}: candidates")
        dropped = sequence(row["originally_dropped"], f"{here}: originally_dropped")
        check_known(dropped, row["candidates"], f"{here}: originally_dropped")
        rounds.append(row)
    return rounds


# --- the state of every configuration ---
@dataclass(frozen=True)
class Lease:
    """The right of one runner to write a study's outputs, for as long as the lock file says so."""

    outputs: Path
    holder: str  # process id and start of the runner

    def holds(self, unseen: bool = True) -> bool:
        """Tell whether the runner still holds the study; `unseen` where that cannot be seen."""
        with suppress(OSError):
            return (self.outputs / ".lock").read_text(encoding="utf-8") == self.holder
        return unseen

    def __reduce__(self) -> tuple[type[Lease], tuple[Path, str]]:
        """Travel to other hosts with a path that holds there."""
        return Lease, (self.outputs.resolve(), self.holder)


@dataclass(frozen=True)
class Task:
    """One configuration to run, with all that a worker needs for it."""

    name: str
    parameters: dict[str, Any]
    flops: float
    template: Template
    lengthens: str | None
    minutes: float | None  # that an attempt may take
    lease: Lease
    prepare: tuple[str, str] | None  # the study's
    versions: dict[str, str]  # of the libraries that a host must have

    @property
    def place(self) -> Path:
        """Where the complete run lies."""
        return self.lease.outputs / self.name

    @property
    def incomplete(self) -> Path:
        """Where the attempts lie that are running, interrupted or failed."""
        return self.lease.outputs / "incomplete" / self.name

    def attempts(self) -> list[Path]:
        """Return the directories of the attempts, oldest first."""
        found = (path for path in self.incomplete.glob("*") if path.name.isdecimal())
        return sorted(found, key=lambda path: int(path.name))

    def awaits(self, attempt: Path) -> bool:
        """Tell whether the runner still waits for an attempt: it holds the study, and none is newer."""
        with suppress(OSError):
            return self.lease.holds() and self.attempts()[-1:] == [attempt]
        return True


@dataclass(frozen=True)
class State:
    """What is on disk for a configuration, why it is not complete, and the share left to do."""

    kind: str  # complete, unfinished, stale or missing
    why: str = ""
    left: float = 1.0

    @property
    def begins(self) -> str:
        """Say how the next attempt begins."""
        return ("goes on" if self.left < 1 else "started") + (f" ({self.why})" if self.why else "")


def read_run(directory: Path) -> dict[str, Any]:
    """Return what run.json says of a run or an attempt, empty where it is missing or damaged."""
    run = read_json(directory / "run.json")
    kinds: dict[str, Any] = {"parameters": dict, "code": str, "started": str, "seconds": float}
    kinds |= {"attempts": int, "finished": bool, "error": str | None}
    kinds |= {"flops": float, "cores": int}
    return run if all(isinstance(run.get(key, ...), kind) for key, kind in kinds.items()) else {}


def damage(directory: Path, run: dict[str, Any]) -> list[str]:
    """Return the files of a complete run that are not as they were; a log may be saved again."""

    def is_intact(file: Path, digest: str) -> bool:
        with suppress(OSError):
            return hash_of(file.read_bytes()) == digest or bool(read_json(file).get("cells"))
        return False

    return [name for name, digest in run.get("files", {}).items() if not is_intact(directory / name, digest)]


def read_history(directory: Path) -> list[dict[str, str]]:
    """Return the rows of a run's history, one an epoch, none where there is no history."""
    with suppress(OSError, csv.Error, ValueError):
        return list(csv.DictReader((directory / HISTORY).read_text().splitlines()))
    return []


def state_of(task: Task) -> State:
    """Find what is on disk for a configuration; the first state that fits."""
    run = read_run(task.place)
    changes = differences(task, task.place)
    changes += [f"{name} is damaged" for name in damage(task.place, run)]
    if run and not changes:
        return State("complete", left=0.0)
    start = resume_point(task)
    epoch, epochs = len(read_history(start or task.place)), task.parameters.get(task.lengthens or "", 0)
    goes_on = bool(start and epochs and is_whole(start / CHECKPOINT))
    left = max(0.0, 1 - epoch / epochs) if goes_on else 1.0
    if start and start != task.place:
        return State("unfinished", read_run(start)["error"] or f"interrupted at epoch {epoch}", left)
    if not run:
        return State("stale", "run.json is damaged") if task.place.exists() else State("missing")
    changes.append(f"goes on from epoch {epoch}" if goes_on else "starts over")
    if start and not goes_on:
        changes[-1] += f": {CHECKPOINT} is {'damaged' if (start / CHECKPOINT).exists() else 'not here'}"
    return State("stale", ", ".join(changes), left)


def is_whole(checkpoint: Path) -> bool:
    """Tell whether a checkpoint is there and its content is what was written."""
    with suppress(Exception):  # a damaged archive shows in many ways
        return zipfile.ZipFile(checkpoint).testzip() is None
    return False


def differences(task: Task, directory: Path, may_grow: bool = False) -> list[str]:
    """Say what a run was made with that is not today's; what lengthens it may have grown."""
    run = read_run(directory)
    was = task.template.defaults | run.get("parameters", {})
    changes = [
        f"{name} {was[name]} -> {value}"
        for name, value in task.parameters.items()
        if was[name] != value and not (may_grow and name == task.lengthens and was[name] < value)
    ]
    same = task.template.is_same_code(run.get("code", ""), directory / f"{task.name}.ipynb")
    return changes + ([] if same else [f"{task.template.file} changed"])


def resume_point(task: Task) -> Path | None:
    """Return the newest directory that the next attempt can go on from, with a whole checkpoint if any."""
    usable = []
    for directory in [*reversed(task.attempts()), task.place]:
        run = read_run(directory)
        if run and not differences(task, directory, may_grow=True) and HISTORY not in damage(directory, run):
            usable.append(directory)
    return next((path for path in usable if is_whole(path / CHECKPOINT)), usable[0] if usable else None)


def last_words(directory: Path) -> str:
    """Say how many epochs a run has, its last loss, and whether it diverged."""
    history = read_history(directory)
    last = history[-1] if history else {}
    words = [f"{name} {last[name]:.7}" for name in ("val_loss", "loss") if name in last][:1]
    if epoch := read_json(directory / "result.json").get("diverged"):
        words.append(f"diverged at epoch {epoch}")
    return ", ".join([f"{len(history)} epochs", *words])


def extras(tasks: dict[str, Task], outputs: Path) -> list[str]:
    """Return the names of runs on disk that the study does not have."""
    found = {path.parent.name for path in outputs.glob("*/run.json")}
    found |= {path.parent.parent.name for path in outputs.glob("incomplete/*/*/run.json")}
    return sorted(found - set(tasks))


# --- from attempt to result ---
def check_place(task: Task) -> None:
    """Refuse to replace a directory that is no run."""
    traces = (task.place / "run.json", task.place / f"{task.name}.ipynb")
    if task.place.exists() and not any(trace.exists() for trace in traces):
        fail(str(task.place), "is in the way and holds no run; move it, or rename the configuration")


def accept_code(task: Task) -> None:
    """Take a complete run as current although the template's code changed, and record it."""
    run, changed = read_run(task.place), differences(task, task.place)
    if run and changed == [f"{task.template.file} changed"]:
        accepted = {"accepted": [*run.get("accepted", []), run["code"]], "code": task.template.hash}
        write_json(task.place / "run.json", run | accepted)


def begin_attempt(task: Task, threads: int) -> Path:
    """Make the directory of a new attempt, with the files of the one it goes on from."""
    start, attempts = resume_point(task), task.attempts()
    attempt = task.incomplete / str(int(attempts[-1].name) + 1 if attempts else 1)
    attempt.mkdir(parents=True)
    run: dict[str, Any] = {"configuration": task.name, "parameters": task.parameters}
    run |= {"code": task.template.hash, "flops": task.flops, "cores": threads}
    run |= {"seconds": 0.0, "attempts": 0}
    run |= {"started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    if start:
        before = read_run(start)
        run |= {key: before[key] for key in ("seconds", "attempts", "started")}
        # oldest first: a history that is copied after its checkpoint is never behind it
        files = sorted(start.iterdir(), key=lambda path: path.stat().st_mtime)
        if not before["finished"]:  # killed: it lived to its last file
            lived = files[-1].stat().st_mtime - (start / "run.json").stat().st_mtime
            run["seconds"] = round(run["seconds"] + lived, 1)
        for file in files:
            if file.is_file() and file.suffix != ".ipynb" and file.name != "run.json":
                shutil.copy2(file, attempt / file.name)
    (attempt / f"{task.name}.ipynb").write_text(task.template.text, encoding="utf-8")
    run |= {"attempts": run["attempts"] + 1, "finished": False, "error": None}
    write_json(attempt / "run.json", run)  # last: from now on the attempt counts
    for old in attempts[:-1]:
        shutil.rmtree(old)
    return attempt


def promote(task: Task, attempt: Path) -> None:
    """Move a successful attempt to its final place; the old result stays until then."""
    kept = (path for path in attempt.iterdir() if path.name not in ("run.json", CHECKPOINT))
    files = {path.name: hash_of(path.read_bytes()) for path in kept if path.is_file()}
    write_json(attempt / "run.json", read_run(attempt) | {"files": files})
    if task.place.exists():
        task.place.rename(task.incomplete / "replaced")
    attempt.rename(task.place)
    shutil.rmtree(task.incomplete)


def settle(task: Task, future: Future[Any]) -> str | None:
    """Promote a run that succeeded; return the error of one that did not."""
    attempt = (task.attempts() or [task.incomplete])[-1]
    future.exception()  # raises CancelledError where the scheduler is lost
    try:
        found, error = future.result()
        attempt = task.incomplete / found.name
        if not error:
            promote(task, attempt)
    except Exception as failure:  # noqa: BLE001 - a full disk, or dead workers: the other runs go on
        error = f"{type(failure).__name__}: {failure}"
        if run := read_run(attempt):
            with suppress(OSError):
                write_json(attempt / "run.json", run | {"error": error})
    return f"{error} ({attempt / f'{task.name}.ipynb'})" if error else None


def finish_promotion(task: Task) -> None:
    """Complete a promotion that was cut short, at whatever point."""
    replaced = task.incomplete / "replaced"
    if replaced.exists() and task.place.exists():
        shutil.rmtree(task.incomplete)
    for attempt in task.attempts()[-1:]:
        run = read_run(attempt)
        if run.get("finished") and not run["error"] and not differences(task, attempt):
            return promote(task, attempt)
    if replaced.exists():
        replaced.rename(task.place)


# --- what it would take ---
def predict(tasks: dict[str, Task], states: dict[str, State], threads: int) -> dict[str, float]:
    """Return the seconds that each configuration has left, empty where no run has finished.

    A run takes a time to start and a time a FLOP, in seconds of one core, as fitted to the finished
    runs of this study, or to those of the same code in other outputs where this one has none. Runs
    of less than a hundredth of the costliest say nothing about it.
    """
    left = {k: state.left * tasks[k].flops for k, state in states.items() if state.kind != "complete"}
    code, least = next(iter(tasks.values())).template.hash, max(left.values(), default=0.0) / 100
    own = (read_run(task.place) for task in tasks.values())
    others = (read_run(path.parent) for path in NOTEBOOKS.parent.glob("outputs/*/*/run.json"))
    found = [run for run in own if run and run["flops"] >= least]
    found = found or [run for run in others if run.get("code") == code and run["flops"] >= least]
    flops, seconds = [run["flops"] for run in found], [run["seconds"] * run["cores"] for run in found]
    rate, start = statistics.linear_regression(flops, seconds) if len(set(flops)) > 1 else (0.0, 0.0)
    if rate <= 0 or start < 0:
        rate, start = sum(seconds) / (sum(flops) or 1), 0.0
    return {name: (start + rate * todo) / threads for name, todo in left.items() if found}


def holder_of(outputs: Path) -> str:
    """Return the process that is running a study, empty if there is none."""
    from filelock import FileLock, Timeout

    with suppress(OSError):
        if (lock := outputs / ".lock").exists():
            try:
                with FileLock(lock, timeout=0):
                    pass
            except Timeout:
                return lock.read_text(encoding="utf-8").partition(" ")[0]
    return ""


def makespan(seconds: Iterable[float], jobs: int) -> float:
    """Return how long runs take together, a number of them at a time, the longest first."""
    ends = [0.0] * jobs
    for each in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def show_plan(tasks: dict[str, Task], states: dict[str, State], jobs: int, seconds: dict[str, float]) -> None:
    """Print what would run and why, what it costs, and how long it will take."""
    if len(states) <= 60:  # more than that are only counted
        width = max(map(len, states))
        click.echo(f"{'configuration':{width}}  {'state':10}    TFLOP  minutes  why")
        for name, state in states.items():
            done = seconds or state.kind == "complete"
            minutes = f"{seconds.get(name, 0.0) / 60:7.1f}" if done else "      ?"
            cells = [f"{name:{width}}", f"{state.kind:10}", f"{tasks[name].flops * state.left / 1e12:7.2f}"]
            click.echo("  ".join([*cells, minutes, state.why]).rstrip())
    kinds = [state.kind for state in states.values()]
    click.echo(", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)))
    if holder := holder_of(next(iter(tasks.values())).lease.outputs):
        click.echo(f"process {holder} is running this study: what it has under way shows as interrupted")
    total = sum(tasks[name].flops * state.left for name, state in states.items())
    click.echo(f"{total / 1e12:.2f} TFLOP to do, {jobs} at a time: {in_words(seconds, jobs)}")


def in_words(seconds: dict[str, float], jobs: int) -> str:
    """Say how long runs are predicted to take together."""
    minutes = makespan(seconds.values(), jobs) / 60
    return f"about {minutes:.1f} minutes" if seconds else "no finished run to go by"


# --- what a host must have ---
def misfit(lease: Lease, versions: dict[str, str]) -> str | None:
    """Say why this host cannot run anything: its libraries, or outputs that it does not see."""
    there = installed(versions)
    differ = [
        f"{name} {there[name]}, not {versions[name]}" for name in there if there[name] != versions[name]
    ]
    if differ:
        return f"has {'; '.join(differ)}: install requirements.txt there"
    for _ in range(10):  # networks' caches take their time
        if lease.holds(unseen=False):
            return None
        time.sleep(0.5)
    return f"does not see {lease.outputs}: share it with the runner, under the same path"


def required() -> list[str]:
    """Return the names of the libraries that requirements.txt asks for to run."""
    text = (NOTEBOOKS.parent / "requirements.txt").read_text(encoding="utf-8").partition("# to test")[0]
    return re.findall(r"^([\w.-]+)==", text, re.MULTILINE)


def installed(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of libraries."""
    found = dict.fromkeys(names, "missing")
    for name in found:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
