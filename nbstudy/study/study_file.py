"""A study file, read: its keys, and the notebooks that it names.

What a key means is checked where its subject is: see the comments of EMPTY. Another key is a line there, a field of
`study.Study`, which `load_study` fills and `record` keeps in study.json, and a section of params/README.md.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from nbstudy.checks import Faults, StudyError, check_known, fail, mapping, shorten
from nbstudy.remembered import remember
from nbstudy.study.modules import read_modules
from nbstudy.study.notebook import read_notebook
from nbstudy.study.project import Project, is_within
from nbstudy.study.template import Template, names_in, read_template, read_test

EMPTY: dict[str, Any] = {  # a study file that says nothing
    "notebooks": {},  # here, and template.py
    "python_path": [],  # project.py
    "defaults": {},  # template.py
    "configurations": {},  # configurations.py
    "grid": [],  # configurations.py and sampling.py
    "metric": None,  # rounds.py, as the next two
    "better": None,
    "rounds": [],
    "halving": None,  # halving.py
    "race": None,  # race.py
    "final": None,  # rounds.py
    "threads": 1,  # threads.py
    "inputs": [],  # inputs.py
    "notes": {},  # notes.py
}
LEFT_ALONE = "x-"  # how keys begin that are the author's own, as for anchors
ROLES = ["prepare", "run", "test", "summary"]  # of notebooks, in the order in which they are executed
SUMMARY = "summary.ipynb"  # of a study that does not say
OWN_SUMMARY = (
    Path(__file__).parent.parent / "report" / SUMMARY
)  # of nbstudy, where a project has none of that name
READER = "nbstudy.study.yaml_reader"  # slow to import
LARGEST_FILE = 1_000_000  # bytes
PLAIN = re.compile(
    r"[A-Za-z0-9_][\w.=-]*"
)  # what needs no quotes in YAML, unless it is a number, a date, true or null


def read_document(file: Path, faults: Faults) -> dict[str, Any]:
    """Return what a study file says, with what it leaves out as empty; refuse keys it cannot have."""
    document = mapping(read_yaml(file), str(file))
    document = {key: value for key, value in document.items() if not key.startswith(LEFT_ALONE)}
    if "test" in document:
        with faults:
            refuse_named_test_set(document.pop("test"), document.get("notebooks"), str(file))
    with faults:
        check_known(document, EMPTY, str(file))
    return EMPTY | document


def refuse_named_test_set(test_set: Any, notebooks: Any, file: str) -> NoReturn:
    """Refuse a test set by name, as earlier versions took it, with the line to write instead."""
    named = {"run": "train.ipynb", "test": "test.ipynb"}
    if isinstance(notebooks, dict):
        for role, name in notebooks.items():
            if isinstance(name, str) and name.endswith(".ipynb"):
                named[role] = name
    line = ", ".join(f"{role}: {as_yaml(named[role])}" for role in ROLES if role in named)
    fail(
        f"{file}: test",
        f"{shorten(test_set)} is opened by a notebook; instead of this line write `notebooks: {{{line}}}`",
    )


def read_yaml(file: Path) -> Any:
    """Return what a YAML 1.2 file holds: data only, no tags, no duplicate keys."""
    text = ""
    try:
        text = file.read_text(encoding="utf-8-sig")
        if len(text) > LARGEST_FILE:
            fail(str(file), f"is larger than {LARGEST_FILE:,} bytes; use `grid` for many configurations")
        if "&" in text:  # with copies of its parts, a text may come to more than any file can hold
            return read_text(text)
        return remember("study", text, (__name__, READER, "ruamel.yaml"), lambda: read_text(text))
    except StudyError:
        raise
    except OSError as error:
        fail(str(file), f"cannot be read: {error.strerror}; name a study file, as params/NAME.yaml")
    except Exception as error:  # noqa: BLE001 - ruamel.yaml lets all kinds through
        check_tab(error, text, str(file))
        fail(str(file), f"is not valid YAML 1.2: {error}".split("\n\n")[0])


# --- YAML ---
def read_text(text: str) -> Any:
    """Return what a text in YAML 1.2 holds, of which JSON is a part."""
    if text.lstrip().startswith(("{", "[")):
        # else it is YAML in brackets, or what is wrong with it is said in YAML's terms
        with suppress(ValueError, RecursionError):
            return json.loads(text, object_pairs_hook=each_key_once)
    from nbstudy.study.yaml_reader import load  # slow to import

    return load(text)


def each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of a JSON object; raise ValueError where a key stands twice."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key stands twice")
    return members


def as_yaml(text: str) -> str:
    """Return a text as it stands in a study file, in quotes where YAML would take it for anything else."""
    if PLAIN.fullmatch(text) and read_text(text) == text:
        return text
    return json.dumps(text, ensure_ascii=False)


def check_tab(error: Exception, text: str, place: str) -> None:
    """Refuse a tab between words: YAML 1.2 allows it there, but ruamel.yaml 0.19.1 reads it in brackets alone."""
    mark = getattr(error, "problem_mark", None)  # of ruamel.yaml's own errors
    if mark is not None and text[mark.index : mark.index + 1] == "\t":
        fail(
            f"{place}, line {mark.line + 1}", "has a tab, which this reader does not take there; write spaces"
        )


# --- the notebooks ---
@dataclass(frozen=True)
class Notebooks:
    """The notebooks of a study, by role, ready to be executed."""

    files: dict[str, str]  # as the study names them
    texts: dict[str, str]
    modules: dict[str, dict[str, str]]  # of the project, that each imports: source by path
    template: Template  # in the role `run`
    test: Template | None  # in the role `test`


def read_notebooks(value: Any, project: Project, place: str) -> Notebooks:
    """Read the notebooks of a study; raise StudyError for all that is wrong in them."""
    given = mapping(value, place, ROLES)
    if given.get("run") is None:
        fail(place, "`run` is missing; name the template, as in `run: train.ipynb`")
    given = {"summary": SUMMARY} | given
    named = {role: given[role] for role in ROLES if given.get(role) is not None}
    check_notebook_names(named.values(), project, place)
    check_logs_differ(named, place)
    faults = Faults()
    texts = {}
    modules = {}
    test = None
    for role, name in named.items():
        path = find_notebook(name, project) or OWN_SUMMARY
        with faults:
            if role == "run":
                template = read_template(path, project.import_places)
                texts[role], modules[role] = template.text, template.modules
            elif role == "test":
                test = read_test(path, project.import_places)
                texts[role], modules[role] = test.text, test.modules
            else:
                notebook = read_notebook(path, faults)
                texts[role] = notebook.text
                places = [path.parent, *project.import_places]
                modules[role] = read_modules(names_in(notebook), places, faults)
    faults.end()
    return Notebooks(named, texts, modules, template, test)


def check_notebook_names(names: Iterable[Any], project: Project, place: str) -> None:
    """Refuse names of notebooks that the project does not have."""
    faults = Faults()
    missing = []
    for name in names:
        if not isinstance(name, str):
            missing.append(name)
        elif not is_within(name):
            with faults:
                fail(
                    place,
                    f"{shorten(name)} leads out of the project {project.root}; move the notebook into it",
                )
        elif find_notebook(name, project) is None:
            missing.append(name)
    with faults:
        if missing:
            check_known(missing, available_notebooks(project), place)
    faults.end()


def find_notebook(name: str, project: Project) -> Path | None:
    """Return the file of a notebook by its name in notebooks/, its path in the project, or as that of nbstudy's own."""
    if name.endswith(".ipynb"):
        for path in (project.notebooks / name, project.root / name):
            if os.path.lexists(path):
                return path
    if name == SUMMARY:
        return OWN_SUMMARY
    return None


def available_notebooks(project: Project) -> list[str]:
    """Return names of notebooks that a study of a project can have, though not those in all its other directories."""
    names = {SUMMARY}
    for place, pattern in ((project.notebooks, "**/*.ipynb"), (project.root, "*.ipynb")):
        for path in place.glob(pattern):
            if ".ipynb_checkpoints" not in path.parts:
                names.add(path.relative_to(place).as_posix())
    return sorted(names)


def check_logs_differ(notebooks: Mapping[str, str], place: str) -> None:
    """Refuse notebooks of a study whose logs would have one name."""
    roles: dict[str, str] = {}
    for role, name in notebooks.items():
        log = Path(name).name
        if role != "run" and log in roles:
            fail(
                place,
                f"`{roles[log]}` and `{role}` would both leave {log} in the outputs; rename one of the two",
            )
        if role != "run":
            roles[log] = role
