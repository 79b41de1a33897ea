"""What runs leave in history.csv, from the template to the page."""

from __future__ import annotations

import re

from project import Project

# DataFrame.to_csv writes NaN as an empty cell: val_loss is lost from the ninth epoch on where the rate is high.
RATES = {
    "parameters": """
        rate: float = 0.1
        epochs: int = 20
        seed: int = 0
    """,
    "preflight": """
        lengthens = "epochs"
        checkpoint = "done.txt"
    """,
    "": """
        import math
        from pathlib import Path

        import pandas as pd

        history = pd.DataFrame({"loss": 2.0, "val_loss": 0.0, "val_f1": math.nan}, index=range(1, epochs + 1))
        for epoch in history.index:
            history.loc[epoch, "val_loss"] = 1 / (1 + 4 * rate * epoch)
            if rate > 0.5 and epoch >= 9:
                history.loc[epoch, "val_loss"] = math.nan
            if epoch % 5 == 0:
                history.loc[epoch, "val_f1"] = epoch / 100
        history.to_csv("history.csv", index_label="epoch")
        Path("done.txt").write_text(str(epochs))
    """,
}
RATES_STUDY = """
notebooks: {run: rates.ipynb, summary: summary.ipynb}
grid: [{name: "rate_{rate}", rate: [0.05, 0.1, 1.0]}]
"""
IN_RUNGS = """
notebooks: {run: rates.ipynb, summary: null}
grid: [{name: "rate_{rate}", rate: [0.05, 0.1, 1.0]}]
halving: {candidates: "*", metric: val_loss, rungs: [{epochs: 10, keep: 2}, {epochs: 20}]}
"""


def test_loss_that_is_no_longer_written_does_not_win(project: Project) -> None:
    project.notebook("rates.ipynb", RATES)
    study = project.study(RATES_STUDY)
    printed = project.run(study)
    assert "rate_1.0: 20 epochs, no val_loss after epoch 8" in printed
    assert "rate_0.1: 20 epochs, val_loss 0.11111" in printed
    page = project.outputs("mine", "summary.ipynb").read_text()
    assert re.search(r"\[rate_0.1\]\(\S+\) is chosen\*\* from 3 configurations", page)
    assert "no val_loss after epoch 8, which counts as not finite" in page
    assert "| [rate_1.0](rate_1.0/rate_1.0.ipynb) | ✗ |" in page
    assert "[rate_1.0](rate_1.0/rate_1.0.ipynb) is chosen" not in page


def test_loss_that_is_no_longer_written_does_not_stop_a_rung(project: Project) -> None:
    project.notebook("rates.ipynb", RATES)
    study = project.study(IN_RUNGS)
    printed = project.run(study)
    assert "rung 1 of 2, 10 epochs: 2 of 3 candidates go on: rate_0.05, rate_0.1" in project.run(
        study, "--dry-run"
    )
    assert re.findall(r"^(\S+): resumes", printed, re.MULTILINE) == ["rate_0.05", "rate_0.1"]


def test_metric_that_is_measured_now_and_then_decides_a_rung(project: Project) -> None:
    project.notebook("rates.ipynb", RATES)
    study = project.study(IN_RUNGS.replace("val_loss", "val_f1").replace("epochs: 10", "epochs: 7"))
    project.run(study)
    assert "rung 1 of 2, 7 epochs: 2 of 3 candidates go on" in project.run(study, "--dry-run")
    study = project.study(IN_RUNGS.replace("val_loss", "val_f1").replace("epochs: 10", "epochs: 4"), "early")
    printed = project.run(study, status=2)
    assert (
        "rate_0.05/history.csv: halving: metric: val_f1 is empty in the 4 epochs of the lowest rung"
        in printed
    )


def test_history_that_cannot_be_read_fails_its_run_by_the_line(project: Project) -> None:
    project.edit(
        "tiny.ipynb",
        'rows.append(f"{step},{1 / step}")',
        'rows.append(text if text and step == 2 else f"{step},{1 / step}")',
    )
    study = project.study(
        'notebooks: {run: tiny.ipynb, summary: null}\nconfigurations: {good: , again: {text: "epoch,f1"}}\n'
    )
    printed = project.run(study, status=1)
    message = "history.csv, line 3: is a header again, with other columns than the first; write one header"
    assert f"again: {message}" in printed and "good: 3 epochs, val_loss 0.33333" in printed
    assert re.search(rf"again +unfinished .*{message}", project.run(study, "--dry-run"))


def test_progress_is_said_by_the_metric_that_decides(project: Project) -> None:
    project.edit("tiny.ipynb", '"epoch,val_loss"', '"epoch,val_loss,val_accuracy"')
    project.edit("tiny.ipynb", "{1 / step}", "{1 / step},{step / 10}")
    study = project.study(
        "notebooks: {run: tiny.ipynb, summary: null}\nmetric: val_accuracy\nconfigurations: {run: }\n"
    )
    assert "run: 3 epochs, val_accuracy 0.3, " in project.run(study)
