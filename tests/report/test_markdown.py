"""Markdown: names in a sentence, numbers and tables, sources."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from nbstudy.decision.elimination import choose, judge
from nbstudy.markdown import alignment
from nbstudy.report.markdown import listed, source_of, table, table_of_many
from planted import rows


def test_names_are_listed_as_in_a_sentence() -> None:
    assert listed(["a"]) == "a"
    assert listed(("a", "b")) == "a and b"
    assert listed(["a", "b", "c"]) == "a, b and c"


def test_of_many_names_the_first_are_listed() -> None:
    assert listed(list("abcdef"), most=3) == "a, b and 4 more"
    assert listed(list("abc"), most=3) == "a, b and c"
    assert listed([str(number) for number in range(1000)]).endswith(", 10 and 989 more")


def test_table_formats_numbers_and_leaves_out_what_is_empty() -> None:
    text = table(
        [
            {
                "name": "a_b",
                "count": 12_345,
                "value": 0.5,
                "nothing": None,
                "missing": math.nan,
                "flag": True,
            },
            {"name": "c|d", "count": pd.NA, "value": np.float64(1.23456), "late_one": np.int64(1000)},
        ]
    )
    assert text == (
        "| name | count | value | flag | late_&#8203;one |\n"
        "| :--- | ---: | ---: | :--- | ---: |\n"
        "| a_b | 12,345 | 0.5000 | True |  |\n"
        "| c&#124;d |  | 1.2346 |  | 1,000 |"
    )
    assert table([]) == table([{"a": None}]) == ""


def test_long_table_is_cut_and_says_so() -> None:
    asked = []

    def named(number: int) -> dict[str, str]:
        asked.append(number)
        return {"name": str(number)}

    text = table_of_many(range(1001), named)
    assert len(rows(text)) == len(asked) == 20
    assert text.endswith("\n\nThese are the first 20 of 1,001, best first; `results.csv` has all.")
    assert "results.csv" not in table_of_many(range(20), named)


def test_rule_is_shown_as_it_is_written() -> None:
    text = source_of(judge, choose)
    assert text.startswith("```python\ndef judge(") and text.endswith("\n```")
    assert "\n\n\ndef choose(" in text


def test_numbers_are_aligned_to_the_right() -> None:
    assert [alignment(cells) for cells in (["1,000", ""], ["**0.5**", "-1e-05"], ["1 to 2"], ["a"])] == [
        "---:",
        "---:",
        ":---",
        ":---",
    ]
