"""What the runner does with runs, seen from the command line and on disk, without TensorFlow."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from conftest import Project

STUDY = """
notebooks: {run: tiny.ipynb}
configurations:
  short: {steps: 2}
  long: {steps: 4}
"""


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def read_run(directory: Path) -> dict:
    """Return what run.json says."""
    return json.loads((directory / "run.json").read_text())


def rows(history: Path) -> int:
    """Return the number of epochs in a history."""
    return len(history.read_text().splitlines()) - 1 if history.exists() else 0


def test_run_leaves_its_log_and_record(project: Project) -> None:
    printed = project.run(project.study(STUDY))
    assert "0 of 2 complete" in printed
    # costliest first
    assert printed.index("long: started") < printed.index("short: started")
    assert "long: 4 epochs, val_loss 0.25" in printed
    place = project.outputs("mine", "short")
    assert {path.name for path in place.iterdir()} == {
        "short.ipynb", "history.csv", "result.json", "run.json",
    }  # fmt: skip
    run = read_run(place)
    assert run["parameters"] == {"steps": 2, "seconds": 0.0, "text": "", "flag": False}
    assert (run["configuration"], run["attempts"], run["error"]) == ("short", 1, None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", run["started"])
    assert list(project.outputs("mine", "incomplete").iterdir()) == []
    log = nbformat.read(place / "short.ipynb", as_version=4)
    nbformat.validate(log)
    assert "steps = 2" in log.cells[1].source
    assert log.metadata.papermill.parameters == run["parameters"]
    assert str(project.root) not in (place / "short.ipynb").read_text()


def test_second_run_starts_nothing(project: Project) -> None:
    study = project.study(STUDY)
    project.run(study)
    before = {path: path.stat().st_mtime_ns for path in project.outputs().glob("*/*/*")}
    printed = project.run(study)
    assert "2 of 2 complete" in printed and "started" not in printed
    assert before == {path: path.stat().st_mtime_ns for path in project.outputs().glob("*/*/*")}


def test_only_what_is_missing_runs_again(project: Project) -> None:
    study = project.study(STUDY)
    project.run(study)
    shutil.rmtree(project.outputs("mine", "short"))
    printed = project.run(study)
    assert re.findall(r"(\w+): started", printed) == ["short"]


def test_only_runs_the_selected(project: Project) -> None:
    study = project.study(STUDY)
    printed = project.run(study, "--only", "sh*")
    assert "0 of 1 complete" in printed and "long" not in printed
    assert "1 of 1 complete" in project.run(study, "--only", "short")


def test_override_has_outputs_of_its_own(project: Project) -> None:
    study = project.study(STUDY)
    project.run(study, "-p", "text", "b", "-p", "steps", "1")
    assert read_run(project.outputs("mine+steps=1+text=b", "long"))["parameters"]["steps"] == 1
    assert not project.outputs("mine").exists()
    recorded = json.loads(project.outputs("mine+steps=1+text=b", "study.json").read_text())
    assert recorded["overrides"] == {"steps": 1, "text": "b"}


def test_outputs_of_another_study_are_refused(project: Project) -> None:
    project.run(project.study(STUDY), "--outputs", "here")
    assert (project.root / "here" / "short" / "run.json").exists()
    other = project.study(STUDY, "other")
    assert "here" in project.run(other, "--outputs", "here", status=2)
    assert "here" in project.run("params/mine.yaml", "--outputs", "here", "-p", "steps", "1", status=2)


def test_failure_is_kept_and_stops_nothing_else(project: Project) -> None:
    study = project.study(STUDY + "  bad: {steps: 9, text: fail}\n")
    printed = project.run(study, "--jobs", "1", status=1)
    log = project.outputs("mine", "incomplete", "bad", "1", "bad.ipynb")
    assert f"bad: RuntimeError: asked to fail ({log.relative_to(project.root)})" in printed
    assert "1 failed" in printed and "short: 2 epochs" in printed
    assert "RuntimeError" in log.read_text()
    assert "unfinished" in project.run(study, "--dry-run")
    project.edit("tiny.ipynb", 'if text == "fail":', "if False:")
    project.run(study)
    assert read_run(project.outputs("mine", "bad"))["attempts"] == 1  # other code: begun anew
    assert not project.outputs("mine", "incomplete", "bad").exists()


def test_extra_run_is_named_and_left_alone(project: Project) -> None:
    study = project.study(STUDY)
    project.run(study)
    place = project.outputs("mine", "short")
    place.rename(project.outputs("mine", "gone"))
    printed = project.run(study)
    assert "extra, not in the study: gone" in printed
    assert read_run(project.outputs("mine", "gone"))["configuration"] == "short"


def test_code_that_only_looks_different_is_the_same(project: Project) -> None:
    study = project.study(STUDY)
    project.run(study)
    project.edit("tiny.ipynb", "import json, time", "# a comment\nimport json,  time")
    project.edit("tiny.ipynb", "steps must be", "the steps must be")
    assert "2 complete" in project.run(study, "--dry-run")
    project.run(study, "--only", "short")
    assert len(json.loads(project.outputs("mine", "study.json").read_text())["code"]) == 2
    project.edit("tiny.ipynb", "flag: bool = False", "another: int = 3\nflag: bool = False")
    assert "2 of 2 complete" in project.run(study)
    project.edit("tiny.ipynb", "1 / step", "2 / step")
    printed = project.run(study, "--dry-run")
    assert "2 stale" in printed and "tiny.ipynb changed" in printed


def test_changed_parameter_makes_stale_and_says_why(project: Project) -> None:
    project.run(project.study(STUDY))
    study = project.study(STUDY.replace("steps: 4", "steps: 4, text: new").replace("steps: 2", "steps: 1"))
    printed = project.run(study, "--dry-run")
    assert re.search(r"short +stale .* steps 2 -> 1, starts over\n", printed)
    assert re.search(r"long +stale .* text  -> new, starts over\n", printed)
    old = read_run(project.outputs("mine", "long"))
    project.run(study)
    assert read_run(project.outputs("mine", "long"))["parameters"]["text"] == "new" != old
    assert rows(project.outputs("mine", "short", "history.csv")) == 1


def test_dry_run_runs_nothing_and_predicts_from_what_ran(project: Project) -> None:
    study = project.study(STUDY)
    assert "no finished run to go by" in project.run(study, "--dry-run")
    assert not project.outputs().exists()
    project.run(study, "--only", "short")
    printed = project.run(study, "--dry-run")
    assert re.search(r"long +missing +0.00 +\d+\.\d", printed)
    assert "1 complete, 1 missing" in printed or "1 missing, 1 complete" in printed


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_ends_kernels_and_the_next_run_goes_on(
    project: Project, sent: signal.Signals, status: int
) -> None:
    study = project.study(STUDY.replace("steps: 4", "steps: 50, seconds: 0.2"))
    process = project.start(study)
    history = project.outputs("mine", "incomplete", "long", "1", "history.csv")
    wait_for(lambda: rows(history) >= 3)
    process.send_signal(sent)
    printed, _ = process.communicate(timeout=10)
    assert process.returncode == status
    assert "The same command goes on from here" in printed
    trained = rows(history)
    time.sleep(1)
    assert rows(history) == trained  # no kernel is left
    assert "interrupted at epoch" in project.run(study, "--dry-run")
    project.run(study)
    assert read_run(project.outputs("mine", "long"))["attempts"] == 2


def test_second_runner_is_refused_and_a_dead_one_holds_nobody(project: Project) -> None:
    study = project.study(STUDY.replace("steps: 4", "steps: 50, seconds: 0.2"))
    process = project.start(study)
    wait_for(lambda: rows(project.outputs("mine", "incomplete", "long", "1", "history.csv")))
    for arguments, status in (((), 2), (("--dry-run",), 0)):
        printed = project.run(study, *arguments, status=status)
        assert f"process {process.pid} is running this study" in printed
    process.kill()
    process.communicate()
    assert "of 1 complete" in project.run(study, "--only", "short")


@pytest.mark.parametrize("cut", ["before", "between", "after"])
def test_promotion_cut_short_is_finished(project: Project, cut: str) -> None:
    study = project.study(STUDY)
    project.run(study)
    place = project.outputs("mine", "short")
    home = project.outputs("mine", "incomplete", "short")
    home.mkdir()
    # the runner was killed while it replaced `place` by the successful attempt 2
    if cut in ("before", "between"):
        shutil.copytree(place, home / "2")
        run = read_run(home / "2") | {"attempts": 7}
        (home / "2" / "run.json").write_text(json.dumps(run))
    if cut == "between":
        place.rename(home / "replaced")
    if cut == "before":
        shutil.rmtree(place)
    if cut == "after":
        shutil.copytree(place, home / "replaced")
    printed = project.run(study)
    assert "2 of 2 complete" in printed and "started" not in printed
    assert read_run(place)["attempts"] == (1 if cut == "after" else 7)
    assert not home.exists()


def test_paths_with_odd_characters_work(project: Project) -> None:
    odd = project.root / "a {b} 'c' é"
    odd.mkdir()
    moved = Project(odd)
    moved.run(moved.study(STUDY))
    assert moved.outputs("mine", "short", "run.json").exists()


def test_strings_reach_the_notebook_as_they_are(project: Project) -> None:
    text = "quote \" and ' and \\ {brace} # hash\nnew line é 漢 \U0001f600"
    study = project.study(
        "notebooks: {run: tiny.ipynb}\nconfigurations:\n  a: {text: "
        + json.dumps(text, ensure_ascii=False)
        + "}\n"
    )
    project.run(study)
    assert json.loads(project.outputs("mine", "a", "result.json").read_text()) == {"text": text}


def test_kernels_use_private_sockets_and_leave_none(project: Project, tmp_path: Path) -> None:
    project.edit(
        "tiny.ipynb",
        "rows = [",
        "from ipykernel import get_connection_file\n"
        "connection = Path(get_connection_file())\n"
        "text = ' '.join([json.loads(connection.read_text())['transport'],"
        " oct(connection.parent.stat().st_mode)[-3:]])\nrows = [",
    )
    temporary = tmp_path / "t"
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)
    try:
        project.run(project.study(STUDY))
    finally:
        del os.environ["TMPDIR"]
    result = json.loads(project.outputs("mine", "short", "result.json").read_text())
    assert result == {"text": "ipc 700"}
    assert list(temporary.iterdir()) == []


# --- shares of the machine ---
TOGETHER = """
notebooks: {run: tiny.ipynb}
defaults: {steps: 1}
configurations: {a: , b: , c: }
"""


def meet_and_tell(project: Project, expression: str, runs: int) -> None:
    """Let runs wait for each other, then write what an expression gives in them into result.json."""
    meeting = project.root / "meeting"
    meeting.mkdir()
    project.edit(
        "tiny.ipynb",
        'Path("result.json").write_text(json.dumps({"text": text}))',
        f"import os\nmeeting = Path({str(meeting)!r})\n"
        "(meeting / Path.cwd().parent.name).touch()\n"
        f"while len(list(meeting.iterdir())) < {runs}:\n    time.sleep(0.05)\n"
        f'Path("result.json").write_text(json.dumps({expression}))',
    )


def results(project: Project, names: str) -> list:
    """Return what result.json says in runs with names of one letter."""
    return [json.loads(project.outputs("mine", name, "result.json").read_text()) for name in names]


def test_each_run_has_a_gpu_of_its_own(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf 'GPU-aa\\nGPU-bb\\nGPU-cc\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    told = "[os.environ['CUDA_VISIBLE_DEVICES'], os.environ['TF_FORCE_GPU_ALLOW_GROWTH']]"
    meet_and_tell(project, told, runs=3)
    study = project.study(TOGETHER)
    assert "3 at a time" in project.run(study, "--dry-run")
    project.run(study)
    assert sorted(results(project, "abc")) == [[f"GPU-{name}", "true"] for name in ("aa", "bb", "cc")]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert "2 at a time" in project.run(study, "--dry-run")


@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: [0])(0)) < 2, reason="needs two cores")
def test_each_run_has_cores_of_its_own(project: Project) -> None:
    meet_and_tell(project, "[sorted(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS']]", runs=2)
    allowed = sorted(os.sched_getaffinity(0))
    project.run(project.study(TOGETHER), "--only", "[ab]", "--jobs", "2")
    (one, threads), (other, _) = results(project, "ab")
    assert len(one) == len(other) == int(threads) == len(allowed) // 2
    assert not set(one) & set(other)
    project.run("params/mine.yaml", "--only", "c", "--jobs", "1")
    assert results(project, "c") == [[allowed, str(len(allowed))]]


def test_runs_at_a_time_are_fewer_where_memory_is_short(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    cores = len(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0))
    study = project.study(TOGETHER)
    assert f" {cores} at a time" in project.run(study, "--dry-run")
    (tmp_path / "sitecustomize.py").write_text(
        "import psutil, types\n"
        "psutil.virtual_memory = lambda: types.SimpleNamespace(available=1.5e9)  # one run fits\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert " 1 at a time" in project.run(study, "--dry-run")
    assert " 3 at a time" in project.run(study, "--dry-run", "--jobs", "3")


def test_prediction_stands_beside_the_measured_time(project: Project) -> None:
    study = project.study(STUDY + "  other: {steps: 3}\n")
    printed = project.run(study, "--only", "short", "--only", "long")
    assert re.search(r"2 runs took \d+\.\d minutes; predicted: no finished run to go by", printed)
    printed = project.run(study)
    assert re.search(r"other: 3 epochs.*, \d+\.\d minutes \(\d+\.\d predicted\)\n", printed), printed
    assert re.search(r"1 runs took \d+\.\d minutes; predicted: about \d+\.\d minutes", printed)
    # another study of the same template goes by these; one that costs a hundred times as much does not
    assert "about" in project.run(project.study(STUDY, "second"), "--dry-run")
    costly = project.study(STUDY.replace("steps: 4", "steps: 4000"), "third")
    assert "no finished run to go by" in project.run(costly, "--dry-run")


def test_run_killed_after_its_last_epoch_is_finished_beside_others(project: Project) -> None:
    study = project.study(STUDY + "  other: {steps: 3}\n")
    project.run(study)
    shutil.rmtree(project.outputs("mine", "other"))
    killed = project.outputs("mine", "incomplete", "short", "1")
    killed.parent.mkdir(parents=True)
    project.outputs("mine", "short").rename(killed)
    with zipfile.ZipFile(killed / "model.keras", "w") as checkpoint:  # tiny.ipynb writes none
        checkpoint.writestr("weights", b"")
    (killed / "run.json").write_text(json.dumps(read_run(killed) | {"finished": False, "files": {}}))
    printed = project.run(study)
    assert "short: goes on (interrupted at epoch 2)" in printed and "other: started\n" in printed
    assert "short: 2 epochs" in printed and "3 of 3 complete" in project.run(study)


def test_ten_thousand_configurations_are_planned_and_counted(project: Project) -> None:
    study = project.study(
        "notebooks: {run: tiny.ipynb}\ngrid:\n"
        f"  - {{name: 'g_{{steps}}_{{seconds}}', steps: {list(range(1, 101))}, seconds: {list(range(100))}}}\n"
    )
    printed = project.run(study, "--dry-run")
    assert "10000 missing" in printed and len(printed.splitlines()) == 2
    printed = project.run(study, "--only", "g_1_0", "--only", "g_2_0")
    assert "0 of 2 complete" in printed
    assert "2 complete, 9998 missing" in project.run(study, "--dry-run")
