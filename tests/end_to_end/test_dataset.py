"""dataset.ipynb: Fashion-MNIST fetched, verified and mended, from whatever source there is."""

from __future__ import annotations

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
import pytest

from project import (
    PATIENCE,
    PLAIN_PAPERMILL,
    ROOT,
    STRANGER,
    Project,
    as_stranger,
    ended_with_the_tests,
    outputs_of,
    read,
)

KEPT = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "datasets" / "fashion-mnist"
CURE = "Set KERAS_HOME to a directory that only you can write."


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keras's cache of the data set, not yet there."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "datasets" / "fashion-mnist"


def fetch(
    place: Path, notebook: Path, out: str = "out.ipynb", prefix: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Start to execute a dataset.ipynb; `prefix` is a command that runs another."""
    command = [*prefix, *ended_with_the_tests(), *PLAIN_PAPERMILL, str(notebook), out]
    return subprocess.Popen(command, cwd=place, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def text_of(log: Path) -> str:
    """Return what an executed notebook shows."""
    return outputs_of(nbformat.read(log, as_version=4))


def test_data_are_fetched_verified_and_mended(cache: Path, tmp_path: Path) -> None:
    notebook = ROOT / "notebooks" / "dataset.ipynb"
    _, errors = fetch(tmp_path, notebook).communicate(timeout=PATIENCE)
    assert text_of(tmp_path / "out.ipynb").count("| yes |") == 4, errors
    content = {path.name: path.read_bytes() for path in cache.iterdir()}
    unpacked = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"}
    assert {name for name in content if not name.endswith(".gz")} == unpacked
    assert len(content) == 4 + len(unpacked)
    images = cache / "train-images-idx3-ubyte.gz"
    damaged = bytearray(content[images.name])
    damaged[len(damaged) // 2] ^= 1
    images.write_bytes(damaged)
    (cache / "train-images-idx3-ubyte").write_bytes(content["train-images-idx3-ubyte"][:1000])
    _, errors = fetch(tmp_path, notebook).communicate(timeout=PATIENCE)
    assert text_of(tmp_path / "out.ipynb").count("already there") == 3, errors
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == content


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
def with_own_sources(tmp_path: Path) -> Iterator[Path]:
    """A dataset.ipynb with a cut download, then a whole one, as its only sources."""
    handler = functools.partial(Handler, directory=str(KEPT))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{server.server_port}"
    text = (ROOT / "notebooks" / "dataset.ipynb").read_text()
    text = text.replace("/usr/share/datasets/fashion-mnist", str(tmp_path / "nowhere"))
    text = text.replace('"apt-get"', '"no-such-program"').replace("apt-get\\", "no-such-program\\")
    text = re.sub(r"https://storage[^\\]*", f"{here}/half", text)
    text = re.sub(r"http://fashion-mnist[^\\]*", f"{here}/whole", text)
    notebook = tmp_path / "dataset.ipynb"
    notebook.write_text(text)
    yield notebook
    server.shutdown()
    server.server_close()


def test_cut_download_is_rejected_and_two_at_once_do_not_disturb(
    with_own_sources: Path, cache: Path, tmp_path: Path
) -> None:
    logs = ("out1.ipynb", "out2.ipynb")
    both = [fetch(tmp_path, with_own_sources, log) for log in logs]
    for process in both:
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
    for log in logs:
        text = text_of(tmp_path / log)
        assert "Zalando's host" in text or "already there" in text
        assert "Keras's host" not in text
    assert len(list(cache.glob("*.gz"))) == 4
    assert len(list(cache.iterdir())) == 6


def test_no_source_is_one_message_with_the_cure(with_own_sources: Path, cache: Path, tmp_path: Path) -> None:
    with_own_sources.write_text(with_own_sources.read_text().replace("/whole", "/half"))
    message = refusal(tmp_path, notebook=with_own_sources)
    for words in (
        "No source has",
        "train-images-idx3-ubyte.gz",
        "install the package",
        "Debian",
        "Keras",
        "Zalando",
    ):
        assert words in message
    assert list(cache.iterdir()) == []


# --- what is verified is what Keras reads ---
@pytest.fixture
def stranger() -> list[str]:
    """A command that runs another as a user without an account."""
    return as_stranger()


@pytest.fixture
def own_place(stranger: list[str]) -> Iterator[Path]:
    """A directory of the user without an account, who cannot enter that of pytest."""
    with tempfile.TemporaryDirectory() as place:
        os.chown(place, STRANGER, STRANGER)
        yield Path(place)


def refusal(
    place: Path, prefix: Sequence[str] = (), notebook: Path = ROOT / "notebooks" / "dataset.ipynb"
) -> str:
    """Execute the code of a dataset.ipynb as a script, which is quicker; return what it ends with."""
    cells = nbformat.read(notebook, as_version=4).cells
    script = place / "dataset.py"
    script.write_text("\n".join(cell.source for cell in cells if cell.cell_type == "code"))
    command = [*prefix, sys.executable, script]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    return re.split(r"^(?=\w+Error: )", done.stderr, flags=re.MULTILINE)[-1]


def test_data_that_cannot_be_written_are_verified(
    stranger: list[str], own_place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = shutil.copytree(KEPT, tmp_path / "others" / "fashion-mnist")
    (own_place / "datasets").symlink_to(tmp_path / "others")  # as a run has it
    monkeypatch.setenv("KERAS_HOME", str(own_place))
    monkeypatch.setenv("HOME", str(own_place))
    notebook = ROOT / "notebooks" / "dataset.ipynb"
    _, errors = fetch(own_place, notebook, prefix=stranger).communicate(timeout=PATIENCE)
    assert text_of(own_place / "out.ipynb").count("already there") == 4, errors

    (cache / "t10k-labels-idx1-ubyte.gz").unlink()
    message = f"{cache} cannot be written and lacks t10k-labels-idx1-ubyte. {CURE}"
    assert message in refusal(own_place, stranger)


def test_data_that_keras_would_not_read_are_refused(
    stranger: list[str], own_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = own_place / "home"
    home.mkdir()  # and not the user's: Keras would look in /tmp
    shutil.copytree(KEPT, home / ".keras" / "datasets" / "fashion-mnist")
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(home))
    message = f"Keras does not read {home / '.keras'}, since it cannot write there. {CURE}"
    assert message in refusal(own_place, stranger)


def test_home_that_cannot_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", "/dev/null/keras")
    assert CURE in refusal(tmp_path)


def test_run_reads_the_data_that_were_verified(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    file = "t10k-labels-idx1-ubyte.gz"
    project.edit("tiny.ipynb", '{"text": text}', '{"read": str(Path(path).resolve())}')
    project.edit(
        "tiny.ipynb",
        "import json, time",
        "import json, keras, time\n"
        f'path = keras.utils.get_file({file!r}, "http://nowhere", cache_subdir="datasets/fashion-mnist")',
    )
    study = project.study(
        "notebooks: {prepare: dataset.ipynb, run: tiny.ipynb, summary: null}\nconfigurations: {a: {steps: 1}}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        private = Path(temporary, f"keras-{os.getuid()}")
        private.mkdir(mode=0o700)
        cache = shutil.copytree(KEPT, private / "datasets" / "fashion-mnist")
        monkeypatch.delenv("KERAS_HOME", raising=False)
        monkeypatch.setenv("TMPDIR", temporary)
        monkeypatch.setenv("HOME", "/dev/null")  # where nothing can be written: Keras would look in /tmp
        project.run(study)
        assert read(project.outputs("mine", "a", "result.json")) == {"read": str(cache / file)}
    assert text_of(project.outputs("mine", "dataset.ipynb")).count("already there") == 4
