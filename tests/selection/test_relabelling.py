from dataclasses import replace

import numpy as np
import pytest
from tests.doubles import FakeEncoder, ScoringModel

from crossfade.data import Corpus, Example
from crossfade.models.scripted import ScriptedModel
from crossfade.roles import Form, Request, TextModel
from crossfade.selection import relabelling
from crossfade.selection.relabelling import ChoiceJudge, folds_of_one_per_class, nearest_classes, prototypes

LABELS = ("card", "loan", "rate")
GOLD = Corpus(
    (
        Example(("my card is gone",), "card"),
        Example(("lend me money",), "loan"),
        Example(("card swallowed by machine",), "card"),
    ),
    LABELS,
    {"card": "lost cards", "rate": "exchange rates"},
    "questions",
)
TEXT = Example(("where is my card",), "loan")
NEAR = np.array([[0.9, 0.5, 0.1]])
"""Similarities of one text to the classes: card, then loan, then rate."""


def judge(model: TextModel, *, offered: int = 2) -> ChoiceJudge:
    return ChoiceJudge(model, offered)


def test_named_class_scores_one_and_the_other_offered_ones_nothing() -> None:
    verdicts = judge(ScriptedModel(lambda _: " loan\n")).verdicts([TEXT], NEAR, GOLD)
    assert verdicts.scores.tolist() == [[0.0, 1.0, -np.inf]]
    assert verdicts.parsable.tolist() == [True]


@pytest.mark.parametrize("answer", ["rate", "Loan", "loans", "the class is loan", "loan.", ""])
def test_answer_outside_the_offered_classes_is_unparsable_and_never_snapped(answer: str) -> None:
    verdicts = judge(ScriptedModel(lambda _: answer)).verdicts([TEXT], NEAR, GOLD)
    assert verdicts.parsable.tolist() == [False]
    assert verdicts.scores.tolist() == [[0.0, 0.0, -np.inf]]


def test_failed_request_is_unparsable() -> None:
    assert judge(ScriptedModel({})).verdicts([TEXT], NEAR, GOLD).parsable.tolist() == [False]


def test_likelihoods_are_the_scores_of_the_offered_classes() -> None:
    model = ScoringModel(lambda _, choice: -float(len(choice)))
    verdicts = judge(model).verdicts([TEXT], NEAR, GOLD)
    assert verdicts.scores.tolist() == [[-len(" lost cards.\n"), -len(" loan.\n"), -np.inf]]
    assert verdicts.parsable.tolist() == [True]


def test_each_text_is_judged_by_its_own_reply() -> None:
    texts = [Example((text,), "card") for text in ("about a loan", "about a card", "about a loan")]
    model = ScriptedModel(lambda request: "loan" if "about a loan" in request.prompt else "card")
    verdicts = judge(model).verdicts(texts, np.tile(NEAR, (3, 1)), GOLD)
    assert verdicts.scores[:, :2].argmax(axis=1).tolist() == [1, 0, 1]
    # Equal questions are asked once.
    assert model.asked == 2


def test_instruction_lists_the_offered_classes_only() -> None:
    asked: list[Request] = []
    judge(ScriptedModel(lambda request: asked.append(request) or "card")).verdicts([TEXT], NEAR, GOLD)  # type: ignore[func-returns-value]
    (request,) = asked
    assert (
        request.full_prompt
        == """\
The task is to tell apart these classes of questions.

1. card, which is about lost cards. Examples:
- my card is gone
- card swallowed by machine
2. loan. Examples:
- lend me money

Here is one more text:
1. where is my card

Which of the classes above does it belong to? Answer with the name of one class and nothing else."""
    )
    assert request.choices == ("card", "loan")
    assert request.sampling.temperature == 0


def test_open_list_takes_the_classes_in_turn_and_serves_every_text() -> None:
    model = ScoringModel(lambda *_: 0.0)
    texts = [TEXT, Example(("rates today",), "rate")]
    judge(model).verdicts(texts, np.vstack([NEAR, NEAR[:, ::-1]]), GOLD)
    assert {request.prefix for request in model.requests} == {
        """\
Questions, and what each is about.

- "my card is gone" is about lost cards.
- "lend me money" is about loan.
- "card swallowed by machine" is about lost cards.
"""
    }
    assert [request.choices for request in model.requests] == [
        (" lost cards.\n", " loan.\n"),
        (" loan.\n", " exchange rates.\n"),
    ]


