"""How a disease progresses: what the notebooks of this project share."""

from progress.patients import read_patients, split

__all__ = ["read_patients", "split"]
