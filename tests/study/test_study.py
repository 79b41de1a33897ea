"""Study files: what the real ones ask for, and what is refused before anything runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_notebook

import project as project_module
from asked import MakeStudy, load, refusal_of
from nbstudy.checks import StudyError
from nbstudy.study.study import Study, load_study
from project import ROOT, Project

FASHION_MNIST = ROOT / "params" / "fashion_mnist.yaml"

# hidden_layers, units, l2, dropout, batch_size, epochs: what the original's code ran
ORIGINAL = {
    "model_1": (5, 128, 0, 0, 512, 200),
    "model_2": (5, 256, 0, 0, 512, 200),
    "model_3": (5, 512, 0, 0, 512, 200),
    "model_4": (5, 128, 0.001, 0, 512, 200),
    "model_5": (5, 256, 0.001, 0, 512, 200),
    "model_6": (5, 512, 0.001, 0, 512, 200),
    "model_7": (10, 128, 0, 0, 512, 200),
    "model_8": (10, 256, 0, 0, 512, 200),
    "model_9": (10, 512, 0, 0, 512, 200),
    "model_10": (10, 128, 0.001, 0, 512, 200),
    "model_11": (10, 256, 0.001, 0, 512, 200),
    "model_12": (10, 512, 0.001, 0, 512, 200),
    "model_4_2": (5, 128, 0.001, 0, 256, 200),
    "model_5_2": (5, 256, 0.001, 0, 256, 200),
    "model_4_3": (5, 128, 0.005, 0, 512, 200),
    "model_5_3": (5, 256, 0.005, 0, 512, 200),
    "model_4_4": (5, 128, 0.001, 0.2, 512, 100),
    "model_5_4": (5, 1024, 0.001, 0.2, 512, 100),
    "model_4_5": (20, 128, 0.001, 0.2, 512, 100),
}


# --- the real study ---
def test_original_study_has_the_values_of_the_original() -> None:
    study = load_study(FASHION_MNIST)
    fields = ("hidden_layers", "units", "l2", "dropout", "batch_size", "epochs")
    found = {
        name: tuple(study.configurations[name][field] for field in fields)
        for name in study.configurations
        if name in ORIGINAL
    }
    assert found == ORIGINAL
    assert all(not study.configurations[name]["refit"] for name in ORIGINAL)
    replicates = {f"model_{number}_seed_{seed}" for number in (4, 5, 6) for seed in (1, 2)}
    assert set(study.configurations) - set(ORIGINAL) == replicates | {"final"}
    model_4 = study.configurations["model_4"]
    assert study.configurations["final"] == model_4 | {"refit": True}
    assert study.configurations["model_4_seed_2"] == model_4 | {"seed": 2}
    assert study.lengthens == "epochs"


def test_original_study_has_the_rounds_of_the_original() -> None:
    rounds = load_study(FASHION_MNIST).rounds
    assert len(rounds) == 15
    assert [number for number, each in enumerate(rounds, 1) if each["epochs"] == 100] == [11, 12, 13]
    accuracy = [number for number, each in enumerate(rounds, 1) if each["metric"] == "val_accuracy"]
    assert accuracy == [8, 15]
    dropped = [name for each in rounds for name in each["originally_dropped"]]
    assert set(dropped) == set(ORIGINAL) - {"model_4"}


def test_flops_of_the_original_study_are_those_of_its_matrix_products() -> None:
    study = load_study(FASHION_MNIST)
    first, rest = 784 * 128, 4 * 128 * 128 + 128 * 10
    epoch = 50_000 * (4 * first + 6 * rest) + 10_000 * 2 * (first + rest)
    assert study.flops["model_4"] == 200 * epoch
    assert study.flops["final"] == 200 * 60_000 * (4 * first + 6 * rest)


# --- configurations ---
def test_numbers_become_the_declared_type_where_nothing_is_lost(tmp_path: Path) -> None:
    study = load(tmp_path, "configurations: {a: {l2: 1e-3}, b: {l2: 0, epochs: 2.0}}")
    assert study.configurations["a"]["l2"] == 0.001
    assert repr(study.configurations["b"]["l2"]) == "0.0"
    assert repr(study.configurations["b"]["epochs"]) == "2"


# an ordinary notebook: no types, no kernelspec, equal identifiers, a module beside it
ORDINARY = """
word = "x"
number = 1
hidden = [64, 64]
options = {}
nothing = None
"""
GIVEN = {
    "word": "no",
    "number": 0.1,
    "hidden": [-1, 1e-3, None, True],
    "options": {"a": [{"b": "{c} # = \\ \"'\né😀"}]},
    "nothing": ["no", 2],
}


def test_ordinary_notebook_is_given_its_values_and_its_modules(project: Project) -> None:
    cells = [
        new_code_cell(ORDINARY, metadata={"tags": ["parameters"]}),
        new_code_cell("%matplotlib inline\nfrom helper import keep\nkeep(vars(), 'result.json')"),
    ]
    notebook = new_notebook(cells=cells)
    notebook.cells[0].id = notebook.cells[1].id
    (project.root / "notebooks" / "ordinary.ipynb").write_text(json.dumps(notebook))
    (project.root / "notebooks" / "helper.py").write_text(
        "import json\n\n"
        "def keep(values, file):\n"
        f"    kept = {{name: values[name] for name in {list(GIVEN)}}}\n"
        "    json.dump(kept, open(file, 'w'))\n"
    )
    text = yaml_of({"notebooks": {"run": "ordinary.ipynb"}, "configurations": {"c": GIVEN}})
    printed = project.run(project.study(text))
    assert "arning" not in printed and "site-packages" not in printed, printed
    recorded = json.loads(project.outputs("mine", "study.json").read_text(encoding="utf-8"))
    assert repr(recorded["configurations"]["c"]) == repr(GIVEN)
    assert list(recorded["modules"]) == ["helper.py"]
    assert repr(json.loads(project.outputs("mine", "c", "result.json").read_text())) == repr(GIVEN)


def yaml_of(document: dict[str, Any]) -> str:
    """Return a document as YAML: JSON is YAML, but for a text that needs no quotes."""
    return json.dumps(document, ensure_ascii=False).replace('"no"', "no")


def test_extends_and_grid_combine(tmp_path: Path) -> None:
    study = load(
        tmp_path,
        """
