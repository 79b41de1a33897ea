"""Studies: what the real ones ask for, and what is refused before anything runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Project

sys.path.insert(0, str(ROOT))
from study import StudyError, load_study

HEAD = "notebooks: {run: tiny.ipynb}\n"

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


def test_original_study_has_the_values_of_the_original() -> None:
    study = load_study(ROOT / "params" / "fashion_mnist.yaml")
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
    rounds = load_study(ROOT / "params" / "fashion_mnist.yaml").rounds
    assert len(rounds) == 15
    assert [number for number, each in enumerate(rounds, 1) if each["epochs"] == 100] == [11, 12, 13]
    accuracy = [n for n, each in enumerate(rounds, 1) if each["metric"] == "val_accuracy"]
    assert accuracy == [8, 15]
    dropped = [name for each in rounds for name in each["originally_dropped"]]
    assert set(dropped) == set(ORIGINAL) - {"model_4"}


def test_flops_of_the_original_study_are_those_of_its_matrix_products() -> None:
    study = load_study(ROOT / "params" / "fashion_mnist.yaml")
    first, rest = 784 * 128, 4 * 128 * 128 + 128 * 10
    epoch = 50_000 * (4 * first + 6 * rest) + 10_000 * 2 * (first + rest)
    assert study.flops["model_4"] == 200 * epoch
    assert study.flops["final"] == 200 * 60_000 * (4 * first + 6 * rest)


def test_numbers_become_the_declared_type_where_nothing_is_lost(project: Project) -> None:
    text = "configurations: {a: {seconds: 1e-3}, b: {seconds: 0, steps: 2.0}, c: {text: no}}"
    project.run(project.study(HEAD + text))
    recorded = json.loads(project.outputs("mine", "study.json").read_text())["configurations"]
    assert recorded["a"]["seconds"] == 0.001
    assert repr(recorded["b"]["seconds"]) == "0.0"
    assert repr(recorded["b"]["steps"]) == "2"
    assert recorded["c"]["text"] == "no"
    result = project.outputs("mine", "c", "result.json").read_text()
    assert json.loads(result) == {"text": "no"}


def test_extends_and_grid_combine(project: Project) -> None:
    project.study(
        HEAD
        + """
defaults: {steps: 7}
configurations:
  base: {seconds: 0.5}
  nearer: {extends: base, steps: 2}
  of_the_grid: {extends: g_1_x, flag: true}
grid:
  - {name: "g_{steps}_{text}", extends: nearer, steps: [1, 3], text: [x, y]}
