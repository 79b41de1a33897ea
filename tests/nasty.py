"""A study that has a nasty text in every place a user's text can come from.

Helpers only.
"""

from __future__ import annotations

from pathlib import Path

from nbstudy.files import write_json
from planted import Planted, flat

# what Markdown, HTML and MathJax know, none of which does anything
NASTY = (
    "$$ <script>document.title='x'</script> [x](javascript:void(0)) ![y](z) <img src=x onerror=void(0)> <b>in angles</b> "
    r"^\d+$ \(x\) \begin{a}z\end{a} *a* **b** _c_ ~~d~~ `e` ``f a|b &lt; # https://g.com www.h.com i@j.com $\frac{1}$"
)
NASTY_FILE = NASTY.replace("/", ":")[:200]
UNSEEN = "\x1b[31m \ud800"  # as a kernel's error may hold

STUDY = """
notebooks: {run: train.ipynb, test: test.ipynb}
defaults: {epochs: 20}
configurations:
  _a_: {}
  b=1,c.d-e: {units: 32}
  e__: {units: 64}
  failed: {l2: 0.1}
  stale: {l2: 0.2}
  _a__seed_1: {seed: 1}
  final: {refit: true}
rounds:
  - {title: TITLE, candidates: [_a_, "b=1,c.d-e", failed, stale], originally_dropped: [_a_]}
  - {title: by a metric, candidates: [_a_, "b=1,c.d-e", e__]}
  - {title: by a result, candidates: [_a_, "b=1,c.d-e", e__]}
  - {title: by nobody knows, candidates: [_a_, e__]}
  - {title: by none, candidates: [_a_, e__]}
  - {title: the last, candidates: [_a_, "b=1,c.d-e", e__], originally_dropped: [e__]}
final: final
"""


def planted(root: Path) -> tuple[Planted, list[str]]:
    """Plant a study that has a nasty text in every place a user's text can come from; return it and these texts."""
    texts: list[str] = []

    def nasty(place: str, text: str = NASTY) -> str:
        texts.append(f"{place}: {text}")
        return texts[-1]

    study = Planted(root, STUDY, NASTY_FILE)
    record = study.record
    texts += record["configurations"]
    for name, parameters in record["configurations"].items():
        parameters["text"] = "usual"
        if name in ("b=1,c.d-e", "_a_"):  # two values, which make a factor
            parameters["text"] = nasty(f"value of {name}", NASTY.replace(" ", "\n", 3))
            parameters["_p_"] = nasty(f"rare value of {name}")
    record["overrides"] = {"text": nasty("override")}
    titles = ["title", "title two", "title three", "title four", "title five", "last title"]
    for each, title in zip(record["rounds"], titles, strict=True):
        each["title"] = nasty(title, NASTY + " long" * 60)
    by_metric, by_result, unknown, none, _ = record["rounds"][1:]
    by_metric["metric"] = nasty("val_f1")
    by_metric["better"] = "higher"
    by_result["metric"] = nasty("auc")
    unknown["metric"] = nasty("unknown")
    none["metric"] = nasty("val_loss that none has")
    write_json(study.outputs / "study.json", record)

    versions = {nasty("library"): nasty("version")}
    for name, end in [("_a_", 0.30), ("_a__seed_1", 0.31), ("b=1,c.d-e", 0.32), ("e__", 0.33)]:
        result = {by_result["metric"]: 0.5 + end, unknown["metric"]: 1.0, "ended": nasty(f"ended {name}")}
        if name != "e__":
            result["versions"] = versions
        place = study.run(name, flat(end), result=result, environment_changes=[nasty(f"change of {name}")])
        history = (place / "history.csv").read_text()
        quoted = '"' + by_metric["metric"].replace('"', '""') + '"'
        (place / "history.csv").write_text(history.replace("val_accuracy", quoted))
    study.run("failed", [0.5], attempt=1, finished=True, error=nasty("error") + UNSEEN)
    stale = record["configurations"]["stale"] | {"text": nasty("older value")}
    study.run("stale", flat(0.4), parameters=stale)
    study.run(nasty("extra", NASTY_FILE), flat(0.4))
    opening = {"configuration": nasty("opened"), "weights": "0", "when": "2026-01-01T00:00:00Z"}
    write_json(study.outputs / "test.json", {"openings": [opening]})
    return study, texts
