"""The test set of anybody's project: opened once, by a notebook of its own, when nothing can change a decision any more."""

from __future__ import annotations

import shutil
from unittest.mock import Mock

import nbformat
import pytest

from clusters import Cluster
from left import names_in
from nbstudy import load_results
from nbstudy.execution.opening import open_test_set
from nbstudy.execution.pools import Hosts, Pool
from nbstudy.execution.unfolding import unfold
from nbstudy.files import write_json
from nbstudy.records.attempts import finish_promotion
from nbstudy.records.lease import Lease, Lost
from nbstudy.records.openings import Opening, read_openings
from nbstudy.records.runs import Context
from nbstudy.study.study import load_study
from project import Once, Project, begun, change, kill_together, outputs_of, read, read_run, wait_for

# What it is given and finds on record; it reads the run that it tests, and may import the project's modules.
TEST = {
    "parameters": 'run: str = "."',  # alone in its cell, where IPython takes `run:` for a command
    "": """
        import json
        from pathlib import Path

        from helper import counted

        openings = json.loads((Path(run).parent / "test.json").read_text())["openings"]
        result = {"test_error": float((Path(run) / "done.txt").read_text()), "openings": counted(openings)}
        Path("result.json").write_text(json.dumps(result))
    """,
}
PAGE = {
    "parameters": 'outputs: str = "."',
    "": """
        from nbstudy import load_results

        test = load_results(outputs).test_run
        print(test.word, test.numbers, test.error)
    """,
}
STUDY = """
notebooks: {run: straight.ipynb, test: my_test.ipynb, summary: null}
defaults: {steps: 2}
configurations:
  a: {level: 1.0}
  final: {extends: a, seed: 1}
final: final
"""
OPENS = "my_test.ipynb opens the test set for final"
NO_NEW_ONE = "no new opening"


def with_notebooks(project: Project) -> Project:
    """Give a project a notebook that opens a test set, and a study of it."""
    (project.root / "notebooks" / "helper.py").write_text("counted = len\n")
    project.notebook("my_test.ipynb", TEST)
    project.study(STUDY)
    return project


@pytest.fixture
def mine(project: Project) -> Project:
    """A project of the test's own with a study that has not been run."""
    return with_notebooks(project)


@pytest.fixture
def opened(mine: Project, once: Once) -> Project:
    """The same, once the test set was opened."""
    ran = once("opened", lambda project: with_notebooks(project).run("params/mine.yaml"))
    mine.copy_outputs(ran)
    return mine


def openings(project: Project) -> list[Opening]:
    """Return what is on record."""
    return read_openings(project.outputs("mine"))


def result(project: Project) -> dict[str, float]:
    """Return what came of the test."""
    return read(project.outputs("mine", "test", "result.json"))


def test_test_set_is_opened_once_when_all_else_is_complete(mine: Project) -> None:
    assert f"{OPENS} once all is complete" in mine.run("params/mine.yaml", "--dry-run")
    printed = mine.run("params/mine.yaml", "--only", "a")
    assert begun(printed) == ["a"] and not mine.outputs("mine", "test").exists()
    printed = mine.run("params/mine.yaml")
    assert begun(printed) == ["final", "test"]
    assert f"{OPENS}: an opening that goes on record in outputs/mine/test.json" in printed
    assert result(mine) == {"test_error": 2.0, "openings": 1}  # on record before it began
    (opening,) = openings(mine)
    assert (opening.configuration, opening.numbers) == ("final", {"test_error": 2.0, "openings": 1})
    log = mine.outputs("mine", "test", "test.ipynb").read_text()
    assert "../../../final" in log and str(mine.root) not in log

    before = mine.outputs("mine", "test.json").read_bytes()
    change(
        mine.outputs("mine", "test.json"), openings=[{**vars(opening), "numbers": None}]
    )  # killed just before
    for options in ([], ["--dry-run"]):
        printed = mine.run("params/mine.yaml", *options)
        assert "test" not in printed and "extra" not in printed
    assert mine.outputs("mine", "test.json").read_bytes() == before
    mine.study(STUDY.replace(", test: my_test.ipynb", ""))
    assert "extra, not in the study: test" in mine.run("params/mine.yaml", "--dry-run")


