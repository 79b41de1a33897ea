"""A run knows every input that is its project's: what it imported, however that is done, and what it is told to read."""

from __future__ import annotations

import pytest

from clusters import Cluster
from imports import FILES, TRAVELLING, UNSEEN, importing_project, write_files
from nbstudy.records.results import load_results
from project import TINY_STUDY, Once, Project, content_of, executed, read, read_run

SEEN = {*FILES, "code/travelling/numbers.txt"}
UNNAMED = "runs read data/houses.csv: name what they depend on under `inputs` in the study file"


@pytest.fixture(scope="session")
def imported(once: Once) -> Project:
    """A project whose runs have imported all that there is; tests only read it."""
    return once("imported", lambda project: project.run(importing_project(project), "--jobs", "1"))


@pytest.fixture
def importing(project: Project, imported: Project) -> Project:
    """A project of the test's own whose runs have imported all that there is."""
    importing_project(project)
    project.copy_outputs(imported)
    return project


def why_stale(project: Project) -> str:
    """Return why the run `low` is stale, as the command says it; empty where it is complete."""
    printed = project.run("params/mine.yaml", "--dry-run")
    (row,) = (line for line in printed.splitlines() if line.startswith("low "))
    assert ("2 complete" in printed) == ("complete" in row), printed
    return row.partition("stale")[2]


def test_run_records_what_it_imported_of_its_project(imported: Project) -> None:
    run = read_run(imported.outputs("mine", "low"))
    assert run["imported"].keys() == SEEN
    assert run["modules"].keys() == {"travelling/__init__.py"}
    assert read(imported.outputs("mine", "study.json"))["imported"] == run["imported"]
    copy = imported.outputs("mine", "low", "imported", "tools", "loaded.py")
    assert copy.read_text() == FILES["tools/loaded.py"]
    assert imported.printed().count(UNNAMED) == 1
    assert not (imported.outputs("mine", "low") / ".read").exists()


def test_change_of_whatever_was_imported_is_why_a_run_is_stale(importing: Project) -> None:
    before = content_of(importing.outputs())
    assert why_stale(importing) == ""
    comments = {path: f"{text}\n\n# of no effect" for path, text in FILES.items() if path.endswith(".py")}
    write_files(importing, {path: f"{text}more\n" for path, text in UNSEEN.items()} | comments)
    assert why_stale(importing) == ""
    assert "2 of 2 complete" in importing.run("params/mine.yaml")
    assert load_results(importing.outputs("mine")).complete == ["low", "high"]
    for path in sorted(SEEN):
        (importing.root / path).write_text("VALUE = 3\n")
    why = why_stale(importing)
    for path in SEEN:
        assert f"{path} changed" in why
    write_files(importing, FILES | TRAVELLING)
    (importing.root / "tools" / "loaded.py").unlink()
    assert "tools/loaded.py is gone" in why_stale(importing)
    write_files(importing, FILES)
    importing.run("params/mine.yaml")
    changed = {path for path, content in content_of(importing.outputs()).items() if before[path] != content}
    assert changed <= {"mine/study.json"}  # which knows of the comments


def test_dask_workers_note_what_runs_import(imported: Project, project: Project, cluster: Cluster) -> None:
    study = importing_project(project)
    for _ in range(2):
        cluster.worker(PYTHONPATH=f"{cluster.site}:{project.root / 'lib'}")
    printed = project.run(study, "--scheduler", cluster.address)
    assert printed.count(UNNAMED) == 1
    for name in ("low", "high"):
        run = read_run(project.outputs("mine", name))
        assert run["imported"] == read_run(imported.outputs("mine", name))["imported"]
    assert why_stale(project) == ""
    (project.root / "src/package/words/table.txt").write_text("two\n")
    assert "src/package/words/table.txt changed" in why_stale(project)


def test_what_runs_leave_in_the_project_is_no_input(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(project, {"data/houses.csv": "3,100\n", "tmp/.keep": ""})
    monkeypatch.setenv("TMPDIR", str(project.root / "tmp"))
    study = project.study('inputs: ["**/*.csv"]\n' + TINY_STUDY)
    project.run(study, "--outputs", "results")
    run = read_run(project.root / "results" / "long")
    assert (run["imported"], list(run["inputs"])) == ({}, ["data/houses.csv"])
    assert list((project.root / "results").rglob("*.csv"))
    assert "2 of 2 complete" in project.run(study, "--outputs", "results")


def test_inputs_are_on_record_and_their_change_makes_runs_stale(project: Project) -> None:
    write_files(
        project,
        {
            "data/houses.csv": "3,100\n",
            "configs/a.json": "{}",
            "configs/.hidden.json": "{}",
            "outputs/b.json": "{}",
        },
    )
    study = project.study('inputs: [data/houses.csv, "**/*.json"]\n' + TINY_STUDY)
    project.run(study)
    record = read(project.outputs("mine", "study.json"))
    assert record["inputs"].keys() == {"data/houses.csv", "configs/a.json"}
    run = read_run(project.outputs("mine", "long"))
    assert run["inputs"] == record["inputs"]
    (cell,) = (
        cell
        for cell in executed(project.outputs("mine", "long")).cells
        if "injected-parameters" in cell.metadata.get("tags", [])
    )
    threads, *said = cell.source.splitlines()[:3]
    assert threads == "# 1 thread"
    assert said == [f"# reads {path} ({digest})" for path, digest in record["inputs"].items()]
    before = content_of(project.outputs())
    assert "2 of 2 complete" in project.run(study)
    assert content_of(project.outputs()) == before
    write_files(project, {"data/houses.csv": "3,200\n", "configs/b.json": "{}"})
    printed = project.run(study, "--dry-run")
    assert printed.count("configs/b.json is new, data/houses.csv changed, starts over\n") == 2
    assert "2 of 2 complete" in project.run(study, "--accept")
    assert load_results(project.outputs("mine")).complete == ["short", "long"]
