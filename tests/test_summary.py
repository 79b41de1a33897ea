"""The summary on studies with planted histories, whose answers are known beforehand."""

from __future__ import annotations

import ast
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import ROOT

from study import load_study, write_json

EPOCHS = 20  # the last tenth is two epochs, enough for a deviation
COLUMNS = ["epoch", "loss", "accuracy", "cross_entropy", "val_loss", "val_accuracy", "val_cross_entropy"]
VERSIONS = {"device": "x86_64", "versions": {"python": "3.11", "keras": "3"}}


class Planted:
    """A study's outputs as runs would have left them, with histories made up."""

    def __init__(self, root: Path, study: str, name: str = "mine") -> None:
        self.root, self.outputs = root, root / "outputs" / name
        (root / "params").mkdir()
        (root / "notebooks").mkdir()
        file = root / "params" / f"{name}.yaml"
        file.write_text(study, encoding="utf-8")
        self.record = load_study(file).record()
        self.outputs.mkdir(parents=True)
        write_json(self.outputs / "study.json", self.record)

    def run(
        self,
        name: str,
        val_loss: list[float],
        val_accuracy: float = 0.5,
        *,
        attempt: int = 0,
        result: dict[str, Any] | None = None,
        **run: Any,
    ) -> Path:
        """Leave a run, or an attempt, with a validation loss by epoch; its penalty is 0.05."""
        place = self.outputs / name
        if attempt:
            place = self.outputs / "incomplete" / name / str(attempt)
        place.mkdir(parents=True)
        rows = [[i, x, 0.5, x, x, val_accuracy, x - 0.05] for i, x in enumerate(val_loss, 1)]
        lines = [",".join(map(str, row)) + "\n" for row in [COLUMNS, *rows]]
        (place / "history.csv").write_text("".join(lines))
        asked = self.record["configurations"].get(name, {})
        said = {"configuration": name, "parameters": asked, "code": self.record["code"][0]}
        write_json(place / "run.json", said | {"seconds": 60.0, "error": None} | run)
        weights = 1000 * asked.get("units", 1)
        write_json(place / "result.json", {"weights": weights, "diverged": None} | VERSIONS | (result or {}))
        return place

    def summarise(self) -> Page:
        """Execute the summary as it is opened in notebooks/, and return what it shows."""
        shutil.copy(ROOT / "notebooks" / "summary.ipynb", self.root / "notebooks")
        given = ["-p", "outputs", "../outputs/mine", "--no-progress-bar"]
        command = [sys.executable, "-m", "papermill", "summary.ipynb", "out.ipynb", *given]
        place = self.root / "notebooks"
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return Page(nbformat.read(place / "out.ipynb", as_version=4))


class Page:
    """What an executed summary shows."""

    def __init__(self, notebook: nbformat.NotebookNode) -> None:
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        noise = [output for output in outputs if output.output_type in ("error", "stream")]
        assert noise == []
        shown = [output.data for output in outputs]
        self.text = "\n\n".join(data.get("text/markdown", "") for data in shown)
        self.figures = sum("image/png" in data for data in shown)
        prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
        self.headings = re.findall(r"^#+ (.+)$", "\n".join([*prose, self.text]), re.MULTILINE)

    def part(self, heading: str) -> str:
        """Return what is shown from a heading to the next."""
        start = self.text.index(heading)
        return re.split(r"^#+ ", self.text[start:], maxsplit=1, flags=re.MULTILINE)[0]

    def rows(self, part: str) -> dict[str, dict[str, str]]:
        """Return the rows of the first table in a part, by the configuration in their first cell."""
        lines = re.search(r"^(\| .* \|\n?)+", part, re.MULTILINE)[0].replace("_&#8203;", "_").splitlines()
        keys, _, *rows = [line[2:-2].split(" | ") for line in lines]
        found = [dict(zip(keys, row, strict=True)) for row in rows]
        return {re.sub(r"\[(.*)\].*", r"\1", row[keys[0]]): row for row in found}


