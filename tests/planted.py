"""Studies whose runs are made up, so that what their summary says is known beforehand."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat

from nbstudy.decision.halving import climb
from nbstudy.decision.scores import Score
from nbstudy.files import FORMAT, TEST, hash_of, read_record, write_json
from nbstudy.records.results import Results, load_results
from nbstudy.records.runs import read_run
from nbstudy.records.tested import identity_of
from nbstudy.study.configurations import replicate_of
from nbstudy.study.study import load_study
from project import PLAIN_PAPERMILL, ROOT, SUMMARY

EPOCHS = 20  # the last tenth is two epochs, enough for a deviation
COLUMNS = ["epoch", "loss", "accuracy", "cross_entropy", "val_loss", "val_accuracy", "val_cross_entropy"]
HEADER = ",".join(COLUMNS) + "\n"
FIGURE = "[figure]"
VERSIONS = {"device": "x86_64", "versions": {"python": "3.11", "keras": "3"}}


class Planted:
    """A study's outputs as runs would have left them, with histories made up."""

    def __init__(
        self, root: Path, study: str, name: str = "mine", overrides: Iterable[tuple[str, str]] = ()
    ) -> None:
        self.root = root
        self.outputs = root / "outputs" / name
        (root / "params").mkdir()
        shutil.copytree(ROOT / "notebooks", root / "notebooks")
        file = root / "params" / f"{name}.yaml"
        file.write_text(study, encoding="utf-8")
        self.record = load_study(file, overrides).record()
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
        """Leave a run, or an attempt that was interrupted, with a validation loss by epoch; its penalty is 0.05.

        `result` and further arguments change what result.json and run.json say.
        """
        place = self.make_place(name, attempt)
        rows = []
        for epoch, loss in enumerate(val_loss, 1):
            rows.append([epoch, loss, 0.5, loss, loss, val_accuracy, loss - 0.05])
        write_history(place, COLUMNS, rows)
        weights = 1000 * self.record["configurations"].get(name, {}).get("units", 1)
        write_json(place / "result.json", {"weights": weights, "diverged": None} | VERSIONS | (result or {}))
        self.finish(place, name, attempt, run)
        return place

    def measure(self, name: str, result: dict[str, Any], **run: Any) -> Path:
        """Leave a run without a history that came to this result; further arguments change what run.json says."""
        place = self.make_place(name)
        write_json(place / "result.json", result)
        self.finish(place, name, 0, run)
        return place

    def make_place(self, name: str, attempt: int = 0) -> Path:
        """Make the directory of a run, or of an attempt."""
        place = self.outputs / name
        if attempt:
            place = self.outputs / "incomplete" / name / str(attempt)
        place.mkdir(parents=True)
        return place

    def finish(self, place: Path, name: str, attempt: int, run: dict[str, Any]) -> None:
        """Write the run.json of a run, or of an attempt, after its other files."""
        parameters = self.record["configurations"].get(name, {})
        record = {
            "format": FORMAT,
            "configuration": name,
            "parameters": parameters,
            "code": self.record["code"][0],
            "flops": 1e9,
            "cores": 1,
            "seconds": 60.0,
            "attempts": 1,
            "started": "2026-01-01T00:00:00Z",
            "finished": not attempt,
            "error": None,
        }
        write_json(place / "run.json", record | run)

    def test(self, result: dict[str, Any], **run: Any) -> Path:
        """Leave what the notebook left that opens the test set, for the final run that is there.

        Further arguments change what run.json says; with an error it is an attempt that failed.
        """
        asked = self.record["test"]
        place = self.make_place(TEST, attempt=int("error" in run))
        write_json(place / "result.json", result)
        tested = identity_of(read_run(self.outputs / self.record["final"]))
        own = {"parameters": asked["parameters"], "code": asked["code"][0], "tested": tested}
        self.finish(place, TEST, 0, own | run)
        return place

    def seal(self, name: str) -> None:
        """Put the hashes of a complete run's files on record, so that a change of one is damage."""
        place = self.outputs / name
        others = [file for file in place.iterdir() if file.name != "run.json"]
        hashes = {file.name: hash_of(file.read_bytes()) for file in others}
        write_json(place / "run.json", read_record(place / "run.json") | {"files": hashes})

    def load(self) -> Results:
        """Return what load_results finds."""
        return load_results(self.outputs)

    def summarise(
        self, place: Path | None = None, outputs: str = "../outputs/mine", path: Collection[Path] = ()
    ) -> Page:
        """Execute the summary in notebooks/, or in another place, and return what it shows.

        It can import what lies in the directories of a path before all others.
        """
        place = place or self.root / "notebooks"
        shutil.copy(SUMMARY, place)
        command = [*PLAIN_PAPERMILL, "summary.ipynb", "out.ipynb", json.dumps({"outputs": outputs})]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT]))}
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return Page(nbformat.read(place / "out.ipynb", as_version=4))


