"""The page to explore and to send: outputs/<study>/summary.html, one file that opens anywhere without a network.

It tells the story of the summary without code. Its charts are Vega-Lite's, its table is DataTables'; both libraries lie in
it, as vl-convert and itables bring them. What a study says of itself comes into it by `markdown.plain`, by `escape`, or as
JSON that the script sets as text; and a policy lets no other script run than these three, and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
from collections.abc import Iterator, Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from nbstudy.remembered import remember
from nbstudy.report import (
    answer,
    choice,
    criteria,
    factors,
    loaded,
    next_steps,
    original,
    overview,
    race,
    rounds,
    rule,
    search_space,
    test_set,
    together,
)
from nbstudy.report.explored import data_of
from nbstudy.report.explorer import chart, explorer, scroll
from nbstudy.report.markdown import without_tags
from nbstudy.report.phrases import PAGE, address_of
from nbstudy.report.story import Story
from nbstudy.uncollected import uncollected
from nbstudy.words import on_a_line

ASSETS = Path(__file__).parent / "assets"
WEB = ("http://", "https://", "#")  # what links on the page may lead to; others are to files beside the runs


def write(story: Story) -> None:
    """Write the page beside the runs, where that is possible."""
    if story.results.is_writable:
        file = story.results.directory / PAGE
        file.write_text(page_of(story), encoding="utf-8", errors="backslashreplace")


@uncollected()
def page_of(story: Story) -> str:
    """Return the page."""
    vega, table = library_of_charts(), library_of_tables()
    script = asset("page.js")
    data = data_of(story)
    style = table.with_suffix(".css").read_text(encoding="utf-8") + asset("page.css")
    return Template(asset("page.html")).substitute(
        title=escape(on_a_line(story.results.directory.resolve().name)),
        policy=policy(vega, script),
        style=style.replace("</", "<\\/"),
        sections="\n".join(sections_of(story, data)),
        data=as_json(data),
        table=table.read_text(encoding="utf-8").replace("</script", "<\\/script"),
        vega=vega,
        script=script,
    )


def asset(name: str) -> str:
    """Return a file of this package."""
    return (ASSETS / name).read_text(encoding="utf-8")


# --- the libraries, and what may run ---
def library_of_charts() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, which takes seconds to put together."""

    def put_together() -> str:
        import vl_convert

        bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # which can do without a snippet
        return str(bundle).replace("</script", "<\\/script")

    return str(remember("charts", version("vl-convert-python"), [__name__], put_together))


def library_of_tables() -> Path:
    """Return the file of DataTables, beside which its style lies."""
    found = importlib.util.find_spec("itables")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "html" / "dt_bundle.js"


def policy(*scripts: str) -> str:
    """Return what a browser may do on the page: run these scripts, show what lies in it, fetch nothing."""
    hashes = []
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        hashes.append(f"'sha256-{digest}'")
    return (
        f"default-src 'none'; script-src {' '.join(hashes)} blob:; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def as_json(content: Any) -> str:
    """Return content as JSON that can stand in a page, in which `<` ends no element."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


# --- texts ---
def as_html(text: str, story: Story) -> str:
    """Return a text in Markdown as HTML; a link to a file becomes one where that lies beside the page."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table").disable("image")
    tokens = parser.parse(without_tags(text))
    beside = f"{address_of(story.results.directory)}/"
    for token in tokens:
        loosen(token.children or [], beside)
    html = str(parser.renderer.render(tokens, parser.options, {}))
    html = html.replace("<pre>", '<pre tabindex="0">')  # which scrolls, with keys, too
    return html.replace("<table>", f"{scroll('a table')}<table>").replace("</table>", "</table></div>")


def loosen(tokens: Sequence[Token], beside: str) -> None:
    """Make links to files beside the page what the script makes links, where these files are there."""
    is_loose = False
    for token in tokens:
        if token.type == "link_open":
            address = str(token.attrs.get("href", "")).removeprefix(beside)
            is_loose = not address.removeprefix(PAGE).startswith(WEB)
            token.attrs = {"href": address.removeprefix(PAGE)}
            if is_loose:
                token.tag, token.attrs = "span", {"data-log": address}
        elif token.type == "link_close" and is_loose:
            token.tag = "span"


def picture(file: Path, description: str) -> str:
    """Return a picture that lies in the page."""
    content = base64.b64encode(file.read_bytes()).decode()
    return f'<img src="data:image/png;base64,{content}" alt="{escape(description)}">'


def folded(summary: str, content: str, name: str = "") -> str:
    """Return HTML that is folded away below a line."""
    identity = f' id="{name}"' if name else ""
    return f"<details{identity}><summary>{escape(summary)}</summary>\n{content}\n</details>"


# --- the story ---
def sections_of(story: Story, data: dict[str, Any]) -> Iterator[str]:
    """Yield the sections of the page."""
    results = story.results
    yield as_html(answer.write(story.answer), story)
    if story.overview is not None:
        note = escape(overview.caption(story.overview))
        yield f"<figure>{chart('overview')}<figcaption>{note}</figcaption></figure>"
    yield as_html(next_steps.write(story.steps), story)
    yield as_html(choice.write(story.answer.chosen), story)
    if results.runs:
        yield explorer(results, data)
    if results.metrics:
        yield from elimination(story)
    if story.space is not None:
        yield as_html(search_space.write(story.space), story)
    yield as_html(factors.write(story.effects), story)
    yield as_html(criteria.write(story.answer.criteria), story)
    yield from what_the_test_says(story)
    yield as_html(original.write(story.unseen), story)
    yield as_html(f"## How the runs were made\n\n{loaded.write(story.loaded)}", story)
    if results.metrics:
        yield f"<h2>The rule</h2>{folded('The rule in full, as the computer has it', as_html(rule.in_full(results), story), 'the-rule')}"


def elimination(story: Story) -> Iterator[str]:
    """Yield the table of all rounds, the figure that the summary has of them, and each round, folded."""
    yield as_html(rule.IN_SHORT, story)
    if story.raced is not None:
        yield as_html(race.write(story.raced), story)
    yield as_html(together.write(story.together), story)
    file = story.together.file
    if story.together.has_figure and file is not None and file.exists():
        yield folded("All rounds in one picture", picture(file, together.description(story.together)))
    for judged in story.judged:
        title = f"{judged.each.number} · {judged.each.title}"
        compared = rounds.what_is_compared(judged.each, story.results.is_by_epoch(judged.each.metric))
        text = as_html(f"{compared}\n\n{rounds.write(judged)}", story)
        yield folded(f"Round {on_a_line(title)}", text)


def what_the_test_says(story: Story) -> Iterator[str]:
    """Yield the section on the test set, with what its notebook left."""
    opened = story.answer.opened
    if opened.results.test_run is None:
        return
    yield as_html(test_set.write(opened), story)
    if opened.tested is None:
        return
    for file in opened.tested.files:
        if file.suffix == ".png":
            yield picture(file, test_set.description(file))
        else:
            yield as_html(test_set.text_of(file), story)
