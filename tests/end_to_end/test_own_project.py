"""Somebody's own project: the command as it is installed, in a directory that knows nothing of this checkout."""

from __future__ import annotations

import importlib.util
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_notebook

from clusters import Cluster
from installed import Installed
from nbstudy import __version__
from nbstudy.checks import StudyError
from nbstudy.command.new import new
from nbstudy.execution.cluster_file import ClusterFile
from nbstudy.execution.host import Share
from nbstudy.execution.places import open_pool
from nbstudy.records.lease import Lease
from nbstudy.records.runs import Context
from nbstudy.study.study import load_study
from nbstudy.study.template import read_template
from project import ROOT, content_of, outputs_of, read, read_run


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The command as it is installed."""
    return Installed(tmp_path_factory.mktemp("installed"))


def write_notebook(path: Path, **cells: str) -> None:
    """Write a notebook: the source of its code cells by their tag, `code` for one without."""
    notebook = new_notebook()
    for tag, source in cells.items():
        cell = new_code_cell(textwrap.dedent(source).strip())
        if tag != "code":
            cell.metadata.tags = [tag]
        notebook.cells.append(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def write(path: Path, text: str) -> None:
    """Write a text, and make its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")


# --- what is installed ---
def test_installing_leaves_nothing_in_the_source(installed: Installed) -> None:
    left = {path.name for path in installed.source.iterdir()}
    assert left == {"nbstudy", "pyproject.toml", "README.md", "LICENSE"}


# --- nbstudy new ---
def test_new_study_runs_as_it_is_and_is_never_overwritten(installed: Installed, tmp_path: Path) -> None:
    write(tmp_path / ".gitignore", "mine/\n.lock*")
    printed = installed.run(tmp_path, "new", "waves")
    assert "They run as they are: nbstudy params/waves.yaml" in printed
    ignored = (tmp_path / ".gitignore").read_text().splitlines()
    assert ignored[:2] == ["mine/", ".lock*"] and "outputs/*/incomplete/" in ignored
    assert len(ignored) == len(set(ignored))
    printed = installed.run(tmp_path, "params/waves.yaml")
    assert "0 of 12 complete" in printed and "outputs/waves/summary.ipynb" in printed, printed
    assert read_run(tmp_path / "outputs" / "waves" / "degree_3")["nbstudy"] == __version__
    page = outputs_of(nbformat.read(tmp_path / "outputs" / "waves" / "summary.ipynb", as_version=4))
    assert "12 of 12 runs are complete" in page and "degree_5" in page
    before = content_of(tmp_path)
    refusal = installed.run(tmp_path, "new", "waves", status=2)
    for path in ("notebooks/waves.ipynb", "params/waves.yaml", "outputs/waves"):
        assert f"{path}: is there already" in refusal
    elsewhere = tmp_path / "notebooks"
    assert "12 of 12 complete" in installed.run(elsewhere, "../params/waves.yaml")
    assert content_of(tmp_path) == before
    installed.run(elsewhere, "new", "more")  # from anywhere in a project
    assert (tmp_path / "params" / "more.yaml").exists() and content_of(tmp_path).items() > before.items()


