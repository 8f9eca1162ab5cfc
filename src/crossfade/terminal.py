"""What the commands share: options, plain words for failures, and where results go.

Results go to standard output; progress, warnings and failures go to standard error.
"""

import json
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec, TextIO

import typer
from rich.console import Console

from crossfade.data import DataWarning
from crossfade.errors import CrossfadeError

Arguments = ParamSpec("Arguments")

CONTINUED = ("run", "compare", "augment", "train", "refine")
"""Commands that go on where they were when they are started again."""

StudentFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, or folder of a saved student.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.KEY=VALUE", help="Override a setting; may be given several times."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress bars.")]
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


def console() -> Console:
    """Write to standard output, with class names and texts taken as they are."""
    return Console(markup=False, highlight=False, emoji=False)


def print_json(value: object) -> None:
    """Write a value to standard output as JSON."""
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
