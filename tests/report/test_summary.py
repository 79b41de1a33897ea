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
    "Load the runs",
    "All runs",
    "Elimination",
    "All rounds together",
    "The factors",
    "What the criterion hides",
    "Which one is best",
    "Final test evaluation",
    "Conclusion",
    "What the original could not see",
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


def test_sections_and_rounds_are_headings_in_order(page: Page) -> None:
    rounds = [
        "1 · Overview",
        "2 · By loss",
        "3 · Diverged and cut",
        "4 · By accuracy",
        "5 · Early",
        "6 · The choice",
    ]
    after = SECTIONS.index("Elimination") + 1
    assert page.headings == SECTIONS[:after] + rounds + SECTIONS[after:]
    for heading in [*rounds, "All rounds together", "The factors", "Which one is best"]:
        assert FIGURE in page.part(heading), heading


def test_answer_stands_at_the_top_and_is_that_of_the_conclusion(page: Page, planted: Planted) -> None:
    results = planted.load()
    top = page.text.partition("**How to read this page.**")[0]
    lines = [line for line in top.splitlines() if line.startswith("> ")]
    assert len(lines) == 5
    assert "appears here" not in page.text
    assert re.sub(
        r"\(\.\./outputs/mine", f"({results.directory.as_posix()}", lines[0][2:]
    ) == answer.chosen_line(chosen_in(results))
    for line in lines:
        assert f"- {line[2:]}" in page.part("Conclusion") or line[2:] in page.part("Conclusion")


def test_runs_are_accounted_for_before_anything_is_shown(page: Page) -> None:
    part = page.part("Load the runs")
    assert "**10 of 14 configurations are complete.**" in part
    assert "- [cut](../outputs/mine/incomplete/cut/2/cut.ipynb): unfinished at epoch 7\n" in part
    assert "- other: extra, on disk but not in the study" in part
    assert "Warning" not in page.text


def test_table_of_runs_is_shown_and_written(page: Page, planted: Planted) -> None:
    assert list(rows(page.part("All runs"))) == list(planted.record["configurations"])
    written = pd.read_csv(planted.outputs / "results.csv", index_col="configuration")
    assert list(written.index) == list(planted.record["configurations"])
    assert "settled_val_cross_entropy" in written and "param_l2" in written
    assert (planted.outputs / "elimination.png").stat().st_size > 10_000


def test_rule_is_shown_as_it_is_written(page: Page) -> None:
    assert inspect.getsource(elimination.judge).strip() in page.part("Elimination")
    assert "```python\ndef judge(" in page.part("Elimination")


def test_each_round_has_its_table_and_decision(page: Page) -> None:
    part = page.part("2 · By loss")
    assert "Look for the lines that end lowest: val_loss over all epochs." in part
    assert list(rows(part)) == ["good", "tie", "near", "far", "both"]
    assert "**The rule drops both** and keeps good, tie, near and far." in part
    assert "**They disagree on near, far and both.**" in part
    assert "The original decided nothing here: this is its overview." in page.part("1 · Overview")
    assert "over the first 6 epochs" in page.part("5 · Early")
    assert rows(page.part("5 · Early"))["cut"]["rule"] == "kept"


def test_rounds_together_factors_and_criteria_are_summed_up(page: Page) -> None:
    assert "on **11 of 16 decisions**" in page.part("All rounds together")
    factors = page.part("The factors")
    assert "By val_loss over the first 20 epochs; between single runs the rule sees 0.0930" in factors
    assert "- Raising l2: of 3 steps 0 better and 0 worse by more than chance explains" in factors
    criteria = page.part("What the criterion hides")
    assert rows(criteria)["1"]["best val_loss"] == "**near 0.2000**"
    assert "**Another criterion would choose otherwise:** by best val_loss" in criteria


def test_choice_is_shown_with_what_would_make_it_sure(page: Page) -> None:
    part = page.part("Which one is best")
    assert column(rows(part), "rule") == ["kept", "kept", "kept"]
    assert "**good** is the smallest: **it is the choice**" in part
    assert re.search(r"write `replicates: \d+` into wide and good in the study file", part)


