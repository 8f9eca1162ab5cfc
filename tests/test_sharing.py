import json
from pathlib import Path
from typing import Any

import pytest

from crossfade import comparing, runs
from crossfade.data import read_rows
from crossfade.sharing import card, export_kept, push_to_hub


class Hub:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> None:
        self.made = {"repo_id": repo_id, "repo_type": repo_type, "private": private, "exist_ok": exist_ok}

    def upload_folder(self, *, folder_path: str, repo_id: str, repo_type: str, commit_message: str) -> None:
        assert (repo_id, repo_type) == (self.made["repo_id"], "dataset")
        root = Path(folder_path)
        self.files = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_trained_rows_are_exported_alone_and_draws_with_their_name(tiny_recipe: Path, tmp_path: Path) -> None:
    folder = comparing.run(tiny_recipe).folder
    count = export_kept(folder, "jsonl", tmp_path / "rows.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == count == sum(len(read_rows(path)) for path in folder.glob("splits/*/kept.jsonl"))
    assert {row["draw"] for row in rows} == {"2 labels per class, draw 1", "2 labels per class, draw 2"}
    runs.train(tiny_recipe)
    assert export_kept(folder, "jsonl", tmp_path / "rows.jsonl") == len(read_rows(folder / "kept.jsonl"))
    assert "draw" not in json.loads((tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()[0])


def test_rows_are_handed_on_as_a_person_left_them(tiny_recipe: Path, tmp_path: Path) -> None:
    folder, _ = runs.train(tiny_recipe)
    session = runs.review_session(folder)
    dropped, edited = list(session.rows.values())[:2]
    session.decide(dropped.key, drop=True)
    session.decide(edited.key, texts=["my cat reads the news"])
    count = export_kept(folder, "jsonl", tmp_path / "rows.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    texts = {row["text"]: row["reviewed"] for row in rows}
    assert count == len(read_rows(folder / "kept.jsonl")) - 1
    assert texts["my cat reads the news"] == "edit"
    assert dropped.row.example.text not in texts


def test_the_card_names_what_the_recipe_says_and_no_paths(tiny_recipe: Path, tmp_path: Path) -> None:
    folder, _ = runs.train(tiny_recipe)
    text = card(folder).read_text(encoding="utf-8")
    assert "Labelled texts: `pool.csv`." in text
    assert "- The writer: not stated in the recipe." in text
    assert str(tmp_path) not in text
    assert "TINY_KEY" not in text


def test_the_hub_gets_rows_and_card(tiny_recipe: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    folder, _ = runs.train(tiny_recipe)
    hub = Hub()
    count = push_to_hub(folder, "me/rows", api=hub)
    assert hub.made == {"repo_id": "me/rows", "repo_type": "dataset", "private": True, "exist_ok": True}
    assert sorted(hub.files) == ["README.md", "data/train.parquet"]
    assert hub.files["README.md"].startswith(b"---\n")
    assert parquet.read_table(pyarrow.BufferReader(hub.files["data/train.parquet"])).num_rows == count
