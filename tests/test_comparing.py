"""Comparisons over a double; `test_runs.py` tests single runs."""

from pathlib import Path
from typing import Any

import pytest

import crossfade
from crossfade import comparing, opening, scoring
from crossfade.errors import ParsingError, SettingsError
from crossfade.evaluation.comparison import ALL_DATA, CLASS_TEXTS, GOLD_ONLY, Measured, measure_rows, row_name
from crossfade.methods.aeda import AedaSettings
from crossfade.methods.promptmix import PromptMixSettings
from crossfade.models.encoder import SentenceEncoder
from crossfade.recipe import read_recipe
from crossfade.watch import Watch
from tests.doubles import LocalEndpoint, NearestInverter, prompt_of
from tests.run_doubles import WORDS, WordEncoder

SEVERAL = ["comparison.checks=['paper', 'none']", "comparison.shots=[1, 2]"]


def test_a_comparison_has_a_line_for_every_method_check_and_number_of_shots(tiny_recipe: Path) -> None:
    rows = crossfade.compare(read_recipe(tiny_recipe, SEVERAL)).rows
    names = [GOLD_ONLY, CLASS_TEXTS, *(row_name("promptmix", check) for check in ("none", "trust", "paper")), ALL_DATA]
    assert [(row.shots, row.rows) for row in rows] == [(shots, name) for shots in (1, 2) for name in names]
    assert {len(row.values) for row in rows if row.rows != ALL_DATA} == {2}
    assert {len(row.values) for row in rows if row.rows == ALL_DATA} == {1}