@pytest.mark.parametrize("form", ["instruct", "continue"])
def test_without_descriptions_classes_are_told_by_name(form: Form) -> None:
    model = ScoringModel(lambda *_: 0.0, preferred_form=form)
    judge(model, offered=3).verdicts([TEXT], NEAR, replace(GOLD, descriptions={}))
    (request,) = model.requests
    assert "lost cards" not in request.full_prompt + "".join(request.choices)
    assert "exchange rates" not in request.full_prompt + "".join(request.choices)


def test_open_list_shows_no_more_than_fits_a_small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relabelling, "MOST_SHOWN", 3)
    prefix = judge(ScoringModel(lambda *_: 0.0)).example_request(GOLD).prefix
    assert "my card is gone" in prefix
    assert "card swallowed by machine" not in prefix


def test_open_list_of_long_texts_shows_fewer_but_one_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relabelling, "MOST_CHARACTERS", 1)
    prefix = judge(ScoringModel(lambda *_: 0.0)).example_request(GOLD).prefix
    assert "my card is gone" in prefix
    assert "card swallowed by machine" not in prefix


@pytest.mark.parametrize("form", ["instruct", "continue"])
def test_pairs_are_judged_as_pairs(form: Form) -> None:
    pairs = [Example(("It rains.", text), label) for text, label in (("It is wet.", "yes"), ("It is dry.", "no"))]
    model = ScoringModel(lambda *_: 0.0, preferred_form=form)
    judge(model).verdicts(
        [Example(("Ann sings.", "Ann sleeps."), "no")], np.array([[0.9, 0.8]]), Corpus(tuple(pairs), ("yes", "no"))
    )
    (request,) = model.requests
    assert "given the first" in request.full_prompt
    assert "Ann sings." in request.prompt
    assert "Ann sleeps." in request.prompt
    assert "|" not in request.prompt


def test_requests_with_equal_prefixes_are_neighbours() -> None:
    model = ScoringModel(lambda *_: 0.0, preferred_form="instruct")
    texts = [Example((f"text {number}",), "card") for number in range(6)]
    similarities = np.array([[0.9, 0.5, 0.1], [0.1, 0.5, 0.9]] * 3)
    judge(model).verdicts(texts, similarities, GOLD)
    prefixes = [request.prefix for request in model.requests]
    assert len(set(prefixes)) == 2
    assert prefixes == sorted(prefixes)


def test_example_request_is_like_those_the_judge_gets() -> None:
    example = judge(ScoringModel(lambda *_: 0.0)).example_request(GOLD)
    model = ScoringModel(lambda *_: 0.0)
    judge(model).verdicts([TEXT], NEAR, GOLD)
    assert (example.prefix, len(example.choices)) == (model.requests[0].prefix, len(model.requests[0].choices))


def test_nearest_classes_are_the_most_similar_ones_in_class_order() -> None:
    similarities = np.array([[0.1, 0.9, 0.5], [0.7, 0.2, 0.3], [0.5, 0.5, 0.5]])
    assert nearest_classes(similarities, 2).tolist() == [[1, 2], [0, 2], [0, 1]]
    assert nearest_classes(similarities, 9).tolist() == [[0, 1, 2]] * 3


def test_prototypes_are_unit_means_of_texts_and_description() -> None:
    encoder = FakeEncoder()
    vectors = prototypes(GOLD, encoder)
    mean = encoder.encode(["my card is gone", "card swallowed by machine", "lost cards"]).mean(axis=0)
    assert vectors[0] == pytest.approx(mean / np.linalg.norm(mean))
    assert vectors[2] == pytest.approx(encoder.encode(["exchange rates"])[0])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3))


def test_prototypes_may_leave_out_a_row() -> None:
    encoder = FakeEncoder()
    without = prototypes(GOLD, encoder, without=1)
    assert without[1] == pytest.approx(encoder.encode(["loan"])[0])


def test_prototypes_of_gold_without_texts_are_the_descriptions() -> None:
    encoder = FakeEncoder()
    empty = Corpus((), LABELS, GOLD.descriptions)
    assert prototypes(empty, encoder) == pytest.approx(encoder.encode(["lost cards", "loan", "exchange rates"]))


def test_folds_hold_every_row_once_and_one_of_a_class_at_most() -> None:
    folds = folds_of_one_per_class(GOLD)
    assert folds == [[0, 1], [2]]
    assert folds_of_one_per_class(Corpus((), LABELS)) == []