def test_changed_notebook_tests_the_same_weights_again_which_is_no_new_opening(opened: Project) -> None:
    opened.edit("my_test.ipynb", "import json", "import json  # as its result")
    assert begun(opened.run("params/mine.yaml")) == []
    for file in ("my_test.ipynb", "helper.py"):
        if file == "helper.py":
            (opened.root / "notebooks" / "helper.py").write_text("counted = lambda found: -len(found)\n")
        else:
            opened.edit(file, "float(", "10 * float(")
        told = f"{OPENS} ({file} changed), as it was before for the same weights: {NO_NEW_ONE}"
        assert told in opened.run("params/mine.yaml", "--dry-run")
        printed = opened.run("params/mine.yaml")
        assert told in printed and begun(printed) == ["test"]
    assert result(opened) == {"test_error": 20.0, "openings": -1}
    (opening,) = openings(opened)
    assert opening.numbers == {"test_error": 2.0, "openings": 1}
    opened.edit("my_test.ipynb", "10 *", "20 *")
    assert begun(opened.run("params/mine.yaml", "--accept")) == []


def test_other_weights_are_another_opening_and_equal_ones_are_not(opened: Project) -> None:
    shutil.rmtree(opened.outputs("mine", "final"))
    printed = opened.run("params/mine.yaml")
    assert begun(printed) == ["final", "test"] and NO_NEW_ONE in printed
    assert "final is another run than the one that was tested" in printed
    assert len(openings(opened)) == 1
    opened.study(STUDY.replace("seed: 1", "seed: 1, steps: 3"))
    assert begun(opened.run("params/mine.yaml")) == ["test"]  # final resumed
    assert result(opened) == {"test_error": 3.0, "openings": 2}
    first, second = openings(opened)
    assert first.weights != second.weights


def test_failed_test_fails_the_command_and_is_tried_again(mine: Project) -> None:
    mine.edit("my_test.ipynb", "float(", "no_such_name(")
    log = "outputs/mine/incomplete/test/{}/test.ipynb"
    for attempt in (1, 2):
        printed = mine.run("params/mine.yaml", status=1)
        assert f"test: NameError: name 'no_such_name' is not defined ({log.format(attempt)})" in printed
    (opening,) = openings(mine)
    assert opening.numbers is None
    mine.edit("my_test.ipynb", "no_such_name(", "float(")
    assert NO_NEW_ONE in mine.run("params/mine.yaml")
    assert openings(mine)[0].numbers == result(mine)


def test_test_that_was_moved_away_is_executed_again_without_another_opening(opened: Project) -> None:
    # as the head of its log says
    head = "".join(read(opened.outputs("mine", "test", "test.ipynb"))["cells"][0]["source"])
    assert "`mv outputs/mine/test .`, then `python runner.py params/mine.yaml`" in head
    before = openings(opened)
    shutil.move(opened.outputs("mine", "test"), opened.root)
    opened.run("params/mine.yaml")
    assert openings(opened) == before and result(opened) == read(opened.root / "test" / "result.json")


def test_test_that_was_killed_is_executed_again_without_another_opening(mine: Project) -> None:
    gate = mine.root / "gate"
    held = f"import time\nwhile not Path({str(gate)!r}).exists():\n    time.sleep(0.05)\n"
    mine.edit("my_test.ipynb", "openings = json", f"{held}openings = json")
    runner = mine.start("params/mine.yaml")
    wait_for(lambda: mine.outputs("mine", "incomplete", "test", "1", "run.json").exists())
    kill_together(runner)
    (opening,) = openings(mine)
    assert opening.numbers is None and not mine.outputs("mine", "test").exists()
    gate.touch()
    printed = mine.run("params/mine.yaml")
    assert f"{OPENS} (interrupted), as it was before for the same weights: {NO_NEW_ONE}" in printed
    assert [each.when for each in openings(mine)] == [opening.when]
    assert result(mine)["openings"] == 1


def test_nothing_is_written_for_a_study_that_another_runner_holds(mine: Project) -> None:
    outputs = mine.outputs("mine")
    outputs.mkdir(parents=True)
    (outputs / ".lock").write_text("1 another")
    study = load_study(mine.root / "params" / "mine.yaml")
    context = Context(study.template, study.lengthens, None, Lease(outputs, "2 this"))
    hosts = Hosts(Pool(Mock(), dict, 1), context)
    with pytest.raises(Lost):
        open_test_set(unfold(study, context), hosts, finish_promotion)
    assert names_in(outputs) == {".lock"}


