"""Whole runs of stepwise synthesis over a double: pairs and reading, from the recipe to the table."""

import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import crossfade
from crossfade import opening
from crossfade.data import DataWarning, read_rows
from crossfade.errors import DataError, SettingsError
from crossfade.evaluation.comparison import GOLD_ONLY, row_name
from crossfade.tables import result_tables
from tests.doubles import Body, Canned, LocalEndpoint, completion, prompt_of, write_tiny_bert
from tests.run_doubles import WordEncoder

STEPWISE = row_name("stepwise_synthesis", "none")
ANIMALS = ["cat", "dog", "cow", "hen", "pig", "fox", "owl", "bee", "ant", "rat"]


def answer(body: Body) -> Canned:
    """Write one new hypothesis or question for whatever is asked."""
    prompt = prompt_of(body)
    if "Which of the classes above" in prompt:
        return completion("wrong" if "moon" in prompt.rpartition("one more pair")[2] else "correct")
    stamp = zlib.crc32(f"{prompt}{body['seed']}".encode())
    if "questions" in prompt:
        return completion(f"who sits where{stamp}?")
    animal = re.findall(r"the (\w+) sits", prompt)[0]
    said = animal if "definitely correct" in prompt else "moon"
    return completion(f"the {said} is there{stamp}")


@pytest.fixture
def endpoint() -> Iterator[LocalEndpoint]:
    with LocalEndpoint(answer) as server:
        yield server


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    monkeypatch.setenv("TINY_KEY", "any")
    monkeypatch.setattr(opening, "SentenceEncoder", WordEncoder)


def recipe(folder: Path, endpoint: LocalEndpoint, **tables: Any) -> dict[str, Any]:
    model = {"kind": "endpoint", "base_url": endpoint.url, "model": "small", "key_variable": "TINY_KEY"}
    return {
        "name": "tiny",
        "folder": str(folder / "runs"),
        "writer": model,
        "judge": model,
        "method": {"name": "stepwise_synthesis", "texts_per_class": 4, "development_share": 0.0},
        "labels": {"check": "none"},
        "comparison": {"shots": [3], "splits": 2, "curve": [1, 2], "processes": 1},
        **tables,
    }


def write_pairs(folder: Path) -> Path:
    """Two hypotheses of each of ten premises, one right and one wrong."""
    rows = [
        {"premise": f"the {animal} sits on mat{row}", "hypothesis": f"{said} is on mat{row}", "label": label}
        for row, animal in enumerate(ANIMALS)
        for label, said in enumerate([animal, "nobody"])
    ]
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def pair_recipe(folder: Path, endpoint: LocalEndpoint, **tables: Any) -> dict[str, Any]:
    data = {
        "train": str(write_pairs(folder)),
        "task": "pair",
        "test_share": 0.3,
        "label_names": ["correct", "wrong"],
        "kind": "sentences",
    }
    return recipe(folder, endpoint, data=data, training={"gold": False}, **tables)


def reading_recipe(folder: Path, endpoint: LocalEndpoint) -> dict[str, Any]:
    rows = []
    for number, animal in enumerate(ANIMALS):
        context = f"on mat{number} the {animal} sits all day"
        start = context.index(animal)
        rows.append({"context": context, "question": "who sits there?", "answer": animal, "answer_start": start})
    path = folder / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    (folder / "base").mkdir()
    write_tiny_bert(folder / "base", [*ANIMALS, "who", "sits", "the", "all", "day", "on"], tokens=64)
    quick = {"epochs": 2, "max_length": 32, "stride": 8, "longest_question": 8, "learning_rate": 1e-2}
    return recipe(
        folder,
        endpoint,
        data={"train": str(path), "task": "reading", "test_share": 0.4, "kind": "questions"},
        student={"kind": "span_reader", "base": str(folder / "base"), "span_reader": quick},
    )


