"""The commands of `crossfade inverter`: train, refine and evaluate an inverter."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from crossfade.terminal import AsJson, Overrides, Quiet, TextColumns, print_json, told_plainly

inverter_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Train and measure an inverter, which turns sentence embeddings back into sentences.",
)

Out = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder of the inverter.")]


@inverter_app.command()
@told_plainly
def train(
    texts: Annotated[str, typer.Argument(metavar="TEXTS", help="File or hub id of unlabelled texts.")],
    out: Out,
    overrides: Overrides = None,
    text: TextColumns = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Stage 1: align the adaptor on unlabelled texts; started again, it continues."""
    # Imported late: `--help` should not wait for it.
    from crossfade.inverting import train_inverter

    card = train_inverter(texts, out, overrides=overrides or (), text=text, tell=_teller(quiet or as_json))
    if as_json:
        return print_json(card.model_dump(mode="json"))
    typer.echo(f"Inverter: {out}")


def _teller(hidden: bool) -> Callable[[str], None]:
    """Write lines to standard error, or nowhere."""

    def tell(line: str) -> None:
        if not hidden:
            typer.echo(line, err=True)

    return tell
