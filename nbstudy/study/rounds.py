"""What decides, as a study file asks for it: its metric, its rounds and the final configuration, which is tested."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from nbstudy.checks import Faults, check_known, fail, mapping, sequence, shorten
from nbstudy.decision.metrics import Better, direction_of
from nbstudy.study.parameters import TEXT, WHOLE_NUMBER, convert

FINAL = "final"  # the configuration that is made where `final` is a mapping


def check_decision(
    document: Mapping[str, Any], file: str, known: Collection[str] | None, faults: Faults
) -> None:
    """Add to the faults what makes no sense of metric, final and test."""
    with faults:
        check_metric(document, file)
    with faults:
        if isinstance(document["final"], dict):
            if known is not None and FINAL in known:
                cure = "rename the one that there is"
                fail(f"{file}: final", f"is a mapping, which makes a configuration called {FINAL}; {cure}")
        elif document["final"] is not None and known is not None:
            check_known([document["final"]], known, f"{file}: final")
    with faults:
        if "test" in document["notebooks"] and document["final"] is None:
            fail(
                f"{file}: notebooks: test",
                "tests the configuration that `final` names, which is missing; write it, as in `final: NAME`",
            )


def check_metric(given: Mapping[str, Any], place: str) -> None:
    """Refuse a metric that is no name, and a direction that is none; whether runs have it is not known yet."""
    if given["metric"] is not None and not convert(given["metric"], TEXT, f"{place}: metric"):
        fail(f"{place}: metric", "must name a column of history.csv or a number in result.json")
    if given["better"] is not None:
        check_known([given["better"]], [better.value for better in Better], f"{place}: better")


def check_directions(
    document: Mapping[str, Any], rounds: Sequence[Mapping[str, Any]], file: str, faults: Faults
) -> None:
    """Add to the faults the metrics of which neither their name nor any line of the file says what is better."""
    places = {file: document}
    for number, round_ in enumerate(rounds, 1):
        places[f"{file}: rounds: round {number}"] = round_
    said = [given["metric"] or document["metric"] for given in places.values() if given["better"]]
    for place, given in places.items():
        metric = given["metric"]
        if isinstance(metric, str) and metric not in said and direction_of(metric) is None:
            with faults:
                ask_for_direction(metric, f"{place}: metric")


def ask_for_direction(metric: str, place: str) -> NoReturn:
    """Refuse a metric of which nobody knows what is better."""
    fail(place, f"which values of {shorten(metric)} are better? add `better: lower` or `better: higher`")


def check_rounds(
    value: Any, place: str, known: Collection[str] | None, faults: Faults
) -> list[dict[str, Any]]:
    """Return the rounds of elimination, complete with their defaults; add to the faults what is wrong in them."""
    rounds = []
    with faults:
        for number, given in enumerate(sequence(value, place), 1):
            empty: dict[str, Any] = {
                "title": f"Round {number}",
                "candidates": [],
                "metric": None,  # the study's
                "better": None,
                "epochs": None,
                "originally_dropped": [],
            }
            here = f"{place}: round {number}"
            with faults:
                round_ = empty | mapping(given, here, empty)
                check_round(round_, here, known)
                rounds.append(round_)
    return rounds


def check_round(round_: Mapping[str, Any], place: str, known: Collection[str] | None) -> None:
    """Refuse a round whose fields make no sense."""
    faults = Faults()
    with faults:
        convert(round_["title"], TEXT, f"{place}: title")
    with faults:
        check_metric(round_, place)
    with faults:
        epochs = round_["epochs"]
        if epochs is not None and convert(epochs, WHOLE_NUMBER, f"{place}: epochs") < 1:
            fail(f"{place}: epochs", f"must be at least 1, not {epochs}")
    with faults:
        if not sequence(round_["candidates"], f"{place}: candidates"):
            fail(f"{place}: candidates", "are missing; name the configurations that it compares")
        if known is not None:
            check_known(round_["candidates"], known, f"{place}: candidates")
        dropped = sequence(round_["originally_dropped"], f"{place}: originally_dropped")
        check_known(dropped, round_["candidates"], f"{place}: originally_dropped")
    faults.end()