def flat(end: float) -> list[float]:
    """Return a loss that falls to its settled value."""
    return [end + 1 / epoch for epoch in range(1, EPOCHS - 1)] + [end, end]


# Replicates of two networks: deviations of 0.02 in three and of 0.0141 in two runs, pooled
# sqrt((2 * 0.02**2 + 0.0002) / 3) = 0.01826, so that the noise is 0.0365.
WITH_REPLICATES = f"""
notebooks: {{run: train.ipynb}}
defaults: {{epochs: {EPOCHS}, units: 16, l2: 0.0}}
configurations:
  good: {{}}
  tie: {{l2: 0.5}}
  near: {{l2: 0.1}}
  far: {{l2: 0.2}}
  both: {{l2: 0.3, dropout: 0.5}}
  wild: {{l2: 0.4}}
  cut: {{hidden_layers: 3}}
  broken: {{hidden_layers: 4}}
  old: {{hidden_layers: 6}}
  never: {{hidden_layers: 7}}
  wide: {{units: 32}}
  good_1: {{seed: 1}}
  good_2: {{seed: 2}}
  wide_1: {{units: 32, seed: 1}}
rounds:
  - {{title: Overview, candidates: [good, tie, near, far, both, wild, cut, broken, old, never, wide]}}
  - {{title: By loss, candidates: [good, tie, near, far, both], originally_dropped: [near, far]}}
  - {{title: Diverged and cut, candidates: [good, wild, cut, never], originally_dropped: [wild]}}
  - {{title: By accuracy, candidates: [good, near, far], metric: val_accuracy, originally_dropped: [good]}}
  - {{title: Early, candidates: [wide, good, cut], epochs: 6, originally_dropped: [wide]}}
final: good
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """A half-filled study with replicates, summarised once; tests only read it."""
    study = Planted(tmp_path_factory.mktemp("planted"), WITH_REPLICATES)
    for name, end, accuracy in [
        ("good", 0.30, 0.80), ("good_1", 0.28, 0.82), ("good_2", 0.32, 0.78),
        ("wide", 0.305, 0.80), ("wide_1", 0.285, 0.82),
        ("tie", 0.30, 0.80), ("far", 0.337, 0.90), ("both", 0.5, 0.80),
    ]:  # fmt: skip
        study.run(name, flat(end), accuracy)
    study.run("near", [0.9, 0.8, 0.7, 0.2, *flat(0.335)[4:]], 0.87)
    study.run("wild", [0.4] * 11 + [math.nan], result={"diverged": 12})
    study.run("cut", [0.01] * 7, attempt=2)
    study.run("cut", [0.01] * 2, attempt=1)
    study.run("broken", [0.4] * 3, attempt=1, error="ValueError: a|b `c`")
    study.run("old", flat(0.01), parameters=study.record["configurations"]["old"] | {"l2": 0.7})
    study.run("other", flat(0.01))
    return study


@pytest.fixture(scope="module")
def page(planted: Planted) -> Page:
    """What the half-filled study's summary shows."""
    return planted.summarise()


def test_every_run_is_accounted_for(page: Page) -> None:
    for line in [
        "**10 of 14 configurations are complete.**",
        "wild/wild.ipynb): its loss was no longer finite at epoch 12",
        "- [cut](../outputs/mine/incomplete/cut/2/cut.ipynb): unfinished at epoch 7\n",
        "- [broken](../outputs/mine/incomplete/broken/1/broken.ipynb): failed at epoch 3: `ValueError: a|b 'c'`",
        "- [old](../outputs/mine/old/old.ipynb): stale at epoch 20: l2 0.7 → 0.0\n",
        "- never: missing\n",
        "- other: extra, on disk but not in the study",
    ]:
        assert line in page.text
    assert "Warning" not in page.text


def test_sections_and_rounds_are_headings_in_order(page: Page) -> None:
    assert page.headings[:1] == ["Which network is best?"]
    titles = ["Overview", "By loss", "Diverged and cut", "By accuracy", "Early"]
    rounds = [f"{number} · {title}" for number, title in enumerate(titles, 1)]
    assert [heading for heading in page.headings if "·" in heading] == rounds
    assert page.figures == 8  # five rounds, all together, the factors, the replicates


