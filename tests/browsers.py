"""A real Chromium, as a person has it in front of them.

Helpers only.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(BROWSER is None, reason="no Chromium here; .ci/run installs it")
PATIENCE = 60_000  # milliseconds for what a busy machine takes its time to do
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


expect.set_options(timeout=PATIENCE)


@contextmanager
def opened_chromium() -> Iterator[Browser]:
    """Start a browser, which takes a while."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield chromium
        chromium.close()


@dataclass
class Opened:
    """A page without a network, and what went wrong on it."""

    page: Page
    faults: list[str] = field(default_factory=list)  # errors and warnings of the console
    requests: list[str] = field(default_factory=list)  # what it asked for beside itself

    def tab_to(self, selector: str) -> None:
        """Press the tab key until what a selector finds has the focus."""
        for _ in range(400):
            if self.page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"no way to {selector} by the tab key")

    def pick(self, selector: str, beginning: str) -> None:
        """Choose the first option of a list that begins so, with keys alone."""
        options = self.page.locator(f"{selector} option").all_text_contents()
        place = next(place for place, option in enumerate(options) if option.startswith(beginning))
        self.tab_to(selector)
        self.page.keyboard.press("Home")
        for _ in range(place):
            self.page.keyboard.press("ArrowDown")

    def text(self, selector: str) -> str:
        """Return the text of an element."""
        return self.page.locator(selector).inner_text()

    def column(self, place: int) -> list[str]:
        """Return a column of the table of runs, from 1, as it is shown."""
        return self.page.locator(f"#runs tbody tr > :nth-child({place})").all_inner_texts()


@contextmanager
def opened_page(chromium: Browser, file: Path, width: int = 1400, scheme: str = "light") -> Iterator[Opened]:
    """Open summary.html without a network, and wait until its script has drawn all."""
    context = chromium.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        offline=True,
    )
    opened = Opened(context.new_page())
    opened.page.set_default_timeout(PATIENCE)
    opened.page.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.page.on(
        "console", lambda said: opened.faults.append(said.text) if said.type in ("error", "warning") else None
    )
    opened.page.on("request", lambda request: opened.requests.append(request.url))
    opened.page.goto(file.as_uri())
    opened.page.locator("html[data-ready='yes']").wait_for()
    opened.requests = [
        url for url in opened.requests if not url.startswith((file.as_uri(), "data:", "blob:"))
    ]
    yield opened
    context.close()
