"""A study file, read: its keys, and the notebooks that it names.

What a key means is checked where its subject is: see the comments of EMPTY. Another key is a line there, a field of
`study.Study`, which `load_study` fills and `record` keeps in study.json, and a section of params/README.md.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError

from nbstudy.checks import Faults, StudyError, check_known, fail, mapping
from nbstudy.files import NOTEBOOKS
from nbstudy.study.notebook import read_notebook
from nbstudy.study.template import Template, read_template

EMPTY: dict[str, Any] = {  # a study file that says nothing
    "notebooks": {},  # here, and template.py
    "defaults": {},  # template.py
    "configurations": {},  # configurations.py
    "grid": [],  # configurations.py and sampling.py
    "metric": None,  # rounds.py, as the next two
    "better": None,
    "rounds": [],
    "halving": None,  # halving.py
    "final": None,  # rounds.py, as the next one
    "test": None,
    "threads": 1,  # threads.py
    "inputs": [],  # inputs.py
}
LARGEST_FILE = 1_000_000  # bytes
PLAIN = re.compile(
    r"[A-Za-z0-9_][\w.=-]*"
)  # what needs no quotes in YAML, unless it is a number, a date, true or null


def read_document(file: Path, faults: Faults) -> dict[str, Any]:
    """Return what a study file says, with what it leaves out as empty; refuse keys it cannot have."""
    document = mapping(read_yaml(file), str(file))
    with faults:
        check_known(document, EMPTY, str(file))
    return EMPTY | document


def read_yaml(file: Path) -> Any:
    """Return what a YAML 1.2 file holds: data only, no tags, no duplicate keys."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        if len(text) > LARGEST_FILE:
            fail(str(file), f"is larger than {LARGEST_FILE:,} bytes; use `grid` for many configurations")
        return read_text(text)
    except StudyError:
        raise
    except OSError as error:
        fail(str(file), f"cannot be read: {error.strerror}; name a study, as params/smoke.yaml")
    except MarkedYAMLError as error:
        check_tab(error, text, str(file))
        fail(str(file), f"is not valid YAML 1.2: {error}".split("\n\n")[0])
    except Exception as error:  # noqa: BLE001 - ruamel.yaml lets all kinds through
        fail(str(file), f"is not valid YAML 1.2: {error}".split("\n\n")[0])


# --- YAML ---
class Constructor(SafeConstructor):
    """Take a plain `=` or `<<` for the text that it is in YAML 1.2.

    ruamel.yaml 0.19.1 gives them types that YAML 1.1 had ("value" and "merge"), and then cannot construct these:
    `a: =` is "could not determine a constructor". As a key `<<` still merges.
    """


Constructor.add_constructor("tag:yaml.org,2002:value", SafeConstructor.construct_yaml_str)
Constructor.add_constructor("tag:yaml.org,2002:merge", SafeConstructor.construct_yaml_str)


def read_text(text: str) -> Any:
    """Return what a text in YAML 1.2 holds, of which JSON is a part."""
    if text.lstrip().startswith(("{", "[")):
        # else it is YAML in brackets, or what is wrong with it is said in YAML's terms
        with suppress(ValueError, RecursionError):
            return json.loads(text, object_pairs_hook=each_key_once)
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = Constructor
    return yaml.load(text)


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


def check_tab(error: MarkedYAMLError, text: str, place: str) -> None:
    """Refuse a tab between words: YAML 1.2 allows it there, but ruamel.yaml 0.19.1 reads it in brackets alone."""
    mark = error.problem_mark
    if mark is not None and text[mark.index : mark.index + 1] == "\t":
        fail(
            f"{place}, line {mark.line + 1}", "has a tab, which this reader does not take there; write spaces"
        )


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
