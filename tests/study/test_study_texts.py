"""Study files as texts: the examples of the guide, and whatever else a file may hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

import nbstudy.study.study_file as study_module
from asked import MakeStudy, with_notebooks
from nbstudy.checks import StudyError
from nbstudy.study.study import load_study
from project import ROOT


# --- params/README.md ---
def test_examples_of_the_readme_are_studies(make_study: MakeStudy, tmp_path: Path) -> None:
    readme = (ROOT / "params" / "README.md").read_text(encoding="utf-8")
    (parameters,) = re.findall(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    with_notebooks(tmp_path)
    for path in ("data/houses.csv", "configs/small.json"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).touch()
    names = []
    said: set[str] = set()
    for text in re.findall(r"^```yaml\n(.*?)^```", readme, re.DOTALL | re.MULTILINE):
        names += make_study(text, parameters=parameters).configurations
        said.update(key for key in YAML(typ="safe").load(text) if not key.startswith("x-"))
    assert said == set(study_module.EMPTY)  # every key of a study file
    assert {"large_seed_2", "l2_0.001_64", "rate_1_depth_None", "hidden_64-64", "pair_0.1"} <= set(names)


OF_OTHER_TOOLS = """
units = 32
optimizer = "sgd"
learning_rate = 0.1
dropout = 0.0
epochs = 10
seed = 0
"""


def test_studies_in_the_place_of_other_tools_come_to_what_those_run(make_study: MakeStudy) -> None:
    guide = (ROOT / "params" / "from_other_tools.md").read_text(encoding="utf-8")
    texts = re.findall(r"^```yaml\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)
    cells = {"parameters": OF_OTHER_TOOLS, "preflight": "lengthens = 'epochs'"}
    papermill, hydra, sweep = [
        make_study(text.replace("train.ipynb", "mine.ipynb"), **cells).configurations for text in texts
    ]
    assert list(papermill)[:2] == ["units_64", "units_64_seed_1"] and len(papermill) == 6
    values = {(each["optimizer"], each["learning_rate"], each["units"]) for each in hydra.values()}
    optimizers = (("sgd", 0.01), ("adam", 0.001))
    assert values == {(*optimizer, units) for optimizer in optimizers for units in (64, 128, 256)}
    assert len(sweep) == 40
    assert {each["units"] for each in sweep.values()} == {64, 128, 256}


@pytest.mark.parametrize("indent", [None, 1, "\t"])
@pytest.mark.parametrize("after", [" ", "\t", ""])
def test_study_file_may_be_json_as_python_writes_it(
    make_study: MakeStudy, indent: int | str | None, after: str
) -> None:
    document = {
        "notebooks": {"run": "mine.ipynb"},
        "configurations": {
            "a": {"word": "\U0001f600 \\ \u2028", "rate": 1e-05, "limit": None},
            "b": {"options": {"k" * 2000: 1}},
        },
    }
    study = make_study(json.dumps(document, indent=indent, separators=(",", f":{after}")))
    assert study.configurations["a"]["word"] == "\U0001f600 \\ \u2028"
    assert study.configurations["a"]["rate"] == 1e-05
    assert study.configurations["b"]["options"] == {"k" * 2000: 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"configurations": {"a": {"rate": NaN}}}', "a: rate: must be a finite number, not nan"),
        ('{"configurations": {"a": {"rate": 1, "rate": 2}}}', "duplicate key"),
        ("configurations:\n  a: {rate: 1}\n  b:\t{rate: 2}", "mine.yaml, line 4: has a tab"),
        ("configurations:\n\ta: {rate: 1}", "mine.yaml, line 3: has a tab"),
    ],
)
def test_study_file_that_cannot_be_read_says_its_own_reason(
    make_study: MakeStudy, text: str, expected: str
) -> None:
    if text.startswith("{"):
        text = text.replace("{", '{"notebooks": {"run": "mine.ipynb"}, ', 1)
    with pytest.raises(StudyError) as refusal:
        make_study(text)
    assert expected in refusal.value.message


@pytest.mark.parametrize("word", ["=", "<<"])
def test_plain_text_is_a_text_whatever_yaml_1_1_took_it_for(make_study: MakeStudy, word: str) -> None:
    study = make_study(f"configurations: {{a: {{word: {word}, limit: {word}}}}}")
    assert study.configurations["a"]["word"] == study.configurations["a"]["limit"] == word


def test_study_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nowhere\.yaml: .*No such file"):
        load_study(tmp_path / "nowhere.yaml")


def test_study_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(StudyError, match=r"bytes\.yaml"):
        load_study(tmp_path / "bytes.yaml")


# --- whatever a file holds ---
SECTIONS = list(study_module.EMPTY)
KEYS = [
    *SECTIONS, "run", "name", "extends", "units", "l2", "epochs", "candidates", "metric", "title",
    "originally_dropped", "lower", "a", "b", "precision", "replicates", "seed",
]  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.sampled_from([*KEYS, "train.ipynb"])
)
NAMES = st.sampled_from(KEYS) | st.text(max_size=5) | st.integers()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)
REAL = [path.read_text() for path in (ROOT / "params").glob("*.yaml")]
ODD = ["{", "}", "[", "]", ": ", "- ", "&a ", "*a", "!!set ", "\n", "'", "~", "-1", "0x" + "f" * 9000]
FEW = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def check(path: Path) -> None:
    """Load a study; any error but a StudyError that names the file fails the test."""
    try:
        load_study(path)
    except StudyError as error:
        assert path.name in error.message


@FEW
@given(document=st.dictionaries(st.sampled_from(SECTIONS), VALUES) | VALUES)
def test_any_document_loads_or_is_refused(tmp_path: Path, document: object) -> None:
    path = with_notebooks(tmp_path) / "any.yaml"
    if isinstance(document, dict):
        document = {"notebooks": {"run": "train.ipynb"}} | document
    with path.open("w", encoding="utf-8", errors="surrogatepass") as file:
        YAML(typ="safe", pure=True).dump(document, file)
    check(path)


@FEW
@given(
    text=st.sampled_from(REAL),
    start=st.floats(0, 1),
    length=st.integers(0, 40),
    new=st.text(max_size=8) | st.sampled_from(ODD),
)
def test_any_mutation_of_a_real_study_loads_or_is_refused(
    tmp_path: Path, text: str, start: float, length: int, new: str
) -> None:
    at = int(start * len(text))
    path = with_notebooks(tmp_path) / "mutated.yaml"
    path.write_bytes((text[:at] + new + text[at + length :]).encode("utf-8", "surrogatepass"))
    check(path)


def laughs() -> str:
    """Return a few lines that name a list of nine of a list of nine of ... a list, nine times over."""
    lines = ["a: &a [x, x]"]
    for number in range(20):
        name, before = chr(98 + number), chr(97 + number)
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    return "\n".join(lines) + "\n"


RUN = "notebooks: {run: train.ipynb}\n"
HOSTILE = {
    "laughs": laughs(),
    "recursive": RUN + "configurations: {a: &a {units: *a}}",
    "deep": "[" * 5000,
    "large": "x" * 2_000_000,
    "tag": RUN + "final: !!python/object/apply:os.system ['true']",
    "digits": RUN + "configurations: {a: {units: 0x" + "f" * 9000 + "}}",
    "surrogate": RUN + 'configurations: {a: {precision: "\\ud800"}}',
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_study_is_refused_in_bounds(tmp_path: Path, case: str) -> None:
    path = with_notebooks(tmp_path) / "hostile.yaml"
    path.write_text(HOSTILE[case])
    with pytest.raises(StudyError) as refusal:
        load_study(path)
    assert "hostile.yaml" in refusal.value.message and len(refusal.value.message) < 5000
