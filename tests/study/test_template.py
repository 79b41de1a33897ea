"""Templates: the parameters that a notebook declares, and when two logs had the same code."""

from __future__ import annotations

import codecs
import json
from datetime import date
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from nbstudy.checks import StudyError
from nbstudy.study.template import convert_parameters, hash_of_code, read_template
from project import ROOT, TINY_STUDY, Project, begun, read, read_run


def code(source: str, tag: str = "") -> nbformat.NotebookNode:
    """Return a cell of code, with a tag if there is one."""
    cell = new_code_cell(source)
    if tag:
        cell.metadata.tags = [tag]
    return cell


def write(place: Path, *cells: nbformat.NotebookNode, metadata: Any = None) -> Path:
    """Write a notebook; return its path."""
    path = place / "mine.ipynb"
    path.write_text(json.dumps(new_notebook(cells=list(cells), metadata=metadata or {})), encoding="utf-8")
    return path


def refusal_of(path: Path) -> str:
    """Return why a template is refused."""
    with pytest.raises(StudyError) as refusal:
        read_template(path)
    assert refusal.value.exit_code == 2
    return refusal.value.message


def plan(project: Project) -> str:
    """Return what a dry run says."""
    return project.run("params/mine.yaml", "--dry-run")


def test_parameters_are_those_that_the_cell_declares() -> None:
    template = read_template(ROOT / "notebooks" / "train.ipynb")
    assert template.defaults == {
        "hidden_layers": 5,
        "units": 128,
        "l2": 0.001,
        "dropout": 0.0,
        "batch_size": 512,
        "learning_rate": 0.001,
        "learning_rate_decay": 1.0,
        "epochs": 200,
        "seed": 0,
        "refit": False,
        "precision": "float32",
        "averaging": 0.0,
    }


# --- the parameters cell ---
AS_PEOPLE_WRITE_THEM = """
# what can be set
alpha = 0.1  # default = 0.1
lr: float = 1  # between 0 and 1; lr = 0 is none
tag: str = "a=b"; colour = "#fff"
hidden = [
    64,  # the first layer
    64,
]
text = (
    "one, "
    "two"
)
options: dict = {"a": [1, None], "b": {"c": -1e-3}}
limit = None
widths: list[float] = [1, 2]
depth: int | None = None
rate: Optional[float] = 1
kind: "str" = 'x'
"""


def test_parameters_are_read_as_people_write_them(tmp_path: Path) -> None:
    template = read_template(write(tmp_path, code(AS_PEOPLE_WRITE_THEM, "parameters")))
    assert repr(template.defaults) == repr(
        {
            "alpha": 0.1,
            "lr": 1.0,
            "tag": "a=b",
            "colour": "#fff",
            "hidden": [64, 64],
            "text": "one, two",
            "options": {"a": [1, None], "b": {"c": -0.001}},
            "limit": None,
            "widths": [1.0, 2.0],
            "depth": None,
            "rate": 1.0,
            "kind": "x",
        }
    )


@pytest.mark.parametrize(
    ("declared", "given", "expected"),
    [
        ("c = 1", 0.1, "0.1"),
        ("c = 1", 2, "2"),
        ("c = 0.5", 2, "2"),
        ("c: int = 1", 2.0, "2"),
        ("c: float = 1.0", 2, "2.0"),
        ("c: int | float = 1", 2.0, "2.0"),
        ("c: float | None = None", 2, "2.0"),
        ("c: Optional[int] = 3", None, "None"),
        ("c = None", [1, {"a": "b"}], "[1, {'a': 'b'}]"),
        ("c: Any = 1", "x", "'x'"),
        ("c = [64]", [], "[]"),
        ("c: list[float] = []", [1, 2.5], "[1.0, 2.5]"),
        ("c: dict[str, list[int]] = {}", {"a": [1.0]}, "{'a': [1]}"),
    ],
)
def test_value_that_fits_is_taken(tmp_path: Path, declared: str, given: Any, expected: str) -> None:
    template = read_template(write(tmp_path, code(declared, "parameters")))
    assert repr(convert_parameters({"c": given}, template, "here")["c"]) == expected


