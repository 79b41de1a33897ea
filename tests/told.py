"""What the page tells of a study, computed as its cells compute it."""

from __future__ import annotations

from nbstudy.records.results import Results
from nbstudy.report import choice, criteria, rounds, runs, together
from nbstudy.report.answer import Answer
from nbstudy.report.choice import Chosen
from nbstudy.report.criteria import Criteria
from nbstudy.report.phrases import link
from nbstudy.report.rankings import rankings_of
from nbstudy.report.rounds import Judged
from nbstudy.report.runs import AllRuns, table_of_configurations
from nbstudy.report.test_set import Measured, Opened, Tested, openings_of
from nbstudy.report.together import Together
from planted import rows


def judged_in(results: Results) -> list[Judged]:
    """Judge every round."""
    return [rounds.compute(results, each) for each in results.rounds]


def round_of(results: Results, number: int) -> tuple[dict[str, dict[str, str]], str]:
    """Return the table of a round, by candidate, and what is said of it."""
    judged = rounds.compute(results, results.rounds[number - 1])
    return rows(rounds.table_of_round(judged)), rounds.after_round(judged)


def together_in(results: Results) -> Together:
    """Compare all rounds."""
    return together.compute(results, judged_in(results))


def chosen_in(results: Results) -> Chosen:
    """Choose among the candidates of the last round."""
    return choice.compute(results)


def criteria_of(results: Results) -> Criteria:
    """Rank by every criterion."""
    return criteria.compute(results, results.choose())


def opened_of(results: Results, shut: str | None = None, tested: Tested | None = None) -> Opened:
    """Return what the test set says, or why it stays shut."""
    return Opened(results, results.choose(), shut, openings_of(results), tested)


def as_tested(*numbers: Measured) -> Tested:
    """Return what a test came to that left these numbers alone."""
    return Tested([*numbers], [], [])


def answer_of(results: Results, shut: str | None = None, tested: Tested | None = None) -> Answer:
    """Return what the answer is made of."""
    return Answer(chosen_in(results), criteria_of(results), opened_of(results, shut, tested))


def runs_in(results: Results) -> AllRuns:
    """Return what all configurations came to."""
    return runs.compute(results, rankings_of(results))


def configurations_of(results: Results) -> dict[str, dict[str, str]]:
    """Return the table of all configurations, by name."""
    return rows(table_of_configurations(runs_in(results)))


def linked(results: Results, name: str) -> str:
    """Return a name as a link to its log."""
    return link(results.runs[name])