def test_pairs_run_end_to_end_and_a_second_start_asks_nothing(tmp_path: Path, endpoint: LocalEndpoint) -> None:
    values = pair_recipe(tmp_path, endpoint)
    first = crossfade.run(values)
    assert [row.rows for row in first.rows] == [GOLD_ONLY, "gold + class texts", STEPWISE]
    rows = read_rows(first.folder / "splits" / "3-shot-0" / "kept.jsonl")
    assert {len(row.example.texts) for row in rows} == {2}
    assert all("sits on mat" in row.example.texts[0] for row in rows)
    asked = len(endpoint.bodies)
    assert asked >= 2 * 8
    again = crossfade.run(values)
    assert again.rows == first.rows
    assert len(endpoint.bodies) == asked


def test_labels_of_pairs_are_checked_within_the_rounds_and_nothing_is_judged_twice(
    tmp_path: Path, endpoint: LocalEndpoint
) -> None:
    values = pair_recipe(tmp_path, endpoint, labels={"check": "paper"})
    result = crossfade.run(values)
    prompts = [prompt_of(body) for body in endpoint.bodies]
    judged = [place for place, prompt in enumerate(prompts) if "Which of the classes above" in prompt]
    assert len({prompts[place] for place in judged}) == len(judged)
    assert all("the second given the first" in prompts[place] for place in judged)
    # Rounds go on writing after the first judgements.
    assert judged[0] < max(set(range(len(prompts))) - set(judged))
    rows = read_rows(result.folder / "splits" / "3-shot-0" / "kept.jsonl")
    assert rows
    assert all(row.example.label == ("wrong" if "moon" in row.example.text else "correct") for row in rows)
    crossfade.run(values)
    assert len(endpoint.bodies) == len(prompts)


def test_test_premises_stand_in_no_prompt_and_no_row(tmp_path: Path, endpoint: LocalEndpoint) -> None:
    result = crossfade.run(pair_recipe(tmp_path, endpoint))
    prompted = {number for body in endpoint.bodies for number in re.findall(r"mat(\d)", prompt_of(body))}
    assert 1 <= len(prompted) <= 7
    written = (result.folder / "splits" / "3-shot-1" / "kept.jsonl").read_text()
    assert set(re.findall(r"mat(\d)", written)) <= prompted


def test_controls_stand_beside_the_method_over_the_same_draws(tmp_path: Path, endpoint: LocalEndpoint) -> None:
    controls = [
        {"name": "stepwise_synthesis", **change}
        for change in ({"rounds": 0}, {"extrapolate": "gold_rows"}, {"extrapolate": "verbatim"})
    ]
    comparison = {"shots": [3], "splits": 2, "curve": [1], "processes": 1, "methods": controls}
    rows = crossfade.compare(pair_recipe(tmp_path, endpoint, comparison=comparison)).rows
    names = [
        "stepwise_synthesis",
        *(f"stepwise_synthesis ({name})" for name in ("rounds=0", "extrapolate=gold_rows", "extrapolate=verbatim")),
    ]
    assert [row.rows for row in rows][2:-1] == [row_name(name, "none") for name in names]
    kept = {row.rows: row.kept for row in rows}
    assert kept[row_name(names[1], "none")] == (8, 8)


def test_reading_runs_end_to_end_with_exact_match_and_f1(tmp_path: Path, endpoint: LocalEndpoint) -> None:
    result = crossfade.run(reading_recipe(tmp_path, endpoint))
    assert [row.rows for row in result.rows] == [GOLD_ONLY, STEPWISE]
    for row in result.rows:
        assert len(row.beside) == len(row.values) == 2
        assert all(f1 >= exact for f1, exact in zip(row.beside, row.values, strict=True))
    assert [column.header for column in result_tables(result.rows)[0].columns][1:3] == ["exact match", "F1"]
    rows = read_rows(result.folder / "splits" / "3-shot-0" / "kept.jsonl")
    assert all(row.example.texts[1].endswith("?") for row in rows)
    scores = crossfade.evaluate(result.folder, str(tmp_path / "questions.jsonl"))
    assert scores.rows == len(ANIMALS)
    assert 0 <= scores.shares["exact_match"] <= scores.shares["f1"] <= 1