def test_table_of_all_runs_shows_what_each_came_to(page: Page, planted: Planted) -> None:
    rows = page.rows(page.text[page.text.index("| configuration | weights") :])
    assert list(rows) == list(planted.record["configurations"])
    near = rows["near"]
    assert (near["l2"], near["weights"], near["epochs"], near["minutes"]) == ("0.1", "16,000", "20", "1.0")
    assert (near["best val_loss"], near["at epoch"], near["settled val_loss"]) == ("0.2000", "4", "0.3350")
    assert (near["settled val_accuracy"], near["gap"], near["state"]) == ("0.8700", "0.0000", "")
    assert (rows["cut"]["state"], rows["never"]["settled val_loss"]) == ("unfinished", "")
    written = (planted.outputs / "results.csv").read_text().splitlines()
    assert len(written) == 15 and "settled val_cross_entropy" in written[0]


def test_rule_drops_what_is_worse_by_more_than_twice_the_pooled_deviation(page: Page) -> None:
    part = page.part("2 · By loss")
    assert "**The rule drops far and both**, and keeps what is within 0.0365 of good, twice" in part
    assert "twice the standard deviation between replicates." in part
    assert "The original dropped near and far. **They disagree on near and both.**" in part
    rows = page.rows(part)
    assert list(rows) == ["good", "tie", "near", "far", "both"]
    assert [row["rule"] for row in rows.values()] == ["kept", "kept", "kept", "dropped", "dropped"]
    assert [row["worse by"] for row in rows.values()] == ["0.0000", "0.0000", "0.0350", "0.0370", "0.2000"]
    assert [row["original"] for row in rows.values()] == ["kept", "kept", "dropped", "dropped", "kept"]


def test_two_parameters_at_once_are_marked(page: Page) -> None:
    rows = page.rows(page.part("2 · By loss"))
    assert (rows["both"]["differs from the best in"], rows["both"]["note"]) == (
        "l2, dropout",
        "2 parameters at once",
    )
    assert (rows["far"]["differs from the best in"], rows["far"]["note"]) == ("l2", "")


def test_diverged_run_is_dropped_and_one_cut_short_is_not_judged(page: Page) -> None:
    part = page.part("3 · Diverged and cut")
    assert "**The rule drops wild**" in part and "The original dropped wild. **They agree.**" in part
    rows = page.rows(part)
    assert {name: row["rule"] for name, row in rows.items()} == {
        "good": "kept", "wild": "dropped", "cut": "not judged", "never": "not judged",
    }  # fmt: skip
    assert (rows["cut"]["note"], rows["never"]["note"]) == ("unfinished at epoch 7", "missing")


def test_accuracy_is_better_when_higher_and_what_was_dropped_is_brought_back(page: Page) -> None:
    part = page.part("4 · By accuracy")
    assert "highest ends of val_accuracy" in part
    assert "**The rule drops good**, and keeps what is within 0.0365 of far" in part
    rows = page.rows(part)
    assert list(rows) == ["far", "near", "good"]
    assert rows["far"]["note"] == rows["near"]["note"] == "brought back, dropped in round 2"
    assert rows["good"]["worse by"] == "0.1000"


def test_unfinished_run_is_judged_where_it_has_gone_far_enough(page: Page) -> None:
    part = page.part("5 · Early")
    assert "over the first 6 epochs" in part
    rows = page.rows(part)
    assert (rows["cut"]["rule"], rows["cut"]["val_loss"], rows["good"]["rule"]) == (
        "kept",
        "0.0100",
        "dropped",
    )


def test_agreement_is_counted_without_the_overview(page: Page) -> None:
    assert "The original decided nothing here: this is its overview." in page.part("1 · Overview")
    part = page.part("All rounds together")
    assert "In 2 of 4 rounds rule and original agree entirely, and on **10 of 13 decisions**." in part
    rows = page.rows(part)
    assert list(rows) == ["2", "3", "4", "5"]
    assert (rows["2"]["only the rule drops"], rows["2"]["only the original dropped"]) == ("both", "near")