defaults: {epochs: 7}
configurations:
  base: {dropout: 0.5}
  nearer: {extends: base, epochs: 2}
  of_the_grid: {extends: g_1_float32, refit: true}
grid:
  - {name: "g_{units}_{precision}", extends: nearer, units: [1, 3], precision: [float32, mixed_bfloat16]}
""",
    )
    fields = ("dropout", "epochs", "units", "precision", "refit")
    found = {name: tuple(given[field] for field in fields) for name, given in study.configurations.items()}
    assert list(found.items()) == [
        ("base", (0.5, 7, 128, "float32", False)),
        ("nearer", (0.5, 2, 128, "float32", False)),
        ("of_the_grid", (0.5, 2, 1, "float32", True)),
        ("g_1_float32", (0.5, 2, 1, "float32", False)),
        ("g_1_mixed_bfloat16", (0.5, 2, 1, "mixed_bfloat16", False)),
        ("g_3_float32", (0.5, 2, 3, "float32", False)),
        ("g_3_mixed_bfloat16", (0.5, 2, 3, "mixed_bfloat16", False)),
    ]


def test_notebook_that_opens_the_test_set_is_in_the_study_and_its_record(tmp_path: Path) -> None:
    text = "configurations: {a: }\nfinal: a\n"
    assert load(tmp_path, text).record()["test"] is None
    study = load(tmp_path, f"notebooks: {{run: train.ipynb, test: test.ipynb}}\n{text}")
    assert study.test is not None
    assert study.record()["test"] == {
        "notebook": "test.ipynb",
        "parameters": {"run": "../../../a"},  # from the directory of an attempt
        "code": [study.test.hash],
        "modules": {},
        "imported": {},
        "inputs": {},
        "input_patterns": [],
    }


def test_threads_are_one_unless_the_study_says_otherwise(tmp_path: Path) -> None:
    text = "configurations: {a: }\n"
    assert load(tmp_path, text).record()["threads"] == 1
    assert load(tmp_path, text + "threads: 4").record()["threads"] == 4


@pytest.mark.parametrize(
    "lines",
    [
        "metric: my_score\nbetter: higher",
        "metric: my_loss",
        "metric: my_score\nbetter: higher\nrounds: [{candidates: [a], metric: my_score}]",
        "rounds: [{candidates: [a], metric: my_score, better: lower}, {candidates: [b], metric: my_score}]",
        "metric: my_score\nrounds: [{candidates: [a], better: lower}]",
    ],
)
def test_direction_of_a_metric_may_be_said_anywhere_in_the_study_file(tmp_path: Path, lines: str) -> None:
    assert load(tmp_path, f"configurations: {{a: , b: {{units: 8}}}}\n{lines}").rounds is not None


def test_metric_whose_direction_nobody_says_is_asked_for(tmp_path: Path) -> None:
    rounds = "rounds: [{candidates: [a], metric: odd}, {candidates: [a], metric: auc}, {candidates: [a], metric: [x]}]"
    message = refusal_of(tmp_path, f"configurations: {{a: }}\nmetric: my_score\n{rounds}")
    asked = "are better? add `better: lower` or `better: higher`"
    assert f"mine.yaml: metric: which values of 'my_score' {asked}" in message
    assert f"round 1: metric: which values of 'odd' {asked}" in message
    assert "round 3: metric: must be text" in message and "round 2" not in message


def test_metric_of_a_round_is_the_studys_where_it_says_none(tmp_path: Path) -> None:
    rounds = "rounds: [{candidates: [a]}, {candidates: [a], metric: f1, better: higher}]"
    study = load(tmp_path, f"configurations: {{a: }}\nmetric: brier\nbetter: lower\n{rounds}")
    assert (study.record()["metric"], study.record()["better"]) == ("brier", "lower")
    assert [(each["metric"], each["better"]) for each in study.rounds] == [(None, None), ("f1", "higher")]
    record = load(tmp_path, "configurations: {a: }").record()
    assert (record["metric"], record["better"], record["checkpoint"]) == (None, None, "model.keras")


# --- parameters that hold lists ---
def test_list_in_the_grid_is_one_value_of_a_list_and_lists_in_it_are_several(make_study: MakeStudy) -> None:
    study = make_study(
        """
