"""Several studies beside each other: their tables together, and one verdict by the rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbstudy.checks import StudyError
from nbstudy.files import write_json
from nbstudy.records.results import Results, load_results
from nbstudy.records.studies import Studies
from planted import Planted, flat, halved

FIRST = """
notebooks: {run: train.ipynb}
defaults: {epochs: 20}
configurations:
  narrow: {units: 16, replicates: 3}
  wide: {units: 32}
  final: {units: 16, refit: true}
final: final
"""
SECOND = """
notebooks: {run: train.ipynb}
defaults: {epochs: 20}
configurations:
  slim: {units: 16}
  wide: {units: 64}
"""


def planted(root: Path, name: str, study: str, ends: dict[str, float]) -> Planted:
    """Plant a study with what its runs settle at."""
    root.mkdir()
    planted = Planted(root, study, name)
    for run, end in ends.items():
        planted.run(run, flat(end))
    return planted


def two(tmp_path: Path) -> tuple[Planted, Planted]:
    """Plant a study and a second one that has one of its configurations, and another one by the name of one."""
    ends = {"narrow": 0.30, "narrow_seed_1": 0.31, "narrow_seed_2": 0.32, "wide": 0.40, "final": 0.01}
    first = planted(tmp_path / "a", "first", FIRST, ends)
    second = planted(tmp_path / "b", "second", SECOND, {"slim": 0.30, "wide": 0.20})
    return first, second


def together(*studies: Planted) -> Studies[Results]:
    """Load studies."""
    return load_results([study.outputs for study in studies])


def test_tables_of_studies_stand_together(tmp_path: Path) -> None:
    studies = together(*two(tmp_path))
    assert list(studies.table.index.names) == ["study", "configuration"]
    assert studies.table.loc[("second", "wide"), "settled_val_loss"] == pytest.approx(0.20)
    assert list(studies.table.loc["first"].index) == [
        "narrow",
        "narrow_seed_1",
        "narrow_seed_2",
        "wide",
        "final",
    ]
    assert len(studies.histories) == 7 * 20
    assert list(studies.histories.columns[:3]) == ["study", "configuration", "epoch"]


def test_candidates_of_studies_are_judged_together(tmp_path: Path) -> None:
    judgement = together(*two(tmp_path)).judge()
    verdict = judgement.choice.verdict
    # names that clash have their study's; `slim` is `narrow` again, of which it is a copy; `final` is no candidate
    assert list(verdict.costs) == ["second/wide", "narrow", "first/wide"]
    assert verdict.runs == {"second/wide": 1, "narrow": 3, "first/wide": 1}
    assert judgement.contenders["narrow"].studies == ["first", "second"]
    assert verdict.noise.degrees == 2
    assert judgement.choice.chosen == "second/wide"
    assert verdict.dropped == ("narrow", "first/wide")


def test_new_seeds_in_another_study_are_replicates(tmp_path: Path) -> None:
    first, _ = two(tmp_path)
    more = SECOND.replace("slim: {units: 16}", "slim: {units: 16, seed: 7}")
    other = planted(tmp_path / "c", "other", more, {"slim": 0.29, "wide": 0.20})
    assert together(first, other).judge().choice.verdict.runs["narrow"] == 4


def test_configurations_of_other_code_are_others(tmp_path: Path) -> None:
    first, second = two(tmp_path)
    write_json(second.outputs / "study.json", second.record | {"code": ["0123456789abcdef"]})
    for name in ("slim", "wide"):
        second.finish(second.outputs / name, name, 0, {"code": "0123456789abcdef"})
    judgement = together(first, second).judge()
    assert set(judgement.contenders) == {"narrow", "slim", "first/wide", "second/wide"}


def test_studies_by_other_metrics_or_inputs_are_refused(tmp_path: Path) -> None:
    first, second = two(tmp_path)
    write_json(second.outputs / "study.json", second.record | {"metric": "val_accuracy"})
    with pytest.raises(StudyError, match="first by val_loss and second by val_accuracy; say which one"):
        together(first, second).judge()
    assert together(first, second).judge("val_accuracy").metric.name == "val_accuracy"
    with pytest.raises(StudyError, match="first: metric: unknown name 'val_acuracy'; did you mean"):
        together(first, second).judge("val_acuracy")
    write_json(second.outputs / "study.json", second.record | {"inputs": {"data/houses.csv": "abc"}})
    with pytest.raises(StudyError, match=r"houses\.csv: first does not read it, second reads abc"):
        together(first, second).judge()


def test_directions_that_differ_are_refused(tmp_path: Path) -> None:
    first, second = two(tmp_path)
    for study, better in ((first, "lower"), (second, "higher")):
        write_json(study.outputs / "study.json", study.record | {"metric": "val_loss", "better": better})
    with pytest.raises(StudyError, match="better when lower in one study and when higher in another"):
        together(first, second).judge()


def test_study_is_named_once(tmp_path: Path) -> None:
    first, _ = two(tmp_path)
    with pytest.raises(StudyError, match="is given twice"):
        together(first, first)


def test_after_rungs_new_seeds_alone_are_compared(tmp_path: Path) -> None:
    first, _ = two(tmp_path)
    (tmp_path / "h").mkdir()
    judgement = together(first, halved(tmp_path / "h", rungs=3)).judge()
    assert set(judgement.contenders) == {"narrow", "wide", "first", "second"}
    assert judgement.choice.verdict.runs["first"] == 2
    assert judgement.choice.verdict.costs["first"] == pytest.approx(0.32)  # as test_page_rungs.py has it


def test_rungs_that_are_not_decided_cannot_be_compared(tmp_path: Path) -> None:
    first, _ = two(tmp_path)
    (tmp_path / "h").mkdir()
    with pytest.raises(StudyError, match="its rungs or its race are not decided yet"):
        together(first, halved(tmp_path / "h", rungs=2)).judge()


def test_equal_seeds_have_something_in_common_where_the_same_code_made_the_runs(tmp_path: Path) -> None:
    studies = []
    for name, units in [("one", 16), ("two", 64)]:
        text = f"notebooks: {{run: train.ipynb}}\ndefaults: {{epochs: 20}}\nconfigurations: {{{name}: {{units: {units}, replicates: 5}}}}\n"
        runs = {f"{name}_seed_{seed}" if seed else name: units / 100 + seed / 10 for seed in range(5)}
        studies.append(planted(tmp_path / name, f"study_{name}", text, runs))
    assert together(*studies).judge().choice.verdict.within is not None
    other = studies[1]
    write_json(other.outputs / "study.json", other.record | {"code": ["0123456789abcdef"]})
    for name in other.record["configurations"]:
        other.finish(other.outputs / name, name, 0, {"code": "0123456789abcdef"})
    assert together(*studies).judge().choice.verdict.within is None
