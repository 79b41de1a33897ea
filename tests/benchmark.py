"""Measure, side by side in one run, how fast the study is, and against what.

    python tests/benchmark.py [--rounds 3] [--json FILE]

Four networks stand for the whole study: each of its configurations counts as the one whose epoch
costs most nearly the same. They are trained (a) as the original did it, one after another in one
process with Keras's defaults; (b) in a plain loop of papermill over our template; (c) by runner.py,
two of each so that the cores have the same to do, in float32 and in mixed_bfloat16; and compared with
(d) the limit: their matrix products at the rate of sgemm on all cores together. All figures are
medians of the rounds. About seven minutes a round on two cores; nothing else may run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from conftest import ROOT, Project
from test_cluster import Cluster, kernels_of
from test_runner import wait_for

sys.path.insert(0, str(ROOT))
from study import hash_of, load_study

# hidden_layers, units, dropout, epochs: some seconds of steady training each
KINDS = {
    "5x128": (5, 128, 0.0, 10),
    "5x256": (5, 256, 0.0, 6),
    "10x512": (10, 512, 0.0, 3),
    "20x128": (20, 128, 0.2, 4),
}
STUDY = "notebooks: {run: train.ipynb}\nconfigurations:\n" + "".join(
    f"  {kind}_{seed}: {{hidden_layers: {layers}, units: {units}, dropout: {dropout},"
    f" epochs: {epochs}, seed: {seed}}}\n"
    for kind, (layers, units, dropout, epochs) in KINDS.items()
    for seed in (0, 1)
)

CHEAP_RUNS = 200  # of a template of two cells, without TensorFlow

SGEMM = """
import time, numpy as np
a, b = np.random.default_rng(0).random((2, 4096, 4096), dtype="float32")
rates = []
for _ in range(6):
    start = time.perf_counter(); a @ b; rates.append(2 * 4096**3 / (time.perf_counter() - start))
print(max(rates))
"""

TENSORFLOW_PRODUCT = """
import time, tensorflow as tf
a, b = tf.random.normal((2, 4096, 4096))
rates = []
for _ in range(6):
    start = time.perf_counter(); (a @ b)[0, 0].numpy(); rates.append(2 * 4096**3 / (time.perf_counter() - start))
print(max(rates))
"""

ORIGINAL = """
import json, sys, time, keras
from sklearn.model_selection import train_test_split