def test_factors_are_compared_with_all_else_equal(page: Page) -> None:
    # along l2 good, near, far, wild and tie; wild has 12 epochs, so these are what is compared
    assert "- Raising l2: of 3 steps 1 better and 0 worse by more than the noise; mean change" in page.text
    assert (
        "- Raising units: of 1 steps 0 better and 0 worse by more than the noise; mean change +0.0050"
        in page.text
    )
    assert "By the first 12 epochs' val_loss, with a noise of" in page.text


def test_criteria_are_ranked_side_by_side(page: Page) -> None:
    rows = page.rows(page.text[page.text.index("| rank |") :])
    first = {key: value for key, value in rows["1"].items() if key != "rank"}
    assert first == {
        "settled val_loss": "**good 0.3000**",
        "best val_loss": "**near 0.2000**",
        "settled val_accuracy": "**far 0.9000**",
        "settled val_cross_entropy": "**good 0.2500**",
    }
    assert "- By settled val_accuracy, far would be ahead of good by more than the noise." in page.text
    assert "near: its val_loss was 0.2000 at epoch 4 and settled at 0.3350." in page.text
    change = "would be dropped by best val_loss and settled val_accuracy"
    assert f"**good, the best by settled val_loss, {change}.**" in page.text


def test_choice_is_the_smallest_within_one_standard_error(page: Page) -> None:
    # means 0.300 and 0.295; 0.01826 over the root of two is 0.0129
    assert (
        "The best mean above is that of wide. One standard error is 0.0129, from the deviation between"
        in page.text
    )
    assert (
        "**good** is the smallest: **the rule's choice**. The original was left with good and cut"
        in page.text
    )
    rows = page.rows(page.text[page.text.index("| configuration | replicates") :])
    assert {name: row["within one standard error"] for name, row in rows.items()} == {
        "good": "yes",
        "wide": "yes",
    }
    assert "- **Chosen: good**" in page.part("Conclusion")


def test_test_set_stays_closed_while_anything_is_not_complete(page: Page) -> None:
    words = "4 of 14 configurations are not complete (cut, broken, old and never)."
    assert f"**The test set stays closed:** {words}" in page.text
    assert f"- **Test:** it stays closed: {words}" in page.text
    assert "Test accuracy" not in page.text


WITHOUT_REPLICATES = f"""
notebooks: {{run: train.ipynb}}
defaults: {{epochs: {EPOCHS}}}
configurations:
  one: {{units: 64}}
  two: {{units: 32}}
  six: {{units: 16}}
  all: {{units: 64, refit: true}}
rounds:
  - {{title: Settled, candidates: [one, two, six], originally_dropped: [six]}}
  - {{title: One epoch, candidates: [one, two, six], epochs: 5}}
final: all
"""


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """A complete study without replicates, whose final model is untrained but real."""
    study = Planted(tmp_path_factory.mktemp("complete"), WITHOUT_REPLICATES)
    study.run("one", [0.5] * 18 + [0.30, 0.32])  # settled 0.31, deviation 0.0141
    study.run("two", [0.5] * 18 + [0.33, 0.33])
    study.run("six", [0.5] * 18 + [0.35, 0.35], result={"versions": {"python": "3.12", "keras": "3"}})
    final = study.run("all", [0.5] * 20)
    columns = (final / "history.csv").read_text().replace("val_", "not_")
    (final / "history.csv").write_text(columns)
    build = "import keras; keras.utils.set_random_seed(0); layers = keras.layers\n"
    build += "model = keras.Sequential([keras.Input((784,)), layers.Dense(10, activation='softmax')])\n"
    build += "model.save('model.keras')"
    subprocess.run([sys.executable, "-c", build], cwd=final, check=True, capture_output=True)
    return study


