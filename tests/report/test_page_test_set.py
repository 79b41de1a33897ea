"""The section on the test set: when it stays shut, what it says, and how that is drawn."""

from __future__ import annotations

import io
import math
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import PIL.Image
import pytest

from nbstudy.decision.metrics import metric_called
from nbstudy.files import write_json
from nbstudy.records.openings import Opening, record_opening, write_openings
from nbstudy.records.results import Results
from nbstudy.report import test_set
from nbstudy.report.answer import line_of_test_set
from nbstudy.report.test_set import (
    beside_validation,
    compute,
    in_short,
    last_epoch,
    numbers_in_words,
    openings_in_words,
    state_in_words,
    why_shut,
)
from planted import Planted, column, plant_final, rows, without_replicates
from told import opened_of

CURE = "unless git has it, remove {}/all/ and run the study again, which trains it anew"
TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


def test_test_set_stays_shut_while_anything_is_not_complete(results: Results, single: Results) -> None:
    words = "4 of 14 runs are not complete"
    assert why_shut(results) == words
    assert state_in_words(opened_of(results, words)) == f"**The test set stays shut:** {words}."
    assert (
        why_shut(single)
        == f"{single.directory}/all/model.keras: is not here; {CURE.format(single.directory)}"
    )
    assert state_in_words(opened_of(single)) == "**The test set is open** for all."


def test_test_set_stays_shut_without_a_final_configuration(tmp_path: Path) -> None:
    assert why_shut(Planted(tmp_path, TWO).load()) == "the study names no final configuration"


def test_test_set_stays_shut_for_a_quick_look(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO + "final: a\n", overrides=[("epochs", "3"), ("seed", "1")])
    for name in ("a", "b"):
        study.run(name, [0.5] * 3)
    results = study.load()
    words = "this is a quick look, with epochs 3 and seed 1 for all configurations, and decides nothing"
    assert why_shut(results) == words


def test_openings_are_told_with_suspicion_where_there_was_more_than_one(tmp_path: Path) -> None:
    one = Opening("final", "abc", "2026-11-26T14:00:00Z", 0.88, 0.4)
    two = Opening("wide", "def", "2026-11-27T14:00:00Z")
    others = "Other studies on the same test set have records of their own."
    assert openings_in_words([one]) == f"It was opened once, on 2026-11-26 for final. {others}"
    assert openings_in_words([one, two]) == (
        "**It was opened 2 times:** on 2026-11-26 for final and on 2026-11-27 for wide; whoever saw an earlier result "
        f"may have chosen by it, so be suspicious of this one. {others}"
    )
    study = without_replicates(tmp_path)
    record_opening(study.outputs, "all", "abc")
    assert " It was opened once, on 20" in state_in_words(opened_of(study.load(), "shut"))
    (study.outputs / "test.json").write_text("{")
    assert state_in_words(opened_of(study.load(), "shut")) == "**The test set stays shut:** shut."


def test_opening_that_is_older_than_the_run_beside_it_is_explained(tmp_path: Path) -> None:
    study = without_replicates(tmp_path)
    study.test({"accuracy": 0.9}, weights="abc")
    early = Opening("all", "abc", "2025-12-30T10:00:00Z", numbers={})
    later = Opening("all", "def", "2025-12-31T10:00:00Z", numbers={})
    explained = (
        "The run of all that is here began after that, on 2026-01-01: it was trained again and came to the same weights, so "
        "that testing it was no new opening."
    )
    assert told_of(study, [early]).endswith(explained)
    assert told_of(study, [early, later]).endswith(explained)
    assert "trained again" not in told_of(study, [later, replace(early, when="2026-01-01T00:10:00Z")])
    assert "trained again" not in told_of(study, [replace(early, when="2026-01-01T00:10:00Z")])


def told_of(study: Planted, openings: list[Opening]) -> str:
    """Return what the page says of the test set where these openings are on record."""
    write_openings(study.outputs, openings)
    return state_in_words(compute(study.load(), study.load().choose()))


def what_came_of(study: Planted, result: dict[str, Any]) -> test_set.Tested:
    """Return what the page has of a test that came to this result."""
    study.test(result)
    opened = compute(study.load(), study.load().choose())
    assert opened.tested is not None
    return opened.tested


