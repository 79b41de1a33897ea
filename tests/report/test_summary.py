"""The summary, executed for real, on studies whose runs are made up: what the page promises a reader.

What a section says and draws is tested in the file of its name, as test_page_rounds.py, the rule in test_elimination.py.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
import subprocess
from pathlib import Path

import nbformat
import pandas as pd
import PIL.Image
import pytest
from bs4 import BeautifulSoup

from asked import load
from nbstudy.decision import elimination
from nbstudy.execution.summary import SHOWING, is_current, record_shown
from nbstudy.files import hash_of, write_json
from nbstudy.records.openings import read_openings, record_opening
from nbstudy.report import answer
from planted import (
    DAMAGES,
    FIGURE,
    WITHOUT_REPLICATES,
    Page,
    Planted,
    column,
    half_filled,
    rows,
    without_replicates,
)
from project import ROOT
from told import chosen_in

TWO = "notebooks: {run: train.ipynb}\ngrid: [{name: 'n_{units}', units: [8, 16]}]\n"
SECTIONS = [
    "Which configuration is best?",
    "What to do next",
    "Why this one",
    "All configurations",
    "Elimination",
    "The factors",
    "What the criterion hides",
    "Final test evaluation",
    "What the original could not see",
    "How to read this page",
]


# --- a half-filled study, summarised in notebooks/ ---
@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """A half-filled study with replicates; tests only read it."""
    return half_filled(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def page(planted: Planted) -> Page:
    """What the half-filled study's summary shows."""
    return planted.summarise()


def test_sections_are_headings_in_order(page: Page) -> None:
    assert page.headings == SECTIONS
    for heading in ("Which configuration is best?", "Elimination", "The factors"):
        assert FIGURE in page.part(heading), heading


def test_answer_comes_first_in_four_lines_with_one_figure_and_what_to_do(
    page: Page, planted: Planted
) -> None:
    results = planted.load()
    top = page.part("Which configuration is best?")
    lines = [line for line in top.splitlines() if line.startswith("> ")]
    assert len(lines) == 4
    assert lines[0][2:].replace("(../outputs/mine", f"({results.directory.as_posix()}") == answer.chosen_line(
        chosen_in(results)
    )
    assert top.count(FIGURE) == 1 and top.index(lines[-1]) < top.index(FIGURE)
    assert "**Run the study again:** 4 of 14 runs are not complete" in page.part("What to do next")


