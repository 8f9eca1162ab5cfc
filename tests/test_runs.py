import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import crossfade
from crossfade import opening, runs
from crossfade.data import Example, read_rows
from crossfade.errors import BudgetError, DataError, ModelError, SettingsError
from crossfade.evaluation.comparison import CLASS_TEXTS, GOLD_ONLY, row_name
from crossfade.parts import opened
from crossfade.recipe import Recipe, read_recipe
from crossfade.roles import Annotator, Floats, Reader
from tests.doubles import Body, Canned, LocalEndpoint, ScoringModel, prompt_of, refusal
from tests.run_doubles import POOL, TEST, answer_well, write_tiny_recipe
from tests.writers import GuidedScript

WRITTEN = row_name("promptmix", "none")
CHECKED = row_name("promptmix", "trust")
COMMAND = (
    "from crossfade import opening, runs; from tests.run_doubles import WordEncoder; "
    "opening.SentenceEncoder = runs.SentenceEncoder = WordEncoder;"
    "from crossfade.cli import main; main()"
)
"""Runs the command line without the packaged encoder."""


def start(*arguments: str, errors: int = subprocess.PIPE, key: str = "any") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        cwd=Path(__file__).parent.parent,
        env=os.environ | {"TINY_KEY": key, "TERM": "xterm"},
    )


def read_terminal(terminal: int) -> str:
    """Read until the other side is closed, which Linux reports as an error."""
    told = b""
    with suppress(OSError):
        while part := os.read(terminal, 4096):
            told += part
    os.close(terminal)
    return told.decode()


def seeds(bodies: Sequence[Body]) -> list[int]:
    return [int(str(body["seed"])) for body in bodies]


def stored_seeds(folder: Path) -> set[int]:
    with sqlite3.connect(folder / "replies.sqlite") as connection:
        digests = [row[0] for row in connection.execute("SELECT digest FROM replies")]
    connection.close()
    # The endpoint is sent a seed that is made of the digest.
    return {int(digest[:8], 16) % 2**31 for digest in digests}


def wait_for_requests(endpoint: LocalEndpoint, count: int) -> None:
    deadline = time.monotonic() + 300
    while len(endpoint.bodies) < count:
        assert time.monotonic() < deadline, "the run asked nothing"
        time.sleep(0.01)


def test_a_run_leaves_everything_in_its_folder(tiny_recipe: Path, tmp_path: Path) -> None:
    result = crossfade.run(tiny_recipe)
    assert result.folder == tmp_path / "runs" / "tiny"
    expected = ["recipe.toml", "replies.sqlite", "comparison.json", "curve.json", "student/student.json"]
    expected += [
        f"splits/2-shot-{n}/{name}"
        for n in (0, 1)
        for name in ("kept.jsonl", "dropped.jsonl", "losses.json", "noise.json")
    ]
    assert [name for name in expected if not (result.folder / name).is_file()] == []
    assert json.loads((result.folder / "comparison.json").read_text()) == result.as_json()


def test_every_kept_row_tells_its_origin(tiny_recipe: Path) -> None:
    folder = crossfade.run(tiny_recipe).folder
    rows = read_rows(folder / "splits" / "2-shot-0" / "kept.jsonl")
    assert len(rows) == 8
    for row in rows:
        assert row.origin.method == "promptmix"
        assert row.origin.written_label in row.example.text
        assert len(row.origin.prompt_digest) == 16
        assert row.origin.judged_label == row.example.label


def test_the_rows_compare_gold_class_texts_and_synthetic(tiny_recipe: Path) -> None:
    rows = crossfade.run(tiny_recipe).rows
    assert [row.rows for row in rows] == [GOLD_ONLY, CLASS_TEXTS, WRITTEN, CHECKED]
    assert all(row.splits == 2 and len(row.values) == 2 for row in rows)