def test_complete_study_without_replicates(complete: Planted) -> None:
    page = complete.summarise()
    assert "**4 of 4 configurations are complete.**" in page.text
    assert "**Warning: runs differ in library versions or hardware,**" in page.text
    part = page.part("1 · Settled")
    near = "within 0.0283 of one, twice the standard deviation within the last 2 epochs of one"
    assert f"**The rule drops six**, and keeps what is {near}, for want of replicates." in part
    assert "**They agree.**" in part
    part = page.part("2 · One epoch")
    assert (
        "**The rule drops nothing**, and keeps the rest, for the noise of one settled epoch is unknown."
        in part
    )
    assert "One standard error is 0.0141, from the deviation within the last 2 epochs of one" in page.text
    assert "Of what is within it, **one** is the smallest" in page.text
    assert "- **Tested:** all, which is one but for refit True; the chosen one." in page.text
    found = re.search(
        r"\*\*Test accuracy: (0\.\d{4})\*\*, with 95 % certainty (0\.\d{4}) to (0\.\d{4})", page.text
    )
    assert found
    share, low, high = map(float, found.groups())
    z, n = 1.959964, 10_000  # Wilson's interval, written out
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=5.1e-5)
    assert "below the published 0.835 of people" in page.text and "below the published 0.8833" in page.text
    rows = page.rows(page.text[page.text.index("| class | precision") :])
    recalls = [float(row["recall"]) for row in rows.values()]
    assert len(rows) == 10 and sum(recalls) / 10 == pytest.approx(share, abs=1e-3)
    assert page.figures == 6  # two rounds, together, the factors, the confusions, the mistakes


def test_damaged_files_are_named_and_never_end_the_page(complete: Planted, tmp_path: Path) -> None:
    study = Planted(tmp_path, WITHOUT_REPLICATES.replace("six: {units: 16}", "six: {units: 16}\n" + "".join(
        f"  {name}: {{units: {units}}}\n" for units, name in enumerate(DAMAGES, 100)
    )))  # fmt: skip
    for name in ("one", "two"):
        shutil.copytree(complete.outputs / name, study.outputs / name)
    for name, (file, content) in DAMAGES.items():
        place = study.run(name, [0.5] * 20)
        (place / file).write_bytes(content)
    place = study.run("six", [0.5] * 3, attempt=1)
    (place / "run.json").write_text("{")
    final = study.run("all", [0.5] * 20)
    (final / "model.keras").write_bytes(b"PK")
    page = study.summarise()
    assert "- six: missing" in page.text
    for name in ("run_empty", "run_types"):
        assert re.search(rf"- \[{name}\].*: stale at epoch 20: ", page.text), name
    rows = page.rows(page.text[page.text.index("| configuration | weights") :])
    assert rows["history_cut"]["epochs"] == "1" and rows["history_binary"]["epochs"] == "0"
    assert "**The rule drops nothing**" in page.part("1 · Settled")
    assert "The test set stays closed" in page.text


DAMAGES = {
    "history_empty": ("history.csv", b""),
    "history_cut": ("history.csv", (",".join(COLUMNS) + "\n1,2,3,4,5,6,7\n2,3").encode()),
    "history_binary": ("history.csv", bytes(range(256)) * 4),
    "history_words": ("history.csv", (",".join(COLUMNS) + "\n" + "a,b,c,d,e,f,g\n" * 3).encode()),
    "history_huge": ("history.csv", b"epoch,val_loss\n1,1e400\n2,-1e400\n"),
    "result_list": ("result.json", b"[1, 2]"),
    "result_types": ("result.json", b'{"weights": "many", "diverged": "no", "versions": 3, "device": []}'),
    "result_deep": ("result.json", b"[" * 100_000),
    "run_empty": ("run.json", b""),
    "run_types": ("run.json", b'{"parameters": [], "code": 3, "seconds": "long", "error": 4, "files": 1}'),
}