@pytest.mark.parametrize(
    ("declared", "given", "expected"),
    [
        ("c: int = 1", 0.1, "here: c: must be a whole number, not 0.1"),
        ("c = 1", True, "a number, not True"),
        ("c = 1", "x", "a number, not 'x'"),
        ("c = False", 0, "true or false, not 0"),
        ("c = 'x'", None, "text, in quotes, not None"),
        ("c: float | None = None", "x", "a number or null, not 'x'"),
        ("c = [64]", 64, "a list, not 64"),
        ("c = {}", [1], "a mapping, not [1]"),
        ("c: list[int] = []", [1, 2.5], "c: item 2: must be a whole number, not 2.5"),
        ("c: dict[str, int] = {}", {"a": "x"}, "c: a: must be a whole number, not 'x'"),
        ("c = None", [float("nan")], "c: item 1: must be a finite number"),
        ("c = None", {1: 2}, "the name 1 must be text"),
        ("c = None", date(2026, 1, 1), "must be a number, text, true, false, null, a list or a mapping"),
        ("c = []", [[[2**63]]], "below 2**63"),
        ("c = []", [0] * 20_000, "at most 10,000 values"),
    ],
)
def test_value_that_does_not_fit_is_refused(tmp_path: Path, declared: str, given: Any, expected: str) -> None:
    template = read_template(write(tmp_path, code(declared, "parameters")))
    with pytest.raises(StudyError) as refusal:
        convert_parameters({"c": given}, template, "here")
    assert expected in refusal.value.message, refusal.value.message


NO_DECLARATIONS = [
    ('"""The parameters."""', "is no plain assignment"),
    ("print(1)", "is no plain assignment"),
    ("if True: a = 1", "is no plain assignment"),
    ("%matplotlib inline", "'%matplotlib inline' is no plain assignment"),
    ("import os", "move it to another cell"),
    ("b: float", "is no plain assignment"),
    ("c = d = 3", "is no plain assignment"),
    ("e, f = 1, 2", "is no plain assignment"),
    ("g += 1", "is no plain assignment"),
    ("h = 1 + 2", "parameter h: has no plain value, but '1 + 2'"),
    ("i = Path('x')", "parameter i: has no plain value"),
    ("j = (1, 2)", "parameter j: must be a list, as in [1, 2], not (1, 2)"),
    ("k: int = 'three'", "parameter k: must be a whole number, not 'three'"),
    ("l: np.ndarray = 3", "parameter l: has the type np.ndarray, which cannot be checked"),
    ("m: tuple[int, ...] = 3", "use int, float, bool, str, list, dict, list[int]"),
    ("n = 1e999", "parameter n: must be a finite number"),
    ("o = {1: 2}", "parameter o: the name 1 must be text"),
    ("extends = 1", "parameter extends: has a name that means something else in a study file"),
    ("good = 1", ""),
    ("good = 2", "parameter good: is assigned twice"),
]


def test_everything_that_is_no_declaration_is_refused_at_once_by_its_line(tmp_path: Path) -> None:
    source = "\n".join(line for line, _ in NO_DECLARATIONS)
    message = refusal_of(write(tmp_path, code("import os"), code(source, "parameters")))
    head, *said = message.splitlines()
    expected = [(number, words) for number, (_, words) in enumerate(NO_DECLARATIONS, 1) if words]
    assert head == f"{len(expected)} mistakes:"
    for line, (number, words) in zip(said, expected, strict=True):
        assert line.startswith(f"  mine.ipynb: cell 2, line {number}: ") and words in line, line