def test_test_set_stays_shut_while_anything_is_not_complete(page: Page, planted: Planted) -> None:
    shut = "**The test set stays shut:** 4 of 14 configurations are not complete."
    assert shut in page.part("Final test evaluation") and f"- {shut}" in page.part("Conclusion")
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
    assert "**4 of 4 configurations are complete.**" in page.text
    assert "**Warning: runs differ in library versions or hardware,**" in page.text
    assert "[one](one/one.ipynb)" in page.part("All runs")
    assert "By how much chance changes a run is unknown" in page.part("2 · One epoch")

    part = page.part("Final test evaluation")
    (opening,) = read_openings(complete.outputs)
    assert "one notebook of the study alone reads it, [test.ipynb](test/test.ipynb)" in part
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
    line = f"**The test accuracy is 0.7500 (95 % interval over 100 test images {interval})** and the test loss 0.5000, {model}"
    assert f"> {line}" in page.text and f"- {line}" in page.part("Conclusion")
    assert rows(page.part("All runs"))["all"]["note"] == "refitted: it learned from the validation data, too"

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
    assert page.headings[-1] == "Conclusion"
    part = page.part("Load the runs")
    assert "- six: missing" in part and "- odd: missing" in part
    for name in ("run_empty", "run_types"):
        assert re.search(rf"- \[{name}\].*: stale at epoch 20: run.json is damaged", part), name
    table = rows(page.part("All runs"))
    assert table["history_cut"]["epochs"] == "1" and table["history_binary"]["epochs"] == "0"
    assert "**The rule keeps all that are judged.**" in page.part("1 · Settled")
    assert "The test set stays shut" in page.text


def test_directory_without_a_study_is_said_on_the_page(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    record = study.outputs / "study.json"
    record.write_bytes(record.read_bytes()[:100])
    page = study.summarise()
    assert "**There is no study in `../outputs/mine`**" in page.part("Load the runs")
    assert page.headings == ["Which configuration is best?", "Load the runs", "All runs", "Conclusion"]
    assert FIGURE not in page.text
    assert list(study.outputs.iterdir()) == [record]


def test_study_without_runs_gives_a_sensible_page(tmp_path: Path) -> None:
    page = Planted(tmp_path, WITHOUT_REPLICATES).summarise()
    assert page.headings == [
        "Which configuration is best?",
        "Load the runs",
        "All runs",
        "Final test evaluation",
        "Conclusion",
    ]
    assert "**0 of 4 configurations are complete.**" in page.text
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
        "Load the runs",
        "All runs",
        "Elimination",
        "1 · Round 1",
        "2 · Round 2",
        "The factors",
        "What the criterion hides",
        "Which one is best",
        "Conclusion",
    ]
    for heading in ("1 · Round 1", "2 · Round 2", "The factors"):
        assert FIGURE in page.part(heading), heading
    assert FIGURE not in page.part("Which one is best")
    assert "The figure of the last round shows them." in page.part("Which one is best")
    assert "**val_accuracy decides** (higher is better)" in page.part("All runs")
    assert "is chosen** from n_8 and n_16: its f1 is 0.8000 (1 run) and a run takes 1.0 minutes." in page.text
    assert "Raising units: of 1 step" in page.part("The factors")
    assert rows(page.part("What the criterion hides"))["1"]["val_brier_score"] == "**n_16 0.2000**"
    said = page.text.replace(page.part("Elimination"), "")  # whose source speaks of all cases
    assert not re.search(r"epoch|weights|settled|network|image|\bnan\b|nothing|None|test set", said)
    assert not (study.outputs / "elimination.png").exists()


def test_quick_look_leaves_the_test_set_shut(tmp_path: Path) -> None:
    study = Planted(tmp_path, WITHOUT_REPLICATES, overrides=[("epochs", "3")])
    for name in study.record["configurations"]:
        study.run(name, [0.5] * 3)
    build_nothing = study.outputs / "all" / "model.keras"
    build_nothing.write_bytes(b"")  # it is not even looked at
    page = study.summarise()
    shut = "**The test set stays shut:** this is a quick look, with epochs 3 for all configurations, and decides nothing."
    assert "**4 of 4 configurations are complete.**" in page.text
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
    assert FIGURE in page.part("1 · Round 1")
    assert "**The rule drops n_16** and keeps n_8." in page.part("1 · Round 1")
    shut = "../outputs/mine/n_8/model.keras: is not here"
    cure = "unless git has it, remove ../outputs/mine/n_8/"
    assert f"**The test set stays shut:** {shut}; {cure}" in page.part("Final test evaluation")
    assert f"- **The test set stays shut:** {shut}." in page.part("Conclusion")
    assert not (study.outputs / "results.csv").exists()
    assert not (study.outputs / "elimination.png").exists()


# --- what makes a page stale ---
@pytest.mark.parametrize("file", ["results.csv", "elimination.png"])
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
