"""The command `crossfade review`: a page on this machine to go through written rows, least trusted first."""

import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from crossfade.terminal import AsJson, Quiet, print_json, told_plainly


@told_plainly
def review(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `augment` or `train` wrote rows to.")],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on this machine; 0 is a free one.")] = 0,
    opened: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Go through written rows by keyboard: accept, relabel, edit, drop; the next `train` goes by it."""
    # Imported late: `--help` should not wait for it, nor need the extra.
    from crossfade.reviewing.server import ReviewServer
    from crossfade.runs import review_session, reviewed

    session = review_session(folder)
    server = ReviewServer(session, port)
    if not quiet:
        left = len(session.rows) - len(session.decisions)
        typer.echo(f"{len(session.rows)} rows, {left} of them not reviewed yet. Ctrl+C ends the review.", err=True)
    typer.echo(server.url, err=True)
    if opened:
        webbrowser.open(server.url)
    with suppress(KeyboardInterrupt):
        server.serve()
    result = reviewed(folder)
    if as_json:
        return print_json({"run": str(folder), **result.as_json()})
    typer.echo(result.sentence or "No row was reviewed.")