# --- tags ---
@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (
            [("x = 1", "parameters"), ("", ""), ("x = 2", "parameters")],
            "cell 3: is tagged `parameters`, as cell 1 is",
        ),
        (
            [("x = 1", "parameters"), ("x = 2", "injected-parameters")],
            "cell 2: is tagged `injected-parameters`",
        ),
        (
            [("y = x", "preflight"), ("x = 1", "parameters")],
            "cell 1: is tagged `preflight` and stands before",
        ),
        (
            [("x = 1", "parameters"), ("\n%time y = x", "preflight")],
            "cell 2, line 2: is tagged `preflight` and must be",
        ),
    ],
)
def test_tags_that_would_undo_what_a_run_is_given_are_refused(
    tmp_path: Path, cells: list[tuple[str, str]], expected: str
) -> None:
    path = write(tmp_path, *[code(source, tag) for source, tag in cells])
    assert f"mine.ipynb: {expected}" in refusal_of(path)


def test_text_cell_tagged_as_parameters_is_refused(tmp_path: Path) -> None:
    title = new_markdown_cell("Parameters", metadata={"tags": ["parameters"]})
    path = write(tmp_path, title, code("x = 1", "parameters"))
    assert "cell 1: is tagged `parameters` and is no code; untag it" in refusal_of(path)


# --- files that are no template ---
def test_file_that_is_no_notebook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.ipynb").write_text('{"cells": [')
    with pytest.raises(StudyError, match=r"cut\.ipynb: is not a notebook"):
        read_template(tmp_path / "cut.ipynb")


