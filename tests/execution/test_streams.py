"""Standard output and error that cannot take what is printed: that is lost, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from project import PATIENCE, ROOT, TINY_STUDY, Project, read_run

PRINTING = """
import os, sys
from pathlib import Path
from nbstudy.execution.streams import print_without_failing

print_without_failing()
with Path(sys.argv[1]).open("wb") as file:
    for _ in range(2):
        print("printed ü → ✗", flush=True)
        print("told ü → ✗", file=sys.stderr, flush=True)
    os.system("echo of a child")
"""
LOST = "what is printed there from now on is lost"
NEWS = {"full": "No space left on device", "unread": "Broken pipe"}


@contextmanager
def stream(how: str) -> Iterator[int]:
    """Yield the descriptor of a stream that takes nothing, because it is `full` or `unread`."""
    if how == "full":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, descriptor = os.pipe()
        os.close(reader)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("how", NEWS)
def test_stream_that_takes_nothing_loses_what_is_printed_and_says_so_once(
    tmp_path: Path, how: str, encoding: str
) -> None:
    with stream(how) as descriptor:
        done = subprocess.run(
            [sys.executable, "-c", PRINTING, str(tmp_path / "file")],
            cwd=ROOT,
            env=os.environ | {"PYTHONIOENCODING": encoding},
            stdout=descriptor,
            stderr=subprocess.PIPE,
            check=True,
            timeout=PATIENCE,
        )
    told = "told ü → ✗".encode(encoding, "backslashreplace")
    assert done.stderr.count(told) == 2
    assert done.stderr.count(f"standard output: {NEWS[how]}; {LOST}".encode()) == 1


PATIENT = """
import os
from nbstudy.execution.streams import print_without_failing

os.set_blocking(1, False)
print_without_failing()
for _ in range(3):
    print("x" * 100_000, flush=True)
"""


@pytest.mark.parametrize("is_read", [False, True])
def test_stream_that_does_not_wait_is_waited_for_but_not_forever(is_read: bool) -> None:
    reader, writer = os.pipe()
    command = [sys.executable, "-c", PATIENT]
    with subprocess.Popen(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE) as process:
        os.close(writer)
        read = b""
        if is_read:
            with os.fdopen(reader, "rb") as file:
                read = file.read()
        _, news = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, news
    if is_read:
        assert (len(read), news) == (3 * 100_001, b"")
    else:
        os.close(reader)
        assert news.decode() == f"standard output: Resource temporarily unavailable; {LOST}\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_leave_their_numbers_to_no_file(tmp_path: Path, closed: str) -> None:
    file = tmp_path / "file"
    command = ["sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, "-c", PRINTING, str(file)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE)
    assert file.read_bytes() == b""  # where a child would have printed


def test_runs_go_on_though_nothing_of_them_can_be_printed(project: Project) -> None:
    study = project.study(TINY_STUDY + "  bad: {text: fail}\n")
    project.edit("tiny.ipynb", "asked to fail", "Prüfung → ✗")
    with stream("full") as descriptor:
        done = subprocess.run(
            project.command(study),
            cwd=project.root,
            env=os.environ | {"PYTHONIOENCODING": "ascii"},
            stdout=descriptor,
            stderr=subprocess.PIPE,
            check=False,
            timeout=PATIENCE,
        )
    assert done.returncode == 1
    said = done.stderr.decode()
    assert "Traceback" not in said and "outputs/mine:" not in said
    assert f"standard output: {NEWS['full']}; {LOST}" in said and "1 failed\n  bad: RuntimeError: Pr" in said
    assert read_run(project.attempt("bad"))["error"] == "RuntimeError: Prüfung → ✗"
    for name in ("short", "long"):
        assert read_run(project.outputs("mine", name))["finished"]