configurations: {base: {hidden: [8]}}
grid:
  - {name: "one_{rate}", rate: [1, 2], hidden: [64, 64]}
  - {name: "several_{hidden}", hidden: [[64], [64, 32], []]}
  - {name: "anything_{limit}", limit: [1, [2, 3], null]}
  - {name: "options_{options}", extends: base, options: [{a: 1}, {a: 2}]}
"""
    )
    hidden = {name: given["hidden"] for name, given in study.configurations.items()}
    assert hidden == {
        "base": [8],
        "one_1": [64, 64],
        "one_2": [64, 64],
        "several_64": [64],
        "several_64-32": [64, 32],
        "several_empty": [],
        "anything_1": [16],
        "anything_2-3": [16],
        "anything_None": [16],
        "options_a=1": [8],
        "options_a=2": [8],
    }
    assert study.configurations["anything_2-3"]["limit"] == [2, 3]
    assert study.configurations["options_a=2"]["options"] == {"a": 2}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("{name: 'g_{hidden}', hidden: [64, [64, 64]]}", "hidden: mixes lists and single values"),
        ("{name: 'g_{hidden}', hidden: [64, x]}", "hidden: item 2: must be a whole number"),
        ("{name: 'g_{matrix}', matrix: [[1], [2]]}", "matrix: holds lists of lists"),
    ],
)
def test_list_in_the_grid_that_could_mean_two_things_is_refused(
    make_study: MakeStudy, row: str, expected: str
) -> None:
    with pytest.raises(StudyError) as refusal:
        make_study(f"grid: [{row}]")
    assert f"mine.yaml: grid row 1: {expected}" in refusal.value.message


OPTIONS = 'rate: Any = 0.1\nlimit = None\noptions = {"rate": 0.1, "clip": {"min": 0, "max": 1}}\nclip: dict | None = None'
OR_A_MAPPING = "If a mapping is meant"


@pytest.mark.parametrize(
    ("text", "place", "asks"),
    [
        ("configurations: {a: {rate: {min: 1, max: 9}}}", "configuration a: rate", False),
        ("configurations: {a: {rate: {from: 1, to: 9}}}", "configuration a: rate", False),
        ("defaults: {limit: {from: 1, to: 9}}\nconfigurations: {a: }", "defaults: limit", True),
        ("grid: [{name: a, limit: {min: 1, max: 9}}]", "grid row 1: limit", True),
        ("grid: [{name: a, limit: [{from: 1, to: 9}, 4]}]", "grid row 1: limit", True),
        ("grid: [{name: a, limit: {rate: {from: 1, to: 9}}}]", "grid row 1: limit: rate", True),
        ("configurations: {a: {options: {rate: {low: 1, high: 9}}}}", "options: rate", False),
        ("configurations: {a: {options: {more: [{low: 1, high: 9}]}}}", "options: more: item 1", True),
    ],
)
def test_range_from_which_nothing_would_be_drawn_is_asked_about(
    make_study: MakeStudy, text: str, place: str, asks: bool
) -> None:
    with pytest.raises(StudyError) as refusal:
        make_study(text, parameters=OPTIONS)
    assert f"{place}: " in refusal.value.message
    assert "did you mean a field {from: 1, to: 9} of a row of `grid`" in refusal.value.message
    assert (OR_A_MAPPING in refusal.value.message) is asks


def test_mapping_that_looks_like_a_range_is_taken_where_the_template_has_a_mapping(
    make_study: MakeStudy,
) -> None:
    text = "configurations: {a: {clip: {min: 1, max: 9}, options: {clip: {min: 2, max: 3}}}}"
    parameters = make_study(text, parameters=OPTIONS).configurations["a"]
    assert parameters["clip"] == {"min": 1, "max": 9}
    assert parameters["options"] == {"clip": {"min": 2, "max": 3}}
    # as the cure says
    declared = "limit: dict = {}\noptions: dict[str, dict] = {}"
    text = "configurations: {a: {limit: {min: 1, max: 9}, options: {rate: {min: 2, max: 3}}}}"
    assert make_study(text, parameters=declared).configurations["a"]["options"]["rate"]["max"] == 3


def test_preflight_that_changes_a_list_changes_no_other_configuration(make_study: MakeStudy) -> None:
    study = make_study("configurations: {a: , b: }", preflight="hidden.append(1)\nflops = len(hidden)")
    assert study.flops == {"a": 2, "b": 2}
    assert study.configurations["b"]["hidden"] == [16]


# --- what the preflight cell says ---
def test_checkpoint_is_what_the_preflight_cell_says(make_study: MakeStudy) -> None:
    study = make_study("configurations: {a: }", preflight="checkpoint, lengthens = 'model.pt', 'steps'")
    assert (study.checkpoint, study.record()["checkpoint"], study.lengthens) == (
        "model.pt",
        "model.pt",
        "steps",
    )


def test_parameters_named_as_what_preflight_says_mean_nothing_to_the_runner(make_study: MakeStudy) -> None:
    study = make_study("configurations: {a: }", parameters="checkpoint = '/weights'\nflops = 'many'")
    assert (study.checkpoint, study.flops) == ("model.keras", {"a": 0})


def test_preflight_imports_modules_beside_the_template_and_the_runner_forgets_them(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    place = tmp_path / "notebooks"
    (place / "costs").mkdir()
    (place / "costs" / "__init__.py").write_text("")
    (place / "costs" / "steps.py").write_text("def of(steps):\n    return 10 * steps\n")
    (place / "project.py").write_text("factor = 2\n")  # of which this process has imported another
    before, path = project_module, list(sys.path)
    preflight = "from costs.steps import of\nimport project\nflops = of(steps) * project.factor"
    study = make_study("configurations: {a: , b: {steps: 4}}", preflight=preflight)
    assert study.flops == {"a": 60, "b": 80}
    assert list(study.template.modules) == ["costs/__init__.py", "costs/steps.py", "project.py"]
    assert sys.path == path and sys.modules["project"] is before
    assert not [name for name in sys.modules if name.startswith("costs")]


@pytest.mark.parametrize(
    ("preflight", "expected"),
    [
        ("checkpoint = '../model.pt'", "checkpoint: must be the name of a file in the run's directory"),
        ("checkpoint = 'history.csv'", "checkpoint: must be"),
        ("lengthens = 'stepz'", "lengthens: unknown name 'stepz'; did you mean 'steps'?"),
        ("lengthens = 'word'", "lengthens: word: must be a whole number"),
        ("lengthens = ['steps', None][rate > 0.05]", "must be the same for all configurations"),
        ("flops = 'many'", "flops: must be a number, not 'many'"),
        ("flops = float('nan')", "flops: must be at least 0 and finite"),
        ("import sys; sys.exit()", "SystemExit"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_preflight_that_says_nonsense_is_refused(
    make_study: MakeStudy, preflight: str, expected: str
) -> None:
    with pytest.raises(StudyError) as refusal:
        make_study("configurations: {a: , b: {rate: 0}}", preflight=preflight)
    assert "mine.ipynb: preflight" in refusal.value.message and expected in refusal.value.message


# --- replicates ---
def seeds_of(study: Study) -> dict[str, int]:
    """Return the seed of each configuration, in the study's order."""
    return {name: given["seed"] for name, given in study.configurations.items()}