def test_labels_that_form_alone_gives_away_are_warned_of(tmp_path: Path) -> None:
    def shout(body: Body) -> Canned:
        text = json.loads(answer(body).body)["choices"][0]["text"]
        return completion(f"{text}{'' if 'definitely correct' in prompt_of(body) else ' indeed!!'}")

    with LocalEndpoint(shout) as endpoint:
        values = pair_recipe(tmp_path, endpoint)
        method = {"name": "stepwise_synthesis", "texts_per_class": 15, "rounds": 0, "development_share": 0.0}
        with pytest.warns(DataWarning, match="The form of the 30 written texts .* gives away 100% of their labels"):
            crossfade.augment({**values, "method": method})


def test_a_plan_tells_calls_and_tokens_and_sends_nothing(tmp_path: Path, endpoint: LocalEndpoint) -> None:
    plan = crossfade.plan(pair_recipe(tmp_path, endpoint))
    # Two draws: eight seeds, and in either of two rounds 30 % of six gold rows.
    assert plan.writing.calls == 2 * (8 + 2 * 2)
    assert plan.writing.calls < plan.writing.calls_at_most
    assert plan.writing.prompt_tokens > 10 * plan.writing.calls
    assert plan.judging.calls == 0
    assert "Given this text, some sentences are definitely correct" in plan.writing.example
    assert endpoint.bodies == []


def test_contexts_in_both_files_are_refused_or_dropped(tmp_path: Path, endpoint: LocalEndpoint) -> None:
    values = pair_recipe(tmp_path, endpoint)
    held_out = tmp_path / "test.jsonl"
    lines = (tmp_path / "pairs.jsonl").read_text().split("\n")
    held_out.write_text("\n".join(line.replace("nobody", "no animal") for line in lines[:6]))
    del values["data"]["test_share"]
    values["data"]["test"] = str(held_out)
    with pytest.raises(DataError, match="contexts of 6 training rows stand in the test data"):
        crossfade.run(values)
    values["data"]["overlap"] = "drop"
    crossfade.run(values)
    assert not any(re.search(r"mat[0-2]\b", prompt_of(body)) for body in endpoint.bodies)


def test_a_student_or_method_that_does_not_fit_the_task_is_refused(tmp_path: Path, endpoint: LocalEndpoint) -> None:
    reading = reading_recipe(tmp_path, endpoint)
    with pytest.raises(SettingsError, match=r"'linear' and data\.task = 'reading'"):
        crossfade.plan({**reading, "student": {"kind": "linear"}})
    with pytest.raises(SettingsError, match="'promptmix' writes texts of classes"):
        crossfade.plan({**reading, "method": {"name": "promptmix"}})
    pairs = pair_recipe(tmp_path, endpoint)
    with pytest.raises(SettingsError, match=r"'span_reader' and data\.task = 'pair'"):
        crossfade.plan({**pairs, "student": {"kind": "span_reader"}})


def test_near_copies_of_held_out_contexts_leave_the_pool_where_overlap_is_dropped(
    tmp_path: Path, endpoint: LocalEndpoint
) -> None:
    given = pair_recipe(tmp_path, endpoint)
    rows = [json.loads(line) for line in Path(given["data"]["train"]).read_text().splitlines()]
    # Each pair comes again with other marks: another context, and the same text to the check for leaks.
    rows += [{**row, "premise": f"{row['premise']}!", "hypothesis": f"{row['hypothesis']}."} for row in rows]
    Path(given["data"]["train"]).write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match="test texts stand in the training data"):
        crossfade.run(given)
    result = crossfade.run({**given, "data": {**given["data"], "overlap": "drop"}})
    assert {row.rows for row in result.rows} >= {GOLD_ONLY, STEPWISE}
