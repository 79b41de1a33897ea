"""The notebooks as a person opens them: a real JupyterLab in a real browser."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook
from playwright.sync_api import Browser, Page, TimeoutError

from browsers import needs_chromium, opened_chromium
from planted import Planted, flat
from project import ROOT, SUMMARY, ended_with_the_tests, wait_for

pytestmark = needs_chromium

STUDY = """
notebooks: {run: train.ipynb}
defaults: {epochs: 20}
configurations: {small: {units: 16}, large: {units: 32}, again: {units: 16, seed: 1}, deep: {hidden_layers: 9}}
rounds:
  - {title: Width, candidates: [small, large], originally_dropped: [large]}
  - {title: Depth, candidates: [small, deep]}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab with the notebooks and a planted study, and its settings at first start."""
    root = tmp_path_factory.mktemp("lab")
    study = Planted(root, STUDY, "fashion_mnist")
    for name, end in [("small", 0.3), ("large", 0.4), ("again", 0.31)]:
        log = study.run(name, flat(end)) / f"{name}.ipynb"
        nbformat.write(new_notebook(cells=[new_markdown_cell(f"# The log of {name}")]), log)
    study.run("deep", [0.4] * 5, attempt=1)
    shutil.copy(SUMMARY, study.outputs)
    shorten(root / "notebooks" / "train.ipynb")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}  # the summary imports nbstudy from here
    for name in ("_CONFIG", "_DATA", "LAB_SETTINGS", "LAB_WORKSPACES"):
        environment[f"JUPYTER{name}_DIR"] = str(root / name)
    command = [
        *ended_with_the_tests(),
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--IdentityProvider.token=",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={root}",
    ]
    with (root / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log)
    try:
        wait_for(lambda: answers(f"{address}/api"))
        yield address
    finally:
        server.terminate()
        server.wait()


def shorten(train: Path) -> None:
    """Make the template's defaults small, as 128 units for 200 epochs would take minutes, and its epochs visible."""
    epoch_begins = "def on_epoch_begin(self, epoch, logs=None):\n"
    replacements = {
        "epochs: int = 200": "epochs: int = 2",
        "units: int = 128": "units: int = 8",
        epoch_begins: f"{epoch_begins}        time.sleep(3)\n",  # which the browser has to see
    }
    notebook = nbformat.read(train, as_version=4)
    for long, short in replacements.items():
        (cell,) = [cell for cell in notebook.cells if long in cell.source]
        cell.source = cell.source.replace(long, short)
    nbformat.write(notebook, train)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def answers(address: str) -> bool:
    """Tell whether a server answers."""
    try:
        return urllib.request.urlopen(address, timeout=5).status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser."""
    with opened_chromium() as chromium:
        yield chromium


@pytest.fixture
def browser(lab: str, chromium: Browser) -> Iterator[Page]:
    """A page of a browser at the size of a laptop's screen, in which nobody has been before."""
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(60_000)
    yield page
    page.close()


def run_all(page: Page, lab: str, notebook: str, *texts: str) -> None:
    """Open a notebook in its place and run all its cells from the menu once its kernel is idle.

    Wait until an output shows the first text, then the next one, until the kernel is idle again.
    """
    page.goto(f"{lab}/lab/tree/{notebook}?reset")  # nothing else is open
    idle = page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']")
    idle.wait_for()
    page.get_by_text("| Idle").wait_for()  # the status bar says so later, and means it
    for _ in range(3):  # as a person would who sees that nothing happens
        page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
        page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
        with suppress(TimeoutError):
            page.locator(".jp-OutputArea-output").first.wait_for(timeout=20_000)
            break
    # the prompts of folded cells do not show that they are done, the last output does
    for text in texts:
        page.locator(".jp-OutputArea-output", has_text=text).first.wait_for()
    idle.wait_for()


def errors(page: Page) -> list[str]:
    """Return what cells said on the standard error stream, and the errors they ended with."""
    return (
        page.locator("[data-mime-type='application/vnd.jupyter.stderr']").all_inner_texts()
        + page.locator("[data-mime-type='application/vnd.jupyter.error']").all_inner_texts()
    )


def test_summary_runs_and_leads_to_the_logs(lab: str, browser: Page) -> None:
    run_all(browser, lab, "outputs/fashion_mnist/summary.ipynb", "What the original could not see")
    assert errors(browser) == []
    browser.locator(".jp-OutputArea-output .vega-embed").wait_for()  # the first screen, live
    figures = browser.locator(".jp-OutputArea-output img")
    assert figures.count() == 2  # all rounds, the factors
    for figure in figures.all():
        assert figure.evaluate("image => image.complete && image.naturalWidth > 300")
    browser.locator("li[data-id='table-of-contents']").click()
    browser.locator(".jp-tocItem-content").first.wait_for()
    contents = browser.locator(".jp-tocItem-content").all_inner_texts()
    assert [title.strip() for title in contents] == [
        "Which configuration is best?",
        "What to do next",
        "Why this one",
        "All configurations",
        "Elimination",
        "The factors",
        "What the criterion hides",
        "What the original could not see",
        "How to read this page",
    ]
    answer = browser.locator(".jp-OutputArea-output blockquote").first
    assert "small is chosen" in (answer.text_content() or "")
    browser.locator(".jp-RenderedMarkdown a", has_text="The rule in full").wait_for()
    browser.locator(".jp-RenderedMarkdown table a", has_text="large").first.click()
    browser.locator(".jp-RenderedMarkdown h1", has_text="The log of large").wait_for()


def test_train_runs_with_its_defaults_shortened(lab: str, browser: Page) -> None:
    watched = "Epoch 1 of 2, val_loss"
    run_all(browser, lab, "notebooks/train.ipynb", watched, "weights: 6")
    assert errors(browser) == []
    text = browser.locator(".jp-Notebook").text_content()
    assert "Trained 2 epochs here" in text and watched not in text
    result = browser.locator(".jp-OutputArea-output").first.text_content() or ""
    assert re.match(
        r"Log of a run without the runner\W*2 epochs, val_loss \d", result
    )  # filled in by the last cell
    assert browser.locator(".jp-OutputArea-output img").count() == 1
