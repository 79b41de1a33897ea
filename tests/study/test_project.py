"""A project: where it begins, which notebooks and modules of it a study can name, and what is the author's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from asked import MakeStudy, load_whole, with_notebooks
from nbstudy.checks import StudyError
from nbstudy.study.project import project_root
from nbstudy.study.study import Study, load_study
from project import SUMMARY

CONFIGURATIONS = "configurations: {a: }\n"


def load_in(root: Path, file: str, notebooks: str, rest: str = CONFIGURATIONS) -> Study:
    """Write and load a study in a project with the notebooks of this one."""
    path = with_notebooks(root) / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"notebooks: {{{notebooks}}}\n{rest}", encoding="utf-8")
    return load_study(path)


# --- where it begins ---
def test_project_is_the_nearest_directory_with_notebooks_beside_studies(tmp_path: Path) -> None:
    for place in ("outer/notebooks", "outer/params", "outer/inner/notebooks", "outer/inner/params/deep"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "outer" / "inner" / "notebooks" / "notebooks").mkdir()  # beside no studies
    inner = tmp_path / "outer" / "inner"
    assert project_root(inner / "params" / "deep") == inner
    assert project_root(inner / "notebooks") == inner
    assert project_root(inner / "params" / ".." / "..") == tmp_path / "outer"
    assert project_root(tmp_path) == tmp_path  # none: the directory itself


def test_project_is_found_from_any_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params").mkdir()
    load_in(tmp_path, "params/mine.yaml", "run: train.ipynb")
    for place in (tmp_path, tmp_path / "params", tmp_path / "notebooks"):
        monkeypatch.chdir(place)
        study = load_study(Path("mine.yaml") if place.name == "params" else tmp_path / "params" / "mine.yaml")
        assert study.project.outputs == tmp_path / "outputs"


# --- its notebooks ---
def test_notebook_is_named_in_notebooks_or_by_its_path_in_the_project(tmp_path: Path) -> None:
    (tmp_path / "params").mkdir()
    with_notebooks(tmp_path)
    for place in ("notebooks/models/small.ipynb", "models/large.ipynb", "top.ipynb"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        shutil.copy(tmp_path / "notebooks" / "digits.ipynb", tmp_path / place)
    for name in ("models/small.ipynb", "notebooks/digits.ipynb", "models/large.ipynb", "top.ipynb"):
        study = load_in(tmp_path, "studies/deep/mine.yaml", f"run: {name}")
        assert study.template.file == Path(name).name and study.record()["notebooks"]["run"] == name
        assert study.project.root == tmp_path


def test_notebook_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as refusal:
        load_in(tmp_path, "mine.yaml", "run: trian.ipynb, prepare: ../dataset.ipynb, summary: 3")
    message = refusal.value.message
    assert (
        "unknown name 'trian.ipynb'; did you mean 'train.ipynb'?" in message and "unknown name 3" in message
    )
    assert f"'../dataset.ipynb' leads out of the project {tmp_path}; move the notebook into it" in message


def test_notebooks_whose_logs_would_have_one_name_are_refused(tmp_path: Path) -> None:
    (with_notebooks(tmp_path) / "other").mkdir()
    shutil.copy(tmp_path / "notebooks" / "dataset.ipynb", tmp_path / "other" / "dataset.ipynb")
    notebooks = "run: train.ipynb, prepare: dataset.ipynb, summary: other/dataset.ipynb"
    with pytest.raises(StudyError, match=r"`prepare` and `summary` would both leave dataset\.ipynb"):
        load_in(tmp_path, "mine.yaml", notebooks)


def test_summary_is_the_projects_own_else_the_one_of_nbstudy(tmp_path: Path) -> None:
    study = load_in(tmp_path, "mine.yaml", "run: train.ipynb")
    named = load_in(tmp_path, "mine.yaml", "run: train.ipynb, summary: summary.ipynb")
    assert study.texts["summary"] == named.texts["summary"]
    assert "first_chart.show(" in study.texts["summary"] and SUMMARY.exists()
    shutil.copy(tmp_path / "notebooks" / "digits.ipynb", tmp_path / "notebooks" / "summary.ipynb")
    own = load_in(tmp_path, "mine.yaml", "run: train.ipynb")
    assert "load_digits" in own.texts["summary"]
    assert own.record()["notebooks"] == {"run": "train.ipynb", "summary": "summary.ipynb"}
    none = load_in(tmp_path, "mine.yaml", "run: train.ipynb, summary: null")
    assert none.record()["notebooks"] == {"run": "train.ipynb"}


# --- its modules ---
def test_modules_are_found_beside_the_template_then_in_the_python_path(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    for place, source in {
        "notebooks/near.py": "import far",
        "src/near.py": "never = 0",
        "src/far.py": "import pack.deep",
        "lib/pack/__init__.py": "",
        "lib/pack/deep.py": "value = 7",
        "lib/idle.py": "",
    }.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(source)
    study = make_study(
        f"python_path: [src, lib]\n{CONFIGURATIONS}",
        preflight="import near\nflops = near.far.pack.deep.value\n",
    )
    assert study.template.modules == {
        "far.py": "import pack.deep",
        "near.py": "import far",
        "pack/__init__.py": "",
        "pack/deep.py": "value = 7",
    }
    assert study.flops == {"a": 7}
    assert study.project.import_places == [tmp_path / "src", tmp_path / "lib"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("src", "python_path: must be a list"),
        ("[3]", "must be a list of directories, not 3"),
        ("[nowhere]", "'nowhere' is no directory in"),
        ("[mine.yaml]", "'mine.yaml' is no directory in"),
        ("[..]", "'..' leads out of the project"),
        ("[/tmp]", "'/tmp' leads out of the project"),
        ('["\\0"]', "is no directory in"),
    ],
)
def test_python_path_that_is_no_directory_of_the_project_is_refused(
    make_study: MakeStudy, value: str, expected: str
) -> None:
    with pytest.raises(StudyError) as refusal:
        make_study(f"python_path: {value}\n{CONFIGURATIONS}")
    assert expected in refusal.value.message


# --- what is the author's own ---
def test_keys_that_begin_with_x_are_left_alone(make_study: MakeStudy) -> None:
    study = make_study("x-base: &base {rate: 0.5}\nx-: [a, b]\nconfigurations: {a: {<<: *base}, b: *base}")
    assert study.configurations["a"]["rate"] == study.configurations["b"]["rate"] == 0.5
    with pytest.raises(StudyError, match="unknown name 'xbase'"):
        make_study(f"xbase: 1\n{CONFIGURATIONS}")


def test_environment_variables_are_not_read(make_study: MakeStudy) -> None:
    assert make_study("configurations: {a: {word: '${HOME}'}}").configurations["a"]["word"] == "${HOME}"


def test_notes_are_texts_of_configurations_that_there_are(tmp_path: Path) -> None:
    text = "notebooks: {run: train.ipynb}\nconfigurations: {a: {replicates: 2}}\nfinal: {refit: true}\n"
    notes = {"a": "the first", "a_seed_1": "again", "final": "the last"}
    study = load_whole(tmp_path, f"{text}notes: {notes}")
    assert study.record()["notes"] == notes
    with pytest.raises(StudyError) as refusal:
        load_whole(tmp_path, f"{text}notes: {{b: x, a: 3}}")
    assert (
        "notes: unknown name 'b'" in refusal.value.message
        and "notes: a: must be text" in refusal.value.message
    )


# --- values in names ---
def test_slash_in_a_value_is_a_hyphen_in_names(make_study: MakeStudy) -> None:
    grid = "grid: [{name: '{word}', word: [google/vit-base, x/y/z]}]"
    study = make_study(grid)
    assert list(study.configurations) == ["google-vit-base", "x-y-z"]
    assert study.configurations["x-y-z"]["word"] == "x/y/z"
    assert make_study(grid, [("hidden", "[1]"), ("rate", "2")]).directory == "mine+hidden=1+rate=2"
    overridden = make_study(CONFIGURATIONS, [("word", "google/vit")])
    assert (
        overridden.directory == "mine+word=google-vit"
        and overridden.configurations["a"]["word"] == "google/vit"
    )


def test_names_that_differ_in_a_slash_alone_are_refused(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match=r"makes the name 'a-b' again; .* where a value's / is written -"):
        make_study("grid: [{name: '{word}', word: [a/b, a-b]}]")