def test_figures_say_what_they_show(planted: Planted) -> None:
    notebook = nbformat.read(planted.root / "notebooks" / "out.ipynb", as_version=4)
    told = [
        output.metadata["image/png"]["alt"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(told) == 3
    assert told[0].startswith(
        "settled val_loss of 6 configurations by weights, with 95 % intervals. Chosen is good, 0.3000"
    )
    assert told[1].startswith(
        "val_loss by epoch in 6 rounds, a panel each. 1 · Overview: overview. 2 · By loss: drops both."
    )
    assert told[2].startswith("settled val_loss along each parameter when all others stay.")


def test_runs_are_accounted_for(page: Page) -> None:
    part = page.part("All configurations")
    assert "**10 of 14 runs are complete.**" in part
    assert "- [cut](../outputs/mine/incomplete/cut/2/cut.ipynb): unfinished at epoch 7\n" in part
    assert "- other: extra, on disk but not in the study" in part
    assert "Warning" not in page.text


def test_table_of_configurations_is_shown_and_that_of_runs_written(page: Page, planted: Planted) -> None:
    firsts = dict.fromkeys(planted.load().parameters.first.values())
    assert list(rows(page.part("All configurations"))) == list(firsts)
    written = pd.read_csv(planted.outputs / "results.csv", index_col="configuration")
    assert list(written.index) == list(planted.record["configurations"])
    assert "settled_val_cross_entropy" in written and "param_l2" in written
    assert (planted.outputs / "elimination.png").stat().st_size > 10_000


def test_rule_is_said_in_short_and_shown_as_it_is_written_on_the_page_to_explore(
    page: Page, planted: Planted
) -> None:
    assert "[The rule in full" in page.part("Elimination")
    assert "](../outputs/mine/summary.html#the-rule)" in page.part("Elimination")
    explored = BeautifulSoup((planted.outputs / "summary.html").read_text(encoding="utf-8"), "html.parser")
    assert inspect.getsource(elimination.judge).strip() in explored.select_one("#the-rule").get_text()


def test_each_round_is_a_column_and_has_its_table_on_the_page_to_explore(
    page: Page, planted: Planted
) -> None:
    table = rows(page.part("Elimination"))
    assert list(table["good"]) == ["candidate", "1", "2", "3", "4", "5", "6"]
    assert table["cut"]["5"] == "0.0100 ✓"
    explored = BeautifulSoup((planted.outputs / "summary.html").read_text(encoding="utf-8"), "html.parser")
    rounds = [each.get_text() for each in explored.find_all("details") if "Round " in each.summary.get_text()]
    assert len(rounds) == 6
    assert "By val_loss (lower is better) over all epochs." in rounds[1]
    assert "The rule drops both and keeps good, tie, near and far." in rounds[1]
    assert "They disagree on near, far and both." in rounds[1]
    assert "The original decided nothing here: this is its overview." in rounds[0]
    assert "over the first 6 epochs" in rounds[4]


def test_rounds_factors_and_criteria_are_summed_up(page: Page) -> None:
    assert "on **11 of 16 decisions**" in page.part("Elimination")
    factors = page.part("The factors")
    assert "By val_loss over the first 20 epochs; between single runs the rule sees 0.0930" in factors
    assert "- Raising l2: of 3 steps 0 better and 0 worse by more than chance explains" in factors
    assert "- By val_loss at the best epoch, near (0.2000) is ahead" in page.part("What the criterion hides")
    assert "**Another criterion would choose otherwise:** by val_loss at the best epoch" in page.text


def test_choice_is_shown_with_what_would_make_it_sure(page: Page) -> None:
    part = page.part("Why this one")
    assert column(rows(part), "rule") == ["kept", "kept", "kept"]
    assert "**good** is the smallest: **it is the choice**" in part
    assert re.search(
        r"write `replicates: \d+` into wide and good in the study file", page.part("What to do next")
    )


def test_test_set_stays_shut_while_anything_is_not_complete(page: Page, planted: Planted) -> None:
    shut = "**The test set stays shut:** 4 of 14 runs are not complete."
    assert shut in page.part("Final test evaluation") and f"> {shut}" in page.text
    assert "Test accuracy" not in page.text
    assert read_openings(planted.outputs) == []


# --- a complete study, summarised in its own directory ---
@pytest.fixture
def complete(tmp_path: Path) -> Planted:
    """A complete study without replicates, of which the test set was opened."""
    study = without_replicates(tmp_path)
    record_opening(study.outputs, "all", "abc")
    shares = {"shares": {"test_accuracy": "test_images"}}
    place = study.test({"test_accuracy": 0.75, "test_loss": 0.5, "test_images": 100} | shares)
    PIL.Image.new("RGB", (2, 2)).save(place / "2_confusions.png")
    (place / "1_look.md").write_text("Look for *cats*.")
    (place / "3_classes.csv").write_text("class,recall\ncat,0.25\n")
    return study


def test_test_set_is_told_by_what_its_notebook_left_without_keras(complete: Planted, tmp_path: Path) -> None:
    for library in ("tensorflow", "keras"):
        (tmp_path / f"{library}.py").write_text(f"raise ImportError('{library} is not needed')")
    page = complete.summarise(complete.outputs, outputs=".", path=[tmp_path])
    assert "**4 of 4 runs are complete.**" in page.text
    assert "**Warning: runs differ in library versions or hardware,**" in page.text
    assert "[one](one/one.ipynb)" in page.part("All configurations")
    assert "By how much chance changes a run is unknown" in page.part("Why this one")

    part = page.part("Final test evaluation")
    (opening,) = read_openings(complete.outputs)
    assert "One notebook alone reads the test set, [test.ipynb](test/test.ipynb)" in part
    assert f"**The test set is open** for all. It was opened once, on {opening.when[:10]} for all." in part
    interval = "0.6570 to 0.8245"
    assert (
        f"**Test accuracy: 0.7500**, with 95 % certainty {interval}, as far as the 100 test images tell it."
        in part
    )
    assert "The test loss is 0.5000." in part
    told = [part.index(words) for words in ("Look for *cats*.", FIGURE, "| cat | 0.2500 |")]
    assert told == sorted(told)
    model = "those of all, which is one (the choice) but for refit True."
    over = "95 % interval over 100 test images"
    assert (
        f"> **The test accuracy is 0.7500 ({over} {interval})** and the test loss 0.5000, {model}"
        in page.text
    )
    assert (
        rows(page.part("All configurations").partition(" decides**")[2])["all"]["note"]
        == "refitted: it learned from the validation data, too"
    )

    record_opening(complete.outputs, "all", "def")
    page = complete.summarise(complete.outputs, outputs=".")
    assert "**It was opened 2 times:**" in page.text and "be suspicious" in page.text


# --- damage and other studies ---
def test_damaged_files_are_named_and_never_end_the_page(tmp_path: Path) -> None:
    damaged = "".join(f"  {name}: {{units: {units}}}\n" for units, name in enumerate(DAMAGES, 100))
    study = Planted(tmp_path, WITHOUT_REPLICATES.replace("  all:", f"{damaged}  all:"))
    study.run("one", [0.5] * 18 + [0.30, 0.32])
    study.run("two", [0.5] * 18 + [0.33, 0.33])
    for name, (file, content) in DAMAGES.items():
        (study.run(name, [0.5] * 20) / file).write_bytes(content)
    (study.run("six", [0.5] * 3, attempt=1) / "run.json").write_text("{")
    (study.run("all", [0.5] * 20) / "model.keras").write_bytes(b"PK")
    record = study.record
    record["configurations"]["odd"] = 3
    record["rounds"] = [*record["rounds"], 3, {"candidates": 4}]
    write_json(study.outputs / "study.json", record | {"lengthens": 5})

    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    page = study.summarise(elsewhere, outputs=str(study.outputs))
    assert page.headings[-1] == "How to read this page"
    part = page.part("All configurations")
    assert "- six: missing" in part and "- odd: missing" in part
    for name in ("run_empty", "run_types"):
        assert re.search(rf"- \[{name}\].*: stale at epoch 20: run.json is damaged", part), name
    table = rows(page.part("All configurations").partition(" decides**")[2])
    assert (
        table["one"]["settled val_loss"] == "**0.3100**" and table["history_binary"]["settled val_loss"] == ""
    )
    assert rows(page.part("Elimination"))["one"]["1"] == "0.3100 ✓"
    assert "The test set stays shut" in page.text


def test_directory_without_a_study_is_said_on_the_page(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    record = study.outputs / "study.json"
    record.write_bytes(record.read_bytes()[:100])
    page = study.summarise()
    assert "**There is no study in `../outputs/mine`**" in page.part("All configurations")
    assert page.headings == ["Which configuration is best?", "All configurations", "How to read this page"]
    assert FIGURE not in page.text
    assert list(study.outputs.iterdir()) == [record]


def test_study_without_runs_gives_a_sensible_page(tmp_path: Path) -> None:
    page = Planted(tmp_path, WITHOUT_REPLICATES).summarise()
    assert page.headings == [
        "Which configuration is best?",
        "What to do next",
        "All configurations",
        "Final test evaluation",
        "How to read this page",
    ]
    assert "**0 of 4 runs are complete.**" in page.text
    assert "- one: missing" in page.text
    assert "> **No configuration can be chosen yet**" in page.text
    assert "The test set stays shut" in page.text


def test_study_without_histories_has_the_same_page_without_what_does_not_apply(tmp_path: Path) -> None:
    study = Planted(
        tmp_path, TWO + "rounds: [{candidates: [n_8, n_16]}, {candidates: [n_8, n_16], metric: f1}]\n"
    )
    for name, accuracy in [("n_8", 0.7), ("n_16", 0.8)]:
        study.measure(
            name, {"val_accuracy": accuracy, "val_brier_score": 1 - accuracy, "f1": accuracy, "n": 9}
        )
    page = study.summarise()
    assert page.headings == [
        "Which configuration is best?",
        "What to do next",
        "Why this one",
        "All configurations",
        "Elimination",
        "The factors",
        "What the criterion hides",
        "How to read this page",
    ]
    for heading in ("Which configuration is best?", "The factors"):
        assert FIGURE in page.part(heading), heading
    assert "The rounds: 1 · Round 1 (by val_accuracy); 2 · Round 2 (by f1)." in page.part("Elimination")
    assert rows(page.part("Elimination"))["n_16"]["2"] == "0.8000 ✓"
    assert "**val_accuracy decides** (higher is better)" in page.part("All configurations")
    assert "is chosen** from 2 configurations: f1 0.8000 (1 run), 1.0 minutes a run." in page.text
    assert "Raising units: of 1 step" in page.part("The factors")
    assert rows(page.part("All configurations"))["n_16"]["val_brier_score"] == "**0.2000**"
    assert not re.search(r"epoch|weights|settled|network|image|\bnan\b|nothing|None|test set", page.text)
    assert not (study.outputs / "elimination.png").exists()


def test_quick_look_leaves_the_test_set_shut(tmp_path: Path) -> None:
    study = Planted(tmp_path, WITHOUT_REPLICATES, overrides=[("epochs", "3")])
    for name in study.record["configurations"]:
        study.run(name, [0.5] * 3)
    build_nothing = study.outputs / "all" / "model.keras"
    build_nothing.write_bytes(b"")  # it is not even looked at
    page = study.summarise()
    shut = "**The test set stays shut:** this is a quick look, with epochs 3 for all configurations, and decides nothing."
    assert "**4 of 4 runs are complete.**" in page.text
    assert f"> {shut}" in page.text and shut in page.part("Final test evaluation")
    assert not (study.outputs / "test.json").exists()


def test_study_that_can_only_be_read_is_summarised(tmp_path: Path) -> None:
    notebooks = TWO.replace("run: train.ipynb", "run: train.ipynb, test: test.ipynb")
    study = Planted(tmp_path, notebooks + "final: n_8\nrounds: [{candidates: [n_8, n_16]}]\n")
    study.run("n_8", [0.5, 0.4])
    study.run("n_16", [math.nan])
    place = str(study.outputs)
    bind = ["mount", "--bind", "-o", "ro", place, place]
    if subprocess.run(bind, capture_output=True, check=False).returncode:
        pytest.skip("mounting a directory read-only needs root")
    try:
        page = study.summarise()
    finally:
        subprocess.run(["umount", "-l", place], check=True)
    assert "2 of 2" in page.text
    assert rows(page.part("Elimination"))["n_16"]["1"] == "✗"
    assert "summary.html" not in page.text
    shut = "../outputs/mine/n_8/model.keras: is not here"
    cure = "unless git has it, remove ../outputs/mine/n_8/"
    assert f"**The test set stays shut:** {shut}; {cure}" in page.part("Final test evaluation")
    assert f"> **The test set stays shut:** {shut}." in page.text
    assert not (study.outputs / "results.csv").exists()
    assert not (study.outputs / "summary.html").exists()
    assert not (study.outputs / "elimination.png").exists()


# --- what makes a page stale ---
@pytest.mark.parametrize("file", ["results.csv", "elimination.png", "summary.html"])
def test_page_is_made_again_when_what_it_left_is_damaged(tmp_path: Path, file: str) -> None:
    left = tmp_path / file
    left.write_text("as it was\n")
    summary = tmp_path / "summary.ipynb"
    metadata = {"shows": "this", "left": {file: hash_of(left.read_bytes())}}
    write_json(summary, {"cells": [{}], "metadata": metadata})
    assert is_current(summary, "this") and not is_current(summary, "that")
    left.write_text("")
    assert not is_current(summary, "this")


def test_page_is_made_again_when_what_reads_the_runs_changes() -> None:
    rooms = {path.relative_to(ROOT).as_posix() for path in (ROOT / "nbstudy" / "records").glob("[a-z]*.py")}
    of_the_runner = {
        f"nbstudy/records/{name}.py" for name in ("attempts", "lease", "obstacles", "renamed", "settled")
    }
    assert rooms - of_the_runner <= set(SHOWING)


def test_page_is_not_made_again_for_what_only_a_run_that_is_replaced_imported(tmp_path: Path) -> None:
    study = load(tmp_path, "configurations: {a: }")
    before = record_shown(study)
    study.template.imported["src/helper.py"] = "0123456789abcdef"
    study.template.same_code["./src/helper.py fedcba9876543210 0123456789abcdef"] = True
    assert record_shown(study) == before
    study.template.same_code["fedcba9876543210"] = True
    assert record_shown(study) != before


# --- the labels of the test set ---
def code_of(notebook: Path) -> list[str]:
    """Return the code cells of a notebook."""
    cells = nbformat.read(notebook, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


def reads_test_labels(source: str) -> bool:
    """Tell whether code keeps what load_data gives for the test set, or reads its labels' file."""
    if "load_data" not in source and "t10k-labels" not in source:
        return False
    allowed = 0
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and "load_data()" in ast.unparse(node):
            allowed += 1  # what it returns is not kept
        if isinstance(node, ast.Assign) and ast.unparse(node.value).endswith("load_data()"):
            *_, test = getattr(node.targets[0], "elts", [node.targets[0]])
            allowed += isinstance(test, ast.Name) and test.id == "_"
        if isinstance(node, ast.Dict):  # names of files beside their checksums
            allowed += sum("t10k-labels" in ast.unparse(key) for key in node.keys if key)
    return source.count("load_data") + source.count("t10k-labels") != allowed


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("(images, labels), _ = load_data()", False),
        ("keras.datasets.fashion_mnist.load_data()", False),
        ("_, (images, labels) = keras.datasets.fashion_mnist.load_data()", True),
        ("labels = load_data()[1][1]", True),
        ("data = load_data()", True),
        ("(a, b), c = load_data()", True),
        ("read('t10k-labels-idx1-ubyte', 8)", True),
        ("checksums = {'t10k-labels-idx1-ubyte': '0402'}", False),
    ],
)
def test_reading_of_test_labels_is_recognised(source: str, reads: bool) -> None:
    assert reads_test_labels(source) is reads


def test_test_labels_are_read_in_one_cell_of_the_project() -> None:
    notebooks = [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "nbstudy").glob("**/*.ipynb")]
    sources = {path.name: code_of(path) for path in notebooks}
    for path in [*ROOT.glob("*.py"), *(ROOT / "nbstudy").glob("**/*.py")]:
        sources[path.relative_to(ROOT).as_posix()] = [path.read_text(encoding="utf-8")]
    assert {"runner.py", "nbstudy/records/results.py", "nbstudy/report/test_set.py"} <= sources.keys()
    found = [name for name, codes in sources.items() for code in codes if reads_test_labels(code)]
    assert found == ["test.ipynb"]
    # and what that cell calls them is used nowhere else
    labels = [code for codes in sources.values() for code in codes if "test_labels" in code]
    assert len(labels) == 1 and reads_test_labels(labels[0])
