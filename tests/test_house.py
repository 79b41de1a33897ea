"""The house: which room may know which, and that nothing heavy is imported for nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator

import nbformat
import pytest

from project import PATIENCE, ROOT, Project

HEAVY = {"pandas", "matplotlib", "dask", "distributed", "tensorflow", "keras"}
SPARED = HEAVY | {  # by a command with nothing to do
    *("numpy", "scipy", "papermill", "IPython", "jupyter_client", "traitlets", "zmq", "rich", "cloudpickle"),
    *("nbformat", "jsonschema", "fastjsonschema", "rfc3987_syntax", "lark"),
    *("asyncio", "ssl", "email", "multiprocessing"),
    *("statistics", "concurrent", "tempfile", "zipfile"),
}
PACKAGE = ROOT / "nbstudy"
ROOMS = sorted(".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py"))
SHARED = {  # the rooms beside the wings, which all may use
    *("checks", "files", "markdown", "numbers", "remembered", "uncollected", "words"),
}
MAY_IMPORT = {  # wing by wing: arrows run down
    "decision": set(),
    "study": {"decision"},
    "records": {"study", "decision"},
    "execution": {"records", "study", "decision"},
    "report": {"execution", "records", "study", "decision"},
    "command": {"report", "execution", "records", "study", "decision"},
}
PANDAS = {
    "records.histories",
    "records.outputs",
    "records.reading",
    "records.results",
    "records.studies",
    "records.table",
}  # may import it, as report may


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the full names of the modules that code imports, at its top or in a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "names modules in full"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def libraries(tree: ast.AST) -> set[str]:
    """Return the top-level names of what code imports."""
    return {name.partition(".")[0] for name in imported(tree)}


def code_of(room: str) -> ast.Module:
    """Return the parsed code of a module of nbstudy, named as in "study.halving"."""
    return ast.parse((PACKAGE / f"{room.replace('.', '/')}.py").read_text(encoding="utf-8"))


def rooms_imported(tree: ast.AST) -> set[str]:
    """Return the modules of nbstudy that code imports."""
    found = set()
    for name in imported(tree):
        package, _, room = name.partition(".")
        if package == "nbstudy" and room in ROOMS:
            found.add(room)
    return found


def wing_of(room: str) -> str:
    """Return the wing that a module lies in, or the name of one that lies beside the wings."""
    return room.partition(".")[0]


def code_in(notebook: str) -> ast.Module:
    """Return the parsed code of a notebook."""
    cells = nbformat.read(ROOT / "notebooks" / notebook, as_version=4).cells
    return ast.parse("\n".join(cell.source for cell in cells if cell.cell_type == "code"))


# --- templates ---
@pytest.mark.parametrize("notebook", ["train.ipynb", "dataset.ipynb", "test.ipynb"])
def test_templates_import_nothing_of_this_project(notebook: str) -> None:
    own = {"nbstudy"} | {path.stem for path in ROOT.glob("*.py")}
    own |= {path.stem for path in (ROOT / "notebooks").glob("*.py")}
    assert not libraries(code_in(notebook)) & own


# --- arrows ---
def test_rooms_import_each_other_in_one_direction() -> None:
    arrows = {room: rooms_imported(code_of(room)) for room in ROOMS if room != "__init__"}
    while arrows:
        built = [room for room, needed in arrows.items() if not needed & arrows.keys()]
        assert built, f"import each other in a circle: {sorted(arrows)}"
        for room in built:
            del arrows[room]


@pytest.mark.parametrize("wing", MAY_IMPORT)
def test_wing_imports_only_those_below_it(wing: str) -> None:
    rooms = [room for room in ROOMS if wing_of(room) == wing]
    assert rooms
    needed = {wing_of(other) for room in rooms for other in rooms_imported(code_of(room))}
    assert needed <= MAY_IMPORT[wing] | SHARED | {wing}


def test_every_room_lies_in_a_wing_or_is_shared() -> None:
    assert {wing_of(room) for room in ROOMS} == MAY_IMPORT.keys() | SHARED | {"__init__"}


@pytest.mark.parametrize("room", ROOMS)
def test_room_imports_pandas_or_matplotlib_only_where_these_are_at_home(room: str) -> None:
    found = libraries(code_of(room))
    if wing_of(room) != "report":
        assert room in PANDAS or "pandas" not in found
        assert "matplotlib" not in found


@pytest.mark.parametrize("room", ROOMS)
def test_room_imports_keras_only_to_load_a_model(room: str) -> None:
    tree = code_of(room)
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name == "load_model":
            function.body = [ast.Pass()]
    assert not libraries(tree) & {"tensorflow", "keras"}


def test_rule_is_plain_python_that_the_runner_can_import() -> None:
    tree = code_of("decision.elimination")
    at_top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    assert not libraries(at_top) & {"numpy", "scipy"}  # which it imports when it decides
    assert not libraries(tree) & HEAVY


# --- what is imported when a command runs ---
REPORT = """
import json, runpy, sys

sys.argv = ["runner.py", *sys.argv[1:]]
try:
    runpy.run_path("runner.py", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(sorted(sys.modules)))
"""


def modules_of(project: Project, *arguments: str) -> set[str]:
    """Return the top-level names of all modules that a command of the runner has imported."""
    command = [sys.executable, "-c", REPORT, *arguments]
    done = subprocess.run(
        command, cwd=project.root, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_command_with_nothing_to_do_imports_nothing_heavy(project: Project) -> None:
    project.notebook("page.ipynb", {"parameters": 'outputs: str = "."', "": "print(outputs)"})
    study = project.study(
        "notebooks: {run: tiny.ipynb, summary: page.ipynb}\nconfigurations: {a: , b: {steps: 2}}"
    )
    project.run(study)
    summary = project.outputs("mine", "page.ipynb").read_bytes()
    modules = modules_of(project, study)
    assert {"nbstudy", "filelock"} <= modules  # it did run
    assert not modules & SPARED
    assert project.outputs("mine", "page.ipynb").read_bytes() == summary


def test_dry_run_imports_nothing_heavy(complete: Project) -> None:
    assert not modules_of(complete, "params/mine.yaml", "--dry-run") & SPARED


def test_command_with_nothing_to_do_starts_no_workers(complete: Project) -> None:
    (complete.root / "cluster.yaml").write_text("slurm: {cores: 1, memory: 1 GB}\njobs: 1\n")
    modules = modules_of(complete, "params/mine.yaml", "--cluster", "cluster.yaml")
    assert not modules & (SPARED | {"dask_jobqueue", "cryptography"})


def test_package_imports_nothing_heavy_before_it_is_used() -> None:
    code = "import json, sys, nbstudy; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert not {name.partition(".")[0] for name in json.loads(done.stdout)} & (HEAVY | {"numpy"})
