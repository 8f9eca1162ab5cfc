"""Run Crossfade from the command line: each command reads its arguments, calls one function and prints the result.

Results go to standard output; progress, warnings and failures go to standard error.
"""

import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ParamSpec, TextIO

import typer
from rich.console import Console

import crossfade
from crossfade import tables
from crossfade.data import DataWarning, read_unlabelled
from crossfade.errors import CrossfadeError, SettingsError, nearest_name
from crossfade.methods import METHODS
from crossfade.roles import Reader

if TYPE_CHECKING:
    from crossfade.comparing import RunResult
    from crossfade.recipe import Recipe

Arguments = ParamSpec("Arguments")

CONTINUED = ("run", "compare", "augment", "train")
"""Commands that go on where they were when they are started again."""

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", dir_okay=False, help="TOML file of the run.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.KEY=VALUE", help="Override a key of the recipe; may be given several times."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress bars.")]
StudentFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, or folder of a saved student.")]
TextColumns = Annotated[
    list[str] | None, typer.Option("--text", help="Text column; twice for pairs. Found by its usual names if left out.")
]


def told_plainly(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Wrap a command: a failure that the reader can act on ends it without a traceback, warnings are plain words."""

    @wraps(command)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always", DataWarning)
            warnings.showwarning = _show_warning
            try:
                command(*args, **kwargs)
            except CrossfadeError as error:
                typer.echo(f"error: {error.message.rstrip()}", err=True)
                if error.hint:
                    typer.echo(f"hint: {error.hint}", err=True)
                raise typer.Exit(1) from None
            except KeyboardInterrupt:
                again = " Start the same command again: it continues, and asks for nothing twice."
                typer.echo(f"Interrupted.{again if command.__name__ in CONTINUED else ''}", err=True)
                raise typer.Exit(130) from None

    return wrapped


app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Turn a handful of labelled texts into a small, fast model.",
)


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
def plan(recipe: RecipeFile, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show what a run would ask for, with one prompt of each kind; nothing is sent."""
    made = crossfade.plan(_recipe(recipe, overrides))
    if as_json:
        return _print_json(asdict(made))
    _console().print(tables.plan_table(made), "")
    typer.echo(tables.plan_text(made))


@app.command()
@told_plainly
def augment(recipe: RecipeFile, overrides: Overrides = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Write rows from all labelled texts of a recipe."""
    folder, made = crossfade.augment(_recipe(recipe, overrides), progress=_progress(quiet or as_json))
    if as_json:
        return _print_json(
            {
                "run": str(folder),
                "kept": len(made.kept),
                "dropped": len(made.dropped),
                "stopped": made.stopped,
                "losses": {label: dict(counts) for label, counts in made.losses.items()},
            }
        )
    _console().print(tables.loss_table(made.losses), "", made.stopped, sep="\n")
    typer.echo(f"Rows: {folder / 'kept.jsonl'} ({len(made.kept)}) and {folder / 'dropped.jsonl'} ({len(made.dropped)})")


@app.command()
@told_plainly
def train(recipe: RecipeFile, overrides: Overrides = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Write rows from all labelled texts and save the student trained on both."""
    folder, student = crossfade.train(_recipe(recipe, overrides), progress=_progress(quiet or as_json))
    labels = [] if isinstance(student, Reader) else list(student.labels)
    if as_json:
        return _print_json({"run": str(folder), "student": str(folder / "student"), "labels": labels})
    typer.echo(f"{f'Student for {len(labels)} classes' if labels else 'Reader'}: {folder / 'student'}")


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
        return _print_json(asdict(scores))
    unanswered = f"  unanswered {scores.unanswered}" if scores.unanswered else ""
    shares = f"accuracy {100 * scores.accuracy:.1f}%  macro F1 {100 * scores.macro_f1:.1f}%"
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
        return _print_json(report.as_json())
    console = _console()
    console.print(tables.noise_table(report), "")
    if report.ratios:
        console.print(tables.ratio_table(report), "")
    for line in tables.suspect_lines(report, most):
        console.print(line)


@app.command()
@told_plainly
def predict(
    folder: StudentFolder,
    file: Annotated[str, typer.Argument(metavar="FILE", help="File of texts, or - for standard input, one a line.")],
    text: TextColumns = None,
    as_json: AsJson = False,
) -> None:
    """Label new texts: a table on a terminal, tab-separated values in a pipe, one JSON object a line with --json."""
    texts = read_unlabelled(sys.stdin if file == "-" else file, text=text or None)
    predictions = crossfade.predict(folder, texts)
    if as_json:
        for row in predictions:
            typer.echo(json.dumps(asdict(row), ensure_ascii=False))
    elif sys.stdout.isatty():
        _console().print(tables.prediction_table(predictions))
    else:
        tables.write_separated(predictions, sys.stdout)


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
        return _print_json([asdict(row) for row in rows])
    _console().print(tables.between_table(rows, first))


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
        return _print_json(asdict(done) | {"folder": str(done.folder)})
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
            return _print_json({method: asdict(note) for method, note in METHODS.items()})
        return _console().print(tables.method_table())
    if name not in METHODS:
        raise SettingsError(f"There is no method '{name}'.", hint=nearest_name(name, METHODS))
    lines = tables.setting_lines(tables.method_settings(name), "method.")
    if as_json:
        return _print_json([asdict(line) for line in lines])
    note = METHODS[name]
    _console().print(f"{name}: {note.does}", f"Needs {note.needs}. {note.paper}.", "", sep="\n")
    for part in tables.setting_list(lines):
        _console().print(part)


def _show_result(result: "RunResult", as_json: bool) -> None:
    """Print what a comparison found."""
    if as_json:
        return _print_json(result.as_json())
    console = _console()
    console.print(tables.loss_table(result.losses), "")
    for table in tables.result_tables(result.rows):
        console.print(table, "")
    if result.texts:
        console.print(tables.text_table(result.texts), "")
    for line in [*tables.verdicts(result.rows, result.own), tables.fidelity_line(result), tables.cost_line(result)]:
        if line:
            console.print(line)
    typer.echo(f"Run folder: {result.folder}")


def _recipe(path: Path, overrides: list[str] | None) -> "Recipe":
    # This takes a second to import, and `--help` should not wait for it.
    from crossfade.recipe import read_recipe

    return read_recipe(path, overrides or ())


def _progress(hidden: bool) -> bool:
    """Progress goes to standard error: a panel on a terminal, plain lines elsewhere."""
    return not hidden


def _console() -> Console:
    """Write to standard output, with class names and texts taken as they are."""
    return Console(markup=False, highlight=False, emoji=False)


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show what was left out of the data as plain words, and any other warning as Python does."""
    text = f"warning: {message}" if issubclass(category, DataWarning) else None
    typer.echo(text or warnings.formatwarning(message, category, filename, lineno, line), err=True)
