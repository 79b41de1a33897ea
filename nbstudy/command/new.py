"""Begin a study: a template and a study file to fill in, which run as they are."""

from __future__ import annotations

import os
from pathlib import Path

import click

from nbstudy.checks import Faults, fail, shorten
from nbstudy.files import as_seen
from nbstudy.study.configurations import NAME
from nbstudy.study.project import STUDIES, Project, project_root
from nbstudy.study.study_file import SUMMARY, as_yaml

BESIDE = Path(__file__).parent  # where what a study begins with lies
IGNORED_BECAUSE = "# nbstudy: in use, unfinished, or not to be read as a log; add your templates' checkpoints"
IGNORED = (
    ".lock*",
    ".hashes.json",
    "partial.*",
    "__pycache__/",
    ".ipynb_checkpoints/",
    "outputs/*/incomplete/",
    "outputs/*/*/model.keras",
    "outputs/*+*/",
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name")
@click.pass_obj
def new(here: Path, name: str) -> None:
    """Begin the study NAME: notebooks/NAME.ipynb and params/NAME.yaml, to fill in.

    They are made in the project that the working directory lies in; where there is none, it becomes one. Nothing is
    overwritten.
    """
    if not NAME.fullmatch(name):
        fail("NAME", f"{shorten(name)} cannot name files; use letters, digits and _ - . = , (no leading dot)")
    if name.casefold() == Path(SUMMARY).stem:
        fail("NAME", f"{SUMMARY} is the notebook of a study's summary; choose another name")
    project = Project(as_seen(project_root(here)))
    template = project.notebooks / f"{name}.ipynb"
    study = project.root / STUDIES / f"{name}.yaml"
    check_free(template, study, project.outputs / name)
    make(template, (BESIDE / "first.ipynb").read_text(encoding="utf-8"))
    text = (BESIDE / "first.yaml").read_text(encoding="utf-8")
    make(study, text.replace("first.ipynb", as_yaml(template.name)))
    ignore(project.root / ".gitignore")
    click.echo(f"{template}: what is run, once for each configuration")
    click.echo(f"{study}: the configurations, and what decides among them")
    click.echo(f"They run as they are: nbstudy {study}")


def check_free(*paths: Path) -> None:
    """Refuse to write where something is."""
    faults = Faults()
    for path in paths:
        with faults:
            if os.path.lexists(path):
                fail(str(path), "is there already; choose another name, or move it")
    faults.end()


def make(file: Path, text: str) -> None:
    """Write a file, and make its directory where that is not there."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(str(file), f"cannot be written: {error.strerror}")


def ignore(file: Path) -> None:
    """Add the lines to a .gitignore that it lacks."""
    text = ""
    if file.exists():
        text = file.read_text(encoding="utf-8")
    missing = [line for line in IGNORED if line not in text.splitlines()]
    if not missing:
        return
    if text and not text.endswith("\n"):
        text += "\n"
    make(file, text + "\n".join([IGNORED_BECAUSE, *missing, ""]))
