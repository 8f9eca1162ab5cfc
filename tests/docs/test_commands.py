"""Every command that README and docs show: those on small data run, all others are held against the real program."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.doubles import LocalEndpoint
from typer.testing import CliRunner

from crossfade.cli import app
from crossfade.inversion import InverterSettings
from crossfade.recipe import Recipe, override, read_recipe
from crossfade.refining import RefinementSettings
from crossfade.settings import Settings

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RECIPES = [path for path in sorted((ROOT / "recipes").glob("*.toml")) if "[data]" in path.read_text(encoding="utf-8")]
"""Beside them lie files of descriptions."""
RUN_PAGES = ("docs/start.md", "docs/guides/own_data.md", "docs/guides/budget.md")
"""Pages whose commands are run one after the other; the rest need an endpoint, a browser, or hours."""
RUN = ("plan", "augment", "train", "predict", "evaluate", "run", "compare", "noise", "methods")
SETTLED = ("make", "pip", "source", "export", "cd", "ssh")
"""Programs of others."""


@dataclass(frozen=True)
class Shown:
    """A command as a page shows it."""

    page: str
    text: str
    whole: bool
    """Whether it stands in a block, and not in a sentence that may name a part of it."""

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text.rpartition(" | ")[2], comments=True)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def shown() -> Iterator[Shown]:
    for page in PAGES:
        name = page.relative_to(ROOT).as_posix()
        text = page.read_text(encoding="utf-8")
        for block in blocks(page, "sh"):
            yield from (Shown(name, line, True) for line in block.replace("\\\n", " ").splitlines() if line.strip())
        for block in blocks(page, "toml"):
            first = block.splitlines()[0]
            if first.startswith("# crossfade "):
                yield Shown(name, first.removeprefix("# "), True)
        prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        for words in re.findall(r"`((?:crossfade|python \w+/)[^`]*)`", prose):
            if not words.startswith(("crossfade.", "crossfade[")):
                yield Shown(name, " ".join(words.split()), False)
    for recipe in RECIPES:
        first = recipe.read_text(encoding="utf-8").splitlines()[0]
        assert first.startswith("# crossfade "), recipe
        yield Shown(recipe.name, first.removeprefix("# "), True)


SHOWN = list(dict.fromkeys(shown()))


def test_there_are_commands_on_both_kinds_of_page() -> None:
    assert {"README.md", "docs/review.md", "docs/export.md", "docs/guides/own_data.md"} <= {it.page for it in SHOWN}
    assert sum(it.whole for it in SHOWN) >= 20


@pytest.mark.parametrize("command", SHOWN, ids=str)
def test_a_command_is_one_of_the_program(command: Shown) -> None:
    program, *words = command.words
    if program == "crossfade":
        check_crossfade(words, whole=command.whole)
    elif program == "python":
        check_script(words)
    else:
        assert program in SETTLED, command
        if program == "make":
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE), command


def check_crossfade(words: list[str], *, whole: bool) -> None:
    """Parse as the program does; a part in a sentence may lack arguments, but not name options that are not there."""
    command: Any = typer.main.get_command(app)
    path: list[str] = []
    while hasattr(command, "commands"):
        if not words or words[0].startswith("-"):
            break
        name, *words = words
        if name == "COMMAND":
            return
        inner = command.commands.get(name)
        assert inner is not None, f"there is no command '{' '.join([*path, name])}'"
        command = inner
        path.append(name)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert options - {"--help"} <= known
    if not whole or not path:
        return
    with command.make_context(" ".join(path), list(words)) as context:
        check_settings(path, context.params)


def check_settings(path: list[str], given: dict[str, object]) -> None:
    """Hold `--set` against the settings, and a recipe of the project against its file."""
    overrides = given.get("overrides") or []
    assert isinstance(overrides, list | tuple)
    kind: type[Settings]
    if path[0] == "inverter":
        kind = InverterSettings if path[1] == "train" else RefinementSettings
        kind.checked(override(overrides))
        return
    recipe = given.get("recipe")
    if recipe is None:
        return
    file = ROOT / str(recipe)
    if str(recipe).startswith("recipes/"):
        assert file.is_file() or file.name == "mine.toml", f"there is no recipe {recipe}"
    if file.is_file():
        read_recipe(file, overrides)
    else:
        Recipe.checked(override(overrides, {"name": "x", "data": {"train": "labelled.csv"}}))


def check_script(words: list[str]) -> None:
    """Find the script, and each of its options in its text: to import benchmarks would take minutes."""
    if not words or words[0].startswith("runs/"):
        return
    path = ROOT / words[0]
    assert path.is_file(), f"there is no program {words[0]}"
    text = path.read_text(encoding="utf-8")
    for option in (word.partition("=")[0] for word in words[1:] if word.startswith("--")):
        assert f'"{option}"' in text, f"{words[0]} has no option {option}"


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("rum", "AssertionError"),
        ("train", "MissingParameter"),
        ("train x.toml --fast", "AssertionError"),
        ("train x.toml --set methd.name=eda", "SettingsError"),
        ("run recipes/none.toml", "AssertionError"),
        ("inverter train x.txt --out y --set epoch=3", "SettingsError"),
    ],
)
def test_a_wrong_command_would_be_found(command: str, error: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 (the parser's own classes are private)
        check_crossfade(command.split(), whole=True)
    assert type(caught.value).__name__ == error


@pytest.mark.parametrize("command", ["benchmarks/none.py", "benchmarks/draw_results.py --fast"])
def test_a_wrong_program_would_be_found(command: str) -> None:
    with pytest.raises(AssertionError):
        check_script(command.split())


@pytest.fixture
def at_home(tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages' commands need, the quick recipe in place of the demo's."""
    (tmp_path / "recipes").mkdir()
    text = tiny_recipe.read_text(encoding="utf-8").replace('name = "tiny"', 'name = "demo"')
    (tmp_path / "recipes" / "demo.toml").write_text(text, encoding="utf-8")
    for name in ("pool.csv", "test.csv"):
        (tmp_path / name).rename(tmp_path / "recipes" / name)
    own = ROOT / "docs" / "guides" / "own_data.md"
    (tmp_path / "labelled.csv").write_text(blocks(own, "csv")[0], encoding="utf-8")
    (tmp_path / "mine.toml").write_text(blocks(own, "toml")[0], encoding="utf-8")
    held_out = "text,label\nWhere is my parcel?,delivery\nMy invoice is wrong.,billing\n"
    (tmp_path / "held_out.csv").write_text(held_out, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stand_in(url: str) -> list[str]:
    keys = ("kind=endpoint", f"base_url={url}", "model=small", "key_variable=TINY_KEY")
    return [part for role in ("writer", "judge") for key in keys for part in ("--set", f"{role}.{key}")]


@pytest.mark.parametrize("page", RUN_PAGES)
@pytest.mark.usefixtures("at_home")
def test_commands_on_small_data_run(page: str, endpoint: LocalEndpoint) -> None:
    ran = []
    for block in blocks(ROOT / page, "sh"):
        for line in block.splitlines():
            typed, pipe, call = line.rpartition(" | ")
            words = shlex.split(call)
            if words[0] != "crossfade" or words[1] not in RUN:
                continue
            if words[1] in ("run", "compare", "train", "plan", "augment"):
                words += stand_in(endpoint.url)
            done = CliRunner().invoke(app, words[1:], input=shlex.split(typed)[1] if pipe else None)
            assert done.exit_code == 0, f"{line}\n{done.output}"
            ran.append(words[1])
    assert ran


def test_the_settings_that_guides_show_are_valid() -> None:
    for page in ("endpoint.md", "budget.md"):
        (block,) = blocks(ROOT / "docs" / "guides" / page, "toml")
        recipe = Recipe.checked({"name": "x", "data": {"train": "demo"}, **tomllib.loads(block)})
        assert recipe.writer.kind == recipe.judge.kind == "endpoint"