def test_replicates_are_runs_with_other_seeds_that_follow_their_first(tmp_path: Path) -> None:
    study = load(tmp_path, "configurations: {a: {units: 8, replicates: 3}, b: {replicates: 1}}")
    assert list(seeds_of(study).items()) == [("a", 0), ("a_seed_1", 1), ("a_seed_2", 2), ("b", 0)]
    assert study.configurations["a_seed_2"] == study.configurations["a"] | {"seed": 2}
    assert "replicates" not in study.record()["configurations"]["a"]


def test_each_point_of_a_grid_row_has_its_replicates(tmp_path: Path) -> None:
    study = load(tmp_path, "grid: [{name: 'm_{units}', units: [8, 16], replicates: 2}]")
    assert list(seeds_of(study)) == ["m_8", "m_8_seed_1", "m_16", "m_16_seed_1"]
    assert study.configurations["m_16_seed_1"]["units"] == 16


def test_replicates_are_not_inherited(tmp_path: Path) -> None:
    study = load(
        tmp_path,
        "configurations: {a: {replicates: 2, units: 8}, b: {extends: a, l2: 0.1}, c: {extends: a_seed_1}}",
    )
    assert list(seeds_of(study).items()) == [("a", 0), ("a_seed_1", 1), ("b", 0), ("c", 1)]
    assert study.configurations["b"]["units"] == 8


