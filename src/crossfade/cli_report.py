"""The commands for what a run leaves to people and to others: report, card, rows."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

import crossfade
from crossfade.terminal import AsJson, print_json, told_plainly

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]


@told_plainly
def report(
    folder: RunFolder,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the report of a run: one HTML file that shows whether it helped, what it cost, what not to trust."""
    path = crossfade.report(folder)
    if show:
        webbrowser.open(path.resolve().as_uri())
    if as_json:
        return print_json({"report": str(path)})
    typer.echo(f"Report: {path}")
