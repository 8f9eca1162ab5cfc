import json
import shutil
from pathlib import Path

import pytest

from crossfade import comparing, runs
from crossfade.errors import DataError, ParsingError
from crossfade.reporting import findings_of, report, written_in

pytest.importorskip("plotly")


def test_a_run_has_its_comparison_draws_and_cost(tiny_recipe: Path) -> None:
    result = comparing.run(tiny_recipe)
    found = findings_of(result.folder)
    assert found.rows == result.rows
    assert found.own == result.own
    assert [draw.name for draw in found.draws] == ["2 labels per class, draw 1", "2 labels per class, draw 2"]
    assert found.losses == {label: dict(counts) for label, counts in result.losses.items()}
    assert sum(model.requests for model in found.models) == result.cost.requests
    assert [model.money for model in found.models] == [None]
    assert found.curve is not None
    assert found.projection is not None
    assert all(row.example.text in found.projection.place for row in found.kept)
    gold = [draw.gold for draw in found.draws]
    assert [len(corpus) for corpus in gold if corpus is not None] == [4, 4]
    path = report(result.folder)
    assert path == result.folder / "report.html"
    assert "Did it help?" in path.read_text(encoding="utf-8")


def test_a_trained_folder_has_a_report_that_calls_it_unmeasured(tiny_recipe: Path) -> None:
    folder, _ = runs.train(tiny_recipe)
    found = findings_of(folder)
    assert found.rows == ()
    assert [draw.name for draw in found.draws] == ["all labelled texts"]
    assert "Not measured" in report(folder).read_text(encoding="utf-8")


def test_a_folder_without_data_and_store_is_still_shown(tiny_recipe: Path, tmp_path: Path) -> None:
    folder, _ = runs.train(tiny_recipe)
    (tmp_path / "pool.csv").unlink()
    (folder / "replies.sqlite").unlink()
    found = findings_of(folder)
    assert found.draws[0].gold is None
    assert "pool.csv" in found.gold_missing
    assert found.models == ()
    assert found.labels == ("cat", "dog")
    assert not (folder / "replies.sqlite").exists()


def test_rows_without_a_home_are_told(tiny_recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no recipe\.toml"):
        report(tmp_path)
    folder, _ = runs.train(tiny_recipe)
    (folder / "kept.jsonl").unlink()
    with pytest.raises(DataError, match="no written rows"):
        report(folder)


def test_a_broken_file_is_named(tiny_recipe: Path) -> None:
    folder, _ = runs.train(tiny_recipe)
    (folder / "losses.json").write_text("{", encoding="utf-8")
    with pytest.raises(ParsingError, match=r"losses\.json"):
        report(folder)


def test_draws_come_in_order_and_strange_folders_are_left_out(tiny_recipe: Path) -> None:
    folder, _ = runs.train(tiny_recipe)
    for name in ("10-shot-0", "2-shot-10", "2-shot-2", "2-shot-x"):
        shutil.copytree(folder, folder.parent / "other" / "splits" / name)
    places = [place.folder.name for place in written_in(folder.parent / "other", "labels per class")]
    assert places == ["2-shot-2", "2-shot-10", "10-shot-0"]


def test_a_comparison_says_which_rows_are_its_own(tiny_recipe: Path) -> None:
    result = comparing.run(tiny_recipe)
    found = json.loads((result.folder / "comparison.json").read_text(encoding="utf-8"))
    assert found["own"] == result.own


def test_a_comparison_of_another_form_is_named(tiny_recipe: Path) -> None:
    folder = comparing.run(tiny_recipe).folder
    path = folder / "comparison.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    del found["own"]
    path.write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(ParsingError, match=r"comparison\.json' is not what .* writes today: KeyError\('own'\)"):
        findings_of(folder)
