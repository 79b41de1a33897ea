"""The page to explore before a browser opens it: its data, its policy, its size."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from nasty import planted as planted_nastily
from nbstudy.records.results import Results, load_results
from nbstudy.report import charts, explored
from nbstudy.report.explored import data_of
from nbstudy.report.page import as_html, as_json, page_of
from nbstudy.report.story import tell
from planted import half_filled
from project import ROOT

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> BeautifulSoup:
    """The page of a half-filled study."""
    study = half_filled(tmp_path_factory.mktemp("half"))
    return BeautifulSoup(page_of(tell(study.load())), "html.parser")


# --- the data ---
def test_runs_are_all_in_the_data_with_their_curves(results: Results) -> None:
    data = data_of(tell(results))
    names = [run["name"] for run in data["runs"]]
    assert names == list(results.runs)
    losses = data["curves"]["val_loss"]
    assert losses[names.index("cut")] == [0.01] * 7 and losses[names.index("never")] == []
    assert losses[names.index("wild")][-1] is None  # which is not finite
    assert [names[place] for place in data["chosen"]] == [
        "good",
        "good_1",
        "good_2",
        "near",
        "wide",
        "wide_1",
    ]
    assert next(iter(data["curves"])) == "val_loss" and data["rounds"][3]["metric"] == "val_accuracy"
    json.dumps(data, allow_nan=False)


def test_facts_hold_what_a_log_begins_with(results: Results) -> None:
    data = data_of(tell(results))
    broken = next(run for run in data["runs"] if run["name"] == "broken")
    facts = dict(zip(data["facts"], broken["facts"], strict=True))
    assert (facts["state"], facts["why"]) == ("failed", "ValueError: a|b `c`")
    assert (facts["hidden_layers"], facts["units"], facts["began"]) == ("4", "16", "2026-01-01T00:00:00Z")
    assert facts["log"] == "incomplete/broken/1/broken.ipynb"


def test_curves_of_very_many_runs_are_thinned_and_that_is_said(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explored, "MOST_NUMBERS", 500)
    story = tell(results)
    data = data_of(story)
    every = data["every"]
    assert every > 1
    curve, whole = data["curves"]["val_loss"][0], results.values("good", "val_loss")
    assert curve[:-1] == [explored.rounded(value) for value in whole[::every]][: len(curve) - 1]
    assert curve[-1] == explored.rounded(whole[-1])
    assert sum(len(each) for metric in data["curves"].values() for each in metric) < 700
    assert f"one in {every} is shown, and the last one" in page_of(story)


def test_data_ends_no_element_of_the_page() -> None:
    text = as_json({"name": "</script><script>alert(1)</script>"})
    assert "<" not in text and json.loads(text) == {"name": "</script><script>alert(1)</script>"}


def test_charts_are_drawn_by_their_library(results: Results) -> None:
    import vl_convert

    data = data_of(tell(results))
    parameters = [each["chart"] for each in data["parameters"]]
    for chart in [
        data["overview"]["chart"],
        data["charts"]["curves"],
        data["parallel"]["chart"],
        *parameters,
    ]:
        chart = chart | {"width": 400, "data": {"name": "rows", "values": []}}
        assert "<svg" in vl_convert.vegalite_to_svg(chart)
    assert charts.SCHEMA.endswith("/v6.json")


# --- the page ---
def test_only_the_scripts_of_the_page_may_run_and_nothing_is_fetched(page: BeautifulSoup) -> None:
    policy = page.select_one("meta[http-equiv]")["content"]
    assert "default-src 'none'" in policy and "connect-src" not in policy and "unsafe-eval" not in policy
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    active = [script for script in page.find_all("script") if script.get("type") == "module"]
    hashes = {base64.b64encode(hashlib.sha256(each.string.encode()).digest()).decode() for each in active}
    assert hashes == allowed and len(active) == 2
    for element in page.find_all(True):
        assert not str(element.get("src", "data:")).startswith(("http", "//"))
        assert element.name not in ("link", "iframe", "object", "base", "form")


def test_page_can_be_read_without_its_script(page: BeautifulSoup) -> None:
    rows = page.select("#runs tbody tr")
    assert len(rows) == 14
    good = [cell.get_text() for cell in rows[0].find_all(["th", "td"])]
    assert good[1] == "good" and "0.3000" in good
    assert page.select_one("#runs td.number")["data-order"] == "16000"
    assert "good is chosen" in page.find("blockquote").get_text()
    assert page.select_one("#the-rule") is not None
    assert not page.select("a[href$='.ipynb']") and page.select("[data-log='good/good.ipynb']")


def test_link_to_a_log_is_left_to_the_script_and_others_stay(results: Results) -> None:
    story = tell(results)
    beside = results.directory.as_posix()
    html = as_html(f"[a]({beside}/a/a.ipynb) [b](https://b.org) [c]({beside}/summary.html#the-rule)", story)
    assert html == (
        '<p><span data-log="a/a.ipynb">a</span> <a href="https://b.org">b</a> <a href="#the-rule">c</a></p>\n'
    )


def test_texts_of_users_are_no_elements_of_the_page(tmp_path: Path) -> None:
    study, texts = planted_nastily(tmp_path)
    page = BeautifulSoup(page_of(tell(study.load())), "html.parser")
    assert len(page.find_all("script")) == 4
    own = {"table", "details", "span", "div", "p", "a", "li", "code", "td", "th"}
    assert own <= {element.name for element in page.find_all(True)}
    assert not page.find_all(["b", "iframe"]) and not page.select("img:not([src^='data:'])")
    for element in page.find_all(True):
        assert not [name for name in element.attrs if name.startswith("on")]
        assert not str(element.get("href", "")).startswith("javascript:")
    assert any("<b>in angles</b>" in text for text in texts) and "<b>in angles</b>" in page.get_text()


@pytest.mark.parametrize("study", ["fashion_mnist", "better_mlp", "averaged"])
def test_pages_of_published_studies_are_small_enough_to_send(study: str) -> None:
    page = page_of(tell(load_results(ROOT / "outputs" / study)))
    assert len(page.encode()) < 3 * MEGABYTE
