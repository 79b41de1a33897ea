"""Compare studies: what they have in common, what differs, and one verdict over the candidates of all."""

from __future__ import annotations

from pathlib import Path

import click

from nbstudy.checks import fail
from nbstudy.execution.streams import print_without_failing
from nbstudy.files import as_seen


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("outputs", nargs=-1, metavar="OUTPUTS OUTPUTS...")
@click.option("--metric", metavar="NAME", help="Judge by this one; default: the one that decides in all.")
@click.pass_obj
def compare(here: Path, outputs: tuple[str, ...], metric: str | None) -> None:
    """Compare the studies in directories such as outputs/mine and outputs/other."""
    # pandas, which takes half a second
    from nbstudy.records.results import load_results
    from nbstudy.report.comparison import describe

    print_without_failing()
    if len(outputs) < 2:
        fail("OUTPUTS", "must name two studies or more, as in `compare outputs/mine outputs/other`")
    click.echo(describe(load_results([as_seen(here / each) for each in outputs]), metric))
