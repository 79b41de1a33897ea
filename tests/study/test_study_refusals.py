"""Study files that are refused before anything runs: what is wrong, where, and the cure."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from asked import MakeStudy, refusal_of
from nbstudy.checks import StudyError

BAD = {
    "epochs_ten": ("configurations: {a: {epochs: ten}}", ["a: epochs", "whole number", "'ten'"]),
    "epochs_true": ("configurations: {a: {epochs: true}}", ["a: epochs", "whole number", "True"]),
    "fraction": ("configurations: {a: {epochs: 1.5}}", ["a: epochs", "whole number", "1.5"]),
    "nan": ("configurations: {a: {l2: .nan}}", ["a: l2", "finite"]),
    "infinite": ("configurations: {a: {l2: .inf}}", ["a: l2", "finite"]),
    "unknown_parameter": ("configurations: {a: {epochz: 1}}", ["a: ", "'epochz'", "'epochs'"]),
    "unknown_default": ("defaults: {epochz: 1}\nconfigurations: {a: }", ["defaults", "'epochs'"]),
    "unknown_base": ("configurations: {alpha: , b: {extends: alpa}}", ["extends", "'alpha'"]),
    "circular": (
        "configurations: {a: {extends: b}, b: {extends: a}}",
        ["configuration a", "circular", "a -> b -> a"],
    ),
    "base_list": ("configurations: {a: {extends: [b]}}", ["configuration a", "extends", "['b']"]),
    "zero": ("configurations: {a: 0}", ["configuration a", "mapping"]),
    "huge": (f"configurations: {{a: {{epochs: {10**400}}}}}", ["a: epochs", "2**63"]),
    "round_metric": (
        "configurations: {a: }\nrounds: [{candidates: [a], metric: 3}]",
        ["round 1: metric", "text"],
    ),
    "round_better": (
        "configurations: {a: }\nrounds: [{candidates: [a], better: smaller}]",
        ["round 1: better", "'smaller'", "lower, higher"],
    ),
    "metric": ("configurations: {a: }\nmetric: [val_loss]", ["metric", "text"]),
    "threads": ("configurations: {a: }\nthreads: two", ["threads", "whole number", "'two'"]),
    "threads_none": ("configurations: {a: }\nthreads: 0", ["threads", "from 1 to 1024, not 0"]),
    "threads_own": ("configurations: {a: {threads: 2}}", ["configuration a", "threads"]),
    "inputs_text": ("configurations: {a: }\ninputs: data", ["inputs", "must be a list", "'data'"]),
    "inputs_number": ("configurations: {a: }\ninputs: [3]", ["inputs", "list of paths", "not 3"]),
    "inputs_none": (
        "configurations: {a: }\ninputs: ['data/*.csv']",
        ["inputs", "'data/*.csv'", "names no file"],
    ),
    "inputs_outside": ("configurations: {a: }\ninputs: [../x.csv]", ["inputs", "'../x.csv'", "leads out"]),
    "inputs_root": ("configurations: {a: }\ninputs: [/etc/passwd]", ["inputs", "'/etc/passwd'", "leads out"]),
    "inputs_directory": (
        "configurations: {a: }\ninputs: [notebooks]",
        ["inputs", "'notebooks'", "is a directory", "notebooks/**"],
    ),
    "inputs_project": ("configurations: {a: }\ninputs: ['.']", ["inputs", "'.' is a directory", " ** names"]),
    "inputs_project_slash": (
        "configurations: {a: }\ninputs: [./]",
        ["inputs", "'./' is a directory", " ** names"],
    ),
    "reserved_replaced": ("configurations: {Replaced: }", ["'Replaced'", "taken"]),
    "metric_empty": ("configurations: {a: }\nmetric: ''", ["metric", "must name"]),
    "better": ("configurations: {a: }\nbetter: high", ["better", "'high'", "'higher'"]),
    "slash": ("configurations: {a/b: }", ["'a/b'", "directory"]),
    "parent": ("configurations: {..: }", ["'..'", "directory"]),
    "case": ("configurations: {Model: , model: }", ["'model'", "taken"]),
    "reserved": ("configurations: {study.json: }", ["'study.json'", "taken"]),
    "reserved_test": ("configurations: {test.json: }", ["'test.json'", "taken"]),
    "grid_duplicate": ("grid: [{name: g, epochs: [1, 2]}]", ["grid row 1", "'g'", "again"]),
    "grid_attribute": ("grid: [{name: 'g{epochs.real}', epochs: [1]}]", ["grid row 1", "bare"]),
    "grid_field": ("grid: [{name: 'g{epoch}', epochs: [1]}]", ["grid row 1", "'epochs'"]),
    "grid_large": (
        f"grid: [{{name: 'g{{epochs}}', epochs: &n {list(range(99))}, units: *n, seed: *n, batch_size: *n}}]",
        ["grid row 1", "96059601"],
    ),
    "preflight": ("configurations: {a: {epochs: 0}}", ["a: epochs must be at least 1"]),
    "round": ("configurations: {a: }\nrounds: [{candidates: [b]}]", ["round 1", "'b'"]),
    "round_dropped": (
        "configurations: {a: , b: }\nrounds: [{candidates: [a], originally_dropped: [b]}]",
        ["round 1", "originally_dropped", "'b'"],
    ),
    "final": ("configurations: {a: }\nfinal: b", ["final", "'b'"]),
    "test": (
        "configurations: {a: }\nfinal: a\ntest: fashion_mnist",
        ["test: 'fashion_mnist'", "write `notebooks: {run: train.ipynb, test: test.ipynb}`"],
    ),
    "test_beside_others": (
        "notebooks: {run: train.ipynb, summary: summary.ipynb}\nconfigurations: {a: }\nfinal: a\ntest: fashion_mnist",
        ["`notebooks: {run: train.ipynb, test: test.ipynb, summary: summary.ipynb}`"],
    ),
    "test_without_final": (
        "notebooks: {run: train.ipynb, test: test.ipynb}\nconfigurations: {a: }",
        ["notebooks: test", "`final`", "is missing"],
    ),
    "test_as_a_name": (
        "notebooks: {run: train.ipynb, test: test.ipynb}\nconfigurations: {a: , test: }\nfinal: a",
        ["'test'", "taken"],
    ),
    "replicates_none": ("configurations: {a: {replicates: 0}}", ["a: replicates", "at least 1", "not 0"]),
    "replicates_fraction": (
        "configurations: {a: {replicates: 1.5}}",
        ["a: replicates", "whole number", "1.5"],
    ),
    "replicates_true": ("configurations: {a: {replicates: true}}", ["a: replicates", "whole number", "True"]),
    "replicates_many": ("configurations: {a: {replicates: 100001}}", ["a: replicates", "100001"]),
    "replicates_seed": ("configurations: {a: {replicates: 3, seed: 5}}", ["a: replicates", "beside a seed"]),
    "replicates_seeds": (
        "grid: [{name: 'a{seed}', replicates: 3, seed: [1, 2]}]",
        ["a1: replicates", "beside a seed"],
    ),
    "replicates_clash": (
        "configurations: {a: {replicates: 3}, a_seed_2: {units: 8}}",
        ["a: replicates", "a_seed_2", "again"],
    ),
    "replicates_inherited_seed": (
        "configurations: {base: {seed: 2}, a: {extends: base, replicates: 3}}",
        ["a: replicates", "a_seed_2 would repeat a", "write `seed: 0` into what it extends"],
    ),
    "replicates_default_seed": (
        "defaults: {seed: 1}\nconfigurations: {base: , a: {extends: base, replicates: 3}}",
        ["a: replicates", "a_seed_1 would repeat a", "write `seed: 0` into `defaults`"],
    ),
    "no_configuration": ("defaults: {epochs: 1}", ["no configuration"]),
    "key": ("configuration: {a: }", ["'configuration'", "'configurations'"]),
    "twice": ("configurations: {a: {epochs: 1, epochs: 2}}", ["duplicate", "epochs"]),
    "not_yaml": ("configurations: {a: [}", ["YAML"]),
    "number_as_name": ("configurations: {1: {epochs: 2}}", ["configurations", "the name 1 must be text"]),
    "not_a_mapping": ("configurations: [a]", ["configurations", "mapping"]),
    "dropout": ("configurations: {a: {dropout: 1.5}}", ["configuration a", "dropout must be", "1.5"]),
    "units": ("configurations: {a: {units: 0}}", ["configuration a", "units must be", "0"]),
    "precision": (
        "configurations: {a: {precision: float64}}",
        ["configuration a", "precision must be", "float64"],
    ),
    "learning_rate": (
        "configurations: {a: {learning_rate: 0}}",
        ["configuration a", "learning_rate must be above 0"],
    ),
    "learning_rate_decay": (
        "configurations: {a: {learning_rate_decay: 1.1}}",
        ["configuration a", "learning_rate_decay must be", "1.1"],
    ),
    "batch_size": (
        "configurations: {a: {batch_size: 50001}}",
        ["configuration a", "batch_size must be", "50000"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_study_is_refused(tmp_path: Path, case: str) -> None:
    text, expected = BAD[case]
    message = refusal_of(tmp_path, text)
    assert all(words in message for words in ["mine.yaml", *expected]), message


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([("epochz", "1")], ["-p", "'epochs'"]),
        ([("epochs", "ten")], ["-p: epochs", "'ten'"]),
        ([("precision", "../x")], ["-p precision", "'../x'"]),
        ([("precision", "")], ["-p precision", "''"]),
        ([("epochs", "=")], ["-p: epochs", "'='"]),
        ([("epochs", "2001-99-99")], ["-p: epochs", "2001-99-99"]),
        ([("epochs", "1"), ("epochs", "2")], ["-p epochs", "twice"]),
        ([("seed", "1")], ["-p seed", "all replicates of a", "leave it out"]),
    ],
)
def test_bad_override_is_refused(
    tmp_path: Path, overrides: list[tuple[str, str]], expected: list[str]
) -> None:
    message = refusal_of(tmp_path, "configurations: {a: {replicates: 2}}", overrides)
    assert all(words in message for words in expected), message


def test_notebook_that_opens_the_test_set_must_take_the_run_that_it_tests(tmp_path: Path) -> None:
    notebooks = "notebooks: {run: train.ipynb, test: digits.ipynb}"
    message = refusal_of(tmp_path, f"{notebooks}\nconfigurations: {{a: }}\nfinal: a")
    assert message.startswith("digits.ipynb: opens the test set, and has no parameter `run`")
    assert message.endswith('write `run = "."` into its cell tagged `parameters`')


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    message = refusal_of(
        tmp_path,
        """
