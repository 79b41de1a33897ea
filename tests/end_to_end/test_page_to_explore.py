"""summary.html as somebody has it who got it by mail: a real browser, without a network, with a pointer or with keys alone."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from browsers import Opened, needs_chromium, opened_chromium, opened_page
from nasty import planted as planted_nastily
from nbstudy.report import page
from nbstudy.report.story import tell
from planted import Planted, flat, half_filled

pytestmark = needs_chromium
VIEWS = [(1400, "light"), (390, "dark")]
SEARCH = """
notebooks: {run: train.ipynb}
defaults: {epochs: 20}
grid:
  - {name: "m_{units}_{dropout}_{precision}", units: [8, 64, 512], dropout: [0.0, 0.1, 0.2], precision: [float32, mixed_bfloat16]}
"""


def written(study: Planted) -> Path:
    """Write the page of a study; return its file."""
    page.write(tell(study.load()))
    return study.outputs / "summary.html"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser."""
    with opened_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a half-filled study."""
    return written(half_filled(tmp_path_factory.mktemp("half")))


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a search, in which more units are better and dropout is worse."""
    study = Planted(tmp_path_factory.mktemp("search"), SEARCH)
    for name, given in study.record["configurations"].items():
        study.run(name, flat(1 / given["units"] + given["dropout"]))
    return written(study)


@pytest.fixture(params=VIEWS, ids=["wide and light", "narrow and dark"])
def opened(request: pytest.FixtureRequest, chromium: Browser, half: Path) -> Iterator[Opened]:
    """That page, in a wide window on light ground, and in a narrow one on dark."""
    width, scheme = request.param
    with opened_page(chromium, half, width, scheme) as opened:
        yield opened
        assert opened.faults == [] and opened.requests == []


# --- what is there ---
def test_page_opens_without_a_network_and_fits_the_window(opened: Opened) -> None:
    assert "good is chosen" in opened.text("blockquote")
    for chart in ("#overview", "#curves", "#by-parameter", "#parallel"):
        assert opened.page.locator(f"{chart} svg").count() == 1, chart
        assert opened.page.locator(chart).get_attribute("aria-label"), chart
    width = opened.page.viewport_size
    assert width is not None
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width["width"]


