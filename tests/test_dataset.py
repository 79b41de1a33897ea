"""dataset.ipynb: Fashion-MNIST fetched, verified and mended, from whatever source there is."""

from __future__ import annotations

import functools
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from project import PATIENCE, ROOT, outputs_of


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keras's cache of the data set, not yet there."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "datasets" / "fashion-mnist"


def fetch(place: Path, notebook: Path, out: str = "out.ipynb") -> subprocess.Popen[str]:
    """Start to execute a dataset.ipynb."""
    command = [sys.executable, "-m", "papermill", str(notebook), out, "--no-progress-bar"]
    return subprocess.Popen(command, cwd=place, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def text_of(log: Path) -> str:
    """Return what an executed notebook shows."""
    return outputs_of(nbformat.read(log, as_version=4))


def test_data_are_fetched_verified_and_mended(cache: Path, tmp_path: Path) -> None:
    notebook = ROOT / "notebooks" / "dataset.ipynb"
    _, errors = fetch(tmp_path, notebook).communicate(timeout=PATIENCE)
    assert text_of(tmp_path / "out.ipynb").count("| yes |") == 4, errors
    content = {path.name: path.read_bytes() for path in cache.iterdir()}
    assert len(content) == 4
    images = cache / "train-images-idx3-ubyte.gz"
    damaged = bytearray(content[images.name])
    damaged[len(damaged) // 2] ^= 1
    images.write_bytes(damaged)
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
    kept = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "datasets" / "fashion-mnist"
    handler = functools.partial(Handler, directory=str(kept))
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


# with_own_sources comes before cache: it serves the files of the cache that is there before the test
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
    assert len(list(cache.iterdir())) == 4


def test_no_source_is_one_message_with_the_cure(with_own_sources: Path, cache: Path, tmp_path: Path) -> None:
    with_own_sources.write_text(with_own_sources.read_text().replace("/whole", "/half"))
    process = fetch(tmp_path, with_own_sources)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    message = errors[errors.rindex("No source has") :]
    for words in ("train-images-idx3-ubyte.gz", "install the package", "Debian", "Keras", "Zalando"):
        assert words in message
    assert list(cache.iterdir()) == []
