"""What the programs beside this one take of nbstudy, from where it lies in the checkout that is measured.

Also from where it lay at the commit that the goals of lightness.py are ratios to, before there were wings.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from nbstudy.files import hash_of, write_json

try:
    from nbstudy.execution.unfolding import unfold
    from nbstudy.records.attempts import finish_promotion
    from nbstudy.records.lease import Lease
    from nbstudy.records.runs import Context
    from nbstudy.study.study import Study, load_study
except ModuleNotFoundError:
    from nbstudy.attempts import finish_promotion
    from nbstudy.lease import Lease
    from nbstudy.runs import Context
    from nbstudy.unfolding import unfold

    from nbstudy.study import Study, load_study

__all__ = ["context_of", "finish_promotion", "hash_of", "load_study", "unfold", "write_json"]


def context_of(study: Study, outputs: Path) -> Context:
    """Return the context of a command that looks at a study's outputs."""
    told: dict[str, Any] = {
        "template": study.template,
        "lengthens": study.lengthens,
        "prepare": study.prepare,
        "lease": Lease(outputs, "nobody"),
        "checkpoint": study.checkpoint,
        "files": getattr(study, "files", None),
    }
    known = {field.name for field in fields(Context)}
    return Context(**{name: value for name, value in told.items() if name in known})
