import re
from pathlib import Path

import pytest

from crossfade.methods import METHODS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines() if line]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def at_root(tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the README's commands and Python need, the quick recipe in place of the demo's."""
    (tmp_path / "recipes").mkdir()
    tiny_recipe.rename(tmp_path / "recipes" / "demo.toml")
    for name in ("pool.csv", "test.csv"):
        (tmp_path / name).rename(tmp_path / "recipes" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_make_commands_are_targets_of_the_makefile() -> None:
    wanted = [command.split()[1] for command in COMMANDS if command.startswith("make ")]
    assert wanted == ["demo", "test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in [*wanted, "setup", "fix", "check", "bench", "docs"]:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_python_runs_and_is_short(at_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python")
    assert len(code.strip().splitlines()) <= 8
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("gold only")
    assert re.fullmatch(r"(cat|dog) \d+%", printed[-1])


def test_every_method_stands_in_the_table_with_its_paper() -> None:
    for name, note in METHODS.items():
        (line,) = [line for line in README.splitlines() if line.startswith(f"| [{name}]")]
        assert note.paper in line
        assert note.needs in line


@pytest.mark.parametrize(
    "page", ["README.md", *(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
)
def test_links_lead_to_files(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in targets if not ((ROOT / page).parent / link).exists()] == []