class Clock(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.ends = []
    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(time.time())

(images, labels), _ = keras.datasets.fashion_mnist.load_data()
images, labels = images.reshape(-1, 784).astype("float32") / 255, keras.utils.to_categorical(labels)
x, x_val, y, y_val = train_test_split(images, labels, test_size=1 / 6, random_state=1)
found = {}
for kind, (layers, units, dropout, epochs) in json.loads(sys.argv[1]).items():
    model = keras.Sequential([keras.Input((784,))])
    for _ in range(layers):
        model.add(keras.layers.Dense(units, "relu", kernel_regularizer=keras.regularizers.L2(0.001)))
        if dropout:
            model.add(keras.layers.Dropout(dropout))
    model.add(keras.layers.Dense(10, "softmax"))
    model.compile("rmsprop", "categorical_crossentropy", metrics=["accuracy"])
    clock = Clock()
    model.fit(x, y, epochs=epochs, batch_size=512, validation_data=(x_val, y_val), callbacks=[clock], verbose=0)
    found[kind] = clock.ends
print(json.dumps(found))
"""

PLAIN_LOOP = """
import json, sys
from pathlib import Path
import papermill
for kind, (layers, units, dropout, epochs) in json.loads(sys.argv[1]).items():
    Path(kind).mkdir()
    papermill.execute_notebook(sys.argv[2], f"{kind}/log.ipynb", cwd=kind, progress_bar=False, parameters={
        "hidden_layers": layers, "units": units, "dropout": dropout, "epochs": epochs})
"""


def python(code: str, *arguments: str, cwd: Path | None = None) -> str:
    """Run code in a process of its own; return the last line that it prints."""
    command = [sys.executable, "-c", code, *arguments]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=True)
    return (done.stdout.strip().splitlines() or [""])[-1]


class Watch:
    """When the runs below a directory began, when their epochs ended, and the memory they took."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.begun: dict[str, float] = {}
        self.ends: dict[str, set[float]] = {}
        self.peak = 0  # bytes of the largest kernel
        self.looks = 0

    def look(self) -> None:
        """Look at all runs below the directory and, now and then, at the kernels of this process."""
        self.looks += 1
        for path in [*self.root.glob("**/history.csv"), *self.root.glob("**/incomplete/*/[0-9]*")]:
            with suppress(OSError):
                directory = path if path.is_dir() else path.parent
                name = directory.parent.name if directory.name.isdecimal() else directory.name
                self.begun.setdefault(name, time.time())
                if not path.is_dir():
                    self.ends.setdefault(name, set()).add(path.stat().st_mtime)
        for process in psutil.Process().children(recursive=True) if self.looks % 5 == 0 else ():
            with suppress(psutil.Error):
                if "ipykernel_launcher" in process.cmdline():
                    self.peak = max(self.peak, process.memory_info().rss)

    def seconds(self) -> dict[str, float]:
        """Return the seconds of an epoch by kind, the first epoch of a run aside."""
        return {kind: epoch_of([self.ends[n] for n in self.ends if n.startswith(kind)]) for kind in KINDS}

    def start_up(self, name: str) -> float:
        """Return the seconds from the start of a run to its first training step."""
        return min(self.ends[name]) - self.begun[name] - epoch_of([self.ends[name]])


def epoch_of(runs: list[Any]) -> float:
    """Return the median seconds between the ends of epochs, NaN without any."""
    ends = [sorted(run) for run in runs]
    steps = [later - sooner for run in ends for sooner, later in itertools.pairwise(run)]
    return statistics.median(steps) if steps else math.nan


@contextmanager
def watching(root: Path, every: float = 0.4) -> Iterator[Watch]:
    """Watch the runs below a directory while they are made, seldom enough to leave the cores to them."""
    watch, over = Watch(root), threading.Event()

    def look_on() -> None:
        while not over.wait(every):
            watch.look()

    thread = threading.Thread(target=look_on)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


def timed(command: list[str]) -> float:
    """Return the seconds that a command takes."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def measure_round() -> dict[str, Any]:
    """Measure everything once."""
    found: dict[str, Any] = {"sgemm": float(python(SGEMM)), "tensorflow": float(python(TENSORFLOW_PRODUCT))}
    kinds = json.dumps(KINDS)
    ends = json.loads(python(ORIGINAL, kinds))
    found["a"] = {kind: epoch_of([ends[kind]]) for kind in KINDS}
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "project").mkdir()
        project = Project(root / "project")
        write = "    write(partial)\n"
        clock = f"    began = time.monotonic()\n{write}"
        project.edit("train.ipynb", write, clock)
        project.edit(
            "train.ipynb",
            "    partial.replace(name)",
            "    partial.replace(name)\n    with open('saving', 'a') as file:\n"
            "        file.write(f'{name} {time.monotonic() - began}\\n')",
        )
        with watching(root / "loop") as watch:
            (root / "loop").mkdir()
            template = str(project.root / "notebooks" / "train.ipynb")
            python(PLAIN_LOOP, kinds, template, cwd=root / "loop")
        found["b"] = watch.seconds()
        study = project.study(STUDY)
        for key, override in [("c", []), ("c_mixed", ["-p", "precision", "mixed_bfloat16"])]:
            with watching(project.outputs()) as watch:
                project.run(study, "--jobs", str(os.cpu_count()), *override)
            found[key] = {k: seconds / (os.cpu_count() or 1) for k, seconds in watch.seconds().items()}
            found[f"memory_{key}"] = watch.peak / 1e9
        found["saving"] = saving_share(project, found["c"])
        one = [
            "taskset",
            "-c",
            "0",
            *project.command(study, "--jobs", "1", "--outputs", "one", "--only", "*_0"),
        ]
        with watching(project.root / "one") as watch:
            subprocess.run(one, check=True, capture_output=True)
        found["one"] = watch.seconds()
        with watching(project.root / "start", every=0.05) as watch:
            project.run(study, "--jobs", "1", "--outputs", "start", "--only", "5x128_0")
        found["start_up"] = watch.start_up("5x128_0")
        found["imports"] = timed([sys.executable, "-c", "import tensorflow, keras, sklearn"])
        found["no_work"] = timed(project.command(study))
        found["papermill"] = timed([sys.executable, "-c", "import papermill"])
        found |= plan_ten_thousand(project, project.outputs("mine", "5x128_0"))
    return found


def plan_ten_thousand(project: Project, run: Path) -> dict[str, float]:
    """Return the seconds that planning 10,000 runs takes, all missing and all complete, and the memory."""
    study = project.study(
        "notebooks: {run: train.ipynb}\ngrid:\n"
        f"  - {{name: 'g_{{units}}_{{seed}}', units: {[*range(1, 101)]}, seed: {[*range(100)]}}}\n",
        "many",
    )
    found = {"plan_missing": timed(project.command(study, "--dry-run"))}
    log, history, result = (
        (run / name).read_bytes() for name in (f"{run.name}.ipynb", "history.csv", "result.json")
    )
    said = json.loads((run / "run.json").read_text())
    for name, parameters in load_study(project.root / study).configurations.items():
        place = project.outputs("many", name)
        place.mkdir(parents=True)
        files = {f"{name}.ipynb": log, "history.csv": history, "result.json": result}
        for file, content in files.items():
            (place / file).write_bytes(content)
        hashes = {file: hash_of(content) for file, content in files.items()}
        (place / "run.json").write_text(json.dumps(said | {"parameters": parameters, "files": hashes}))
    found["plan_complete"] = timed(project.command(study, "--dry-run"))
    peak = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], capture_output=True, check=True);"
    peak += " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    found["plan_memory"] = int(python(peak, *project.command(study))) * 1024 / 1e6
    return found


def saving_share(project: Project, epochs: dict[str, float]) -> float:
    """Return the largest share of the training time that goes into history.csv and model.keras."""
    shares = []
    for kind in KINDS:
        lines = project.outputs("mine", f"{kind}_0", "saving").read_text().splitlines()
        seconds: dict[str, list[float]] = {}
        for line in lines:
            seconds.setdefault(line.split()[0], []).append(float(line.split()[1]))
        epoch = epochs[kind] * (os.cpu_count() or 1)
        shares.append(
            statistics.median(seconds["history.csv"]) / epoch
            + statistics.median(seconds["model.keras"]) / max(30, epoch)
        )
    return max(shares)


def many_runs() -> dict[str, float]:
    """Measure 200 runs of two cells here and on a cluster of two workers; refuse what they leave.

    Megabytes and open files, sockets among them, are those after a quarter of the runs, and how many
    more they are at the end.
    """
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for name in ("project", "cluster", "temporary"):
            (root / name).mkdir()
        project = Project(root / "project")
        shutil.copy(ROOT / "requirements.txt", project.root)
        study = project.study(
            "notebooks: {run: tiny.ipynb}\n"
            f"grid: [{{name: 'run_{{steps}}', steps: {[*range(1, CHEAP_RUNS + 1)]}}}]\n"
        )
        here = timed(project.command(study, "--jobs", "2", "--outputs", "here"))
        cluster = Cluster(root / "cluster")
        cluster.environment["TMPDIR"] = str(root / "temporary")
        try:
            workers = [cluster.worker(1, "--local-directory", str(root)) for _ in range(2)]
            begun = time.perf_counter()
            runner = project.start(study, "--scheduler", cluster.address)
            watched = [psutil.Process(runner.pid), cluster.scheduler, *workers]
            seen = []
            for number in (CHEAP_RUNS / 4, CHEAP_RUNS - 1):
                wait_for(lambda number=number: len([*project.outputs("mine").glob("run_*")]) >= number, 600)
                seen.append([(each.memory_info().rss / 1e6, each.num_fds()) for each in watched])
            printed, _ = runner.communicate(timeout=60)
            there = time.perf_counter() - begun
            assert runner.returncode == 0, printed
            assert not [*kernels_of(workers[0]), *kernels_of(workers[1])]
            assert not [*(root / "temporary").iterdir()]
        finally:
            cluster.end()
    found = {"cheap_run_seconds": here * 2 / CHEAP_RUNS, "cheap_run_seconds_dask": there * 2 / CHEAP_RUNS}
    for name, early, late in zip(("runner", "scheduler", "worker_1", "worker_2"), *seen, strict=True):
        found |= {f"{name}_mb": early[0], f"{name}_mb_more": late[0] - early[0]}
        found |= {f"{name}_files": early[1], f"{name}_files_more": late[1] - early[1]}
    return found


def flops_of(layers: int, units: int) -> float:
    """Return the FLOPs of an epoch, as the template counts them."""
    first, rest = 784 * units, (layers - 1) * units**2 + 10 * units
    return 50_000 * (4 * first + 6 * rest) + 20_000 * (first + rest)


def whole_study(epoch: dict[str, float]) -> float:
    """Return the seconds of the whole study from those of an epoch of each kind."""
    costs = {kind: flops_of(layers, units) for kind, (layers, units, *_) in KINDS.items()}
    study, total = load_study(ROOT / "params" / "fashion_mnist.yaml"), 0.0
    for name, values in study.configurations.items():
        cost = study.flops[name] / values["epochs"]
        nearest = min(costs, key=lambda kind: abs(math.log(costs[kind] / cost)))
        if values["dropout"] and values["units"] == 128:
            nearest = "20x128"
        total += values["epochs"] * epoch[nearest] * cost / costs[nearest]
    return total


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rounds = [measure_round() for _ in range(arguments.rounds)]

    def median(key: str) -> float:
        return statistics.median(each[key] for each in rounds)

    def epoch(key: str) -> dict[str, float]:
        return {kind: statistics.median(each[key][kind] for each in rounds) for kind in KINDS}

    def limit(rate: str) -> dict[str, float]:
        return {kind: flops_of(layers, units) / median(rate) for kind, (layers, units, *_) in KINDS.items()}

    ways = {"a original": epoch("a"), "b plain loop": epoch("b"), "c runner.py": epoch("c")}
    ways |= {"c mixed_bfloat16": epoch("c_mixed"), "d limit": limit("sgemm")}
    ways |= {"d by TensorFlow": limit("tensorflow")}
    print(f"{'seconds an epoch':18}" + "".join(f"{kind:>10}" for kind in KINDS) + "  whole study, min")
    for way, seconds in ways.items():
        cells = "".join(f"{seconds[kind]:10.3f}" for kind in KINDS)
        print(f"{way:18}{cells}{whole_study(seconds) / 60:18.1f}")
    ours, total = ways["c runner.py"], {way: whole_study(seconds) for way, seconds in ways.items()}
    results = {
        "of_limit": total["d limit"] / total["c runner.py"],
        "of_limit_5x128": ways["d limit"]["5x128"] / ours["5x128"],
        "of_tensorflow_limit": total["d by TensorFlow"] / total["c runner.py"],
        "of_tensorflow_limit_5x128": ways["d by TensorFlow"]["5x128"] / ours["5x128"],
        "speedup": total["a original"] / total["c runner.py"],
        "speedup_mixed_bfloat16": total["a original"] / total["c mixed_bfloat16"],
        "speedup_over_loop": total["b plain loop"] / total["c runner.py"],
        "two_jobs_over_one": whole_study(epoch("one")) / total["c runner.py"],
        "startup_seconds": median("start_up"),
        "startup_ratio": median("start_up") / median("imports"),
        "peak_memory_gb": max(median("memory_c"), median("memory_c_mixed")),
        "saving_share": median("saving"),
        "no_work_ratio": median("no_work") / median("papermill"),
        "plan_10000_missing_seconds": median("plan_missing") - median("papermill"),
        "plan_10000_complete_seconds": median("plan_complete") - median("papermill"),
        "plan_10000_memory_mb": median("plan_memory"),
    }
    results |= many_runs()
    for name, value in results.items():
        print(f"{name:28}{value:8.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results | {"rounds": rounds}, indent=1) + "\n")


if __name__ == "__main__":
    main()