class Page:
    """What an executed summary shows, in Markdown, with FIGURE for each figure."""

    def __init__(self, notebook: nbformat.NotebookNode) -> None:
        texts = []
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                texts.append(cell.source)
            for output in cell.get("outputs", []):
                assert output.output_type not in ("error", "stream"), output
                texts.append(output.data.get("text/markdown", ""))
                if "image/png" in output.data:
                    texts.append(FIGURE)
        self.text = "\n\n".join(texts)
        self.headings = re.findall(r"^#+ (.+)$", self.text, re.MULTILINE)

    def part(self, heading: str) -> str:
        """Return what is shown from a heading to the next."""
        start = re.search(rf"^#+ {re.escape(heading)}$", self.text, re.MULTILINE)
        assert start, self.headings
        return re.split(r"^#+ ", self.text[start.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> dict[str, dict[str, str]]:
    """Return the rows of the first table in Markdown, by what is in their first cell, a link's text if it is one."""
    found = re.search(r"^(\| .* \|\n?)+", text, re.MULTILINE)
    assert found, text
    head, _, *lines = found[0].replace("_&#8203;", "_").splitlines()
    keys = cells(head)
    table = {}
    for line in lines:
        row = dict(zip(keys, cells(line), strict=True))
        table[re.sub(r"\[(.*?)\].*", r"\1", row[keys[0]])] = row
    return table


def cells(line: str) -> list[str]:
    """Return the cells of a line of a table in Markdown."""
    return line[2:-2].split(" | ")


def column(table: Mapping[str, Mapping[str, str]], key: str) -> list[str]:
    """Return a column of a table, as `rows` gives it."""
    return [row[key] for row in table.values()]


def write_history(place: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a history.csv."""
    lines = [",".join(map(str, row)) + "\n" for row in [columns, *rows]]
    (place / "history.csv").write_text("".join(lines))


def flat(end: float) -> list[float]:
    """Return a loss that falls to its settled value."""
    return [end + 1 / epoch for epoch in range(1, EPOCHS - 1)] + [end, end]


DAMAGES = {  # by the name of a configuration: a file of its run, and what is in it
    "history_empty": ("history.csv", b""),
    "history_blank": ("history.csv", b"\n\n\n"),
    "history_cut": ("history.csv", (HEADER + "1,2,3,4,5,6,7\n2,3").encode()),
    "history_binary": ("history.csv", bytes(range(256)) * 4),
    "history_words": ("history.csv", (HEADER + "a,b,c,d,e,f,g\n" * 3).encode()),
    "history_huge": ("history.csv", b"epoch,val_loss\n1,1e400\n2,-1e400\n"),
    "history_digits": ("history.csv", b"epoch,val_loss,configuration\n1," + b"9" * 5000 + b",me\n"),
    "result_list": ("result.json", b"[1, 2]"),
    "result_types": ("result.json", b'{"weights": "many", "diverged": "no", "versions": 3, "device": []}'),
    "result_huge": ("result.json", b'{"weights": 1' + b"0" * 30 + b', "versions": {"python": ["3"]}}'),
    "result_deep": ("result.json", b"[" * 100_000),
    "run_empty": ("run.json", b""),
    "run_types": ("run.json", b'{"parameters": [], "code": 3, "seconds": "long", "error": 4, "files": 1}'),
}


# The deviation between replicates is 0.01826, with 3 degrees of freedom: see test_elimination.py.
WITH_REPLICATES = f"""
notebooks: {{run: train.ipynb, test: test.ipynb}}
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
  - {{title: The choice, candidates: [good, near, wide], originally_dropped: [near]}}
final: good
"""


def half_filled(root: Path) -> Planted:
    """Plant a study with replicates: some runs are missing, failed, unfinished, stale, exploded, or not in it."""
    study = Planted(root, WITH_REPLICATES)
    study.run("good", flat(0.30), 0.80)
    study.run("good_1", flat(0.28), 0.82)
    study.run("good_2", flat(0.32), 0.78)
    study.run("wide", flat(0.305), 0.80)
    study.run("wide_1", flat(0.285), 0.82)
    study.run("tie", flat(0.30), 0.80)
    study.run("far", flat(0.337), 0.92)
    study.run("both", flat(0.5), 0.80)
    study.run("near", [0.9, 0.8, 0.7, 0.2, *flat(0.335)[4:]], 0.87)
    study.run("wild", [0.4] * 11 + [math.nan], result={"diverged": 12})
    study.run("cut", [0.01] * 7, attempt=2)
    study.run("cut", [0.01] * 2, attempt=1)
    study.run("broken", [0.4] * 3, attempt=1, finished=True, error="ValueError: a|b `c`")
    study.run("old", flat(0.01), parameters=study.record["configurations"]["old"] | {"l2": 0.7})
    study.run("other", flat(0.01))
    return study


WITHOUT_REPLICATES = f"""
notebooks: {{run: train.ipynb, test: test.ipynb}}
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


def without_replicates(root: Path) -> Planted:
    """Plant a complete study without replicates, whose final run has no model yet."""
    study = Planted(root, WITHOUT_REPLICATES)
    study.run("one", [0.5] * 18 + [0.30, 0.32])  # settled 0.31, deviation 0.0141
    study.run("two", [0.5] * 18 + [0.33, 0.33])
    study.run("six", [0.5] * 18 + [0.35, 0.35], result={"versions": {"python": "3.12", "keras": "3"}})
    plant_final(study)
    return study


def plant_final(study: Planted, name: str = "all") -> None:
    """Leave a run on all images, which has nothing to validate with."""
    final = study.run(name, [0.5] * 20)
    history = (final / "history.csv").read_text()
    (final / "history.csv").write_text(history.replace("val_", "not_"))


RUNGS = """
notebooks: {run: train.ipynb}
configurations:
  first: {}
  second: {dropout: 0.1}
  third: {dropout: 0.2}
  fourth: {dropout: 0.3}
  fifth: {dropout: 0.4}
halving:
  candidates: "*"
  metric: val_loss
  rungs:
    - {epochs: 2, keep: 3}
    - {epochs: 4, keep: 2}
    - {epochs: 4, replicates: 2}
"""
RUNG_CURVES = {
    "first": [0.9, 0.50, 0.4, 0.30],
    "second": [0.9, 0.52, 0.4, 0.34],
    "third": [0.9, 0.54, 0.4, 0.36],
    "fourth": [0.9, 0.70],
    "fifth": [0.9, 0.80],
}
NEW_CURVES = {
    "first_seed_1": [0.9, 0.5, 0.4, 0.31],
    "first_seed_2": [0.9, 0.5, 0.4, 0.33],
    "second_seed_1": [0.9, 0.5, 0.4, 0.41],
    "second_seed_2": [0.9, 0.5, 0.4, 0.43],
}


def halved(root: Path, rungs: int, behind: Collection[str] = ()) -> Planted:
    """Plant a study that has come to so many of its three rungs, but for those that still are on the first one.

    An epoch of each run takes 1 TFLOP.
    """
    planted = Planted(root, RUNGS)
    study = load_study(root / "params" / "mine.yaml")
    assert study.halving is not None
    stages = climb(
        study.halving.rungs,
        list(study.halving.candidates),
        lambda name, rung: {name: Score(RUNG_CURVES[name][rung.epochs - 1], name)},
    )
    planted.record = study.at(stages[:rungs]).record()
    write_json(planted.outputs / "study.json", planted.record)
    curves = RUNG_CURVES | NEW_CURVES
    for name, parameters in planted.record["configurations"].items():
        epochs = parameters["epochs"]
        if name in behind:
            epochs = 2
        planted.run(
            name, curves[name][:epochs], flops=1e12 * epochs, parameters=parameters | {"epochs": epochs}
        )
    return planted


RACE = f"""
notebooks: {{run: train.ipynb}}
defaults: {{epochs: {EPOCHS}}}
configurations:
  one: {{units: 64}}
  two: {{units: 32}}
  six: {{units: 16}}
  far: {{units: 8}}
race:
  candidates: "*"
  metric: val_loss
  replicates: [2, 4, 6]
  margin: 0.04
"""
RACE_ENDS = {  # of the runs of each candidate: far is dropped in the first lap, six in the second, one and two tie
    "one": [0.30, 0.32, 0.31, 0.33],
    "two": [0.31, 0.33, 0.30, 0.34],
    "six": [0.36, 0.38, 0.37, 0.39],
    "far": [0.70, 0.72],
}


def raced(root: Path, study: str = RACE, ends: Mapping[str, list[float]] = RACE_ENDS) -> Planted:
    """Plant a study with a race in which candidates have come so far as `ends` says what their runs came to."""
    planted = Planted(root, study)
    loaded = load_study(root / "params" / "mine.yaml")
    racing = {name: len(own) for name, own in ends.items()}
    planted.record = loaded.at([], racing).record()
    write_json(planted.outputs / "study.json", planted.record)
    for name, own in ends.items():
        for seed, end in enumerate(own):
            planted.run(replicate_of(name, seed) if seed else name, flat(end))
    return planted