def test_test_set_stays_shut_for_quick_looks_and_for_what_cannot_be_recorded(mine: Project) -> None:
    look = ("params/mine.yaml", "-p", "steps", "1")
    for options in (["--dry-run"], []):
        assert "test set" not in mine.run(*look, *options)
    outputs = mine.outputs("mine+steps=1")
    assert not (outputs / "test").exists() and not (outputs / "test.json").exists()
    record = mine.outputs("mine", "test.json")
    record.parent.mkdir()
    (record.parent / "study.json").write_text("{}")
    record.write_text("{")
    printed = mine.run("params/mine.yaml", status=1)
    assert "test: outputs/mine/test.json: is damaged; bring it back" in printed
    assert not mine.outputs("mine", "test").exists() and record.read_text() == "{"


def test_test_without_the_checkpoint_is_refused_with_the_cure(opened: Project) -> None:
    checkpoint = opened.outputs("mine", "final", "done.txt")
    checkpoint.unlink()  # which nobody needs once it was tested
    assert begun(opened.run("params/mine.yaml")) == []
    opened.edit("my_test.ipynb", "float(", "1 + float(")
    cure = "unless git has it, remove outputs/mine/final/ and run the study again"
    refused = f"outputs/mine/final/done.txt: is not here; {cure}"
    assert f"the test set stays shut: {refused}" in opened.run("params/mine.yaml", "--dry-run")
    assert f"test: {refused}" in opened.run("params/mine.yaml", status=1)


@pytest.mark.parametrize("version", ["today's", "an earlier one"])
def test_complete_test_needs_no_checkpoint_whatever_else_was_opened(opened: Project, version: str) -> None:
    (opening,) = openings(opened)
    other = Opening("final", "other", opening.when)  # whose test failed, before final was changed back
    written = [{**vars(each), "numbers": None} for each in (opening, other)]
    change(opened.outputs("mine", "test.json"), openings=written)
    test = opened.outputs("mine", "test", "run.json")
    assert read(test)["weights"] == opening.weights
    if version != "today's":
        write_json(test, {name: value for name, value in read(test).items() if name != "weights"})
    opened.outputs("mine", "final", "done.txt").unlink()
    assert begun(opened.run("params/mine.yaml")) == []
    concluded = [each.is_concluded for each in openings(opened)]
    assert concluded == [version == "today's", False]  # where nothing says any more what was tested


def test_reader_finds_the_test_as_the_runner_does_by_what_it_imported(mine: Project) -> None:
    measure = mine.root / "src" / "measure.py"
    measure.parent.mkdir()
    measure.write_text("read = float\n")
    mine.edit(
        "my_test.ipynb", "import json", "import importlib, json\nmeasure = importlib.import_module('measure')"
    )
    mine.edit("my_test.ipynb", "float(", "measure.read(")
    study = mine.study(STUDY + "python_path: [src]\n")
    mine.run(study)
    test = read(mine.outputs("mine", "study.json"))["test"]
    imported = read_run(mine.outputs("mine", "test"))["imported"]
    assert test["imported"] == imported and list(imported) == ["src/measure.py"]
    measure.write_text("read = no_such_name\n")
    mine.run(study, status=1)
    assert load_results(mine.outputs("mine")).test_run.word == "failed"


def test_final_that_is_made_of_the_choice_is_tested_on_a_cluster(mine: Project, cluster: Cluster) -> None:
    cluster.worker()
    study = mine.study(STUDY.replace("  final: {extends: a, seed: 1}\nfinal: final", "final: {seed: 1}"))
    printed = mine.run(study, "--scheduler", cluster.address)
    assert begun(printed) == ["a", "final", "test"]
    assert result(mine) == {"test_error": 2.0, "openings": 1}
    assert read_run(mine.outputs("mine", "test"))["threads"] == 1


def test_summary_is_made_again_when_the_test_was_executed_or_failed(opened: Project) -> None:
    opened.notebook("page.ipynb", PAGE)
    opened.study(STUDY.replace("summary: null", "summary: page.ipynb"))
    opened.edit("my_test.ipynb", "float(", "10 * float(")
    opened.run("params/mine.yaml")
    assert "complete {'test_error': 20.0, 'openings': 1} None" in page_of(opened)
    opened.edit("my_test.ipynb", "10 * float(", "no_such_name(")
    opened.run("params/mine.yaml", status=1)
    assert "failed {} NameError: name 'no_such_name' is not defined" in page_of(opened)


def page_of(project: Project) -> str:
    """Return what the summary shows."""
    return outputs_of(nbformat.read(project.outputs("mine", "page.ipynb"), as_version=4))
