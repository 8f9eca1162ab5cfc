"""Stepwise synthesis with scripted writers and students of a few lines."""

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.doubles import FakeEncoder

from crossfade.data import Augmented, Corpus, Example, ReadingExample
from crossfade.errors import ModelError, SettingsError
from crossfade.methods.stepwise_calls import StepwiseSynthesisSettings
from crossfade.methods.stepwise_synthesis import (
    EXPECTED_ERRORS,
    CheckedRows,
    augment,
    planned,
    requests_at_most,
)
from crossfade.models.replies import ReplyStore
from crossfade.models.scripted import ScriptedModel
from crossfade.models.stored import StoredModel
from crossfade.roles import Floats, Form, Request
from crossfade.tasks.classification import TrainingRows, synthetic_rows

LABELS = ("negative", "positive")
REVIEWS = Corpus(
    tuple(Example((f"film{row} was {('poor', 'fine')[row % 2]} all along",), LABELS[row % 2]) for row in range(20)),
    LABELS,
    {"negative": "what is bad in a film", "positive": "what is good in a film"},
    kind="reviews",
)
PAIRS = Corpus(
    tuple(Example((f"Premise number{row} holds.", f"So number{row} it is."), LABELS[row % 2]) for row in range(12)),
    LABELS,
    {"negative": "wrong", "positive": "correct"},
    kind="sentences",
)
CONTEXT = "In house{0} the key{0} lies under the mat."
QUESTIONS = Corpus(
    tuple(
        ReadingExample(
            (CONTEXT.format(row), f"What lies in house{row}?"),
            "answerable",
            f"key{row}",
            CONTEXT.format(row).index("key"),
        )
        for row in range(6)
    ),
    ("answerable",),
    kind="questions",
)
WHOLE = StepwiseSynthesisSettings(texts_per_class=4, development_share=0.0)


