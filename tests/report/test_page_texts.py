"""Texts of users on the page: no title, value, name, error or path is read as Markdown, HTML or mathematics."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import matplotlib.pyplot as plt
import nbformat
from bs4 import BeautifulSoup, NavigableString, Tag
from matplotlib.text import Text
from nbconvert import HTMLExporter

from nasty import NASTY, UNSEEN, planted
from nbstudy.files import write_json
from nbstudy.markdown import code, plain
from nbstudy.report import factors, loaded, overview, search_space, together
from nbstudy.report.figures import png_of
from nbstudy.report.labels import LONGEST_TITLE, shortened
from nbstudy.report.looks import looks_of
from nbstudy.report.markdown import displayed, table
from nbstudy.words import on_a_line
from planted import halved
from project import ROOT, change
from told import chosen_in, judged_in, opened_of


def converted(notebook: nbformat.NotebookNode) -> BeautifulSoup:
    """Return a notebook as the HTML that people mail, without its code."""
    html, _ = HTMLExporter(exclude_input=True).from_notebook_node(notebook)
    return BeautifulSoup(html, "html.parser")


def rendered(page: BeautifulSoup) -> list[Tag]:
    """Return all elements that come from Markdown."""
    return [element for block in page.select(".jp-RenderedMarkdown") for element in block.find_all(True)]


def seen(page: BeautifulSoup | Tag) -> str:
    """Return the text of a page as people see it."""
    return on_a_line(page.get_text().replace("\u200b", ""))


def outside_code(block: Tag) -> list[str]:
    """Return the texts in which MathJax looks for mathematics."""
    found = [text for text in block.find_all(string=True) if isinstance(text, NavigableString)]
    return [text for text in found if not text.find_parents(["code", "pre", "script", "style"])]


def test_no_text_of_a_user_is_active_on_the_page_and_all_can_be_read(tmp_path: Path) -> None:
    study, texts = planted(tmp_path)
    study.summarise(outputs=f"../outputs/{study.outputs.name}")
    page = converted(nbformat.read(tmp_path / "notebooks" / "out.ipynb", as_version=4))
    published = converted(nbformat.read(ROOT / "outputs" / "fashion_mnist" / "summary.ipynb", as_version=4))
    own = {element.name for element in rendered(published)}
    assert {element.name for element in rendered(page)} <= own
    assert len(page.find_all("script")) == len(published.find_all("script"))
    for element in page.find_all(True):
        assert not [name for name in element.attrs if name.startswith("on")]
        assert not str(element.get("href", "")).startswith("javascript:")
    links = [
        unquote(str(link["href"])) for link in page.select(".jp-RenderedMarkdown a") if link.get_text() != "¶"
    ]
    for address in links:
        if address.startswith("."):
            run = (tmp_path / "notebooks" / address).parent
            assert run.is_dir() and run.is_relative_to(tmp_path / "notebooks" / ".." / "outputs")
    for block in page.select(".jp-RenderedMarkdown"):
        assert not [text for text in outside_code(block) if "$" in text or "\\" in text]
    # what the summary leaves to the page to explore can be read there
    explored = BeautifulSoup((study.outputs / "summary.html").read_text(encoding="utf-8"), "html.parser")
    for script in explored.find_all("script"):
        script.decompose()
    readable = seen(page) + seen(explored)
    assert [text for text in texts if on_a_line(text) not in readable] == []
    assert r"\x1b[31m \ud800" in readable


# --- figures ---
def texts_drawn() -> list[Text]:
    """Return all texts of the figures that are open, drawn once, since ticks are written when they are drawn."""
    found = []
    for number in plt.get_fignums():
        figure = plt.figure(number)
        png_of(figure)
        found += [text for text in figure.findobj(Text) if text.get_text()]
    return found


def assert_figures_show_texts_as_they_are() -> None:
    """See that all texts in figures are drawn as they are, and none is too long for its place."""
    drawn = texts_drawn()
    assert [text.get_text() for text in drawn if "$" in text.get_text()]
    assert not [text for text in drawn if text.get_parse_math()]
    longest = max(len(line) for text in drawn for line in text.get_text().splitlines())
    assert longest <= LONGEST_TITLE + len("… (higher is better)")


def test_figures_read_no_mathematics_in_texts_of_a_user(tmp_path: Path) -> None:
    study, _ = planted(tmp_path)
    results = study.load()
    looks = looks_of(results)
    judged = judged_in(results)
    together.draw(together.compute(results, judged), looks)
    effects = factors.compute(results)
    seen_first = overview.compute(results, chosen_in(results), opened_of(results))
    assert effects is not None and seen_first is not None
    factors.draw(effects, looks)
    overview.draw(seen_first, looks)
    assert_figures_show_texts_as_they_are()


def test_search_space_reads_no_mathematics_in_values(tmp_path: Path) -> None:
    study = halved(tmp_path, rungs=3)
    for number, (name, parameters) in enumerate(study.record["configurations"].items()):
        parameters["text"] = f"$$ {number % 2} {NASTY} {UNSEEN} $$"
        change(study.outputs / name / "run.json", parameters=parameters)
    write_json(study.outputs / "study.json", study.record)
    results = study.load()
    space = search_space.compute(results, judged_in(results))
    assert space is not None
    search_space.draw(space)
    assert_figures_show_texts_as_they_are()


def test_text_in_a_figure_is_short_on_a_line_and_visible() -> None:
    assert shortened("two\nlines \ud800") == r"two lines \ud800"
    assert shortened("a" * 50 + "z" * 50, 10) == "aaaaa…zzzzz"


# --- Markdown ---
def test_texts_that_nothing_reads_stay_as_they_are() -> None:
    for text in [
        "model_4_2",
        "settled val_loss",
        "l2=0.1,c.d-e",
        "Five layers, with and without: 1. 5 (a)",
        "1e-05",
    ]:
        assert plain(text) == text
        assert code(text) == f"`{text}`"
    assert plain(plain("a|b")) == plain("a|b") == "a&#124;b"
    assert plain("_a_ b__c") == "&#95;a&#95; b&#95;&#95;c"
    assert plain("- a") == "&#45; a" and plain("1. a") == "&#49;. a"


def test_mathematics_is_shown_as_code() -> None:
    assert plain("$x$") == code("$x$") == "<code>&#36;x&#36;</code>"
    assert plain("C:\\temp") == "<code>C:&#92;temp</code>"


def test_texts_in_a_table_are_made_plain_unless_they_are_markdown() -> None:
    text = table([{"a|b": "c|d\ne", "f": plain("<g>")}])
    assert text == "| a&#124;b | f |\n| :--- | :--- |\n| c&#124;d e | &#60;g&#62; |"


def test_tag_that_somebody_forgot_to_make_plain_is_not_active() -> None:
    assert displayed("a<br><code>b</code> <script>").data == "a<br><code>b</code> &#60;script>"


def test_page_without_a_study_names_its_path_as_it_is(tmp_path: Path) -> None:
    place = tmp_path / "$$ <b> `c`"
    assert loaded.no_study(place).startswith(f"**There is no study in {code(place.as_posix())}**. `nbstudy")
    (tmp_path / "*other*").mkdir()
    (tmp_path / "*other*" / "study.json").write_text("{}")
    assert f"** (beside it: {plain((tmp_path / '*other*').as_posix())})" in loaded.no_study(place)
    assert "&#36;&#36; &#60;b&#62; &#96;c&#96;</code>" in code(place.as_posix())
