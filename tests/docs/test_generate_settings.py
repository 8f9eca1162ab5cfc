import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent.parent / "docs" / "generate_settings.py"


def generate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_pages_are_up_to_date() -> None:
    checked = generate("--check")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_stale_page_is_named_and_repaired(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Before.\n<!-- settings data -->\nold\n<!-- end settings -->\nAfter.\n", encoding="utf-8")
    stale = generate("--check", page)
    assert stale.returncode == 1
    assert "Out of date: page.md." in stale.stderr
    assert generate(page).returncode == 0
    text = page.read_text(encoding="utf-8")
    assert "old" not in text
    assert '| `data.on_bad_rows` | `"error"` |' in text
    assert text.startswith("Before.\n")
    assert text.endswith("After.\n")
    assert generate("--check", page).returncode == 0
