"""What `nbstudy compare` says of studies beside each other."""

from __future__ import annotations

import subprocess
import sys

from nbstudy.records.results import load_results
from nbstudy.report.comparison import describe
from project import ROOT


def test_published_studies_beside_each_other() -> None:
    said = describe(
        load_results([ROOT / "outputs/fashion_mnist", ROOT / "outputs/better_mlp"]), "val_accuracy"
    )
    assert "fashion_mnist: 26 of 26 complete, train.ipynb, decided by val_loss" in said
    assert "The same parameters" not in said
    assert "final, fashion_mnist -> better_mlp: hidden_layers 5 -> 3, " in said
    assert "Only in better_mlp, 65 configurations: mlp_0, mlp_1" in said
    heading, _, rest = said.partition("All candidates together, by val_accuracy (higher is better)\n")
    assert "the code of the templates" not in heading
    columns, best, *_ = rest.splitlines()
    assert columns.split() == [
        "candidate",
        "in",
        "val_accuracy",
        "runs",
        "epochs",
        "worse",
        "by",
        "than",
        "allowed",
        "rule",
        "note",
    ]
    assert best.split() == ["mlp_51", "better_mlp", "0.9057", "3", "40", "kept"]
    assert "The rule keeps mlp_51, mlp_23 and mlp_52, and drops 19 of 22." in said
    assert said.endswith(
        "Chosen: mlp_23 of better_mlp, val_accuracy 0.9043; it is the smallest that the rule keeps, and mlp_51 is the best.\n"
        "Among these 22 it is the best with a probability of 0.15, and on average 0.0016 worse than the best."
    )


def test_command_compares_studies_and_refuses_what_is_none() -> None:
    command = [sys.executable, str(ROOT / "runner.py"), "compare"]
    both = ["outputs/fashion_mnist", "outputs/better_mlp"]
    for words, status, expected in (
        ([*both, "--metric", "val_accuracy"], 0, "Chosen: mlp_23 of better_mlp"),
        (both, 2, "fashion_mnist by val_loss and better_mlp by val_accuracy; say which one to compare by"),
        (both[:1], 2, "must name two studies or more"),
        (
            [*both[:1], "outputs/none"],
            2,
            "outputs/none: there is no study here (beside it: outputs/averaged, ",
        ),
    ):
        done = subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == status and expected in done.stdout + done.stderr