def test_replicates_keep_an_inherited_seed_that_is_none_of_theirs(tmp_path: Path) -> None:
    study = load(tmp_path, "configurations: {base: {seed: 9}, a: {extends: base, replicates: 3}}")
    assert seeds_of(study) == {"base": 9, "a": 9, "a_seed_1": 1, "a_seed_2": 2}


def test_replicates_need_a_seed_in_the_template(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match=r"a: replicates: need a parameter `seed: int` in mine\.ipynb"):
        make_study("configurations: {a: {replicates: 2}}")
    study = make_study("configurations: {a: {replicates: 2}}", parameters="seed = 0")
    assert list(study.configurations) == ["a", "a_seed_1"]


# --- overrides ---
@pytest.mark.parametrize(
    ("name", "text", "value", "directory"),
    [
        ("rate", ".5", 0.5, "mine+rate=0.5"),
        ("rate", "1e+3", 1000.0, "mine+rate=1000.0"),
        ("rate", "1e+30", 1e30, "mine+rate=1e30"),
        ("rate", "-2", -2, "mine+rate=-2"),
        ("hidden", "[64, 64]", [64, 64], "mine+hidden=64-64"),
        ("hidden", "[]", [], "mine+hidden=empty"),
        ("options", "{a: 1}", {"a": 1}, "mine+options=a=1"),
        ("limit", "null", None, "mine+limit=None"),
        ("word", "null", "null", "mine+word=null"),
        ("note", "5", "5", "mine+note=5"),
        ("note", "null", None, "mine+note=None"),
        ("limit", "=", "=", "mine+limit=="),
    ],
)
def test_override_is_named_by_its_value(
    make_study: MakeStudy, name: str, text: str, value: Any, directory: str
) -> None:
    study = make_study("configurations: {a: }", [(name, text)])
    assert repr(study.overrides) == repr({name: value})
    assert study.configurations["a"][name] == value
    assert study.directory == directory


def test_override_of_a_list_that_fits_no_name_is_refused(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match=r"-p hidden: .* cannot be part of a directory's name"):
        make_study("configurations: {a: }", [("hidden", str(list(range(100))))])


def test_overrides_change_every_configuration_and_name_the_outputs(tmp_path: Path) -> None:
    text = "configurations: {a: {epochs: 5}, b: {units: 8}}"
    study = load(tmp_path, text, [("units", "16"), ("epochs", "1")])
    assert [(given["epochs"], given["units"]) for given in study.configurations.values()] == [(1, 16)] * 2
    assert study.overrides == {"epochs": 1, "units": 16}
    assert study.directory == "mine+epochs=1+units=16"
