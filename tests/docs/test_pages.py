"""Pictures and the site are up to date and whole."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from crossfade.methods import METHODS

ROOT = Path(__file__).parent.parent.parent
METHOD_PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "methods").glob("*.md")}


@pytest.mark.parametrize("script", ["docs/draw_methods.py", "benchmarks/draw_results.py"])
def test_pictures_are_up_to_date(script: str) -> None:
    done = subprocess.run([sys.executable, ROOT / script, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_its_settings_on_a_page(method: str) -> None:
    assert [name for name, text in METHOD_PAGES.items() if f"<!-- settings {method} -->" in text]


@pytest.mark.parametrize("page", METHOD_PAGES)
def test_every_method_page_has_a_picture(page: str) -> None:
    assert re.search(rf"!\[[^\]]+\]\(\.\./images/{page}\.svg\)", METHOD_PAGES[page])


@pytest.mark.slow
def test_the_site_builds_without_a_broken_link_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "index.html", tmp_path / "methods" / "promptmix.html"):
        loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="([^"]+)"', page.read_text(encoding="utf-8"))
        assert loaded
        assert [address for address in loaded if "://" in address] == []
    reference = (tmp_path / "reference.html").read_text(encoding="utf-8")
    assert "Write rows from all labelled texts, fit the student on both" in reference
