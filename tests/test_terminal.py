"""What holds for every command: width, JSON, quiet, completion."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.table import Table
from typer.testing import CliRunner

from crossfade import tables
from crossfade.cli import app
from crossfade.cli_predict import prediction_table
from crossfade.data import DataWarning
from crossfade.methods import METHODS
from crossfade.methods.logit_mixup import GuidedText
from crossfade.runs import Prediction
from crossfade.terminal import console

WIDTH = 80
LONG = "a_class_whose_name_is_longer_than_any_table_has_room_for_" * 2
ROOT = Path(__file__).parent.parent


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield every command with its whole name; typer has its own copy of click's classes, so none is named here."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands(typer.main.get_command(app)))


def options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_prints_json_and_those_with_progress_can_be_quiet(name: str) -> None:
    assert "--json" in options(COMMANDS[name])
    if name in ("run", "compare", "augment", "train", "inverter train", "inverter refine"):
        assert "--quiet" in options(COMMANDS[name])


@pytest.mark.parametrize("name", ["", "inverter", *COMMANDS])
def test_help_fits_the_terminal(name: str) -> None:
    done = CliRunner().invoke(app, [*name.split(), "--help"])
    assert done.exit_code == 0
    assert [line for line in done.stdout.splitlines() if len(line) > WIDTH] == []


@pytest.mark.filterwarnings(f"ignore::{DataWarning.__module__}.{DataWarning.__name__}")
def test_what_commands_print_fits_the_terminal(tiny_recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "tiny"
    calls = [f"augment {tiny_recipe}", f"plan {tiny_recipe}", f"run {tiny_recipe}", f"noise {run}", "methods"]
    for call in [*calls, *(f"methods {name}" for name in METHODS)]:
        done = CliRunner().invoke(app, call.split())
        assert done.exit_code == 0, done.output
        # Prompts stand there letter by letter, and folders in one piece so that they can be copied.
        lines = done.stdout.partition("--- a writing prompt ---")[0].splitlines()
        wide = [
            line for line in lines if len(line) > WIDTH and not line.startswith(("Rows: ", "Run folder: ", "See it: "))
        ]
        assert wide == []


def rendered(table: Table) -> list[str]:
    with (screen := console()).capture() as captured:
        screen.print(table)
    return captured.get().splitlines()


@pytest.mark.parametrize(
    "table",
    [
        tables.loss_table({LONG: dict.fromkeys(tables.STAGES, 123456)}),
        prediction_table([Prediction((LONG, LONG), LONG, 0.5)]),
        tables.between_table([GuidedText(0.5, LONG, 1.0)], LONG),
        tables.method_table(),
    ],
    ids=["losses", "predictions", "between", "methods"],
)
def test_tables_fit_whatever_the_classes_are_called(table: Table) -> None:
    lines = rendered(table)
    assert max(map(len, lines)) <= WIDTH
    assert "…" not in "".join(lines)


def test_quiet_leaves_standard_error_empty(tiny_recipe: Path) -> None:
    assert CliRunner().invoke(app, ["augment", str(tiny_recipe), "--quiet"]).stderr == ""


def completed(shell: str, **words: str) -> str:
    script = "from crossfade.cli import main; main()"
    environment = os.environ | {"_CROSSFADE_COMPLETE": shell, **words}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout


def test_the_shell_completes_commands_and_options() -> None:
    assert completed("complete_bash", COMP_WORDS="crossfade re", COMP_CWORD="1").split() == ["review", "report"]
    found = completed("complete_zsh", _TYPER_COMPLETE_ARGS="crossfade train --qu")
    assert "--quiet" in found


def test_exit_codes_and_options_of_the_page_are_those_of_the_program() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"`{name}" in page, name
    for code in ("| 0 |", "| 1 |", "| 2 |", "| 130 |"):
        assert code in page


def test_json_of_methods_is_one_value() -> None:
    assert set(json.loads(CliRunner().invoke(app, ["methods", "--json"]).stdout)) == set(METHODS)
