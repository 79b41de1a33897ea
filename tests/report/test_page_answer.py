"""The answer at the top of the page."""

from __future__ import annotations

from pathlib import Path

from nbstudy.decision.metrics import metric_called
from nbstudy.decision.odds import odds_of
from nbstudy.files import write_json
from nbstudy.records.openings import record_opening
from nbstudy.records.results import Results
from nbstudy.report.answer import chosen_line, line_of_test_set, sure_line, write
from nbstudy.report.criteria import criteria_line
from nbstudy.report.phrases import interval
from nbstudy.report.test_set import Measured, why_shut
from planted import Planted, flat, without_replicates
from told import answer_of, as_tested, chosen_in, criteria_of, linked, opened_of

LOSS = metric_called("val_loss")


TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


def test_answer_is_four_plain_lines(results: Results) -> None:
    choice = results.choose()
    sure = f"95 % interval over seeds {interval(choice.verdict, 'good', LOSS)}, 3 runs"
    odds = odds_of(choice.verdict)
    told = f"wide {odds['wide'].best:.2f} and good {odds['good'].best:.2f}; with good one loses {odds['good'].loss:.4f}"
    answer = write(answer_of(results, why_shut(results)))
    assert answer.split("\n>\n") == [
        (
            f"> **{linked(results, 'good')} is chosen** from 7 configurations, of which 3 came to the last round: settled "
            f"val_loss 0.3000 ({sure}), 16,000 weights, 1.0 minutes a run."
        ),
        (
            "> **Too close to call:** wide is better by 0.0050, and chance explains 0.0988, so the smaller network is chosen. The odds "
            f"of being the best: {told} on average."
        ),
        f"> {criteria_line(criteria_of(results))}",
        "> **The test set stays shut:** 4 of 14 runs are not complete.",
    ]


def test_answer_leaves_out_what_does_not_apply(tmp_path: Path) -> None:
    study = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {only: }")
    study.run("only", [0.5, 0.4], seconds=0.0)
    results = study.load()
    answer = write(answer_of(results, why_shut(results)))
    name = linked(results, "only")
    assert answer == f"> **{name} is chosen**: settled val_loss 0.4000 (1 run), 128,000 weights."


def test_answer_says_what_is_unknown_without_replicates(single: Results) -> None:
    unknown = "**How sure is unknown:** two is worse by 0.0000, and nobody knows how much is chance."
    assert sure_line(chosen_in(single)) == unknown


def test_answer_says_when_one_is_clearly_the_best(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO.replace("a: ", "a: {replicates: 2}"))
    for name, end in [("a", 0.3), ("a_seed_1", 0.301), ("b", 0.9)]:
        study.run(name, flat(end))
    results = study.load()
    explained = results.choose().verdict.against["b"].allowed
    words = f"b comes next, worse by 0.5995, where chance explains {explained:.4f} at most."
    assert sure_line(chosen_in(results)) == f"**Clearly the best:** {words}"


def test_answer_is_not_clear_where_the_rule_keeps_any_other(tmp_path: Path) -> None:
    # b has as many runs as a, and is dropped; c comes after it with one run, of which chance explains more
    study = Planted(
        tmp_path,
        "notebooks: {run: train.ipynb}\n"
        "configurations: {a: {replicates: 5}, b: {dropout: 0.1, replicates: 5}, c: {dropout: 0.2}}\n",
    )
    for number in range(5):
        for name, end in [("a", 0.3), ("b", 0.313)]:
            run = f"{name}_seed_{number}" if number else name
            study.run(run, flat(end + 0.005 * (number - 2)))
    study.run("c", flat(0.3135))
    results = study.load()
    chosen = chosen_in(results)
    assert results.choose().verdict.dropped == ("b",)
    assert sure_line(chosen).startswith("**Too close to call:** c is worse by 0.0135, and chance explains ")


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