class Writer:
    """Writes new words for each request, questions where questions are wanted, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> str:
        self.requests.append(request)
        end = "?" if "questions" in request.full_prompt.lower() else "."
        stamp = str(zlib.crc32(f"{request.full_prompt}{request.sample}".encode()))
        return "\n- ".join(f"alpha{stamp}x{line} beta{stamp} gamma{stamp}y{line}{end}" for line in range(5))

    def prompts(self, words: str) -> list[str]:
        return [request.full_prompt for request in self.requests if words in request.full_prompt]


class SaysLabel:
    """A student that says what a function says of an example; it counts how often it is trained, and on how much."""

    def __init__(self, say: Callable[[Example], str], trained_on: list[int]) -> None:
        self.say, self.trained_on, self.labels = say, trained_on, LABELS

    def fit(self, examples: Sequence[Example], targets: Floats, weights: Floats, labels: Sequence[str]) -> "SaysLabel":
        self.trained_on.append(len(examples))
        return self

    def predict_probabilities(self, examples: Sequence[Example]) -> Floats:
        return np.array([[float(self.say(example) == label) for label in LABELS] for example in examples])

    def save(self, folder: Path) -> None:
        raise NotImplementedError


class SaysAnswer:
    """A reader that says what a function says."""

    def __init__(self, say: Callable[[Example], str]) -> None:
        self.say = say

    def fit(self, examples: Sequence[Example], weights: Floats) -> "SaysAnswer":
        return self

    def find_answers(self, examples: Sequence[Example]) -> list[str]:
        return [self.say(example) for example in examples]

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def as_written(made: Augmented, gold: Corpus) -> TrainingRows:
    """Make training rows with the labels that were asked for."""
    return synthetic_rows(made.kept, gold.labels, doubt="keep")


def right(example: Example) -> str:
    return example.answer if isinstance(example, ReadingExample) else example.label


def run(
    gold: Corpus,
    say: Callable[[Example], str],
    settings: StepwiseSynthesisSettings = WHOLE,
    writer: Callable[[Request], str] | Mapping[str, str] | None = None,
    form: Form = "instruct",
    trained_on: list[int] | None = None,
    seed: int = 0,
    checked_rows: CheckedRows | None = None,
) -> Augmented:
    counts: list[int] = [] if trained_on is None else trained_on
    reading = isinstance(gold.examples[0], ReadingExample)
    return augment(
        gold,
        writer=ScriptedModel(writer or Writer(), preferred_form=form),
        encoder=FakeEncoder(),
        new_student=lambda: SaysAnswer(say) if reading else SaysLabel(say, counts),
        checked_rows=checked_rows or (lambda made: as_written(made, gold)),
        settings=settings,
        rng=np.random.default_rng(seed),
    )


def with_(settings: StepwiseSynthesisSettings = WHOLE, **changes: object) -> StepwiseSynthesisSettings:
    return StepwiseSynthesisSettings.model_validate({**settings.model_dump(), **changes})


@pytest.mark.parametrize("gold", [REVIEWS, PAIRS, QUESTIONS], ids=["text", "pair", "reading"])
@pytest.mark.parametrize("form", ["instruct", "continue"])
def test_zero_rounds_are_the_seed_and_a_perfect_student_adds_nothing_to_it(gold: Corpus, form: Form) -> None:
    trained_on: list[int] = []
    settings = with_(development_share=0.25)
    seed = run(gold, right, with_(settings, rounds=0), form=form)
    perfect = run(gold, right, settings, form=form, trained_on=trained_on)
    wrong = run(gold, lambda _: "negative", settings, form=form)
    assert seed.kept == perfect.kept
    assert seed.kept == wrong.kept[: len(seed.kept)]
    assert len(wrong.kept) > len(seed.kept) == 4 * len(gold.labels)
    assert {row.origin.round_index for row in seed.kept} == {0}
    assert "makes no error" in perfect.stopped
    assert "seed texts alone" in seed.stopped
    assert trained_on == ([] if gold is QUESTIONS else [len(seed.kept)])


@pytest.mark.parametrize("gold", [REVIEWS, PAIRS, QUESTIONS], ids=["text", "pair", "reading"])
def test_a_constant_student_has_every_error_extrapolated_in_every_round(gold: Corpus) -> None:
    made = run(gold, lambda _: "negative")
    errors = [example for example in gold if right(example) != "negative"]
    by_key = {example.key: example for example in errors}
    for round_index in (1, 2):
        added = [row for row in made.kept if row.origin.round_index == round_index]
        assert sorted(row.origin.parent_key for row in added) == sorted(by_key)
        for row in added:
            parent = by_key[row.origin.parent_key]
            assert row.example.label == parent.label
            assert row.example.texts[:-1] == parent.texts[:-1]
            assert row.example.texts[-1] != parent.texts[-1]
    assert made.stopped.startswith("All 2 rounds done.")
    assert f"{len(errors)}, {len(errors)} of {len(gold)} gold rows" in made.stopped


def test_each_round_trains_a_fresh_student_on_all_rows_so_far() -> None:
    trained_on: list[int] = []
    run(PAIRS, lambda _: "negative", with_(rounds=3), trained_on=trained_on)
    assert trained_on == [8, 8 + 6, 8 + 12]


def test_several_texts_can_be_written_like_each_error() -> None:
    made = run(PAIRS, lambda _: "negative", with_(rounds=1, per_error=3))
    assert len(made.kept) == 8 + 3 * 6


def test_a_round_without_gain_on_development_rows_is_the_last() -> None:
    trained_on: list[int] = []
    made = run(REVIEWS, lambda _: "negative", with_(development_share=0.3, rounds=5), trained_on=trained_on)
    assert len(trained_on) == 2
    assert made.stopped.startswith("Round 1 brought no gain on the development rows.")
    assert "Right on 6 development rows: " in made.stopped
    assert {row.origin.round_index for row in made.kept} == {0, 1}


def test_a_reader_gains_by_words_in_common_where_nothing_matches_exactly() -> None:
    said = iter(["house", "the key", "one key0 key1 key2 key3 key4 key5"])
    students: list[str] = []

    def say(example: Example) -> str:
        return students[-1]

    def checked(made: Augmented) -> TrainingRows:
        students.append(next(said))
        return as_written(made, QUESTIONS)

    made = run(QUESTIONS, say, with_(development_share=0.5, rounds=3), checked_rows=checked)
    # Of seven words one is right: F1 1/4.
    assert made.stopped.startswith("Round 1 brought no gain")
    assert made.stopped.endswith("F1 on 3 development rows: 0.0%, 0.0%.")


def test_development_rows_are_neither_extrapolated_nor_written_for() -> None:
    writer = Writer()
    run(PAIRS, lambda _: "neither", with_(development_share=0.5, rounds=1), writer=writer)
    shown = {
        number for request in writer.requests for number in re.findall(r"Premise (number\d+)", request.full_prompt)
    }
    assert len(shown) == 6


@pytest.mark.parametrize("source", ["errors", "gold_rows", "seeds"])
def test_what_a_round_adds_takes_as_many_requests_whatever_it_starts_from(source: str) -> None:
    writer = Writer()
    made = run(PAIRS, lambda _: "negative", with_(extrapolate=source, rounds=1), writer=writer)
    assert len(writer.requests) == 8 + 6
    assert len(made.kept) == 8 + 6


def test_goldgen_extrapolates_rows_that_were_right_too_and_more_seeds_have_no_parent() -> None:
    gold_rows = run(PAIRS, lambda _: "negative", with_(extrapolate="gold_rows", rounds=1))
    labels = {row.example.label for row in gold_rows.kept if row.origin.round_index}
    assert labels == {"negative", "positive"}
    seeds = run(PAIRS, lambda _: "negative", with_(extrapolate="seeds", rounds=1))
    assert {row.origin.parent_key for row in seeds.kept} == {""}


def test_errors_added_verbatim_ask_nothing_and_are_added_once() -> None:
    writer = Writer()
    made = run(PAIRS, lambda _: "negative", with_(extrapolate="verbatim"), writer=writer)
    assert len(writer.requests) == 8
    added = [row.example for row in made.kept if row.origin.round_index]
    assert added == [example for example in PAIRS if example.label == "positive"]
    assert sum(row.origin.reason == "duplicate" for row in made.dropped) == 6


def test_each_rounds_student_learns_checked_labels_of_all_rows_so_far() -> None:
    seen: list[list[str]] = []
    trained_on: list[int] = []

    def one_of_the_second_class(made: Augmented) -> TrainingRows:
        seen.append([row.example.label for row in made.kept])
        second = next(row for row in made.kept if row.example.label == LABELS[1])
        kept = tuple(row for row in made.kept if row.example.label == LABELS[0] or row is second)
        return as_written(replace(made, kept=kept), REVIEWS)

    made = run(REVIEWS, lambda _: LABELS[0], trained_on=trained_on, checked_rows=one_of_the_second_class)
    assert [len(labels) for labels in seen] == [8, 18]
    assert trained_on == [labels.count(LABELS[0]) + 1 for labels in seen]
    assert {row.example.label for row in made.kept} == set(LABELS)


@pytest.mark.parametrize(("gold", "left"), [(REVIEWS, 4), (REVIEWS, 0), (QUESTIONS, 0)])
def test_rounds_end_where_the_check_leaves_nothing_to_learn_from(gold: Corpus, left: int) -> None:
    def checked(made: Augmented) -> TrainingRows:
        first = [row for row in made.kept if row.example.label == gold.labels[0]]
        return as_written(replace(made, kept=tuple(first[:left])), gold)

    made = run(gold, lambda _: "none", checked_rows=checked)
    assert made.stopped == "Round 1 had no rows of two classes to train a student on."
    assert {row.origin.round_index for row in made.kept} == {0}


def test_the_same_generator_gives_the_same_rows() -> None:
    script = Writer()
    first, again = (run(REVIEWS, lambda _: "negative", writer=script, seed=4) for _ in range(2))
    assert first == again


def test_a_run_that_was_killed_goes_on_without_asking_anything_again(tmp_path: Path) -> None:
    def start(store: ReplyStore, stop_after: int) -> tuple[ScriptedModel, Augmented | None]:
        script = Writer()

        def reply(request: Request) -> str:
            if len(script.requests) >= stop_after:
                raise KeyboardInterrupt
            return script(request)

        model = ScriptedModel(reply)
        try:
            made = augment(
                PAIRS,
                writer=StoredModel(model, store),
                encoder=FakeEncoder(),
                new_student=lambda: SaysLabel(lambda _: "negative", []),
                checked_rows=lambda made: as_written(made, PAIRS),
                settings=WHOLE,
                rng=np.random.default_rng(0),
            )
        except KeyboardInterrupt:
            return model, None
        return model, made

    with ReplyStore(tmp_path / "whole.sqlite") as store:
        whole, uninterrupted = start(store, 1000)
    with ReplyStore(tmp_path / "killed.sqlite") as store:
        for stop_after in (3, 9):
            _, nothing = start(store, stop_after)
            assert nothing is None
        last, finished = start(store, 1000)
        idle, again = start(store, 0)
    assert whole.asked == 8 + 6 + 6
    assert last.asked == whole.asked - 12
    assert idle.asked == 0
    assert finished == again == uninterrupted


def test_seed_prompts_name_rationales_of_their_class() -> None:
    def reply(request: Request) -> str:
        if "Points" in request.full_prompt or "points, each" in request.full_prompt:
            side = "good" if "is good" in request.full_prompt else "bad"
            return "\n".join(f"{side} point {'abcdefgh'[number] * 3}" for number in range(5))
        return script(request)

    script = Writer()
    run(REVIEWS, right, with_(rounds=0, rationales_per_prompt=2), writer=reply)
    assert len(script.requests) == 4
    for request in script.requests:
        side = "good" if "about what is good in a film" in request.full_prompt else "bad"
        assert len(re.findall(rf"{side} point \w+", request.full_prompt)) == 2
        assert f"{'bad' if side == 'good' else 'good'} point" not in request.full_prompt


def test_without_rationales_the_class_alone_is_told() -> None:
    writer = Writer()
    run(REVIEWS, right, with_(rounds=0, rationales_per_label=0), writer=writer)
    assert len(writer.requests) == 4
    assert not writer.prompts("point")


@pytest.mark.parametrize("form", ["instruct", "continue"])
def test_feedback_shows_helpful_texts_of_the_class_in_the_second_half_of_the_seed(form: Form) -> None:
    def reply(request: Request) -> str:
        """Write texts that differ by class, so that some help to tell the classes."""
        script.requests.append(request)
        stamp = zlib.crc32(f"{request.full_prompt}{request.sample}".encode())
        side = "fine" if "is good" in request.full_prompt else "poor"
        return "\n- ".join(f"{side} w{stamp}x{line} {side}" for line in range(1))

    script = Writer()
    settings = with_(rounds=0, texts_per_class=40, rationales_per_label=0, feedback=2, texts_per_request=1)
    made = run(REVIEWS, right, settings, writer=reply, form=form)
    assert len(made.kept) == 80
    first, second = script.requests[:40], script.requests[40:]
    assert not any(re.search(r"w\d+x", request.full_prompt) for request in first)
    shown = [request.full_prompt for request in second if re.search(r"w\d+x", request.full_prompt)]
    assert 10 <= len(shown) <= 30
    for prompt in shown:
        assert len(re.findall(r"w\d+x", prompt)) == 2
        assert ("fine w" in prompt) == ("is good" in prompt)
        assert ("poor w" in prompt) == ("is bad" in prompt)
    with pytest.raises(SettingsError, match="feedback"):
        run(PAIRS, right, with_(feedback=2))


def test_a_writer_without_rationales_is_told_of() -> None:
    with pytest.raises(ModelError, match=r"no rationale for 'negative' in 10 requests\. Use"):
        run(REVIEWS, right, writer=lambda _: "42")


def test_what_kept_a_writer_from_naming_rationales_is_told() -> None:
    with pytest.raises(ModelError, match="The last one that failed: The script has no answer"):
        run(REVIEWS, right, writer={"another prompt": "a reason"})


def test_what_follows_a_hypothesis_or_question_is_no_part_of_it() -> None:
    lines = ["Is it one{0}?", "Is it two{0}?", "That is all."]
    for gold in (PAIRS, QUESTIONS):
        script = Writer()

        def reply(request: Request, script: Writer = script) -> str:
            script(request)
            return "\n\n".join(lines).format(len(script.requests))

        made = run(gold, right, with_(rounds=0), writer=reply)
        assert {re.sub(r"\d+", "", row.example.texts[1]) for row in made.kept} == {"Is it one?"}
        assert {row.origin.reason for row in made.dropped} == {"surplus"}


def test_prompts_keep_the_context_and_show_what_was_wrong() -> None:
    writer = Writer()
    run(QUESTIONS, lambda _: "nothing", with_(rounds=1), writer=writer)
    more = writer.prompts("Of this text it was asked")
    assert len(more) == 6
    for prompt in more:
        number = re.findall(r"house(\d+)", prompt)[0]
        assert prompt.startswith(CONTEXT.format(number))
        assert f"What lies in house{number}?" in prompt
        assert prompt.count(f"key{number}") == 3


def test_lists_to_continue_show_the_error_as_their_last_item() -> None:
    writer = Writer()
    run(PAIRS, lambda _: "negative", with_(rounds=1), writer=writer, form="continue")
    seeds, more = writer.requests[:8], writer.requests[8:]
    assert all(request.full_prompt.endswith("given the text above:\n-") for request in seeds)
    assert all(re.search(r"definitely correct, given.*\n- So number\d+ it is\.\n-$", r.full_prompt) for r in more)
    assert {request.lines for request in writer.requests} == {1}
    assert {request.prefix for request in more} <= {example.texts[0] for example in PAIRS}


def test_refusals_echoes_and_wrapping_quotes_are_taken_care_of_and_counted() -> None:
    replies = iter(
        ["“It is so.”", '"As said."', "As an AI language model I cannot do that.", "Premise number0 holds.", "It is."]
    )
    settings = with_(rounds=0, max_rounds=1, texts_per_class=5)
    gold = Corpus(PAIRS.examples[:1], LABELS, PAIRS.descriptions, "sentences")
    script = Writer()
    made = run(gold, right, settings, writer=lambda request: next(replies, "") or script(request))
    assert [row.example.texts[1] for row in made.kept][:2] == ["It is so.", "As said."]
    assert made.losses["negative"]["refusal"] == 1
    assert made.losses["negative"]["echo"] == 1
    assert "Seed texts are missing for negative (2)" in made.stopped


def test_an_extrapolation_that_repeats_the_error_is_an_echo() -> None:
    def reply(request: Request) -> str:
        wrong = re.search(r"definitely correct: (.*)", request.full_prompt)
        return wrong[1].upper() if wrong else script(request)

    script = Writer()
    made = run(PAIRS, lambda _: "negative", with_(rounds=1), writer=reply)
    assert len(made.kept) == 8
    assert made.losses["positive"]["echo"] == 6


def test_rounds_need_gold_rows() -> None:
    with pytest.raises(SettingsError, match="there are none"):
        planned(Corpus((), LABELS), "instruct", WHOLE, np.random.default_rng(0))
    assert len(planned(Corpus((), LABELS), "instruct", with_(rounds=0), np.random.default_rng(0))) == 2 + 4


@pytest.mark.parametrize("gold", [REVIEWS, PAIRS, QUESTIONS], ids=["text", "pair", "reading"])
def test_a_plan_counts_what_a_run_with_the_expected_errors_sends(gold: Corpus) -> None:
    writer = Writer()
    wrong = {example.key for example in gold.examples[: round(EXPECTED_ERRORS * len(gold))]}
    run(gold, lambda example: "none" if example.key in wrong else right(example), writer=writer)
    plan = planned(gold, "instruct", WHOLE, np.random.default_rng(0))
    assert len(plan) == len(writer.requests)
    assert len(plan) < requests_at_most(gold, "instruct", WHOLE)


@pytest.mark.parametrize("feedback", [0, 2])
def test_a_writer_of_no_use_is_asked_at_most_as_often_as_foretold(feedback: int) -> None:
    script = Writer()

    def useless(request: Request) -> str:
        script(request)
        return "42"

    settings = with_(feedback=feedback, rounds=0, texts_per_class=30, rationales_per_label=0)
    run(REVIEWS, right, settings, writer=useless)
    assert len(script.requests) <= requests_at_most(REVIEWS, "instruct", settings)
