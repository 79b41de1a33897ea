"""Kills, faults and damage: what was trained is kept, and what the runner says is true."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import psutil
import pytest
from conftest import ROOT, Project
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from test_runner import STUDY, read_run, rows, wait_for
from test_training import NETWORK, outputs_of

from study import StudyError, load_study

EPOCHS = 40  # long enough for all the kills, each after an epoch or more
KILLS = 5  # of four runs at once, two with dropout and two without


def kill_all(process: subprocess.Popen[str]) -> None:
    """Kill a runner and its kernels at the same instant."""
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.suspend()
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()


def sockets_of(kernel: psutil.Process) -> Path:
    """Return the directory of a kernel's sockets."""
    arguments = kernel.cmdline()
    return Path(arguments[arguments.index("-f") + 1]).parent


def newest(project: Project, name: str) -> Path:
    """Return the directory of the newest attempt."""
    attempts = project.outputs("mine", "incomplete", name).glob("[0-9]*")
    return max(attempts, key=lambda path: int(path.name), default=project.outputs("nowhere"))


def state_of(model: Path) -> bytes:
    """Return what a saved model holds of the training: weights and the optimizer's state."""
    with zipfile.ZipFile(model) as archive:
        return archive.read("model.weights.h5")


def test_runs_killed_at_random_instants_equal_uninterrupted_ones(project: Project) -> None:
    # a checkpoint every epoch instead of every 30 seconds, and a count of the epochs trained
    project.edit("train.ipynb", "self.saved >= 30", "self.saved >= 0")
    count = project.root / "trained.txt"
    project.edit(
        "train.ipynb",
        "        history.append(",
        f"        with open({str(count)!r}, 'a') as file:\n"
        "            file.write(f'{Path.cwd().parent.name}\\n')\n"
        "        history.append(",
    )
    names = ["plain_0", "plain_1", "dropout_0", "dropout_1"]
    study = project.study(
        "notebooks: {run: train.ipynb}\n"
        f"defaults: {{hidden_layers: 1, units: 4, epochs: {EPOCHS}}}\ngrid:\n"
        "  - {name: 'plain_{seed}', seed: [0, 1]}\n"
        "  - {name: 'dropout_{seed}', seed: [0, 1], dropout: 0.3}\n"
    )
    chance = random.Random(1)
    for kill in range(1, KILLS + 1):
        before = {name: rows(newest(project, name) / "history.csv") for name in names}
        process = project.start(study, "--jobs", "4")
        wait_for(lambda kill=kill: all(newest(project, name).name == str(kill) for name in names))
        wait_for(
            lambda before=before: all(
                rows(newest(project, name) / "history.csv") > before[name] for name in names
            )
        )
        time.sleep(chance.uniform(0, 1))
        kill_all(process)
    assert project.run(study, "--dry-run").count("interrupted at epoch") == len(names)
    project.run(study)
    trained = count.read_text().split()
    project.run(study, "--outputs", "uninterrupted")
    for name in names:
        place, uninterrupted = project.outputs("mine", name), project.root / "uninterrupted" / name
        assert (place / "history.csv").read_bytes() == (uninterrupted / "history.csv").read_bytes()
        assert state_of(place / "model.keras") == state_of(uninterrupted / "model.keras")
        assert read_run(place)["attempts"] == KILLS + 1
        assert EPOCHS <= trained.count(name) <= EPOCHS + KILLS  # an epoch a kill again, at most


def test_kernels_of_a_killed_runner_end(project: Project) -> None:
    study = project.study(STUDY.replace("steps: 4", "steps: 500, seconds: 0.2"))
    process = project.start(study, "--only", "long")
    history = project.outputs("mine", "incomplete", "long", "1", "history.csv")
    wait_for(lambda: rows(history) >= 2)
    kernels = psutil.Process(process.pid).children(recursive=True)
    sockets = {sockets_of(kernel) for kernel in kernels}
    process.kill()
    process.wait()
    assert psutil.wait_procs(kernels, timeout=15)[1] == []
    assert all(place.exists() for place in sockets)
    project.run(study, "--only", "short")
    assert not any(place.exists() for place in sockets)


def test_interrupt_while_kernels_start_is_heard(project: Project) -> None:
    process = project.start(project.study(STUDY))
    wait_for(lambda: newest(project, "long").exists())
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=10)
    assert process.returncode == 130 and "Traceback" not in printed


