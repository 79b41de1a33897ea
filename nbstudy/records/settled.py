"""What a run has settled at, metric by metric: the values by which a study judges it. Told without pandas."""

from __future__ import annotations

from dataclasses import dataclass

from nbstudy.decision.metrics import can_decide, data_of
from nbstudy.decision.settling import settled
from nbstudy.records.history import History


@dataclass(frozen=True)
class Settled:
    """What a history says of a metric at its end."""

    metric: str
    settled: float  # the mean over the last tenth of its epochs; NaN where that is not known
    last: float | None  # of the last epoch, None where it was not measured there


def settled_metrics(history: History, deciding: str | None = None) -> list[Settled]:
    """Return the metrics of a history: what decides, then others of the validation data first; no times and sizes."""
    names = [name for name in history.metrics if name == deciding or can_decide(name)]
    names.sort(key=lambda name: (name != deciding, data_of(name)))
    found = []
    for name in names:
        values = history.metrics[name]
        found.append(Settled(name, settled(values), values[-1]))
    return found
