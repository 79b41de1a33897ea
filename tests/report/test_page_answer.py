"""The answer at the top of the page, and its conclusion."""

from __future__ import annotations

from pathlib import Path

from nbstudy.decision.metrics import metric_called
from nbstudy.decision.odds import odds_of
from nbstudy.files import write_json
from nbstudy.records.openings import record_opening
from nbstudy.records.results import Results
from nbstudy.report.answer import chosen_line, incomplete_line, line_of_test_set, runner_up_line, write
from nbstudy.report.choice import choice_made, more_replicates
from nbstudy.report.criteria import criteria_line
from nbstudy.report.phrases import interval, noise_in_words, odds_in_words
from nbstudy.report.test_set import Measured, why_shut
from planted import Planted, flat, without_replicates
from told import answer_of, as_tested, chosen_in, concluded, criteria_of, linked, opened_of

LOSS = metric_called("val_loss")


TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


def test_answer_is_five_plain_lines(results: Results) -> None:
    choice = results.choose()
    sure = f"95 % interval over seeds {interval(choice.verdict, 'good', LOSS)}, 3 runs"
    what = f"its settled val_loss is 0.3000 ({sure}), it has 16,000 weights and a run takes 1.0 minutes"
    odds = f"Among the 3 of the last round {odds_in_words(odds_of(choice.verdict)['good'])}"
    assert "it is the best with a probability of 0.3" in odds
    answer = write(answer_of(results, why_shut(results)))
    assert answer.split("\n>\n") == [
        f"> **{linked(results, 'good')} is chosen** from good, near and wide: {what}. {odds}.",
        "> The best mean is that of wide, better by 0.0050: too close to call, so the smaller network is chosen.",
        f"> {criteria_line(criteria_of(results))}",
        "> **The test set stays shut:** 4 of 14 configurations are not complete.",
        "> **Not complete yet**, so that this may change: 4 of 14 configurations (cut, broken, old and never).",
    ]


def test_answer_leaves_out_what_does_not_apply(tmp_path: Path) -> None:
    study = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {only: }")
    study.run("only", [0.5, 0.4], seconds=0.0)
    results = study.load()
    answer = write(answer_of(results, why_shut(results)))
    name = linked(results, "only")
    assert (
        answer
        == f"> **{name} is chosen**: its settled val_loss is 0.4000 (1 run) and it has 128,000 weights."
    )


def test_answer_says_what_the_test_set_says_of_which_model(single: Results) -> None:
    accuracy = Measured("test_accuracy", 0.75, (0.7, 0.8), "400 test images")
    line = line_of_test_set(opened_of(single, None, as_tested(accuracy)))
    model = "all, which is one (the choice) but for refit True"
    assert (
        line
        == f"**The test accuracy is 0.7500 (95 % interval over 400 test images 0.7000 to 0.8000)**, that of {model}."
    )
    line = line_of_test_set(opened_of(single, None, as_tested(accuracy, Measured("loss", 0.25))))
    assert line.endswith(f"0.8000)** and the test loss 0.2500, those of {model}.")


def test_answer_asks_for_suspicion_where_the_test_set_was_opened_more_than_once(tmp_path: Path) -> None:
    study = without_replicates(tmp_path)
    for weights in ("abc", "def"):
        record_opening(study.outputs, "all", weights)
    results = study.load()
    line = line_of_test_set(opened_of(results, None, as_tested(Measured("test_accuracy", 0.75))))
    assert line.endswith("; **the test set was opened 2 times**, so be suspicious of it.")


def test_answer_keeps_the_cure_for_the_section_on_the_test_set(single: Results) -> None:
    line = line_of_test_set(opened_of(single, "model.keras is not here; remove it"))
    assert line == "**The test set stays shut:** model.keras is not here."


def test_conclusion_gives_the_reasons(results: Results) -> None:
    choice = results.choose()
    text = concluded(results, why_shut(results))
    said, unseen = text.split("\n\n### What the original could not see\n\n")
    heading, _, *points = said.splitlines()
    assert heading == "## Conclusion"
    assert points == [
        f"- {chosen_line(chosen_in(results))}",
        f"- **Why.** {choice_made(chosen_in(results))} {runner_up_line(chosen_in(results))}",
        f"- **How sure.** {noise_in_words(choice.verdict.noise)} {more_replicates(chosen_in(results))}",
        f"- {criteria_line(criteria_of(results))}",
        "- **The test set stays shut:** 4 of 14 configurations are not complete.",
        f"- {incomplete_line(results)}",
    ]
    assert unseen == (
        "It did not know by how much chance alone changes a run: a standard deviation of 0.0183 in a run's val_loss, "
        "as replicates show. Of its 6 eliminations, 3 were by a difference that chance alone explains: those of near and far."
    )


def test_conclusion_of_a_study_without_an_original_says_nothing_of_one(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.run("a", [0.5])
    results = study.load()
    text = concluded(results)
    assert "original" not in text and "test set" not in text


def test_weights_decide_only_where_they_differ(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    for name, loss in [("a", 0.3), ("b", 0.2)]:
        study.run(name, flat(loss), result={"weights": 0})
    results = study.load()
    assert " weights" not in chosen_line(chosen_in(results))
    for name in ("a", "b"):
        write_json(study.outputs / name / "result.json", {"weights": 500})
    results = study.load()
    assert "weights" in chosen_line(chosen_in(results)) and not chosen_in(results).is_smaller


def test_runs_that_left_no_number_say_what_to_leave(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.measure("a", {"name": "x"})
    results = study.load()
    missing = "no run left a number to judge it by, in `history.csv` or `result.json`."
    assert chosen_line(chosen_in(results)) == f"**No configuration can be chosen yet**: {missing}"