FAULTS = {
    "die": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "DeadKernelError"),
    "leave": ("import os; os._exit(0)", "DeadKernelError"),
    "memory": ("x = bytearray(2**62)", "MemoryError"),
    "late": ("time.sleep(1000)", "TimeoutError: took longer than 0.2 minutes"),
}


def test_faults_are_kept_and_named_and_the_others_go_on(project: Project) -> None:
    project.edit("tiny.ipynb", 'if text == "fail":\n    raise RuntimeError("asked to fail")', "exec(text)")
    bad = "".join(f"  {name}: {{text: {json.dumps(code)}}}\n" for name, (code, _) in FAULTS.items())
    printed = project.run(project.study(STUDY + bad), "--timeout", "0.2", status=1)
    assert "short: 2 epochs" in printed and "long: 4 epochs" in printed
    assert f"{len(FAULTS)} failed" in printed
    for name, (_, error) in FAULTS.items():
        log = project.outputs("mine", "incomplete", name, "1", f"{name}.ipynb")
        assert re.search(rf"  {name}: {error}.*\({log.relative_to(project.root)}\)", printed), printed
        nbformat.validate(nbformat.read(log, as_version=4))
        assert error in read_run(log.parent)["error"]


@pytest.mark.parametrize(("failures", "status"), [(2, 0), (3, 1)])
def test_kernel_that_does_not_start_is_tried_three_times(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, status: int
) -> None:
    spec = tmp_path / "jupyter" / "kernels" / "flaky"
    spec.mkdir(parents=True)
    script = tmp_path / "flaky.sh"
    script.write_text(
        f'echo start >> {tmp_path}/starts\n[ "$(wc -l < {tmp_path}/starts)" -le {failures} ] && exit 1\n'
        f'exec {sys.executable} -m ipykernel_launcher -f "$1"\n'
    )
    kernel = {"argv": ["sh", str(script), "{connection_file}"], "display_name": "x", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(kernel))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    path = project.root / "notebooks" / "tiny.ipynb"
    path.write_text(path.read_text().replace('"name": "python3"', '"name": "flaky"'))
    printed = project.run(project.study(STUDY), "--only", "short", status=status)
    assert ("short: 2 epochs" in printed) == (status == 0)
    assert (tmp_path / "starts").read_text().count("start") == 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes; only root can make one."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_full_disk_fails_the_run_and_keeps_the_others(project: Project, small_disk: Path) -> None:
    project.edit("tiny.ipynb", 'raise RuntimeError("asked to fail")', 'Path("big").write_bytes(bytes(2**22))')
    study = project.study(STUDY + "  bad: {steps: 9, text: fail}\n")
    arguments = (study, "--outputs", str(small_disk / "here"), "--jobs", "1")
    printed = project.run(*arguments, status=1)
    assert "bad: " in printed and "No space left on device" in printed and "Traceback" not in printed
    shutil.rmtree(small_disk / "here" / "incomplete" / "bad")
    project.edit("tiny.ipynb", "2**22", "2**10")
    assert "bad: 9 epochs" in project.run(*arguments)


def test_read_only_outputs_are_said(project: Project, small_disk: Path) -> None:
    study = project.study(STUDY)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    printed = project.run(study, "--outputs", str(small_disk / "here"), status=1)
    assert "Read-only file system" in printed and "Traceback" not in printed


def test_divergence_ends_the_run_early_and_is_said_everywhere(project: Project) -> None:
    study = project.study(
        "notebooks: {run: train.ipynb, summary: summary.ipynb}\n"
        f"configurations: {{wild: {{{NETWORK}, l2: 1.0e+38, epochs: 50}}}}"
    )
    printed = project.run(study)
    found = re.search(r"wild: (\d) epochs.*diverged at epoch \1, ", printed)
    assert found, printed
    place = project.outputs("mine", "wild")
    assert json.loads((place / "result.json").read_text())["diverged"] == int(found[1])
    assert "no longer finite at epoch" in outputs_of(nbformat.read(place / "wild.ipynb", as_version=4))
    summary = nbformat.read(project.outputs("mine", "summary.ipynb"), as_version=4)
    assert f"no longer finite at epoch {found[1]}" in outputs_of(summary)
    assert "1 of 1 complete" in project.run(study)


DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "garbled": lambda content: bytes(255 - byte for byte in content),
}


def inflict(path: Path, damage: str) -> None:
    """Damage a file."""
    path.write_bytes(DAMAGES[damage](path.read_bytes()))


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_in_complete_runs_is_noticed_and_mended(project: Project, damage: str) -> None:
    files = ["run.json", "result.json", "history.csv", "log"]
    text = "notebooks: {run: tiny.ipynb}\nconfigurations: {"
    study = project.study(text + ", ".join(f"{file}_: {{steps: 2}}" for file in files) + "}")
    project.run(study)
    intact = project.outputs("mine", "log_", "history.csv").read_bytes()
    for file in files:
        place = project.outputs("mine", f"{file}_")
        inflict(place / (file if file != "log" else "log_.ipynb"), damage)
    inflict(project.outputs("mine", "study.json"), damage)
    printed = project.run(study, "--dry-run")
    assert printed.count("is damaged") == 5 and "4 stale" in printed, printed  # with study.json
    printed = project.run(study)
    assert printed.count("started") == 4 and "Traceback" not in printed
    assert "study.json is damaged" in printed
    assert "4 of 4 complete" in project.run(study)
    for file in files:
        assert project.outputs("mine", f"{file}_", "history.csv").read_bytes() == intact
    assert len(json.loads(project.outputs("mine", "study.json").read_text())["configurations"]) == 4


def test_log_that_was_saved_again_is_no_damage(project: Project) -> None:
    study = project.study(STUDY)
    project.run(study)
    log = project.outputs("mine", "short", "short.ipynb")
    log.write_text(json.dumps(json.loads(log.read_text())))
    assert "2 of 2 complete" in project.run(study)


def test_damage_in_attempts_is_mended(project: Project) -> None:
    files = ["run.json", "history.csv", "result.json", "log", "model.keras"]
    lines = ", ".join(f"{file}_: {{steps: 2}}" for file in files)
    study = project.study(f"notebooks: {{run: tiny.ipynb}}\nconfigurations: {{{lines}}}")
    project.run(study)
    intact = project.outputs("mine", "log_", "history.csv").read_bytes()
    for file in files:
        place, home = project.outputs("mine", f"{file}_"), project.outputs("mine", "incomplete", f"{file}_")
        for attempt in ("1", "2"):  # the later one is damaged
            shutil.copytree(place, home / attempt)
            run = read_run(place) | {"finished": False}
            (home / attempt / "run.json").write_text(json.dumps(run))
        shutil.rmtree(place)
        (home / "2" / (file if file != "log" else "log_.ipynb")).write_bytes(b"\x00 garbled")
        (home / "odd").mkdir()
    assert "Traceback" not in project.run(study, "--dry-run")
    printed = project.run(study)
    assert printed.count(": 2 epochs") == len(files) and "Traceback" not in printed
    for file in files:
        assert project.outputs("mine", f"{file}_", "history.csv").read_bytes() == intact