def test_a_plan_of_a_comparison_counts_every_method_and_asks_for_each_label_once(
    tiny_recipe: Path, endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(Watch, "expect", lambda self, requests: told.append(requests))
    methods = (
        "[{name='example_prompting'},{name='label_prompting'},{name='promptmix',temperature=0.5},{name='hidden_mixup'}]"
    )
    recipe = read_recipe(tiny_recipe, [*SEVERAL, f"comparison.methods={methods}"])
    planned = crossfade.plan(recipe, comparison=True)
    assert endpoint.bodies == []

    cost = crossfade.compare(recipe).cost
    assert cost.writing_requests == planned.writing.calls
    # Where two methods write the same text, its label is asked for once.
    assert 0 < cost.requests - planned.writing.calls <= planned.judging.calls
    assert sum(told) == planned.writing.calls + planned.judging.calls > 3 * crossfade.plan(recipe).writing.calls


def test_a_plan_refuses_a_comparison_that_cannot_work(tiny_recipe: Path) -> None:
    twice = read_recipe(tiny_recipe, ["comparison.methods=[{name='promptmix'}]"])
    with pytest.raises(SettingsError, match="names the method 'promptmix' twice"):
        crossfade.plan(twice, comparison=True)
    assert crossfade.plan(twice).writing.calls > 0
    with pytest.raises(SettingsError, match="nothing can be measured"):
        crossfade.plan(read_recipe(tiny_recipe, ["data={train='pool.csv'}"]), comparison=True)


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

    def count(*given: Any) -> Measured:
        scored.append(given)
        return measure_rows(*given)

    monkeypatch.setattr(scoring, "measure_rows", count)
    again = crossfade.compare(tiny_recipe)
    assert len(endpoint.bodies) == asked
    assert len(scored) == 1, "all real data alone is new"
    assert [row.values for row in again.rows if row.rows != ALL_DATA] == [row.values for row in first.rows]
    without = crossfade.compare(read_recipe(tiny_recipe, ["comparison.all_real_data=false"]))
    assert (len(scored), without.rows) == (1, first.rows)


def test_a_score_line_cut_off_by_a_kill_is_scored_again(tiny_recipe: Path) -> None:
    first = crossfade.run(tiny_recipe)
    scores = first.folder / "scores.jsonl"
    whole = scores.read_text()
    scores.write_text(whole[:-20])
    assert crossfade.run(tiny_recipe).rows == first.rows
    assert sorted(scores.read_text().split()[-2:]) == sorted(whole.split()[-2:])


def test_scores_in_another_form_are_refused_with_a_way_out(tiny_recipe: Path) -> None:
    scores = crossfade.run(tiny_recipe).folder / "scores.jsonl"
    scores.write_text(scores.read_text().replace('"score"', '"accuracy"'))
    with pytest.raises(ParsingError, match=r"scores\.jsonl' is not what comparisons write today.*KeyError.*Delete it"):
        crossfade.run(tiny_recipe)


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
    monkeypatch.setattr(opening, "SentenceEncoder", SentenceEncoder)
    few = ["comparison.splits=1", "comparison.curve=[1]", "labels.check=none"]
    one = crossfade.run(read_recipe(tiny_recipe, [*few, "comparison.processes=1"]))
    two = crossfade.run(read_recipe(tiny_recipe, [*few, "comparison.processes=2", "name=two"]))
    assert [row.values for row in one.rows] == [row.values for row in two.rows]


def test_rivals_stand_beside_the_method_with_as_many_rows(tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = [f"{one} {two} {label}" for label in ("cat", "dog") for one in WORDS for two in WORDS if one != two]
    monkeypatch.setattr(opening.Models, "inverter", NearestInverter(sentences, WordEncoder()))
    names = ["label_prompting", "example_prompting", "aeda", "hidden_mixup", "inversed_mixup"]
    methods = "[" + ", ".join(f"{{name = '{name}', texts_per_class = 9}}" for name in names) + "]"
    found = crossfade.compare(read_recipe(tiny_recipe, [f"comparison.methods={methods}", "comparison.oracle=true"]))
    rows = found.rows
    kept = {row.rows: row.kept for row in rows if row.kept}
    unchecked = {row_name(name, "none") for name in ["promptmix", *names]}
    assert unchecked <= set(kept)
    assert {kept[name] for name in unchecked} == {(8, 8)}
    assert row_name("hidden_mixup", "trust") not in kept, "what has no text is not judged"
    described = {"promptmix", *names} - {"hidden_mixup"}
    assert set(found.texts) == described, "nor described"
    confirmed = {row.rows for row in rows if row.fidelity}
    assert confirmed == {row_name(name, check) for name in described for check in ("none", "trust")}


def test_checks_beside_a_recipe_without_one_are_done(tiny_recipe: Path, endpoint: LocalEndpoint) -> None:
    recipe = read_recipe(tiny_recipe, ["labels.check='none'", "comparison.checks=['paper']"])
    crossfade.compare(recipe)
    assert any("Here is one more text" in prompt_of(body) for body in endpoint.bodies)


def test_only_methods_that_are_named_are_checked_beside_the_recipes_own(tiny_recipe: Path) -> None:
    beside = "comparison.methods=[{name='label_prompting'}, {name='example_prompting'}]"
    several = [beside, "comparison.checks=['paper']", "comparison.checked_methods=['label_prompting']"]
    rows = {row.rows for row in crossfade.compare(read_recipe(tiny_recipe, several)).rows}
    assert {row_name("promptmix", "paper"), row_name("label_prompting", "paper")} <= rows
    assert row_name("example_prompting", "none") in rows
    assert row_name("example_prompting", "paper") not in rows


def test_an_unknown_method_to_check_is_refused_before_anything_is_asked(
    tiny_recipe: Path, endpoint: LocalEndpoint
) -> None:
    with pytest.raises(SettingsError, match="'promptmx', which is no method") as caught:
        crossfade.compare(read_recipe(tiny_recipe, ["comparison.checked_methods=['promptmx']"]))
    assert "promptmix" in str(caught.value.hint)
    assert not endpoint.bodies


def test_the_papers_check_with_two_judges_is_refused_before_anything_is_asked(
    tiny_recipe: Path, endpoint: LocalEndpoint
) -> None:
    judge = "second_judge={kind='endpoint',base_url='http://localhost:1/v1',model='m',key_variable='TINY_KEY'}"
    recipe = read_recipe(tiny_recipe, [judge, "comparison.checks=['paper']"])
    with pytest.raises(SettingsError, match="'paper' takes one judge"):
        crossfade.compare(recipe)
    assert not endpoint.bodies


def test_a_method_named_twice_is_refused(tiny_recipe: Path) -> None:
    with pytest.raises(SettingsError, match="'promptmix' twice"):
        crossfade.compare(read_recipe(tiny_recipe, ["comparison.methods=[{texts_per_class = 9}]"]))


def test_one_method_with_several_settings_is_named_by_them(tiny_recipe: Path) -> None:
    recipe = read_recipe(tiny_recipe, ["comparison.methods=[{mixing = false}, {name = 'aeda', share = 0.5}]"])
    rows = {row.rows for row in crossfade.compare(recipe).rows}

    assert {"+ promptmix", "+ promptmix, trust", "+ promptmix (mixing=False)", "+ aeda"} <= rows


def test_a_variant_takes_over_the_other_keys_of_the_recipes_method() -> None:
    own = PromptMixSettings(texts_per_class=7, classes_per_prompt=3)
    variant, other = PromptMixSettings(mixing=False), AedaSettings(share=0.5, texts_per_class=9)

    assert comparing._beside(own, variant) == PromptMixSettings(texts_per_class=7, classes_per_prompt=3, mixing=False)
    assert comparing._beside(own, other) == AedaSettings(share=0.5, texts_per_class=7)


def test_the_language_model_itself_can_be_the_student(tiny_recipe: Path, endpoint: LocalEndpoint) -> None:
    recipe = read_recipe(tiny_recipe, ["comparison.students=['nearest']", "comparison.curve=[]"])
    rows = crossfade.compare(recipe).rows
    nearest = [row for row in rows if row.student == "nearest"]
    assert {row.rows for row in nearest} >= {GOLD_ONLY, row_name("promptmix", "trust")}
    assert all(value == 1.0 for row in nearest for value in row.values)
    asked = len(endpoint.bodies)
    crossfade.compare(recipe)
    assert len(endpoint.bodies) == asked


def test_a_saved_language_model_student_predicts_with_its_runs_judge(tiny_recipe: Path) -> None:
    folder, _ = crossfade.train(read_recipe(tiny_recipe, ["student.kind=nearest"]))
    assert crossfade.predict(folder, [("the dog is here",)])[0].label == "dog"