def test_what_was_written_adds_up(tiny_recipe: Path) -> None:
    for counts in crossfade.run(tiny_recipe).losses.values():
        gone = sum(counts.get(reason, 0) for reason in ("unparsable", "duplicate", "surplus", "failed"))
        assert counts["written"] == counts["accepted"] + gone
        assert counts["accepted"] == counts["asked"] == 8


def test_a_second_run_asks_nothing_and_finds_the_same(tiny_recipe: Path, endpoint: LocalEndpoint) -> None:
    first = crossfade.run(tiny_recipe)
    asked = len(endpoint.bodies)
    second = crossfade.run(tiny_recipe)
    assert asked == first.cost.requests > 0
    assert len(endpoint.bodies) == asked
    assert (second.cost.requests, second.cost.from_store) == (0, first.cost.requests)
    assert second.rows == first.rows


def test_the_folders_own_recipe_repeats_the_run(tiny_recipe: Path, endpoint: LocalEndpoint) -> None:
    first = crossfade.run(tiny_recipe)
    asked = len(endpoint.bodies)
    assert crossfade.run(first.folder / "recipe.toml").rows == first.rows
    assert len(endpoint.bodies) == asked


def test_without_a_check_the_judge_is_not_asked(tiny_recipe: Path, endpoint: LocalEndpoint) -> None:
    result = crossfade.run(read_recipe(tiny_recipe, ["labels.check=none"]))
    assert [row.rows for row in result.rows][-1] == WRITTEN
    assert len(endpoint.bodies) > 0
    assert not any("Which of the classes" in prompt_of(body) for body in endpoint.bodies)


def test_zero_shot_has_no_gold_row_and_shows_no_example(tiny_recipe: Path, endpoint: LocalEndpoint) -> None:
    result = crossfade.run(read_recipe(tiny_recipe, ["comparison.shots=[0]"]))
    assert [row.rows for row in result.rows] == [CLASS_TEXTS, WRITTEN, CHECKED]
    assert all(row.uplift is None for row in result.rows)
    assert not any(line.split(",")[0] in prompt_of(body) for body in endpoint.bodies for line in POOL.splitlines()[1:])


def test_no_test_text_reaches_a_model(tiny_recipe: Path, endpoint: LocalEndpoint) -> None:
    crossfade.run(tiny_recipe)
    sent = "\n".join(prompt_of(body) for body in endpoint.bodies)
    assert "my cat sleeps on the warm roof" in sent
    assert not any(line.split(",")[0] in sent for line in TEST.splitlines()[1:])


def test_a_failed_request_is_counted_and_the_run_goes_on(
    tmp_path: Path, tiny_recipe: Path, endpoint: LocalEndpoint
) -> None:
    refused: list[Body] = []

    def refuse_first(body: Body) -> Canned:
        if not refused:
            refused.append(body)
            return refusal(400, "too odd")
        return answer_well(body)

    endpoint.behave = refuse_first
    result = crossfade.run(tiny_recipe)
    assert result.cost.failed == 1
    assert sum(counts.get("failed", 0) for counts in result.losses.values()) == 1
    assert all(counts["accepted"] == counts["asked"] for counts in result.losses.values())


def test_a_plan_sends_nothing_and_foretells_the_writing(tiny_recipe: Path, endpoint: LocalEndpoint) -> None:
    made = crossfade.plan(tiny_recipe)
    assert endpoint.bodies == []
    cost = crossfade.run(tiny_recipe).cost
    assert made.writing.calls == cost.writing_requests <= made.writing.calls_at_most
    assert made.writing.calls + made.judging.calls == cost.requests
    sent = [prompt_of(body) for body in endpoint.bodies]
    assert made.writing.example in sent
    assert "Which of the classes" in made.judging.example
    assert (made.writing.money, made.judging.money_at_most) == (None, None)


