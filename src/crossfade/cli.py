"""Run Crossfade from the command line: each command reads its arguments, calls one function and prints the result.

Results go to standard output; progress, warnings and failures go to standard error.
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import crossfade
from crossfade import tables
from crossfade.cli_inverter import invert, inverter_app
from crossfade.cli_predict import predict
from crossfade.cli_report import card, push, report, rows
from crossfade.cli_review import review
from crossfade.errors import SettingsError, nearest_name
from crossfade.evaluation.scores import measure_words
from crossfade.methods import METHODS
from crossfade.roles import Annotator, Reader
from crossfade.terminal import AsJson, Overrides, Quiet, StudentFolder, TextColumns, console, print_json, told_plainly

if TYPE_CHECKING:
    from crossfade.comparing import RunResult
    from crossfade.recipe import Recipe

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", dir_okay=False, help="TOML file of the run.")]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Turn a handful of labelled texts into a small, fast model.",
)
app.command()(review)
app.command()(predict)
app.command()(invert)
for command in (report, card, rows, push):
    app.command()(command)
app.add_typer(inverter_app, name="inverter")


def main() -> None:
    """Run the command line."""
    app(prog_name="crossfade")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(crossfade.__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@app.command()
@told_plainly
def run(recipe: RecipeFile, overrides: Overrides = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Augment, train and compare over several splits; started again, it continues."""
    _show_result(crossfade.run(_recipe(recipe, overrides), progress=_progress(quiet or as_json)), as_json)


