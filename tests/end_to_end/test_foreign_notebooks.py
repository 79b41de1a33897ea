"""Notebooks as people publish them: each runs, or is refused in one message that one edit satisfies."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbconvert import HTMLExporter

from nbstudy.checks import StudyError
from nbstudy.study.study import Study, load_study
from project import ROOT, Project, executed, outputs_of, read

GUIDE = ROOT / "notebooks" / "README.md"
PYTHON = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
COLAB = {
    "accelerator": "GPU",
    "colab": {"name": "Copy of training.ipynb", "provenance": []},
    "kernelspec": {"display_name": "Python [conda env:ml]", "name": "conda-env-ml-py"},
    "widgets": {"application/vnd.jupyter.widget-state+json": {"0a1b": {"model_name": "HBoxModel"}}},
}
OLD_OUTPUTS = [{"output_type": "error", "ename": "KeyError", "evalue": "'old'", "traceback": ["old"]}]


def code(source: str, *tags: str, **fields: Any) -> dict[str, Any]:
    """Return a code cell as it stands in a file."""
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    if tags:
        cell["metadata"] = {"tags": list(tags)}
    return cell | {"source": textwrap.dedent(source).strip().splitlines(keepends=True)} | fields


def notebook(*cells: dict[str, Any], metadata: dict[str, Any] = PYTHON, minor: int = 4) -> str:
    """Return the text of a notebook file."""
    content = {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": minor}
    return json.dumps(content)


def load(directory: Path, text: str, given: str = "{}") -> Study:
    """Load a study of one configuration with a notebook beside it."""
    (directory / "foreign.ipynb").write_text(text, encoding="utf-8")
    study = directory / "foreign.yaml"
    study.write_text(f"notebooks: {{run: foreign.ipynb, summary: null}}\nconfigurations:\n  one: {given}\n")
    return load_study(study)


# --- those that run ---
PUBLISHED = notebook(
    {"cell_type": "markdown", "metadata": {"id": "0"}, "source": ["# Training\n"], "id": "same"},
    code("%matplotlib inline\n%load_ext autoreload\n%autoreload 2", id="same"),
    code(
        """
        #@title Settings
        alpha = 0.5 #@param {type: "slider", min: 0, max: 1}
        layers = [64, 32]
        options = {
            "name": "a=b#c",  # kept as it is
            "decay": None,
        }
        depth = None
        """,
        "parameters",
        execution_count=7,
    ),
    code("!pip --version\n%pip --version\n!false"),
    code(
        """
        %%time
        import os
        from pathlib import Path

        import matplotlib.pyplot as plt
        from helper import doubled
        from IPython.display import HTML, display

        project = Path(os.environ.get("NBSTUDY_PROJECT", ".."))
        rows = (project / "data" / "x.csv").read_text().splitlines()
        """,
        outputs=OLD_OUTPUTS,
    ),
    code("plt.plot(layers)\nplt.show()\ndisplay(HTML('<b>bold</b>'))"),
    code(
        """
        import json
        result = {"score": doubled(alpha), "rows": len(rows)}
        values = {"layers": layers, "options": options, "depth": depth}
        with open("result.json", "w") as file:
            json.dump(result | {"values": values}, file)
        """
    ),
    metadata=COLAB,
    minor=5,
)


def test_published_notebook_runs_as_it_is(project: Project) -> None:
    (project.root / "notebooks" / "foreign.ipynb").write_text(PUBLISHED)
    (project.root / "notebooks" / "helper.py").write_text("def doubled(x):\n    return 2 * x\n")
    (project.root / "data").mkdir()
    (project.root / "data" / "x.csv").write_text("a\n1\n2\n")
    printed = project.run(
        project.study(
            """
            notebooks: {run: foreign.ipynb, summary: null}
            configurations:
              one: {alpha: 1, layers: [8], options: {name: other}, depth: 3}
            """
        )
    )
    assert "1 failed" not in printed and not re.search("warning|traceback", printed, re.IGNORECASE), printed
    run = project.outputs("mine", "one")
    assert read(run / "result.json") == {
        "score": 2,
        "rows": 3,
        "values": {"layers": [8], "options": {"name": "other"}, "depth": 3},
    }
    assert "image/png" in outputs_of(executed(run)) and "'old'" not in outputs_of(executed(run))
    page, _ = HTMLExporter().from_filename(run / "one.ipynb")
    assert "<b>bold</b>" in page


@pytest.mark.parametrize("minor", [0, 4, 5])
def test_format_and_metadata_of_any_age_are_read(minor: int, tmp_path: Path) -> None:
    study = load(tmp_path, notebook(code("k = 1", "parameters"), metadata={}, minor=minor), "{k: 2.5}")
    assert study.configurations == {"one": {"k": 2.5}}
    nbformat.validate(nbformat.reads(study.template.text, as_version=nbformat.NO_CONVERT))


def test_notebook_of_the_third_format_is_read(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "language": "python", "outputs": [], "input": ["k = 1"]}
    sheet = {"cells": [cell | {"metadata": {"tags": ["parameters"]}}], "metadata": {}}
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [sheet]}
    assert load(tmp_path, json.dumps(old), "{k: 2}").configurations == {"one": {"k": 2}}


# --- those that are refused: what stands there, what the message says, and the edit that it asks for ---
K = code("k = 1", "parameters")
WORK = code("print(k)")
REFUSED = {
    "tuple": (
        notebook(code("size = (8, 6)", "parameters")),
        ["cell 1, line 1", "size", "list"],
        notebook(code("size = [8, 6]", "parameters")),
    ),
    "computed": (
        notebook(code("k = 1\nbatch = 2**5", "parameters")),
        ["cell 1, line 2", "batch", "write the value itself"],
        notebook(code("k = 1\nbatch = 32", "parameters")),
    ),
    "import": (
        notebook(code("import os\nk = 1\nprint(k)", "parameters")),
        ["cell 1, line 1", "import os", "cell 1, line 3", "print(k)", "another cell"],
        notebook(code("import os"), K, WORK),
    ),
    "two cells": (
        notebook(K, code("j = 2", "parameters")),
        ["cell 2", "cell 1", "untag one"],
        notebook(K, code("j = 2")),
    ),
    "Python 2": (
        notebook(K, code("print k")),
        ["cell 2, line 1", "is not Python"],
        notebook(K, WORK),
    ),
    "another language": (
        notebook(code("k = 1", "parameters"), metadata={"kernelspec": {"name": "ir", "language": "R"}}),
        ["is written in R", "Python"],
        notebook(K),
    ),
    "no language": (
        notebook(
            K,
            metadata={
                "kernelspec": {"name": "ir", "display_name": "R", "language": "R"},
                "language_info": {"name": ""},
            },
        ),
        ["is written in R", "Python"],
        notebook(K),
    ),
    "magic in preflight": (
        notebook(K, code("%matplotlib inline\nassert k", "preflight")),
        ["cell 2, line 1", "preflight", "magics"],
        notebook(K, code("assert k", "preflight")),
    ),
    "no tag": (
        notebook(code("k = 1"), WORK),
        ["configuration one", "declares no parameters", "tag the cell"],
        notebook(K, WORK),
    ),
    "executed log": (
        notebook(K, code("k = 3", "injected-parameters"), WORK),
        ["cell 2", "injected-parameters", "delete the cell"],
        notebook(K, WORK),
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_one_edit_satisfies_the_message(kind: str, tmp_path: Path) -> None:
    refused, expected, edited = REFUSED[kind]
    given = "{}"
    if "k = 1" in edited:
        given = "{k: 2}"
    with pytest.raises(StudyError) as refusal:
        load(tmp_path, refused, given)
    message = refusal.value.message
    assert all(words in message for words in ["foreign", *expected]), message
    load(tmp_path, edited, given)


# --- the guide ---
def test_guide_goes_from_a_notebook_to_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example, _ = GUIDE.read_text(encoding="utf-8").split("## What a template must do")
    blocks = re.findall(r"^ *```(\w+)\n(.*?)^ *```$", example, re.MULTILINE | re.DOTALL)
    first, *others = [textwrap.dedent(text) for language, text in blocks if language == "python"]
    template = notebook(code(first, "parameters"), *map(code, others))
    (tmp_path / "wine.ipynb").write_text(template)
    (tmp_path / "wine.yaml").write_text(dict(blocks)["yaml"])
    study = load_study(tmp_path / "wine.yaml")
    assert len(study.configurations) == 12

    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for source in (first, *others):
        exec(source, names)  # noqa: S102 - the guide's own code
    result = read(tmp_path / "result.json")
    assert 0.8 < result[study.metric] < 1 and result["leaves"] > 2