def test_name_that_is_none_of_a_file_is_refused(installed: Installed, tmp_path: Path) -> None:
    for name in ("a/b", "..", ".hidden"):
        assert "cannot name files" in installed.run(tmp_path, "new", name, status=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a,b", "1=2", "no"])
def test_new_study_of_any_name_can_be_read(tmp_path: Path, name: str) -> None:
    done = CliRunner().invoke(new, [name], obj=tmp_path)
    assert done.exit_code == 0, done.output
    study = load_study(tmp_path / "params" / f"{name}.yaml")
    assert study.notebooks["run"] == f"{name}.ipynb"


@pytest.mark.parametrize("name", ["summary", "Summary"])  # which is the same file to some systems
def test_new_template_never_becomes_the_summary(tmp_path: Path, name: str) -> None:
    done = CliRunner().invoke(new, [name], obj=tmp_path)
    assert done.exit_code == 2
    assert "summary.ipynb is the notebook of a study's summary; choose another name" in done.output
    assert list(tmp_path.iterdir()) == []


# --- a repository with its own modules ---
@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with modules in src/, notebooks in sub-folders, and a study file in a folder of its own."""
    root = tmp_path / "repository"
    (root / "params").mkdir(parents=True)
    write(root / "src" / "houses" / "__init__.py", "from houses.prices import price\n")
    write(root / "src" / "houses" / "prices.py", "def price(rooms):\n    return 100.0 * rooms\n")
    write(root / "src" / "plugin.py", "name = 'found'\n")
    write(root / "notebooks" / "models" / "rooms.py", "most = 9\n")
    write_notebook(
        root / "notebooks" / "models" / "linear.ipynb",
        parameters="rooms = 1\nmodel = ''",
        preflight="""
            import rooms as limits
            if rooms > limits.most:
                raise ValueError(f"{rooms} rooms are more than {limits.most}")
        """,
        code="""
            import importlib, json, os
            from houses import price

            plugin = importlib.import_module("plugin")
            with open("result.json", "w") as file:
                json.dump({"val_error": price(rooms), "plugin": plugin.name, "project": os.environ["NBSTUDY_PROJECT"]}, file)
        """,
    )
    write_notebook(root / "data" / "prepare.ipynb", code="import houses\nprint('prepared', houses.price(1))")
    write_notebook(
        root / "notebooks" / "page.ipynb",
        parameters="outputs = '.'",
        code="import houses\nfrom nbstudy import load_results\n"
        "print('of', houses.price(2), list(load_results(outputs).complete))",
    )
    write(
        root / "studies" / "linear.yaml",
        """
        x-unused: [1]
        notebooks: {prepare: data/prepare.ipynb, run: models/linear.ipynb, summary: page.ipynb}
        python_path: [src]
        grid:
          - {name: "{model}_{rooms}", rooms: [1, 2], model: google/vit-base}
        notes: {google-vit-base_1: the smallest}
        """,
    )
    return root


def test_notebooks_of_a_project_import_its_modules(
    installed: Installed, repository: Path, tmp_path: Path
) -> None:
    printed = installed.run(tmp_path, "repository/studies/linear.yaml")
    outputs = repository / "outputs" / "linear"
    assert "repository/outputs/linear/page.ipynb" in printed, printed
    result = read(outputs / "google-vit-base_2" / "result.json")
    assert result == {"val_error": 200.0, "plugin": "found", "project": str(repository)}
    assert "prepared 100.0" in outputs_of(nbformat.read(outputs / "prepare.ipynb", as_version=4))
    page = outputs_of(nbformat.read(outputs / "page.ipynb", as_version=4))
    assert "of 200.0 ['google-vit-base_1', 'google-vit-base_2']" in page
    assert set(read_run(outputs / "google-vit-base_1")["modules"]) == {
        "houses/__init__.py",
        "houses/prices.py",
        "rooms.py",
    }
    assert read(outputs / "study.json")["notes"] == {"google-vit-base_1": "the smallest"}
    again = installed.run(repository / "studies", "linear.yaml", "--dry-run")
    assert "2 complete" in again
    write(repository / "src" / "houses" / "prices.py", "def price(rooms):\n    return 101.0 * rooms\n")
    changed = installed.run(repository, "studies/linear.yaml", "--dry-run")
    assert "2 stale" in changed and "houses/prices.py changed" in changed
    installed.run(repository, "studies/linear.yaml")
    assert "of 202.0" in outputs_of(nbformat.read(outputs / "page.ipynb", as_version=4))


def test_workers_of_a_cluster_need_nothing_of_what_is_installed(
    installed: Installed, repository: Path, cluster: Cluster
) -> None:
    cluster.worker()
    installed.run(repository, "studies/linear.yaml", "--scheduler", cluster.address)
    outputs = repository / "outputs" / "linear"
    assert read(outputs / "google-vit-base_2" / "result.json")["val_error"] == 200.0
    assert "of 200.0" in outputs_of(nbformat.read(outputs / "page.ipynb", as_version=4))
    assert read_run(outputs / "google-vit-base_2")["nbstudy"] == __version__


def test_cluster_without_dask_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "nbstudy.execution.dask_cluster", raising=False)
    monkeypatch.setitem(sys.modules, "distributed", None)  # as where it is not installed
    template = read_template(ROOT / "notebooks" / "digits.ipynb")
    context = Context(template, None, None, Lease(tmp_path, "nobody"))
    with pytest.raises(StudyError, match=r"--scheduler: needs Dask.*pip install '/path/to/nbstudy\[dask\]'"):
        open_pool(context, Share(1), "tcp://127.0.0.1:1")


def test_own_workers_without_their_libraries_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)  # as where nothing is installed
    context = Context(
        read_template(ROOT / "notebooks" / "digits.ipynb"), None, None, Lease(tmp_path, "nobody")
    )
    file = ClusterFile(Path("x.yaml"), "slurm", {}, {}, 1, 1, 1)
    with pytest.raises(StudyError, match=r"--cluster: needs .*pip install '/path/to/nbstudy\[cluster\]'"):
        open_pool(context, Share(1), None, file)
