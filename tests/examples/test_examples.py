"""Every example runs to its end, on the packaged encoder at most, and prints what it promises."""

import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent.parent / "examples"
PROMISED = {
    "train_offline.py": ("accuracy ", "texts that it has not seen", ": my account is locked"),
    "scripted_writer.py": ("invoices, charges and refunds", "[kept]", "Every class has its texts."),
    "read_rows.py": (
        "2 rows of the classes sports, weather",
        "rows that cannot be used: 2 of 3",
        "-> Correct these rows",
    ),
    "review_in_python.py": ("Reviewed rows: ",),
}


def test_every_example_is_known_and_short() -> None:
    found = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in FOLDER.glob("*.py")}
    assert set(found) == set(PROMISED)
    assert max(found.values()) < 60


@pytest.mark.model
@pytest.mark.parametrize("name", PROMISED)
def test_an_example_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(FOLDER / name), run_name="__main__")
    printed = capsys.readouterr().out
    assert [words for words in PROMISED[name] if words not in printed] == []
