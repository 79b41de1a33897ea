"""Arithmetic that the processor does not have: who asks for it is told before anything runs."""

from __future__ import annotations

import pytest

from nbstudy.execution import arithmetic
from nbstudy.execution.arithmetic import describe_slow_arithmetic, lacks_bfloat16
from nbstudy.execution.host import gpus, instructions
from nbstudy.records.lease import Lease
from nbstudy.records.runs import Context, Task
from nbstudy.study.template import read_template
from project import TINY_STUDY, Project

AVX2, AVX512_BF16 = ["avx", "avx2", "fma"], ["avx", "avx2", "fma", "avx512f", "avx512_bf16"]


@pytest.fixture
def context(project: Project) -> Context:
    """The context of runs of tiny.ipynb."""
    template = read_template(project.root / "notebooks" / "tiny.ipynb")
    return Context(template, "steps", None, Lease(project.outputs("mine"), "1 this"))


@pytest.mark.parametrize(
    ("known", "lacks"),
    [
        (AVX2, True),
        (["asimd"], True),
        (AVX512_BF16, False),
        (["asimd", "bf16"], False),
        ([], False),  # of a system that does not say
    ],
)
def test_processor_lacks_bfloat16_where_it_names_other_instructions_alone(
    known: list[str], lacks: bool
) -> None:
    assert lacks_bfloat16(known) is lacks


@pytest.mark.parametrize(
    ("value", "asks"),
    [
        ("mixed_bfloat16", True),
        ("bfloat16", True),
        ("bf16-mixed", True),
        ("float32", False),
        ("mixed_float16", False),
        ("my bfloat16 network", False),
        (16, False),
    ],
)
def test_runs_that_ask_for_bfloat16_are_told_of(
    context: Context, monkeypatch: pytest.MonkeyPatch, value: object, asks: bool
) -> None:
    monkeypatch.setattr(arithmetic, "gpus", list)
    monkeypatch.setattr(arithmetic, "instructions", lambda: AVX2)
    task = Task("one", {"text": value, "steps": 3}, 1.0, context)
    assert (describe_slow_arithmetic([task]) is not None) is asks
    monkeypatch.setattr(arithmetic, "instructions", lambda: AVX512_BF16)
    assert describe_slow_arithmetic([task]) is None


@pytest.mark.parametrize("option", ["--dry-run", "--jobs=1"])
def test_slow_arithmetic_is_told_before_anything_runs(project: Project, option: str) -> None:
    study = project.study(TINY_STUDY + "  mixed: {steps: 1, text: mixed_bfloat16}\n")
    printed = project.run(study, option)
    is_slow_here = not gpus() and lacks_bfloat16(instructions())
    assert ("mixed_bfloat16, in 1 run to do: " in printed) is is_slow_here