def test_a_channel_judge_reads_every_text_under_every_class(tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = ScoringModel(lambda request, choice: float("cat" in request.prefix))
    monkeypatch.setattr(opening, "OpenWeights", lambda path, *, cache: judge)
    recipe = read_recipe(tiny_recipe, ["judge={kind='channel',path='weights.gguf'}"])
    planned = crossfade.plan(recipe)
    result = crossfade.run(recipe)

    judged = {(request.prefix, request.choices) for request in judge.requests}
    assert planned.judging.calls == result.cost.requests - result.cost.writing_requests >= len(judged)
    assert {prefix.split(":")[0] for prefix, _ in judged} == {"Texts about cat", "Texts about dog"}
    kept = read_rows(recipe.run_folder / "splits" / "2-shot-0" / "kept.jsonl")
    assert {row.origin.votes["judge"] for row in kept} <= {"cat", "dog"}


def test_a_plan_knows_the_money_where_prices_are_given(tiny_recipe: Path) -> None:
    made = crossfade.plan(read_recipe(tiny_recipe, ["writer.prompt_price=2", "writer.answer_price=10"]))
    writing = made.writing
    assert writing.money == pytest.approx((2 * writing.prompt_tokens + 10 * writing.answer_tokens) / 1e6)
    most = (2 * writing.prompt_tokens_at_most + 10 * writing.answer_tokens_at_most) / 1e6
    assert writing.money_at_most == pytest.approx(most)
    assert made.judging.money is None


def test_a_budget_stops_the_run_and_a_larger_one_continues_it(tiny_recipe: Path, endpoint: LocalEndpoint) -> None:
    with pytest.raises(BudgetError, match=r"max_requests = 7 \(7 spent\).*Raise the limit") as caught:
        crossfade.run(read_recipe(tiny_recipe, ["budget.max_requests=7"]))
    assert len(endpoint.bodies) == 7
    with pytest.raises(BudgetError):
        crossfade.run(read_recipe(tiny_recipe, ["budget.max_requests=7"]))
    assert len(endpoint.bodies) == 7, "what an earlier start spent counts"
    continued = crossfade.run(read_recipe(tiny_recipe, ["budget.max_requests=1000"]))
    assert continued.cost.from_store == 7
    assert len(endpoint.bodies) == len(set(seeds(endpoint.bodies)))
    whole = crossfade.run(read_recipe(tiny_recipe, ["name=whole"]))
    assert [row.values for row in whole.rows] == [row.values for row in continued.rows]
    assert not caught.value.retryable


def test_a_budget_of_money_needs_prices_and_is_not_passed(tiny_recipe: Path, endpoint: LocalEndpoint) -> None:
    with pytest.raises(SettingsError, match=r"what the writer costs is unknown.*writer\.prompt_price"):
        crossfade.run(read_recipe(tiny_recipe, ["budget.max_cost=1"]))
    assert endpoint.bodies == []
    prices = [f"{who}.{price}_price=100" for who in ("writer", "judge") for price in ("prompt", "answer")]
    with pytest.raises(BudgetError, match="max_cost"):
        crossfade.run(read_recipe(tiny_recipe, [*prices, "budget.max_cost=0.06"]))
    # Each call of the double has 10 tokens.
    assert 0 < len(endpoint.bodies) * 10 * 100 / 1e6 <= 0.06
    result = crossfade.run(read_recipe(tiny_recipe, prices))
    assert result.cost.money == pytest.approx(len(endpoint.bodies) * 10 * 100 / 1e6)


def test_the_key_never_reaches_the_run_folder_or_the_screen(tmp_path: Path) -> None:
    key = "sk-very-secret-9876"
    told: list[Body] = []

    def echo_the_key_at_first(body: Body) -> Canned:
        told.append(body)
        said = f"bad header 'Bearer {key}'"
        return refusal(400, said) if len(told) < 4 else answer_well(body)

    with LocalEndpoint(echo_the_key_at_first) as endpoint:
        recipe = str(write_tiny_recipe(tmp_path, endpoint.url))
        with start("run", recipe, key=key) as process:
            printed, problems = process.communicate()
    assert process.returncode == 0, problems
    assert "3 failed" in printed
    files = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert any(b"[key]" in path.read_bytes() for path in files), "the errors are kept, without the key"
    assert not [path for path in files if key.encode() in path.read_bytes()]
    assert key not in printed + problems


def test_a_run_needs_test_data(tiny_recipe: Path) -> None:
    recipe = read_recipe(tiny_recipe)
    with pytest.raises(SettingsError, match="names no test data"):
        crossfade.run(recipe.model_copy(update={"data": recipe.data.model_copy(update={"test": None})}))


def test_a_test_text_in_the_pool_is_refused_or_dropped(tiny_recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "pool.csv").write_text(POOL + "this dog swims well,dog\n", encoding="utf-8")
    with pytest.raises(DataError, match="1 of 6 test texts stand in the training data too"):
        crossfade.run(tiny_recipe)
    dropping = read_recipe(tiny_recipe, ["data.overlap=drop", "name=dropped", "comparison.shots=[4]"])
    result = crossfade.run(dropping)
    shown = (result.folder / "replies.sqlite").read_bytes()
    assert b"this dog swims well" not in shown


def test_a_missing_key_names_its_variable(tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINY_KEY")
    with pytest.raises(ModelError, match="TINY_KEY holds no key"):
        crossfade.run(tiny_recipe)


@pytest.mark.parametrize("left_out", ["", "far.example"])
def test_the_proxy_of_the_environment_is_taken_but_for_hosts_it_leaves_out(
    tiny_recipe: Path, endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    for name in ("HTTP_PROXY", "NO_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://{endpoint.host}")
    monkeypatch.setenv("no_proxy", left_out)
    addresses = [f"{who}.base_url=http://far.example/v1" for who in ("writer", "judge")]
    recipe = read_recipe(tiny_recipe, addresses)
    if left_out:
        with pytest.raises(ModelError, match=r"Nothing answers at far\.example"):
            runs.augment(recipe)
    else:
        runs.augment(recipe)
    assert set(endpoint.paths) == (set() if left_out else {"http://far.example/v1/chat/completions"})


def test_the_key_stands_nowhere_in_the_folder(tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_KEY", "top-secret-key")
    folder = crossfade.run(tiny_recipe).folder
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not any(b"top-secret-key" in path.read_bytes() for path in files)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["writer.kind=likelihood"], "can only judge"),
        (["writer.kind=channel"], "can only judge"),
        (["writer.model="], "needs base_url and model"),
    ],
)
def test_models_that_cannot_work_are_refused(tiny_recipe: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        crossfade.run(read_recipe(tiny_recipe, overrides))


def test_augment_uses_every_labelled_text(tiny_recipe: Path, endpoint: LocalEndpoint) -> None:
    folder, made = runs.augment(tiny_recipe)
    assert len(made.kept) == 8
    assert read_rows(folder / "kept.jsonl") == list(made.kept)
    writing = [prompt_of(body) for body in endpoint.bodies if "to the class" in prompt_of(body)]
    assert all(line.split(",")[0] in writing[0] for line in POOL.splitlines()[1:])


def test_a_trained_student_is_saved_scored_and_predicts(tiny_recipe: Path, tmp_path: Path) -> None:
    folder, student = runs.train(tiny_recipe)
    assert not isinstance(student, Reader | Annotator)
    assert student.labels == ("cat", "dog")
    scores = runs.evaluate(folder, str(tmp_path / "test.csv"))
    assert scores.rows == 6
    assert (scores.shares["accuracy"], scores.unanswered) == (1.0, 0)
    by_run, by_student = (runs.predict(place, [("a dog",)]) for place in (folder, folder / "student"))
    assert by_run == by_student
    assert by_run[0].label == "dog"
    assert 0.5 < by_run[0].probability <= 1


def test_predicting_without_a_student_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"There is no student\.json"):
        runs.predict(tmp_path, [("a dog",)])


class Speechless:
    """Answers for every second text only."""

    labels = ("cat", "dog")

    def predict_probabilities(self, examples: Sequence[Example]) -> Floats:
        return np.array([[0.0, 0.0] if row % 2 else [1.0, 0.0] for row in range(len(examples))])


def test_a_row_without_an_answer_has_no_label_and_is_counted(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = runs.train(tiny_recipe)
    monkeypatch.setattr(runs, "load_student", lambda *_, **__: Speechless())
    assert [(row.label, row.probability) for row in runs.predict(folder, [("a",), ("b",)])] == [("cat", 1), ("", 0)]
    scores = runs.evaluate(folder, str(tmp_path / "test.csv"))
    assert scores.shares["accuracy"] == pytest.approx(2 / 6)
    assert (scores.unanswered, scores.rows) == (3, 6)


def test_two_texts_per_row_work_from_data_to_prediction(
    tmp_path: Path, tiny_recipe: Path, endpoint: LocalEndpoint
) -> None:
    def paired(text: str) -> str:
        header, *lines = text.splitlines()
        pairs = [line.rsplit(",", 1) for line in lines]
        return "\n".join([f"sentence1,sentence2,{header.split(',')[1]}", *(f"{a},it is so,{b}" for a, b in pairs)])

    def write_pairs(body: Body) -> Canned:
        good = answer_well(body)
        return replace(good, body=good.body.replace(" paws", " paws | it runs"))

    (tmp_path / "pool.csv").write_text(paired(POOL), encoding="utf-8")
    (tmp_path / "test.csv").write_text(paired(TEST), encoding="utf-8")
    endpoint.behave = write_pairs
    result = crossfade.run(tiny_recipe)
    rows = read_rows(result.folder / "splits" / "2-shot-0" / "kept.jsonl")
    assert {len(row.example.texts) for row in rows} == {2}
    assert runs.predict(result.folder, [("a dog barks", "it runs")])[0].label == "dog"


def test_a_killed_run_continues_without_asking_twice(tmp_path: Path) -> None:
    with LocalEndpoint(lambda body: replace(answer_well(body), delay=0.05)) as endpoint:
        recipe = str(write_tiny_recipe(tmp_path, endpoint.url))
        with start("run", recipe, "--json") as killed:
            wait_for_requests(endpoint, 12)
            killed.send_signal(signal.SIGKILL)
            killed.communicate()
        assert killed.returncode == -signal.SIGKILL
        asked_before = len(endpoint.bodies)
        kept = stored_seeds(tmp_path / "runs" / "tiny")

        with start("run", recipe, "--json") as continued:
            finished, problems = continued.communicate()
        assert continued.returncode == 0, problems
        asked_after = seeds(endpoint.bodies[asked_before:])

        with start("run", recipe, "--json", "--set", "name=undisturbed") as whole:
            undisturbed, problems = whole.communicate()
        assert whole.returncode == 0, problems

    assert len(kept) >= 8
    assert asked_after
    assert not kept & set(asked_after)
    assert len(set(asked_after)) == len(asked_after)
    assert json.loads(finished)["results"] == json.loads(undisturbed)["results"]
    for name in ("kept.jsonl", "dropped.jsonl"):
        places = [tmp_path / "runs" / run / "splits" / "2-shot-1" / name for run in ("tiny", "undisturbed")]
        assert places[0].read_text() == places[1].read_text()


def test_ctrl_c_ends_a_run_with_130_and_says_that_it_continues(tmp_path: Path) -> None:
    with LocalEndpoint(lambda body: replace(answer_well(body), delay=0.05)) as endpoint:
        recipe = str(write_tiny_recipe(tmp_path, endpoint.url))
        with start("run", recipe) as interrupted:
            wait_for_requests(endpoint, 6)
            interrupted.send_signal(signal.SIGINT)
            printed, problems = interrupted.communicate()
    assert interrupted.returncode == 130
    assert printed == ""
    assert problems.endswith("Interrupted. Start the same command again: it continues, and asks for nothing twice.\n")


@pytest.mark.parametrize(("arguments", "shown"), [([], True), (["--quiet"], False)])
def test_progress_is_shown_on_a_terminal_unless_quiet(tmp_path: Path, arguments: list[str], shown: bool) -> None:
    with LocalEndpoint(answer_well) as endpoint:
        recipe = str(write_tiny_recipe(tmp_path, endpoint.url))
        ours, theirs = os.openpty()
        with start("run", recipe, *arguments, errors=theirs) as running:
            os.close(theirs)
            told = read_terminal(ours)
            printed, _ = running.communicate()
    assert running.returncode == 0
    assert "Run folder:" in printed
    assert ("promptmix writes" in told) == shown


def test_two_runs_in_one_folder_are_refused(tmp_path: Path, tiny_recipe: Path) -> None:
    recipe = read_recipe(tiny_recipe)
    with opened(recipe, progress=False), pytest.raises(ModelError, match="in use by another run"):
        crossfade.run(recipe)


def test_the_noise_report_of_a_draw_is_found_and_a_wrong_folder_names_the_draws(tiny_recipe: Path) -> None:
    folder = crossfade.run(tiny_recipe).folder
    report = crossfade.noise(folder / "splits" / "2-shot-0")
    assert [(of_class.label, of_class.rows) for of_class in report.classes] == [("cat", 4), ("dog", 4)]
    with pytest.raises(DataError, match="2-shot-0"):
        crossfade.noise(folder)


@pytest.fixture
def guided(tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A recipe whose writer's weights are a script."""
    monkeypatch.setattr(opening, "OpenWeights", lambda path, *, cache: GuidedScript())
    monkeypatch.setattr(opening, "packaged_writer", lambda: Path("packaged.gguf"))
    return read_recipe(tiny_recipe, ["writer={kind='embedded'}", "method={name='logit_mixup',texts_per_class=4}"])


def test_guided_writing_runs_from_texts_to_scores(guided: Recipe) -> None:
    rows = {row.rows: row for row in crossfade.run(guided).rows}

    assert rows[row_name("logit_mixup", "none")].kept == (8, 8)
    kept = read_rows(guided.run_folder / "splits" / "2-shot-0" / "kept.jsonl")
    assert {row.origin.votes["decoding"] for row in kept} == {"cat", "dog"}
    assert all(set(row.origin.logprobs) == {"cat", "dog"} for row in kept)
    assert all("judge" in row.origin.votes for row in kept), "label trust adds its votes"


def test_texts_are_mixed_on_the_classes_of_a_run(guided: Recipe) -> None:
    folder, _ = crossfade.augment(guided)
    rows = crossfade.mix(folder, "dog", "cat", [0.0, 1.0], texts=2)

    assert [(row.ratio, row.log_odds) for row in rows] == [(0.0, -1.0), (0.0, -1.0), (1.0, 1.0), (1.0, 1.0)]
    assert crossfade.mix(folder, "dog", "cat", [0.0, 1.0], texts=2) == rows, "from the store"
    with pytest.raises(SettingsError, match="'dgo' is not a class of this run"):
        crossfade.mix(folder, "dgo", "cat", [0.5])
    with pytest.raises(SettingsError, match="Both classes are 'cat'"):
        crossfade.mix(folder, "cat", "cat", [0.5])
    with pytest.raises(SettingsError, match=r"1\.5 is not between 0 and 1"):
        crossfade.mix(folder, "dog", "cat", [1.5])
    with pytest.raises(DataError, match="no recipe"):
        crossfade.mix(folder / "nowhere", "dog", "cat", [0.5])


def test_an_endpoint_cannot_be_steered(tiny_recipe: Path) -> None:
    recipe = read_recipe(tiny_recipe, ["method={name='logit_mixup',texts_per_class=4}"])
    with pytest.raises(SettingsError, match="weights, and the writer is an endpoint"):
        crossfade.augment(recipe)


def test_plan_counts_guided_requests_without_loading_weights(guided: Recipe) -> None:
    planned = crossfade.plan(guided)

    assert planned.writing.calls == 16
