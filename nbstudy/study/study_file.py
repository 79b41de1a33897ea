"""A study file, read: its keys, and the notebooks that it names.

What a key means is checked where its subject is: see the comments of EMPTY. Another key is a line there, a field of
`study.Study`, which `load_study` fills and `record` keeps in study.json, and a section of params/README.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

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
}
LARGEST_FILE = 1_000_000  # bytes


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
