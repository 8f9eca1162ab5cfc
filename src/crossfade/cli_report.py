"""The commands for what a run leaves to people and to others: report, card, rows, push."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

import crossfade
from crossfade.data.exports import Form
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


@told_plainly
def card(folder: RunFolder, as_json: AsJson = False) -> None:
    """Write the data card of a run's rows: how they were made, counts, known label noise, licences, limits."""
    path = crossfade.card(folder)
    if as_json:
        return print_json({"card": str(path)})
    typer.echo(f"Card: {path}")


@told_plainly
def rows(
    folder: RunFolder,
    form: Annotated[Form, typer.Option("--to", help="Form of the rows; 'datasets' makes a folder.")],
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="File or folder to write.")],
    as_json: AsJson = False,
) -> None:
    """Write the kept rows of a run in another form."""
    count = crossfade.export_kept(folder, form, out)
    if as_json:
        return print_json({"rows": count, "to": form, "out": str(out)})
    typer.echo(f"Rows: {out} ({count})")


@told_plainly
def push(
    folder: RunFolder,
    repository: Annotated[str, typer.Argument(metavar="REPOSITORY", help="User and name: me/my-rows.")],
    public: Annotated[
        bool, typer.Option("--public", help="Let others see a repository that is made for this.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put the kept rows of a run and their data card on the Hugging Face hub."""
    count = crossfade.push_to_hub(folder, repository, private=not public)
    if as_json:
        return print_json({"rows": count, "repository": repository})
    typer.echo(f"Repository: {repository} ({count} rows)")
