"""Arithmetic that runs ask for and this machine's processor does not have: it is computed all the same, and takes longer.

A library is told by the value of some parameter: "mixed_bfloat16" in Keras, "bfloat16" in PyTorch, "bf16-mixed" in Lightning.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from nbstudy.execution.host import gpus, instructions
from nbstudy.records.runs import Task
from nbstudy.words import counted, enumerated

ASKS_FOR_BFLOAT16 = re.compile(r"(?:.*[_-])?(?:bfloat16|bf16)(?:[_-].*)?")
HAS_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}  # as Linux calls the instructions, the last on ARM


def describe_slow_arithmetic(left: Sequence[Task]) -> str | None:
    """Say which of the runs that are left would take longer here than in float32; None where none does, or nobody knows."""
    asked: dict[str, list[str]] = {}  # names of runs by the value that asks for it
    for task in left:
        for value in task.parameters.values():
            if isinstance(value, str) and ASKS_FOR_BFLOAT16.fullmatch(value):
                asked.setdefault(value, []).append(task.name)
    if not asked or gpus() or not lacks_bfloat16(instructions()):
        return None
    names = {name for named in asked.values() for name in named}
    return (
        f"{enumerated(asked)}, in {counted(len(names), 'run')} to do: this processor has no such arithmetic, so they are slower "
        "than in float32, which costs no accuracy"
    )


def lacks_bfloat16(known: Collection[str]) -> bool:
    """Tell whether a processor with these vector instructions has none for bfloat16; not where none are known."""
    return bool(known) and not HAS_BFLOAT16.intersection(known)