def test_share_of_a_number_of_things_has_wilsons_interval(tmp_path: Path) -> None:
    result = {"test_accuracy": 0.88, "test_loss": 0.25, "test_rows": 10_000}
    tested = what_came_of(without_replicates(tmp_path), result | {"shares": {"test_accuracy": "test_rows"}})
    share, z, n = 0.88, 1.959964, 10_000  # written out
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = f"{middle - half:.4f}", f"{middle + half:.4f}"
    assert numbers_in_words(tested) == (
        f"**Test accuracy: 0.8800**, with 95 % certainty {low} to {high}, as far as the 10,000 test rows tell it. "
        "The test loss is 0.2500."
    )
    assert in_short(tested) == (
        f"**The test accuracy is 0.8800 (95 % interval over 10,000 test rows {low} to {high})** and the test loss 0.2500"
    )


def test_number_that_is_no_share_has_no_interval(tmp_path: Path) -> None:
    tested = what_came_of(
        without_replicates(tmp_path), {"rmse": 1.5, "n": 9, "shares": {"rmse": "n", "f1": "n"}}
    )
    words = numbers_in_words(tested)
    assert words.startswith(
        "**Test rmse: 1.5000**. `shares` in `result.json` says that `rmse` is a share of `n`: "
    )
    assert "that `f1` is a share of `n`" in words


def test_many_numbers_are_a_table(tmp_path: Path) -> None:
    result = {"f1": 0.5, "recall": 0.25, "precision": 0.75, "mae": 3.0, "n": 100, "shares": {"recall": "n"}}
    words = numbers_in_words(what_came_of(without_replicates(tmp_path), result))
    assert words.startswith("**Test f1: 0.5000**.\n\n")
    table = rows(words)
    assert list(table) == ["f1", "recall", "precision", "mae"]
    assert table["recall"]["95 % interval"] == "0.1755 to 0.3430" and table["mae"]["95 % interval"] == ""
    assert column(table, "over") == ["", "100 n", "", ""]


def test_test_that_left_no_number_says_so(tmp_path: Path) -> None:
    study = without_replicates(tmp_path)
    assert numbers_in_words(what_came_of(study, {"note": "x"})) == "The test left no number in `result.json`."
    line = line_of_test_set(compute(study.load(), study.load().choose()))
    assert line.endswith("but for refit True, and no number came of it.")


def test_test_that_failed_says_so_with_its_log(tmp_path: Path) -> None:
    study = without_replicates(tmp_path)
    log = study.test({}, error="ValueError: no *labels*") / "test.ipynb"
    opened = compute(study.load(), study.load().choose())
    failed = f"**The test failed:** [test]({log.as_posix()}) ended with <code>ValueError: no &#42;labels&#42;</code>."
    assert state_in_words(opened) == f"{failed} Running the study again executes it again."
    assert line_of_test_set(opened) == failed


def test_test_of_another_run_is_not_shown(tmp_path: Path) -> None:
    study = without_replicates(tmp_path)
    study.test({"accuracy": 0.9})
    shutil.rmtree(study.outputs / "all")
    study.run("all", [0.5] * 20, seconds=61.0)
    (study.outputs / "all" / "model.keras").write_bytes(zipped())
    opened = compute(study.load(), study.load().choose())
    assert opened.tested is None
    assert opened.shut == "all is another run than the one that was tested; run the study again"