"""
    )
    printed = project.run("params/mine.yaml", "--dry-run")
    names = [line.split()[0] for line in printed.splitlines()[1:8]]
    assert names == ["base", "nearer", "of_the_grid", "g_1_x", "g_1_y", "g_3_x", "g_3_y"]
    assert "7 missing" in printed


BAD = {
    "epochs_ten": ("configurations: {a: {steps: ten}}", ["a: steps", "whole number", "'ten'"]),
    "epochs_true": ("configurations: {a: {steps: true}}", ["a: steps", "whole number", "True"]),
    "fraction": ("configurations: {a: {steps: 1.5}}", ["a: steps", "whole number", "1.5"]),
    "nan": ("configurations: {a: {seconds: .nan}}", ["a: seconds", "finite"]),
    "infinite": ("configurations: {a: {seconds: .inf}}", ["a: seconds", "finite"]),
    "unknown_parameter": ("configurations: {a: {stepz: 1}}", ["a: ", "'stepz'", "'steps'"]),
    "unknown_default": ("defaults: {stepz: 1}\nconfigurations: {a: }", ["defaults", "'steps'"]),
    "unknown_base": ("configurations: {alpha: , b: {extends: alpa}}", ["extends", "'alpha'"]),
    "circular": (
        "configurations: {a: {extends: b}, b: {extends: a}}",
        ["configuration a", "circular", "a -> b -> a"],
    ),
    "base_list": ("configurations: {a: {extends: [b]}}", ["configuration a", "extends", "['b']"]),
    "zero": ("configurations: {a: 0}", ["configuration a", "mapping"]),
    "huge": (f"configurations: {{a: {{steps: {10**400}}}}}", ["a: steps", "2**63"]),
    "round_null": (
        "configurations: {a: }\nrounds: [{candidates: [a], metric: }]",
        ["round 1: metric", "text"],
    ),
    "slash": ("configurations: {a/b: }", ["'a/b'", "directory"]),
    "parent": ("configurations: {..: }", ["'..'", "directory"]),
    "case": ("configurations: {Model: , model: }", ["'model'", "taken"]),
    "reserved": ("configurations: {study.json: }", ["'study.json'", "taken"]),
    "grid_duplicate": ("grid: [{name: g, steps: [1, 2]}]", ["grid row 1", "'g'", "again"]),
    "grid_attribute": ("grid: [{name: 'g{steps.real}', steps: [1]}]", ["grid row 1", "bare"]),
    "grid_field": ("grid: [{name: 'g{step}', steps: [1]}]", ["grid row 1", "'steps'"]),
    "grid_large": (
        f"grid: [{{name: 'g{{steps}}', steps: &n {list(range(99))}, seconds: *n, flag: *n, text: *n}}]",
        ["grid row 1", "96059601"],
    ),
    "preflight": ("configurations: {a: {steps: 0}}", ["a: steps must be at least 1"]),
    "round": ("configurations: {a: }\nrounds: [{candidates: [b]}]", ["round 1", "'b'"]),
    "round_dropped": (
        "configurations: {a: , b: }\nrounds: [{candidates: [a], originally_dropped: [b]}]",
        ["round 1", "originally_dropped", "'b'"],
    ),
    "final": ("configurations: {a: }\nfinal: b", ["final", "'b'"]),
    "no_configuration": ("defaults: {steps: 1}", ["no configuration"]),
    "key": ("configuration: {a: }", ["'configuration'", "'configurations'"]),
    "twice": ("configurations: {a: {steps: 1, steps: 2}}", ["duplicate", "steps"]),
    "not_yaml": ("configurations: {a: [}", ["YAML"]),
    "number_as_name": ("configurations: {1: {steps: 2}}", ["configurations", "the name 1 must be text"]),
    "not_a_mapping": ("configurations: [a]", ["configurations", "mapping"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_study_is_refused_before_anything_runs(project: Project, case: str) -> None:
    text, words = BAD[case]
    printed = project.run(project.study(HEAD + text), status=2)
    assert all(word in printed for word in ["params/mine.yaml", *words]), printed
    assert "Traceback" not in printed
    assert not project.outputs().exists()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{dropout: 1.5}", ["configuration a", "dropout must be", "1.5"]),
        ("{units: 0}", ["configuration a", "units must be", "0"]),
        ("{precision: float64}", ["configuration a", "precision must be", "float64"]),
        ("{batch_size: 50001}", ["configuration a", "batch_size must be", "50000"]),
    ],
)
def test_bad_value_for_the_real_template_is_refused(project: Project, value: str, words: list[str]) -> None:
    study = project.study(f"notebooks: {{run: train.ipynb}}\nconfigurations: {{a: {value}}}")
    printed = project.run(study, status=2)
    assert all(word in printed for word in words), printed
    assert not project.outputs().exists()


def test_study_that_is_not_there_is_refused(project: Project) -> None:
    printed = project.run("params/nowhere.yaml", status=2)
    assert "params/nowhere.yaml" in printed and "No such file" in printed


def test_template_with_an_untyped_parameter_is_refused(project: Project) -> None:
    project.edit("tiny.ipynb", "steps: int = 3", "steps = 3")
    printed = project.run(project.study(HEAD + "configurations: {a: }"), status=2)
    assert "tiny.ipynb" in printed and "parameter steps" in printed and "type" in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "stepz", "1"], ["-p", "'steps'"]),
        (["-p", "steps", "ten"], ["-p: steps", "'ten'"]),
        (["-p", "text", "../x"], ["-p text", "'../x'"]),
        (["-p", "steps", "="], ["-p: steps", "'='"]),
        (["-p", "steps", "2001-99-99"], ["-p: steps", "2001-99-99"]),
        (["-p", "steps", "1", "-p", "steps", "2"], ["-p steps", "twice"]),
        (["--outputs", "runner.py"], ["runner.py", "cannot hold runs"]),
        (["--outputs", "notebooks"], ["notebooks", "holds other things"]),
        (["--outputs", "notebooks", "--dry-run"], ["notebooks", "holds other things"]),
        (["--only", "b*"], ["--only", "'b*'", "a"]),
        (["--jobs", "0"], ["--jobs"]),
    ],
)
def test_bad_option_is_refused(project: Project, arguments: list[str], words: list[str]) -> None:
    study = project.study(HEAD + "configurations: {a: }")
    printed = project.run(study, *arguments, status=2)
    assert all(word in printed for word in words), printed
    assert not project.outputs().exists()


def test_study_error_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(StudyError, match=r"bytes\.yaml"):
        load_study(tmp_path / "bytes.yaml")