def test_damaged_or_missing_checkpoint_starts_over_and_says_so(project: Project) -> None:
    def study(epochs: int) -> str:
        names = ("removed", "truncated", "unsafe")
        lines = "".join(f"  {name}: {{{NETWORK}, epochs: {epochs}}}\n" for name in names)
        return project.study(f"notebooks: {{run: train.ipynb}}\nconfigurations:\n{lines}")

    project.run(study(1))
    first = project.outputs("mine", "removed", "history.csv").read_bytes()
    project.outputs("mine", "removed", "model.keras").unlink()
    inflict(project.outputs("mine", "truncated", "model.keras"), "truncated")
    unsafe = project.outputs("mine", "unsafe", "model.keras")
    code = (
        "import keras\n"
        "def harm(x):\n    open('harm', 'w').close()\n    return x\n"
        "model = keras.Sequential([keras.Input((784,)), keras.layers.Lambda(lambda x: harm(x))])\n"
        f"model.compile('rmsprop')\nmodel.save({str(unsafe)!r})\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=project.root, check=True, capture_output=True)
    (project.root / "harm").unlink(missing_ok=True)
    printed = project.run(study(2), "--dry-run")
    assert re.search("removed .*epochs 1 -> 2, starts over: model.keras is not here", printed)
    assert re.search("truncated .*epochs 1 -> 2, starts over: model.keras is damaged", printed)
    project.run(study(2))
    for name in ("removed", "truncated", "unsafe"):
        place = project.outputs("mine", name)
        assert (place / "history.csv").read_bytes().startswith(first)
        assert rows(place / "history.csv") == 2
        text = outputs_of(nbformat.read(place / f"{name}.ipynb", as_version=4))
        assert "Trained 2 epochs here" in text
        assert ("The checkpoint is damaged" in text) == (name != "removed")
    assert not list(project.root.rglob("harm"))


def test_directory_that_is_no_run_is_left_alone(project: Project) -> None:
    study = project.study(STUDY)
    place = project.outputs("mine", "short")
    place.mkdir(parents=True)
    (place / "thesis.txt").write_text("years of work")
    assert "short: is in the way" in project.run(study, status=2)
    assert [path.name for path in place.iterdir()] == ["thesis.txt"]
    assert "long: 4 epochs" in project.run(study, "--only", "long")
    other = project.outputs("mine", "photos")
    other.mkdir()
    project.run(study, "--only", "long")
    assert other.exists()


def test_accept_takes_changed_code_as_current_and_records_it(project: Project) -> None:
    study = project.study(STUDY)
    project.run(study)
    was = read_run(project.outputs("mine", "short"))["code"]
    project.edit("tiny.ipynb", "1 / step", "1 / (step + 0)")
    changed = project.study(STUDY.replace("steps: 4", "steps: 3"))
    assert "2 stale" in project.run(changed, "--dry-run")
    printed = project.run(changed, "--accept")
    assert re.findall(r"(\w+): started", printed) == ["long"]
    run = read_run(project.outputs("mine", "short"))
    assert run["accepted"] == [was] and run["code"] != was
    assert "2 of 2 complete" in project.run(changed)


def test_attempts_beyond_the_last_two_are_removed(project: Project) -> None:
    study = project.study(STUDY + "  bad: {text: fail}\n")
    for _ in range(3):
        project.run(study, "--only", "bad", status=1)
    kept = {path.name for path in project.outputs("mine", "incomplete", "bad").iterdir()}
    assert kept == {"2", "3"}


# --- the dataset ---
class Handler(http.server.SimpleHTTPRequestHandler):
    """Serve whole files under whole/, and half of them under half/, as a cut connection does."""

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.replace("/half/", "/").replace("/whole/", "/"))

    def copyfile(self, source: object, outputfile: object) -> None:
        content = source.read()
        outputfile.write(content[: len(content) // 2] if "/half/" in self.path else content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[list[str]]:
    """A command that runs dataset.ipynb with a cut download, then a whole one, as its only sources."""
    cache = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "datasets" / "fashion-mnist"
    handler = functools.partial(Handler, directory=str(cache))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    text = (ROOT / "notebooks" / "dataset.ipynb").read_text()
    text = text.replace("/usr/share/datasets/fashion-mnist", str(tmp_path / "nowhere"))
    text = text.replace('"apt-get"', '"no-such-program"').replace("apt-get\\", "no-such-program\\")
    here = f"http://127.0.0.1:{server.server_port}"
    text = re.sub(r"https://storage[^\\]*", f"{here}/half", text)
    text = re.sub(r"http://fashion-mnist[^\\]*", f"{here}/whole", text)
    (tmp_path / "dataset.ipynb").write_text(text)
    yield [sys.executable, "-m", "papermill", "dataset.ipynb", "out.ipynb", "--no-progress-bar"]
    server.shutdown()
    server.server_close()


def test_cut_download_is_rejected_and_two_at_once_do_not_disturb(dataset: list[str], tmp_path: Path) -> None:
    environment = os.environ | {"KERAS_HOME": str(tmp_path / "keras")}
    commands = [[*dataset[:4], f"out{number}.ipynb", dataset[5]] for number in (1, 2)]
    both = [subprocess.Popen(command, cwd=tmp_path, env=environment) for command in commands]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    text = outputs_of(nbformat.read(tmp_path / "out1.ipynb", as_version=4))
    assert "Zalando's host" in text or "already there" in text
    cache = tmp_path / "keras" / "datasets" / "fashion-mnist"
    assert len(list(cache.iterdir())) == 4


def test_no_source_is_one_message_with_the_cure(dataset: list[str], tmp_path: Path) -> None:
    path = tmp_path / "dataset.ipynb"
    path.write_text(path.read_text().replace("/whole", "/half"))
    environment = os.environ | {"KERAS_HOME": str(tmp_path / "keras")}
    done = subprocess.run(dataset, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    message = done.stderr[done.stderr.rindex("No source has") :]
    for words in ("train-images-idx3-ubyte.gz", "install the package", "Debian", "Keras", "Zalando"):
        assert words in message
    assert list((tmp_path / "keras" / "datasets" / "fashion-mnist").iterdir()) == []


# --- study files ---
KEYS = ["notebooks", "defaults", "configurations", "grid", "rounds", "final", "run", "name", "extends"]
KEYS += [
    "units",
    "l2",
    "epochs",
    "candidates",
    "metric",
    "title",
    "originally_dropped",
    "a",
    "b",
    "precision",
]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.sampled_from([*KEYS, "train.ipynb"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5) | st.integers(), inner, max_size=5)
    ),
    max_leaves=20,
)
REAL = [path.read_text() for path in (ROOT / "params").glob("*.yaml")]
FEW = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def check(path: Path) -> None:
    """Load a study; any error but a StudyError that names the file fails the test."""
    try:
        load_study(path)
    except StudyError as error:
        assert path.name in error.message


@FEW
@given(document=st.dictionaries(st.sampled_from(KEYS[:6]), VALUES) | VALUES)
def test_any_document_loads_or_is_refused(tmp_path: Path, document: object) -> None:
    path = tmp_path / "any.yaml"
    if isinstance(document, dict):
        document = {"notebooks": {"run": "train.ipynb"}} | document
    with path.open("w", encoding="utf-8", errors="surrogatepass") as file:
        YAML(typ="safe", pure=True).dump(document, file)
    check(path)


@FEW
@given(
    text=st.sampled_from(REAL), start=st.floats(0, 1), length=st.integers(0, 40),
    new=st.text(max_size=8) | st.sampled_from(["{", "}", "[", "]", ": ", "- ", "&a ", "*a", "!!set ", "\n", "'", "~", "-1", "0x" + "f" * 9000]),
)  # fmt: skip
def test_any_mutation_of_a_real_study_loads_or_is_refused(
    tmp_path: Path, text: str, start: float, length: int, new: str
) -> None:
    at = int(start * len(text))
    path = tmp_path / "mutated.yaml"
    path.write_bytes((text[:at] + new + text[at + length :]).encode("utf-8", "surrogatepass"))
    check(path)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(20)),
        "configurations: {a: &a {units: *a}}",
        "[" * 5000,
        "x" * 2_000_000,
        "final: !!python/object/apply:os.system ['true']",
        "configurations: {a: {units: 0x" + "f" * 9000 + "}}",
        'configurations: {a: {precision: "\\ud800"}}',
    ],
    ids=["laughs", "recursive", "deep", "large", "tag", "digits", "surrogate"],
)  # fmt: skip
def test_hostile_study_is_refused_in_bounds(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hostile.yaml"
    head = "notebooks: {run: train.ipynb}\n" if text.startswith(("conf", "final")) else ""
    path.write_text(head + text)
    with pytest.raises(StudyError) as refusal:
        load_study(path)
    assert "hostile.yaml" in refusal.value.message and len(refusal.value.message) < 1000


def test_sockets_and_temporary_files_lie_where_only_the_user_can_enter(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.edit("tiny.ipynb", "rows = [", "import tempfile\ntempfile.mkstemp()\nrows = [")
    study = project.study(STUDY.replace("steps: 4", "steps: 500, seconds: 0.2"))
    with tempfile.TemporaryDirectory() as temporary:  # a short path, as sockets need
        monkeypatch.setenv("TMPDIR", temporary)
        process = project.start(study, "--only", "long")
        wait_for(lambda: rows(project.outputs("mine", "incomplete", "long", "1", "history.csv")))
        (kernel,) = psutil.Process(process.pid).children()
        place = sockets_of(kernel)
        assert place.parent == Path(temporary)
        assert stat.S_IMODE(place.stat().st_mode) & 0o777 == 0o700
        assert sum(path.is_socket() for path in place.iterdir()) == 5  # all of a kernel's channels
        assert any(path.name.startswith("tmp") for path in place.iterdir())
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)
        project.run(study, "--only", "short")
        assert list(Path(temporary).iterdir()) == []
