"""What a run and a command take beside training: start-up, a command with nothing to do, a large plan.

Figures of a round, in seconds: `start_up` of a run, `imports` of its libraries, `no_work` of a command,
`papermill` to import, `plan_missing` and `plan_complete` of a large study; and `plan_memory` (MB).
"""

from __future__ import annotations

from pathlib import Path

from benchmark.networks import NETWORKS
from benchmark.processes import run_program, seconds_of, seconds_of_import
from benchmark.watching import watching
from nbstudy.files import hash_of, read_json, write_json
from nbstudy.study.study import Study, load_study
from project import Project

SIDE = 100  # of the large study: so many widths times so many seeds


def measure_startup(project: Project, study: str) -> dict[str, float]:
    """Measure every figure once; the runs of the study are complete, 5x128_0 one of them."""
    complete_run = project.outputs("mine", "5x128_0")
    return {
        "start_up": start_up(project, study),
        "imports": seconds_of_import("tensorflow", "keras", "sklearn"),
        "no_work": seconds_of(project.command(study)),
        "papermill": seconds_of_import("papermill"),
        **measure_plan(project, complete_run),
    }


def start_up(project: Project, study: str) -> float:
    """Return the seconds from the start of a run to its first training step, nothing else running."""
    with watching(project.root / "start", every=0.05) as watch:
        project.run(study, "--jobs", "1", "--outputs", "start", "--only", "5x128_0")
    return watch.seconds_to_first_step("5x128_0")


# --- a large plan ---
def measure_plan(project: Project, complete_run: Path, side: int = SIDE) -> dict[str, float]:
    """Measure the planning of a large study: all of it missing, then all of it complete."""
    study = write_large_study(project, side)
    missing = seconds_of(project.command(study, "--dry-run"))
    plant_runs(load_study(project.root / study), project.outputs("many"), complete_run)
    return {
        "plan_missing": missing,
        "plan_complete": seconds_of(project.command(study, "--dry-run")),
        "plan_memory": int(run_program("peak_memory.py", *project.command(study))) * 1024 / 1e6,
    }


def write_large_study(project: Project, side: int) -> str:
    """Write a study of so many widths times so many seeds; return its file."""
    epochs = NETWORKS["5x128"].epochs  # as many as the history of the run that is planted has
    units = list(range(1, side + 1))
    seeds = list(range(side))
    return project.study(
        f"""
        notebooks: {{run: train.ipynb, summary: null}}
        defaults: {{epochs: {epochs}}}
        grid: [{{name: "g_{{units}}_{{seed}}", units: {units}, seed: {seeds}}}]
        """,
        "many",
    )


def plant_runs(study: Study, outputs: Path, complete_run: Path) -> None:
    """Make every run of a study complete, each with the files of one that is."""
    log = (complete_run / f"{complete_run.name}.ipynb").read_bytes()
    history = (complete_run / "history.csv").read_bytes()
    result = (complete_run / "result.json").read_bytes()
    record = read_json(complete_run / "run.json")
    for name, parameters in study.configurations.items():
        place = outputs / name
        place.mkdir(parents=True)
        files = {f"{name}.ipynb": log, "history.csv": history, "result.json": result}
        hashes = {}
        for file, content in files.items():
            (place / file).write_bytes(content)
            hashes[file] = hash_of(content)
        own = {
            "configuration": name,
            "parameters": parameters,
            "flops": study.flops[name],
            "files": hashes,
        }
        write_json(place / "run.json", record | own)
