"""Plant complete runs of each configuration of a study: `plant_runs.py STUDY EPOCHS LOG`, the log's size in bytes.

Their histories have six metrics, which fall and settle by their parameters. What a run is asked for beyond its epochs is taken as it is.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from earlier import hash_of, load_study, write_json

file, epochs, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
study = load_study(file)
outputs = Path("outputs") / file.stem
outputs.mkdir(parents=True)
write_json(outputs / "study.json", study.record())
chance = random.Random(0)
metrics = ["loss", "accuracy", "cross_entropy", "val_loss", "val_accuracy", "val_cross_entropy"]
log = json.dumps({"cells": [], "metadata": {"padding": "x" * size}, "nbformat": 4, "nbformat_minor": 5})
for name, parameters in study.configurations.items():
    level = 0.3 + 10 * parameters["l2"] + 1 / parameters["units"] + chance.gauss(0, 0.01)
    rows = [",".join(["epoch", *metrics])]
    for epoch in range(1, epochs + 1):
        rows.append(",".join([str(epoch), *(repr(level + chance.random() / epoch) for _ in metrics)]))
    files = {
        f"{name}.ipynb": log,
        "history.csv": "\n".join([*rows, ""]),
        "result.json": json.dumps({"weights": 1000, "diverged": None}),
    }
    place = outputs / name
    place.mkdir()
    for each, text in files.items():
        (place / each).write_text(text)
    record = {
        "format": 1,
        "configuration": name,
        "parameters": parameters | {study.lengthens: epochs},
        "code": study.template.hash,
        "files": {each: hash_of(text) for each, text in files.items()},
        "flops": study.flops[name],
        "cores": 1,
        "seconds": 60.0,
        "attempts": 1,
        "started": "2026-01-01T00:00:00Z",
        "finished": True,
        "error": None,
    }
    (place / "run.json").write_text(json.dumps(record))
