"""Comparisons over a double; `test_runs.py` tests single runs."""

from pathlib import Path
from typing import Any

import pytest

import crossfade
from crossfade import parts, scoring
from crossfade.evaluation.comparison import ALL_DATA, CLASS_TEXTS, GOLD_ONLY, row_name, score_rows
from crossfade.models.encoder import SentenceEncoder
from crossfade.recipe import read_recipe
from tests.doubles import LocalEndpoint

SEVERAL = ["comparison.checks=['paper', 'none']", "comparison.shots=[1, 2]"]


def test_a_comparison_has_a_line_for_every_method_check_and_number_of_shots(tiny_recipe: Path) -> None:
    rows = crossfade.compare(read_recipe(tiny_recipe, SEVERAL)).rows
    names = [GOLD_ONLY, CLASS_TEXTS, *(row_name("promptmix", check) for check in ("none", "trust", "paper")), ALL_DATA]
    assert [(row.shots, row.rows) for row in rows] == [(shots, name) for shots in (1, 2) for name in names]
    assert {len(row.values) for row in rows if row.rows != ALL_DATA} == {2}
    assert {len(row.values) for row in rows if row.rows == ALL_DATA} == {1}


def test_every_check_decides_on_the_same_written_rows(tiny_recipe: Path, endpoint: LocalEndpoint) -> None:
    rows = crossfade.compare(read_recipe(tiny_recipe, SEVERAL)).rows
    kept = {row.rows: row.kept for row in rows if row.shots == 2 and row.kept}
    assert len(kept) == 3
    assert set(kept.values()) == {(8, 8)}


def test_a_comparison_after_a_run_asks_and_trains_only_what_is_new(
    tiny_recipe: Path, endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = crossfade.run(tiny_recipe)
    asked = len(endpoint.bodies)
    scored: list[object] = []

    def count(*given: Any) -> float:
        scored.append(given)
        return score_rows(*given)

    monkeypatch.setattr(scoring, "score_rows", count)
    again = crossfade.compare(tiny_recipe)
    assert len(endpoint.bodies) == asked
    assert len(scored) == 1, "all real data alone is new"
    assert [row.values for row in again.rows if row.rows != ALL_DATA] == [row.values for row in first.rows]


def test_a_score_line_cut_off_by_a_kill_is_scored_again(tiny_recipe: Path) -> None:
    first = crossfade.run(tiny_recipe)
    scores = first.folder / "scores.jsonl"
    whole = scores.read_text()
    scores.write_text(whole[:-20])
    assert crossfade.run(tiny_recipe).rows == first.rows
    assert sorted(scores.read_text().split()[-2:]) == sorted(whole.split()[-2:])


def test_other_student_settings_never_meet_an_old_score(tiny_recipe: Path) -> None:
    crossfade.run(tiny_recipe)
    scores = Path(read_recipe(tiny_recipe).run_folder) / "scores.jsonl"
    before = len(scores.read_text().splitlines())
    crossfade.run(read_recipe(tiny_recipe, ["student.linear.strength=0.5"]))
    assert len(scores.read_text().splitlines()) == 2 * before


@pytest.mark.model
def test_processes_find_what_one_process_finds(
    tiny_recipe: Path, endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "SentenceEncoder", SentenceEncoder)
    few = ["comparison.splits=1", "comparison.curve=[1]", "labels.check=none"]
    one = crossfade.run(read_recipe(tiny_recipe, [*few, "comparison.processes=1"]))
    two = crossfade.run(read_recipe(tiny_recipe, [*few, "comparison.processes=2", "name=two"]))
    assert [row.values for row in one.rows] == [row.values for row in two.rows]