@pytest.mark.parametrize("damage", ["none", "cut", "types", "empty"])
def test_study_of_any_kind_gives_a_sensible_page(tmp_path: Path, damage: str) -> None:
    study = Planted(tmp_path, "notebooks: {run: train.ipynb}\ngrid: [{name: 'n_{units}', units: [8, 16]}]\n")
    record = study.outputs / "study.json"
    if damage == "cut":
        record.write_bytes(record.read_bytes()[:100])
    if damage == "types":
        kinds = {"configurations": {"n_8": 3, "n_16": None}, "rounds": [3, {"candidates": 4}], "final": 5}
        write_json(record, study.record | kinds)
    if damage == "none":
        study.run("n_8", [0.5, 0.4])
        study.run("n_16", [math.nan])
    page = study.summarise()
    assert "The test set stays closed" in page.text
    expected = {
        "none": [
            "2 of 2",
            "1 · All configurations",
            "**The rule drops n_16**",
            "names nothing that was dropped",
        ],
        "cut": ["There is no study in `../outputs/mine`."],
        "types": ["0 of 2 configurations are complete"],
        "empty": ["0 of 2 configurations are complete", "- n_8: missing", "Nothing is chosen yet"],
    }
    assert all(words in page.text for words in expected[damage]), page.text


def test_round_by_a_metric_that_no_run_has_says_so(tmp_path: Path) -> None:
    study = Planted(
        tmp_path,
        "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"
        "rounds: [{title: Mistyped, candidates: [a, b], metric: val_los}]\n",
    )
    study.run("a", [0.5, 0.4])
    study.run("b", [0.6, 0.6])
    page = study.summarise()
    part = page.part("1 · Mistyped")
    assert {row["note"] for row in page.rows(part).values()} == {"has no val_los"}
    assert "**The rule drops nothing**" in part


def test_study_that_can_only_be_read_is_summarised(tmp_path: Path) -> None:
    study = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n")
    study.run("a", [0.5, 0.4])
    study.run("b", [0.6, 0.6])
    place = str(study.outputs)
    bind = ["mount", "--bind", "-o", "ro", place, place]
    if subprocess.run(bind, capture_output=True, check=False).returncode:
        pytest.skip("mounting a directory read-only needs root")
    try:
        page = study.summarise()
    finally:
        subprocess.run(["umount", "-l", place], check=True)
    assert "2 of 2" in page.text and page.figures
    assert not (study.outputs / "results.csv").exists()


def test_summary_of_other_templates_uses_their_own_metric(tmp_path: Path) -> None:
    study = Planted(
        tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: {}, b: {units: 8}, c: {units: 9}}"
    )
    for name, score in [("a", 0.5), ("b", 0.7), ("c", 0.7)]:
        place = study.run(name, [])
        (place / "history.csv").write_text("epoch,my_score\n" + f"1,{score - 0.1}\n" + f"2,{score}\n" * 18)
        (place / "result.json").unlink()
    page = study.summarise()
    part = page.part("1 · All configurations")
    assert "highest ends of my_score" in part and "**The rule drops a**" in part
    assert list(page.rows(part)) == ["b", "c", "a"]


def code_of(notebook: Path) -> list[str]:
    """Return the code cells of a notebook."""
    cells = nbformat.read(notebook, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


def test_notebook_is_as_long_as_one_can_read() -> None:
    cells = nbformat.read(ROOT / "notebooks" / "summary.ipynb", as_version=4).cells
    code = [cell.source.count("\n") + 1 for cell in cells if cell.cell_type == "code"]
    assert len(cells) <= 30 and len(cells) - len(code) >= 13 and max(code) <= 25


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
    sources = {path.name: code_of(path) for path in (ROOT / "notebooks").glob("*.ipynb")}
    sources |= {path.name: [path.read_text()] for path in ROOT.glob("*.py")}
    found = [name for name, cells in sources.items() for cell in cells if reads_test_labels(cell)]
    assert found == ["summary.ipynb"]
    # and what that cell calls them is used in no other
    labels = [cell for cell in sources["summary.ipynb"] if "test_labels" in cell]
    assert len(labels) == 1 and reads_test_labels(labels[0])
