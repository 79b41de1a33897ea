"""Files of runs that are truncated, doubled, encoded anew or shuffled: no wrong number, and nothing complete that is not."""

from __future__ import annotations

import codecs
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from nbstudy.files import write_json
from nbstudy.records import progress, runs
from nbstudy.records.lease import Lease
from nbstudy.records.results import Results
from nbstudy.records.runs import Context, Task, tasks_of
from nbstudy.records.states import State
from nbstudy.study.study import load_study
from planted import Planted, flat

DRAWN = 8  # damages of a kind and a file; a thousand were tried by hand
STUDY = "notebooks: {run: train.ipynb}\nconfigurations: {whole: {epochs: 20}, hurt: {epochs: 20, units: 8}}\n"


def truncated(content: bytes, chance: random.Random) -> bytes:
    """Cut a file somewhere."""
    return content[: chance.randrange(len(content))]


def doubled(content: bytes, chance: random.Random) -> bytes:
    """Repeat a file, or its end from somewhere on."""
    return content + content[chance.choice([0, chance.randrange(len(content))]) :]


def encoded(content: bytes, chance: random.Random) -> bytes:
    """Write a file as another system or editor does."""
    text = content.decode()
    ways = [
        lambda: codecs.BOM_UTF8 + content,
        lambda: text.encode("utf-16"),
        lambda: text.encode("utf-32"),
        lambda: text.encode("cp037"),
        lambda: text.replace("\n", "\r\n").encode(),
        lambda: text.replace("\n", "\r").encode(),
        lambda: text.replace("\n", "\r\n").encode("utf-16-be"),
        lambda: text.replace(",", ";").replace(".", ",").encode(),
    ]
    return chance.choice(ways)()


def shuffled(content: bytes, chance: random.Random) -> bytes:
    """Put a file's lines into another order, sometimes but for the first one."""
    lines = content.splitlines(keepends=True)
    kept = chance.randrange(2)
    others = lines[kept:]
    chance.shuffle(others)
    return b"".join([*lines[:kept], *others])


DAMAGES: list[Callable[[bytes, random.Random], bytes]] = [truncated, doubled, encoded, shuffled]
EACH = [pytest.param(damage, id=damage.__name__) for damage in DAMAGES]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """A complete study, each of whose tests puts back what it damages."""
    study = Planted(tmp_path_factory.mktemp("planted"), STUDY)
    for name in ("whole", "hurt"):
        place = study.run(name, [loss + 0.001 * epoch for epoch, loss in enumerate(flat(0.3))])
        write_json(place / f"{name}.ipynb", {"cells": [], "metadata": {}})
        (place / "model.keras").write_bytes(b"PK")
        study.seal(name)
    return study


@pytest.fixture(scope="module")
def task(planted: Planted) -> Task:
    """What the runner knows of the run that is damaged."""
    study = load_study(planted.root / "params" / "mine.yaml")
    context = Context(study.template, study.lengthens, None, Lease(planted.outputs, "nobody"))
    return tasks_of(study, context)["hurt"]


def numbers(results: Results) -> dict[str, list[float | None]]:
    """Return the numbers that a run came to."""
    return {**results.runs["hurt"].curves, "": [results.runs["hurt"].weights]}


@pytest.mark.parametrize("damage", EACH)
@pytest.mark.parametrize("file", ["history.csv", "result.json", "run.json", "hurt.ipynb", "model.keras"])
def test_complete_run_that_was_damaged_is_told_or_says_the_same(
    planted: Planted, task: Task, file: str, damage: Callable[[bytes, random.Random], bytes]
) -> None:
    path = planted.outputs / "hurt" / file
    content = path.read_bytes()
    before = numbers(planted.load())
    chance = random.Random(f"{file} {damage.__name__}")
    try:
        for _ in range(DRAWN):
            damaged = content[::-1] if file == "model.keras" else damage(content, chance)
            path.write_bytes(damaged)
            results = planted.load()
            assert results.table.loc["hurt", "epochs"] <= 20
            if results.runs["hurt"].state is State.COMPLETE:
                assert numbers(results) == before, damaged
            if damaged != content and file not in ("hurt.ipynb", "model.keras"):
                assert runs.find(task).state == results.runs["hurt"].state
            assert results.runs["whole"].state is State.COMPLETE
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("damage", EACH)
@pytest.mark.parametrize("file", ["history.csv", "result.json"])
@pytest.mark.parametrize("finished", [False, True])
def test_attempt_that_was_damaged_is_shorter_or_refused_or_says_the_same(
    tmp_path: Path, task: Task, file: str, finished: bool, damage: Callable[[bytes, random.Random], bytes]
) -> None:
    study = Planted(tmp_path, STUDY)
    losses = [loss + 0.001 * epoch for epoch, loss in enumerate(flat(0.3))]
    place = study.run("hurt", losses, attempt=1, finished=finished)
    content = (place / file).read_bytes()
    whole = runs.history_of(place)
    chance = random.Random(f"{file} {damage.__name__}")
    for _ in range(DRAWN):
        damaged = damage(content, chance)
        (place / file).write_bytes(damaged)
        history = runs.history_of(place)
        assert history.epochs <= whole.epochs, damaged
        for name, values in history.metrics.items():
            is_last_cut = finished and damage is truncated  # ends in order, as the record says
            length = len(values) - is_last_cut
            assert values[:length] == whole.metrics[name][:length], damaged
        if runs.why_incomplete(task, place) is None and not (finished and damage is truncated):
            assert history == whole, damaged
        assert progress.describe_progress(place) is not None
        assert len(study.load().runs["hurt"].history) == history.epochs