def test_page_has_no_serious_fault_of_accessibility(opened: Opened) -> None:
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("no axe-core here; requirements.txt has it")
    # what is folded counts, too
    opened.page.evaluate("document.querySelectorAll('details').forEach(folded => { folded.open = true; })")
    opened.page.evaluate((Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8"))
    result = opened.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    told = [
        (fault["id"], fault["nodes"][0]["html"][:200], fault["nodes"][0]["failureSummary"])
        for fault in result["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
    assert told == []


# --- with the keyboard alone ---
def test_runs_are_sorted_and_searched_with_keys_alone(opened: Opened) -> None:
    states = opened.column(3)
    assert states != sorted(states) and len(states) == 14
    opened.tab_to("#runs thead th:nth-child(3) [role='button']")
    opened.page.keyboard.press("Enter")
    expect(opened.page.locator("#runs tbody tr > :nth-child(3)")).to_have_text(sorted(states))
    opened.tab_to("input[type='search']")
    opened.page.keyboard.type("good")
    expect(opened.page.locator("#runs tbody tr")).to_have_count(3)
    assert opened.column(2) == ["good", "good_1", "good_2"]
    # and the charts below show these
    expect(opened.page.locator("#parallel")).to_have_attribute("aria-label", re.compile("3 runs"))


def test_runs_are_chosen_with_keys_alone(opened: Opened) -> None:
    opened.tab_to("#none")
    opened.page.keyboard.press("Enter")
    expect(opened.page.locator("#chosen")).to_have_text("0 chosen: none.")
    for name in ("near", "wide"):
        opened.tab_to(f"input[aria-label='Show {name}']")
        opened.page.keyboard.press("Space")
    expect(opened.page.locator("#chosen")).to_have_text("2 chosen: near, wide.")
    expect(opened.page.locator("#curves")).to_have_attribute(
        "aria-label", "Curves of val_loss (lower is better) by epoch: near, wide"
    )
    expect(opened.page.locator("#curves .mark-line path")).to_have_count(2)


def test_values_at_an_epoch_are_read_with_keys_alone(opened: Opened) -> None:
    opened.page.locator("#none").click()
    opened.page.locator("input[aria-label='Show near']").check()
    opened.tab_to("#epoch")
    for _ in range(16):
        opened.page.keyboard.press("ArrowLeft")
    expect(opened.page.locator("#at")).to_have_text("4")
    expect(opened.page.locator("#values tr")).to_have_text("near40.2")


def test_runs_of_a_round_are_chosen_with_keys_alone(opened: Opened) -> None:
    opened.pick("#round", "4 · By")
    expect(opened.page.locator("#chosen")).to_have_text("5 chosen: good, good_1, good_2, near, far.")
    expect(opened.page.locator("#metric")).to_have_value("val_accuracy")


def test_two_runs_are_compared_with_keys_alone(opened: Opened) -> None:
    opened.pick("#one", "wide")
    opened.pick("#other", "both")
    expect(opened.page.locator("#differing thead")).to_have_text("whatwideboth")
    differing = opened.page.locator("#differing tbody tr")
    told = {row.locator("th").inner_text(): row.locator("td").all_inner_texts() for row in differing.all()}
    assert told["units"] == ["32", "16"] and told["dropout"] == ["0.0", "0.5"]
    assert told["settled val_loss"] == ["0.3050", "0.5000"]
    assert "epochs" not in told  # which are the same


# --- with a pointer ---
def test_curve_below_the_pointer_says_its_run_and_value(opened: Opened) -> None:
    opened.page.locator("#none").click()
    opened.page.locator("input[aria-label='Show near']").check()
    chart = opened.page.locator("#curves svg")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    opened.page.mouse.move(box["x"] + box["width"] / 2 + 3, box["y"] + box["height"] / 2)
    expect(chart).to_contain_text(re.compile(r"near, epoch \d+: 0\.\d+"))


def test_search_is_filtered_by_a_column_and_its_charts_follow(chromium: Browser, search: Path) -> None:
    with opened_page(chromium, search) as opened:
        heads = opened.page.locator("#runs thead tr").first.locator("th").all_inner_texts()
        units = [head.strip() for head in heads].index("units")
        opened.page.locator("#runs thead tr").nth(1).locator("td").nth(units).locator("input").fill("64")
        expect(opened.page.locator("#runs tbody tr")).to_have_count(6)
        assert set(opened.column(units + 1)) == {"64"}
        expect(opened.page.locator("#by-parameter")).to_have_attribute(
            "aria-label", "settled val_loss (lower is better) by units: 6 runs"
        )
        opened.page.locator("#shown").click()
        assert "6 chosen" in opened.text("#chosen")
        opened.page.locator("#parameter").select_option(label="precision")
        for label in ("float32", "mixed_bfloat16"):
            expect(opened.page.locator("#by-parameter svg")).to_contain_text(label)
        assert opened.faults == [] and opened.requests == []


# --- what it must not do ---
def test_logs_are_linked_where_they_lie_beside_the_page_alone(
    chromium: Browser, half: Path, tmp_path: Path
) -> None:
    with opened_page(chromium, half) as opened:
        addresses = [link.get_attribute("href") for link in opened.page.locator("#runs a").all()]
        assert "good/good.ipynb" in addresses and "incomplete/cut/2/cut.ipynb" in addresses
        assert all((half.parent / str(address)).parent.is_dir() for address in addresses)
    mailed = shutil.copy(half, tmp_path / "summary.html")
    with opened_page(chromium, Path(mailed)) as opened:
        assert opened.page.locator("a[href$='.ipynb']").count() == 0
        assert "good" in opened.column(2)


def test_text_of_a_user_becomes_neither_markup_nor_script(chromium: Browser, tmp_path: Path) -> None:
    study, texts = planted_nastily(tmp_path)
    with opened_page(chromium, written(study), width=390) as opened:  # where its long texts have to wrap, too
        assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
        assert opened.page.title().endswith("which configuration is best?")
        assert opened.page.locator("main b, main iframe, main img:not([src^='data:image/png'])").count() == 0
        shown = opened.page.evaluate("document.body.textContent")
        assert any("<script>document.title='x'</script>" in text for text in texts)
        assert "<script>document.title='x'</script>" in shown
        assert opened.faults == [] and opened.requests == []