DAMAGED = {
    "empty": (b"", "is not a notebook"),
    "list": (b"[]", "is not a notebook"),
    "deep": (b'{"cells": ' + b"[" * 100_000, "is not a notebook"),
    "newer": (b'{"nbformat": 5, "nbformat_minor": 0, "metadata": {}, "cells": []}', "formats 1 to 4"),
    "utf_16": (json.dumps(dict(new_notebook())).encode("utf-16"), "is not UTF-8 text"),
    "cell": (b'{"nbformat": 4, "metadata": {}, "cells": [3]}', "cell 1: must be a cell of code"),
    "tags": (
        b'{"nbformat": 4, "metadata": {}, "cells": [{"cell_type": "raw", "metadata": {"tags": 1}, "source": ""}]}',
        "cell 1: its tags must be a list",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_notebook_is_refused(tmp_path: Path, case: str) -> None:
    content, expected = DAMAGED[case]
    path = tmp_path / "mine.ipynb"
    path.write_bytes(content)
    assert refusal_of(path).startswith("mine.ipynb: ") and expected in refusal_of(path)


def test_what_lies_in_the_place_of_a_notebook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "directory.ipynb").mkdir()
    (tmp_path / "link.ipynb").symlink_to(tmp_path / "nowhere")
    for name in ("directory.ipynb", "link.ipynb", "gone.ipynb"):
        expected = f"{name}: is a directory, a link to nothing, or not there; put a notebook in its place"
        assert refusal_of(tmp_path / name) == expected


def test_cells_that_could_never_run_are_refused_at_once_by_their_line(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        code("x = 1\ny = = 2"),
        code("%%time\n\ndef f(:"),
        code("return 3"),
        code("x = '\ud800'"),
        code("x = '\0'"),
        new_markdown_cell("x = = 3"),
        code("print 'x'"),
    )
    text = path.read_text(encoding="utf-8")
    assert (
        refusal_of(path)
        == "mine.ipynb: cell 4, line 1: holds half of a character (a lone surrogate); delete it"
    )
    path.write_text(text.replace("\\ud800", "x"), encoding="utf-8")
    message = refusal_of(path)
    for place in ("cell 1, line 2", "cell 2, line 3", "cell 3, line 1", "cell 5, line 1", "cell 7, line 1"):
        assert f"mine.ipynb: {place}: is not Python" in message, message
    assert message.startswith("5 mistakes")


@pytest.mark.parametrize(
    ("metadata", "language"),
    [
        ({"language_info": {"name": "R"}, "kernelspec": {"name": "ir", "display_name": "R"}}, "R"),
        ({"kernelspec": {"name": "julia-1.9", "display_name": "J", "language": "julia"}}, "julia"),
    ],
)
def test_notebook_in_another_language_is_refused(tmp_path: Path, metadata: Any, language: str) -> None:
    path = write(tmp_path, code("x <- c(1, 2)"), metadata=metadata)
    assert refusal_of(path) == f"mine.ipynb: is written in {language}; only notebooks in Python can be run"


# --- files that are, as people leave them ---
def test_code_of_ipython_is_code(tmp_path: Path) -> None:
    sources = [
        "%matplotlib inline\nimport os",
        "!pip --version\nfiles = !ls",
        "%%bash\nfor x in 1 2; do echo $x; done",
        "%%time\n%%capture out\nx = 1",
        "await f()",
        "\n\n  x = 1\n  y = '\\d' is 3",  # indented, and what Python would warn of
        "len?",
    ]
    assert read_template(write(tmp_path, *map(code, sources))).cells == sources


UNTIDY = {
    "colab": {
        "nbformat": 4,
        "nbformat_minor": 0,
        "metadata": {"widgets": {"application/x": {"model": {}}}, "colab": {"name": "x"}},
    },
    "no_identifiers": {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": {"name": "gone"}}},
    "equal_identifiers": {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "id": "same"},
    "newer": {"nbformat": 4, "nbformat_minor": 9, "metadata": {}, "id": "same"},
}


def untidy(case: str) -> dict[str, Any]:
    """Return a notebook of tiny code as it should not be written."""
    document = dict(UNTIDY[case])
    identifier = document.pop("id", None)
    document["cells"] = []
    for source, tag in (("x = 1", "parameters"), ("import os", "work")):
        cell = {"cell_type": "code", "metadata": {"tags": [tag, tag]}, "source": [source], "collapsed": True}
        cell["outputs"] = [{"output_type": "unheard of"}]
        if identifier:
            cell["id"] = identifier
        document["cells"].append(cell)
    return document


@pytest.mark.parametrize("case", UNTIDY)
def test_untidy_notebook_is_put_in_order_silently(
    tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.ipynb"
    path.write_bytes(codecs.BOM_UTF8 + json.dumps(untidy(case)).encode())
    template = read_template(path)  # a warning would be an error
    assert template.defaults == {"x": 1} and template.cells == ["import os"]
    notebook = nbformat.reads(template.text, as_version=nbformat.NO_CONVERT)
    assert nbformat.validator.isvalid(notebook) and (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert "widgets" not in notebook.metadata and all(not cell.outputs for cell in notebook.cells)
    assert read_template(path).text == template.text
    assert capfd.readouterr() == ("", "")


def test_notebook_of_the_third_format_is_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cell = {
        "cell_type": "code",
        "language": "python",
        "metadata": {"tags": ["parameters"]},
        "input": ["x = 1"],
        "outputs": [],
    }
    document = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": [cell]}]}
    (tmp_path / "old.ipynb").write_text(json.dumps(document))
    assert read_template(tmp_path / "old.ipynb").defaults == {"x": 1}
    assert capfd.readouterr() == ("", "")


def test_notebook_that_is_tidy_is_executed_as_it_is() -> None:
    path = ROOT / "notebooks" / "train.ipynb"
    template = read_template(path)
    assert template.text == path.read_text(encoding="utf-8").rstrip("\n")
    published = ROOT / "outputs" / "fashion_mnist" / "model_4"
    assert template.is_same_code(read_run(published)["code"], published / "model_4.ipynb")


# --- modules beside it ---
def test_modules_beside_a_template_are_read_with_those_that_they_import(tmp_path: Path) -> None:
    files = {
        "helper.py": "import other, numpy\nfrom package.inner import f\n",
        "other.py": "def g():\n    import helper, last\n",
        "last.py": "\ufeffimport json\n",
        "package/__init__.py": "",
        "package/inner.py": "from . import unnamed\n",
        "package/unnamed.py": "",
        "package/.ipynb_checkpoints/inner-checkpoint.py": "import unused",
        "spaces/a.py": "",  # no __init__.py
        "unused.py": "this is no Python",
    }
    for path, source in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(source, encoding="utf-8")
    template = read_template(
        write(tmp_path, code("%%time\nimport os, helper\n"), code("def f():\n    import spaces.a\n%time 1"))
    )
    assert template.imports == ["numpy"]
    assert list(template.modules) == [
        "helper.py",
        "last.py",
        "other.py",
        "package/__init__.py",
        "package/inner.py",
        "package/unnamed.py",
        "spaces/a.py",
    ]
    assert template.modules["helper.py"] == files["helper.py"]
    assert template.modules["last.py"] == "import json\n"


def test_module_that_cannot_be_imported_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("x = 1\ny = = 2\n")
    (tmp_path / "latin.py").write_bytes(b"x = '\xe9'\n")
    (tmp_path / "json.py").write_text("")
    message = refusal_of(write(tmp_path, code("import broken, latin, json")))
    for expected in [
        "broken.py, line 2: is not Python",
        "latin.py: is not UTF-8 text",
        "json.py: has the name of Python's own module json; rename it",
    ]:
        assert f"{tmp_path.name}/{expected}" in message, message


# --- in the runner ---
def test_preflight_that_fails_is_named(project: Project) -> None:
    project.edit("tiny.ipynb", "if steps < 1:", "if stepz < 1:")
    printed = project.run(project.study(TINY_STUDY), status=2)
    assert "configuration short: tiny.ipynb: preflight: NameError: name 'stepz' is not defined" in printed


def test_layout_of_cells_with_magics_is_no_change(tmp_path: Path) -> None:
    template = read_template(
        write(
            tmp_path, code("%matplotlib inline\nimport os,sys\n!ls"), code("%%time\nx=1"), code("%%bash\nls")
        )
    )
    again = [
        "# figures\n%matplotlib inline\nimport os, sys\n\n!ls\n",
        "%%time\n# one\nx = 1\n",
        "%%bash\nls",
    ]
    log = write(tmp_path, *map(code, again))
    assert template.is_same_code(hash_of_code(again), log)
    changed = [again[0].replace("!ls", "!ls -l"), *again[1:]]
    log = write(tmp_path, *map(code, changed))
    assert not template.is_same_code(hash_of_code(changed), log)


def test_comments_spacing_and_preflight_are_no_change(complete: Project) -> None:
    complete.edit("tiny.ipynb", "import json, time", "# a comment\nimport json,  time")
    complete.edit("tiny.ipynb", "steps must be", "the steps must be")
    assert "2 complete" in plan(complete)


def test_code_found_to_be_the_same_is_recorded(complete: Project) -> None:
    record = complete.outputs("mine", "study.json")
    (before,) = read(record)["code"]
    complete.edit("tiny.ipynb", "import json, time", "# a comment\nimport json,  time")
    complete.run("params/mine.yaml", "--only", "short")
    codes = read(record)["code"]
    assert before in codes and len(codes) == 2


def test_new_parameter_at_its_default_is_no_change(complete: Project) -> None:
    complete.edit("tiny.ipynb", "flag: bool = False", "another: int = 3\nflag: bool = False")
    assert "2 of 2 complete" in complete.run("params/mine.yaml")


def test_changed_code_makes_stale_and_says_so(complete: Project) -> None:
    complete.edit("tiny.ipynb", "1 / step", "2 / step")
    printed = plan(complete)
    assert "2 stale" in printed and printed.count("tiny.ipynb changed") == 2


def test_accept_takes_changed_code_as_current_and_records_it(complete: Project) -> None:
    was = read(complete.outputs("mine", "short", "run.json"))["code"]
    complete.edit("tiny.ipynb", "1 / step", "1 / (step + 0)")
    changed = complete.study(TINY_STUDY.replace("steps: 4", "steps: 3"))
    assert "2 stale" in plan(complete)
    assert begun(complete.run(changed, "--accept")) == ["long"]
    run = read(complete.outputs("mine", "short", "run.json"))
    assert run["accepted"] == [was] and run["code"] != was
    assert "2 of 2 complete" in complete.run(changed)
