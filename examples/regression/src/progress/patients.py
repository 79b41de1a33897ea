"""The patients: their measurements, and who of them teaches, validates and tests."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

TARGET = "target"  # how far the disease has come after a year


def read_patients(file: Path) -> pd.DataFrame:
    """Return a row a patient."""
    return pd.read_csv(file)


def split(patients: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
    """Return the patients to learn from, to validate with, and to test with: every fifth, whatever the seed."""
    test = patients.iloc[::5]
    others = patients.drop(test.index).sample(frac=1, random_state=seed)
    return {"train": others.iloc[100:], "validation": others.iloc[:100], "test": test}
