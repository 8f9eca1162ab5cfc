import json
import webbrowser
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import crossfade
from crossfade import runs
from crossfade.cli import app

pytest.importorskip("plotly")


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def trained(tiny_recipe: Path) -> Path:
    return runs.train(tiny_recipe)[0]


def test_report_writes_and_opens_the_page(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    done = call("report", trained, "--open")
    assert done.stdout == f"Report: {trained / 'report.html'}\n"
    assert opened == [(trained / "report.html").resolve().as_uri()]
    assert json.loads(call("report", trained, "--json").stdout) == {"report": str(trained / "report.html")}
    assert len(opened) == 1


def test_rows_and_card_say_where_they_are(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    done = call("rows", trained, "--to", "csv", "--out", out)
    count = len(out.read_text(encoding="utf-8").splitlines()) - 1
    assert done.stdout == f"Rows: {out} ({count})\n"
    assert call("card", trained).stdout == f"Card: {trained / 'card.md'}\n"
    assert call("rows", trained, "--to", "xml", "--out", out).exit_code == 2


def test_push_asks_for_a_private_repository_unless_told(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Path, str, bool]] = []

    def push(folder: Path, repository: str, *, private: bool) -> int:
        asked.append((folder, repository, private))
        return 7

    monkeypatch.setattr(crossfade, "push_to_hub", push)
    assert call("push", trained, "me/rows").stdout == "Repository: me/rows (7 rows)\n"
    call("push", trained, "me/rows", "--public")
    assert asked == [(trained, "me/rows", True), (trained, "me/rows", False)]


def test_a_folder_that_is_no_run_is_told_plainly(tmp_path: Path) -> None:
    done = call("report", tmp_path)
    assert done.exit_code == 1
    assert "hint: Give the folder of a run." in done.stderr
