"""The commands of `crossfade inverter`, and `crossfade invert`, which shows what lies between two texts."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

import crossfade
from crossfade.terminal import AsJson, Overrides, Quiet, TextColumns, print_json, told_plainly

inverter_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Train and measure an inverter, which turns sentence embeddings back into sentences.",
)

Inverter = Annotated[
    Path | None,
    typer.Option("--inverter", metavar="FOLDER", help="An inverter; the one that comes with Crossfade if left out."),
]
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


@inverter_app.command()
@told_plainly
def refine(
    gold: Annotated[str, typer.Argument(metavar="GOLD", help="File or hub id of labelled texts.")],
    unlabelled: Annotated[str, typer.Argument(metavar="TEXTS", help="File or hub id of unlabelled texts.")],
    out: Out,
    inverter: Inverter = None,
    stage: Annotated[
        Literal["refine", "joint", "mixed"],
        typer.Option("--stage", help="refine: stage 2; joint: stage 3; mixed: learn the places between sentences."),
    ] = "refine",
    overrides: Overrides = None,
    label: Annotated[str | None, typer.Option("--label", help="Label column.")] = None,
    text: TextColumns = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Stages 2 and 3: bring an inverter to a task; started again, it continues."""
    from crossfade.inverting import refine_inverter

    card = refine_inverter(
        gold,
        unlabelled,
        out,
        source=inverter,
        stage=stage,
        overrides=overrides or (),
        label=label,
        text=text,
        tell=_teller(quiet or as_json),
    )
    if as_json:
        return print_json(card.model_dump(mode="json"))
    typer.echo(f"Inverter: {out}")


@inverter_app.command()
@told_plainly
def evaluate(
    texts: Annotated[str, typer.Argument(metavar="TEXTS", help="File or hub id of texts it was not trained on.")],
    inverter: Inverter = None,
    text: TextColumns = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure how texts come back from their embeddings."""
    from crossfade.inverting import evaluate_inverter

    scores = evaluate_inverter(inverter, texts, text=text, tell=_teller(quiet or as_json))
    if as_json:
        return print_json(asdict(scores))
    typer.echo(
        f"cosine {scores.cosine:.3f}  token F1 {scores.token_f1:.3f}  BLEU {100 * scores.bleu:.1f}  "
        f"word for word {100 * scores.exact:.1f}%  texts {scores.rows}"
    )


@told_plainly
def invert(
    first: Annotated[str, typer.Argument(metavar="FIRST", help="The text of ratio 1.")],
    second: Annotated[str, typer.Argument(metavar="SECOND", help="The text of ratio 0.")],
    steps: Annotated[int, typer.Option("--steps", help="Texts between the two.")] = 9,
    inverter: Inverter = None,
    run: Annotated[
        Path | None, typer.Option("--run", metavar="RUN", help="Run folder whose student labels each text.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what lies between two texts: ratio, cosine to the mixed point, text, and a student's label with --run."""
    from crossfade.inverting import invert as texts_between

    between = texts_between(first, second, steps=steps, inverter=inverter)
    judged = crossfade.predict(run, [(row.text,) for row in between]) if run else [None] * len(between)
    if as_json:
        labels = [{"label": said.label, "probability": said.probability} if said else {} for said in judged]
        return print_json([asdict(row) | label for row, label in zip(between, labels, strict=True)])
    for row, said in zip(between, judged, strict=True):
        label = f"  {said.label} {100 * said.probability:.0f}%" if said else ""
        typer.echo(f"{row.ratio:.2f}  {row.cosine:5.2f}{label}  {row.text}")


def _teller(hidden: bool) -> Callable[[str], None]:
    """Write lines to standard error, or nowhere."""

    def tell(line: str) -> None:
        if not hidden:
            typer.echo(line, err=True)

    return tell
