"""Whole runs of texts with several attributes, from the recipe to the table, over tiny models."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import crossfade
from crossfade import opening
from crossfade.data import AnnotatedExample, read_rows
from crossfade.data.tags import tags_of_mentions
from crossfade.errors import SettingsError
from crossfade.estimating import expected_requests
from crossfade.evaluation.comparison import ALL_DATA, row_name
from crossfade.fitting import check_task
from crossfade.parts import opened
from crossfade.recipe import Recipe, read_recipe
from crossfade.reporting import read_draws
from crossfade.runs import evaluate
from crossfade.tables import result_tables
from tests.annotated_doubles import FILLER, INTENTS, PEOPLE, PLACES, requests, sentences
from tests.causal_doubles import write_tiny_llama
from tests.doubles import write_tiny_bert
from tests.run_doubles import WordEncoder

RECIPES = Path("recipes")
QUICK = {"epochs": 1, "batch_size": 8, "max_length": 16}


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    monkeypatch.setattr(opening, "SentenceEncoder", WordEncoder)


def write_models(folder: Path) -> dict[str, str]:
    """Write a tiny encoder and a tiny language model that know the same words."""
    words = [*INTENTS.values(), *FILLER, *PEOPLE, *PLACES]
    for name in ("bert", "llama"):
        (folder / name).mkdir()
    write_tiny_bert(folder / "bert", words, tokens=32)
    write_tiny_llama(folder / "llama", ["<s>", *words])
    return {name: str(folder / name) for name in ("bert", "llama")}


def intents_recipe(folder: Path) -> dict[str, Any]:
    models = write_models(folder)
    for name, rows in (("train", requests(30)), ("test", requests(20, 9))):
        known = {row.text: {"text": row.text, "intents": row.intents} for row in rows}
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in known.values()))
    return {
        "name": "tiny",
        "folder": str(folder / "runs"),
        "data": {
            "train": str(folder / "train.jsonl"),
            "test": str(folder / "test.jsonl"),
            "task": "intents",
            "overlap": "drop",
        },
        "writer": {"kind": "embedded", "path": models["llama"]},
        "method": {
            "name": "soft_prompt_mixture",
            "texts_per_class": 6,
            "prefix_length": 2,
            "attribute_length": 2,
            "epochs": 1,
            "max_tokens": 5,
            "max_rounds": 2,
            "repetition_penalty": 1.0,
        },
        "student": {"kind": "encoder_classifier", "base": models["bert"], "encoder_classifier": QUICK},
        "comparison": {"shots": [8], "splits": 2, "curve": [], "processes": 1},
    }


def test_intents_run_end_to_end_with_strict_and_lenient_scores(tmp_path: Path) -> None:
    recipe = intents_recipe(tmp_path)
    result = crossfade.run(recipe)
    line = next(row for row in result.rows if row.rows == row_name("soft_prompt_mixture", "trust"))
    assert line.splits == len(line.beside) == 2
    kept = read_rows(result.folder / "splits" / "8-shot-0" / "kept.jsonl")
    assert all(isinstance(row.example, AnnotatedExample) and row.origin.parent_key for row in kept)
    (table,) = result_tables(result.rows)
    assert [str(column.header) for column in table.columns][1:3] == ["strict F1", "lenient score"]
    # There are no classes to count labels by.
    assert str(table.title).startswith("8 real labelled rows, 2 splits")
    assert [draw.name for draw in read_draws(result.folder)] == ["8 labelled rows, draw 1", "8 labelled rows, draw 2"]
    scores = evaluate(result.folder, str(tmp_path / "test.jsonl"))
    assert scores.rows == 20
    assert list(scores.shares) == ["strict_f1", "lenient_score"]
    # Going on from where it stopped, nothing is scored anew.
    assert [row.values for row in crossfade.run(recipe).rows] == [row.values for row in result.rows]


def test_a_plan_counts_one_request_for_each_text_with_attributes(tmp_path: Path) -> None:
    recipe = intents_recipe(tmp_path)
    del recipe["writer"]
    recipe["method"] = {"name": "example_prompting", "texts_per_class": 6, "max_rounds": 3, "max_tokens": 40}
    plan = crossfade.plan(recipe).writing
    # Two draws.
    assert (plan.calls, plan.calls_at_most) == (2 * 6, 2 * 6 * 3)
    with opened(recipe, progress=False) as parts:
        gold = parts.texts.draw(8, 0)
        assert expected_requests(parts, gold, parts.recipe.method, []) == 6
        # An answer is one text, read at four characters to a token.
        assert plan.answer_tokens / plan.calls < max(map(len, gold.texts)) / 4 + 2


def test_entities_are_compared_with_the_baselines(tmp_path: Path) -> None:
    models = write_models(tmp_path)
    for name, rows in (("train", sentences(30)), ("test", sentences(10, 9))):
        blocks = [tags_of_mentions(row.text, row.mentions) for row in rows]
        lines = ["\n".join(f"{token}\t{tag}" for token, tag in zip(*block, strict=True)) for block in blocks]
        (tmp_path / f"{name}.txt").write_text("\n\n".join(lines))
    result = crossfade.compare(
        {
            "name": "tiny",
            "folder": str(tmp_path / "runs"),
            "data": {
                "train": str(tmp_path / "train.txt"),
                "test": str(tmp_path / "test.txt"),
                "task": "entities",
                "overlap": "drop",
            },
            "method": {"name": "mention_replacement", "texts_per_class": 6},
            "student": {"kind": "token_classifier", "base": models["bert"], "token_classifier": QUICK},
            "comparison": {
                "shots": [8],
                "splits": 1,
                "curve": [],
                "processes": 1,
                "methods": [{"name": "eda"}],
            },
        }
    )
    names = [row.rows for row in result.rows]
    assert row_name("mention_replacement", "none") in names
    assert row_name("eda", "none") in names
    assert all(row.kept in ((6,), ()) for row in result.rows)
    assert ALL_DATA in names
    assert all(row.measures == ["strict_f1", "lenient_score"] for row in result.rows)


def test_what_does_not_fit_together_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    recipe = {"name": "x", "folder": str(tmp_path), "data": {"train": "none.jsonl", "task": "intents"}}
    student, method = {"kind": "encoder_classifier"}, {"name": "soft_prompt_mixture"}
    with pytest.raises(SettingsError, match=r"'linear' and data\.task = 'intents'"):
        crossfade.plan({**recipe, "method": method})
    with pytest.raises(SettingsError, match="'intents' has none"):
        crossfade.plan({**recipe, "student": student})
    with pytest.raises(SettingsError, match="intents have other checks"):
        crossfade.plan({**recipe, "student": student, "method": method, "labels": {"check": "paper"}})
    classes = {"train": "demo", "task": "text"}
    with pytest.raises(SettingsError, match="needs annotated texts"):
        crossfade.plan({**recipe, "data": classes, "method": method})


@pytest.mark.parametrize(
    ("task", "key", "said"),
    [
        ("intents", "texts_per_request", "a request brings one text"),
        ("intents", "examples_per_class", "there are no classes.*attribute_exemplars"),
        ("text", "attribute_exemplars", "carries no attributes.*examples_per_class"),
    ],
)
def test_keys_of_the_other_way_of_asking_are_refused(task: str, key: str, said: str) -> None:
    recipe = {"name": "x", "data": {"train": "demo", "task": task}}
    if task == "intents":
        recipe["student"] = {"kind": "encoder_classifier"}
    method = {"name": "example_prompting", key: 4}
    with pytest.raises(SettingsError) as refused:
        check_task(Recipe.checked({**recipe, "method": method}))
    assert re.search(said, f"{refused.value} {refused.value.hint}")
    check_task(Recipe.checked({**recipe, "method": {"name": "example_prompting"}}))
    with pytest.raises(SettingsError):
        check_task(
            Recipe.checked({**recipe, "method": {"name": "example_prompting"}, "comparison": {"methods": [method]}})
        )


@pytest.mark.parametrize(
    "name",
    ["nlupp_banking", "nlupp_hotels", "crossner_politics", "crossner_science", "topv2_reminder", "godel_flan_t5"],
)
def test_recipes_can_be_read(name: str) -> None:
    recipe = read_recipe(RECIPES / f"{name}.toml")
    assert recipe.name == name
    check_task(recipe)


@pytest.mark.data
@pytest.mark.skipif(not Path("../shared/data").is_dir(), reason="the evaluation data are not there")
def test_the_recipe_of_the_papers_models_can_be_planned(tmp_path: Path) -> None:
    plan = crossfade.plan(read_recipe(RECIPES / "godel_flan_t5.toml", [f"folder={tmp_path}"]))
    assert plan.writing.calls == 0
