"""A metric that nobody can decide by is said before anything runs, or as soon as the first run is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbstudy.records.metrics import metrics_in
from project import Project, begun

TINY = "notebooks: {run: tiny.ipynb, summary: null}\n"
SHORT = "configurations: {a: , b: {steps: 2}, c: {steps: 4}}\n"


# --- at load ---
def test_metric_whose_direction_nobody_says_is_refused_before_anything_runs(project: Project) -> None:
    printed = project.run(project.study(TINY + SHORT + "metric: my_score\n"), status=2)
    assert "mine.yaml: metric: which values of 'my_score' are better? add `better: lower`" in printed
    assert begun(printed) == [] and not project.outputs("mine").exists()


# --- when a run is complete ---
@pytest.mark.parametrize(
    ("lines", "place"),
    [
        ("metric: val_f1\n", "the metric in the study file"),
        ("rounds: [{candidates: [a, b], metric: val_f1}]\n", "the metric of round 1 in the study file"),
    ],
)
def test_metric_that_no_run_has_is_said_as_soon_as_one_is_complete(
    project: Project, lines: str, place: str
) -> None:
    study = project.study(TINY + SHORT + lines)
    printed = project.run(study, "--jobs", "1", "--only", "[ab]", status=1)
    assert len(begun(printed)) == 1
    (name,) = begun(printed)
    told = f"outputs/mine/{name}: there is no val_f1, {place}; history.csv and result.json have val_loss: name one of"
    assert told in printed
    assert begun(project.run(study, status=1)) == []  # what is there says it already
    project.study(TINY + SHORT + lines.replace("val_f1", "val_loss"))
    assert len(begun(project.run(study))) == 2


def test_run_that_ended_early_or_is_final_may_lack_the_metric(project: Project) -> None:
    project.edit(
        "tiny.ipynb", '{"text": text}', '{"text": text, "ended": "too slow"} if flag else {"f1": 0.5}'
    )
    study = project.study(
        TINY + "metric: f1\nfinal: last\nconfigurations: {a: {flag: true}, b: , last: {flag: true, steps: 5}}"
    )
    printed = project.run(study, "--jobs", "1")
    assert len(begun(printed)) == 3


def test_metrics_of_a_run_are_columns_and_numbers(tmp_path: Path) -> None:
    assert metrics_in(tmp_path) == []
    (tmp_path / "history.csv").write_text('\ufeffepoch,val_loss,"a,\nb"\n1,2,3\n', encoding="utf-8")
    (tmp_path / "result.json").write_text('{"auc": 0.5, "weights": 3, "is_good": true, "device": "x"}')
    assert metrics_in(tmp_path) == ["val_loss", "a,\nb", "auc"]