@app.command()
@told_plainly
def compare(recipe: RecipeFile, overrides: Overrides = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Compare methods, label checks and students over the same draws; started again, it continues."""
    _show_result(crossfade.compare(_recipe(recipe, overrides), progress=_progress(quiet or as_json)), as_json)


@app.command()
@told_plainly
def plan(
    recipe: RecipeFile,
    overrides: Overrides = None,
    as_json: AsJson = False,
    comparison: Annotated[bool, typer.Option(help="Plan `compare`: all its methods and label checks.")] = False,
) -> None:
    """Show what a run, or a comparison, would ask for, with one prompt of each kind; nothing is sent."""
    made = crossfade.plan(_recipe(recipe, overrides), comparison=comparison)
    if as_json:
        return print_json(asdict(made))
    console().print(tables.plan_table(made), "")
    typer.echo(tables.plan_text(made))


@app.command()
@told_plainly
def augment(recipe: RecipeFile, overrides: Overrides = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Write rows from all labelled texts of a recipe."""
    folder, made = crossfade.augment(_recipe(recipe, overrides), progress=_progress(quiet or as_json))
    review = crossfade.reviewed(folder)
    if as_json:
        return print_json(
            {
                "run": str(folder),
                "kept": len(made.kept),
                "dropped": len(made.dropped),
                "stopped": made.stopped,
                "losses": {label: dict(counts) for label, counts in made.losses.items()},
                "review": review.as_json(),
            }
        )
    console().print(tables.loss_table(made.losses), "", made.stopped, sep="\n")
    if review.sentence:
        typer.echo(review.sentence)
    typer.echo(f"Rows: {folder / 'kept.jsonl'} ({len(made.kept)}) and {folder / 'dropped.jsonl'} ({len(made.dropped)})")


@app.command()
@told_plainly
def train(recipe: RecipeFile, overrides: Overrides = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Write rows from all labelled texts and save the student trained on both."""
    folder, student = crossfade.train(_recipe(recipe, overrides), progress=_progress(quiet or as_json))
    labels = [] if isinstance(student, Reader | Annotator) else list(student.labels)
    review = crossfade.reviewed(folder)
    if as_json:
        said = {"run": str(folder), "student": str(folder / "student"), "labels": labels}
        return print_json(said | {"review": review.as_json()})
    if review.sentence:
        typer.echo(review.sentence)
    typer.echo(f"{f'Student for {len(labels)} classes' if labels else 'Student'}: {folder / 'student'}")


@app.command()
@told_plainly
def evaluate(
    folder: StudentFolder,
    test: Annotated[str, typer.Argument(metavar="TEST", help="Labelled file or hub id that the student has not seen.")],
    text: TextColumns = None,
    label: Annotated[str | None, typer.Option("--label", help="Label column.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score a saved student on labelled texts."""
    scores = crossfade.evaluate(folder, test, text=text or None, label=label)
    if as_json:
        return print_json({**scores.shares, "rows": scores.rows, "unanswered": scores.unanswered})
    unanswered = f"  unanswered {scores.unanswered}" if scores.unanswered else ""
    shares = "  ".join(f"{measure_words(name)} {100 * share:.1f}%" for name, share in scores.shares.items())
    typer.echo(f"{shares}  rows {scores.rows}{unanswered}")


@app.command()
@told_plainly
def noise(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder with written rows.")],
    most: Annotated[int, typer.Option("--rows", min=0, help="Suspect rows shown of each class.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Show which labels of written rows are suspect, and why."""
    report = crossfade.noise(folder)
    if as_json:
        return print_json(report.as_json())
    screen = console()
    screen.print(tables.noise_table(report), "")
    if report.ratios:
        screen.print(tables.ratio_table(report), "")
    for line in tables.suspect_lines(report, most):
        screen.print(line)


@app.command()
@told_plainly
def mix(
    first: Annotated[str, typer.Argument(metavar="CLASS", help="A class of the run.")],
    second: Annotated[str, typer.Argument(metavar="CLASS", help="Another class.")],
    folder: Annotated[Path, typer.Option("--run", metavar="RUN", help="Run folder.")],
    ratio: Annotated[
        list[float] | None,
        typer.Option(
            "--ratio", help="Share of the first class; several times for several. 0 to 1 in quarters if left out."
        ),
    ] = None,
    texts: Annotated[int, typer.Option("--texts", min=1, help="Texts for each ratio.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Write texts between two classes of a run: both prompts decide each token, at the ratio."""
    rows = crossfade.mix(folder, first, second, ratio or (0.0, 0.25, 0.5, 0.75, 1.0), texts=texts)
    if as_json:
        return print_json([asdict(row) for row in rows])
    console().print(tables.between_table(rows, first))


@app.command()
@told_plainly
def export(
    folder: StudentFolder,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Where to write; RUN/onnx if left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a saved student as ONNX with its tokenizer, checked to predict the same."""
    done = crossfade.export(folder, out)
    if as_json:
        return print_json(asdict(done) | {"folder": str(done.folder)})
    typer.echo(f"Checked on {done.rows} texts: probabilities differ by at most {done.largest_difference:.1g}.")
    typer.echo(f"Export: {done.folder}")


@app.command()
@told_plainly
def methods(
    name: Annotated[str | None, typer.Argument(metavar="[METHOD]", help="Show this method's settings.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the methods, or the settings of one."""
    if name is None:
        if as_json:
            return print_json({method: asdict(note) for method, note in METHODS.items()})
        return console().print(tables.method_table())
    if name not in METHODS:
        raise SettingsError(f"There is no method '{name}'.", hint=nearest_name(name, METHODS))
    lines = tables.setting_lines(tables.method_settings(name), "method.")
    if as_json:
        return print_json([asdict(line) for line in lines])
    note = METHODS[name]
    console().print(f"{name}: {note.does}", f"Needs {note.needs}. {note.paper}.", "", sep="\n")
    for part in tables.setting_list(lines):
        console().print(part)


def _show_result(result: "RunResult", as_json: bool) -> None:
    """Print what a comparison found."""
    if as_json:
        return print_json(result.as_json())
    screen = console()
    screen.print(tables.loss_table(result.losses), "")
    for table in tables.result_tables(result.rows):
        screen.print(table, "")
    if result.texts:
        screen.print(tables.text_table(result.texts), "")
    for line in [*tables.verdicts(result.rows, result.own), tables.fidelity_line(result), tables.cost_line(result)]:
        if line:
            screen.print(line)
    typer.echo(f"See it: crossfade report {result.folder} --open")
    typer.echo(f"Run folder: {result.folder}")


def _recipe(path: Path, overrides: list[str] | None) -> "Recipe":
    # This takes a second to import, and `--help` should not wait for it.
    from crossfade.recipe import read_recipe

    return read_recipe(path, overrides or ())


def _progress(hidden: bool) -> bool:
    """Progress goes to standard error: a panel on a terminal, plain lines elsewhere."""
    return not hidden