colour: red
defaults: {l2: x}
configurations:
  bad: {epochs: ten, units: 1.5, epochz: 1}
  worse: {extends: bad}
  a/b: {epochs: 3}
  many: {replicates: x}
grid:
  - {name: "g_{units}", units: [8, x, y]}
  - {name: "h_{units}", unitz: [8]}
metric: 3
rounds:
  - {candidates: [bad, bad_2], epochs: 0}
  - {title: [], candidates: []}
final: nothing
test: mnist
""",
        [("unitz", "3"), ("epochs", "x")],
    )
    expected = [
        "mine.yaml: unknown name 'colour'",
        "-p: unknown name 'unitz'",
        "-p: epochs: must be a whole number, not 'x'",
        "defaults: l2: must be a number, not 'x'",
        "configuration bad: unknown name 'epochz'",
        "configuration bad: epochs: must be a whole number, not 'ten'",
        "configuration bad: units: must be a whole number, not 1.5",
        "configurations: the name 'a/b' cannot be a directory's",
        "configuration many: replicates: must be a whole number",
        "grid row 1: units: must be a whole number, not 'x'",
        "grid row 1: units: must be a whole number, not 'y'",
        "grid row 2: name 'h_{units}': unknown name 'units'",
        "grid row 2: unknown name 'unitz'",
        "mine.yaml: metric: must be text",
        "round 1: epochs: must be at least 1",
        "round 2: title: must be text",
        "round 2: candidates: are missing",
        "mine.yaml: test: 'mnist' is opened by a notebook",
    ]
    assert all(words in message for words in expected), message
    assert message.startswith(f"{len(expected)} mistakes:")  # none follows from another


def test_mistake_in_thousands_of_configurations_is_said_in_bounds(tmp_path: Path) -> None:
    units = list(range(1, 101))
    row = f"{{name: 'g_{{units}}_{{seed}}', units: {units}, seed: {units}, epochs: 0}}"
    lines = refusal_of(tmp_path, f"grid: [{row}]").splitlines()
    assert lines[0] == "10,000 mistakes:" and len(lines) == 22
    assert "g_1_1: epochs must be at least 1, not 0" in lines[1]
    assert lines[-1] == "  and 9,980 more"


def test_study_of_a_template_that_declares_nothing(make_study: MakeStudy) -> None:
    assert make_study("configurations: {a: }", parameters=None).configurations == {"a": {}}
    with pytest.raises(StudyError) as refusal:
        make_study("configurations: {a: {rate: 1}}", parameters=None)
    assert "a: mine.ipynb declares no parameters; tag the cell that assigns them" in refusal.value.message


@pytest.mark.parametrize("role", ["prepare", "summary"])
def test_all_notebooks_of_a_study_are_checked_when_it_is_loaded(
    make_study: MakeStudy, tmp_path: Path, role: str
) -> None:
    notebooks = tmp_path / "notebooks"
    text = f"configurations: {{a: }}\nnotebooks: {{run: mine.ipynb, {role}: other.ipynb}}"
    (notebooks / "other.ipynb").write_bytes(codecs.BOM_UTF8 + json.dumps(new_notebook()).encode())
    assert json.loads(make_study(text).texts[role])["cells"] == []  # as it is executed
    nbformat.write(new_notebook(cells=[new_code_cell("x = = 1")]), notebooks / "other.ipynb")
    with pytest.raises(StudyError, match=r"other\.ipynb: cell 1, line 1: is not Python"):
        make_study(text)
    (notebooks / "other.ipynb").unlink()
    (notebooks / "other.ipynb").mkdir()
    with pytest.raises(StudyError, match=r"other\.ipynb: is a directory"):
        make_study(text)