def zipped() -> bytes:
    """Return an archive, which counts as whole."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("metadata.json", "{}")
    return content.getvalue()


def test_files_are_shown_in_the_order_of_their_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = without_replicates(tmp_path)
    place = study.test({"accuracy": 0.9})
    picture = io.BytesIO()
    PIL.Image.new("RGB", (2, 2)).save(picture, "png")
    files = {
        "b.png": picture.getvalue(),
        "c.csv": b"class,recall\ncat,0.5\n",
        "a.md": b"*Look:*",
        "d.csv": b"",
    }
    for name, content in files.items():
        (place / name).write_bytes(content)
    (place / "weights.bin").write_bytes(b"not shown")
    shown = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(test_set, "show_texts", lambda *texts: shown.append("\n\n".join(texts)))
        patched.setattr(test_set, "display", lambda image: shown.append(image.data))
        test_set.show(compute(study.load(), study.load().choose()))
    assert (
        f"One notebook alone reads the test set, [test.ipynb]({place.as_posix()}/test.ipynb): for" in shown[0]
    )
    assert shown[1:] == [
        "*Look:*",
        files["b.png"],
        "| class | recall |\n| :--- | ---: |\n| cat | 0.5000 |",
        "`d.csv` cannot be shown (EmptyDataError).",
    ]


def test_last_epoch_says_how_much_stopping_there_can_change(tmp_path: Path) -> None:
    study = without_replicates(tmp_path)
    history = pd.read_csv(study.outputs / "one" / "history.csv")
    history.assign(val_accuracy=[0.1] * 18 + [0.8, 0.9]).to_csv(
        study.outputs / "one" / "history.csv", index=False
    )
    differ = "A model is what its last epoch left, and epochs differ: over the last 2 of one the"
    assert last_epoch(opened_of(study.load())) == (
        f"{differ} val_loss is 0.3100 on average, 0.3200 at worst and 0.3000 at best."
    )
    study.record["rounds"][-1]["metric"] = "val_accuracy"
    write_json(study.outputs / "study.json", study.record)
    results = study.load()
    assert last_epoch(opened_of(results)) == (
        f"{differ} val_accuracy is 0.8500 on average, 0.8000 at worst and 0.9000 at best."
    )
    for name in ("one", "two", "six"):
        study.run(name, [0.5], attempt=1)
        (study.outputs / name / "run.json").unlink()
    assert last_epoch(replace(opened_of(results), results=study.load())) == ""


def test_last_epoch_is_that_of_the_runs_by_which_rungs_end(tmp_path: Path) -> None:
    rungs = "[{epochs: 4, keep: 2}, {epochs: 20, replicates: 2}]"
    study = Planted(
        tmp_path,
        "notebooks: {run: train.ipynb, test: test.ipynb}\n"
        "grid: [{name: 'm_{units}', units: [7, 8, 9]}]\n"
        f"halving: {{candidates: 'm_*', metric: val_loss, rungs: {rungs}}}\nfinal: {{refit: true}}\n",
    )
    record = study.record
    asked = record["configurations"]
    for name in ("m_7", "m_8", "m_9"):
        study.run(name, [0.5, 0.4, 0.3, asked[name]["units"] / 30], parameters=asked[name] | {"epochs": 4})
    for name in ("m_7", "m_8"):
        for seed in (1, 2):
            asked[f"{name}_seed_{seed}"] = asked[name] | {"seed": seed, "epochs": 20}
            study.run(f"{name}_seed_{seed}", [0.5] * 18 + [asked[name]["units"] / 50, 0.2])
    asked["final"] = asked["m_7"] | {"refit": True, "epochs": 20}
    write_json(study.outputs / "study.json", record | {"final": "final"})
    plant_final(study, "final")
    results = study.load()
    assert results.choose().chosen == "m_7"
    # of the new run, which has twenty epochs, and not of the one that climbed with four
    assert "over the last 2 of m_7_seed_1 the val_loss is 0.1700 on average" in last_epoch(opened_of(results))


@pytest.mark.parametrize(
    ("share", "how"), [(0.90, "they agree within their intervals"), (0.5, "do not agree")]
)
def test_test_and_validation_are_beside_each_other(tmp_path: Path, share: float, how: str) -> None:
    study = without_replicates(tmp_path)
    study.record["configurations"]["one_again"] = study.record["configurations"]["one"] | {"seed": 1}
    study.record["rounds"][-1] = {"candidates": ["one", "two"], "metric": "val_accuracy"}
    write_json(study.outputs / "study.json", study.record)
    study.run("one_again", [0.5] * 20, 0.92)
    shutil.rmtree(study.outputs / "one")
    study.run("one", [0.5] * 20, 0.90)
    results = study.load()
    tested = test_set.Tested(
        [test_set.Measured("test_accuracy", share, (share - 0.01, share + 0.01))], [], []
    )
    opened = opened_of(results, None, tested)
    said = beside_validation(opened)
    assert said.startswith("The validation data say 0.9100 of one (") and how in said
    disagree = "; that and the 0.9100 of the validation data do not agree within their intervals."
    assert line_of_test_set(opened).endswith(disagree) is (how == "do not agree")
    assert opened_of(results, None, tested).measured_as(metric_called("val_loss")) is None


def test_loss_of_the_test_is_not_that_of_the_validation_data(single: Results) -> None:
    tested = test_set.Tested([test_set.Measured("test_loss", 0.3)], [], [])
    assert opened_of(single, None, tested).measured_as(metric_called("val_loss")) is None
    assert beside_validation(opened_of(single, None, tested)) == ""
