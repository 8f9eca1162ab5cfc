from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from tests.doubles import ScoringModel

from crossfade.data import Corpus, Example
from crossfade.roles import Reply, Request
from crossfade.selection import relabelling
from crossfade.selection.channel import ChannelJudge, list_of_class

GOLD = Corpus(
    (
        Example(("my card is gone",), "card"),
        Example(("card swallowed by machine",), "card"),
        Example(("lend me\nmoney",), "loan"),
        Example(("what is the euro",), "rate"),
    ),
    ("card", "loan", "rate"),
    {"card": "lost cards"},
    kind="questions",
)
TEXT = Example(("where is my card",), "")
NEAR = np.array([[0.9, 0.1, 0.8]])


class Shared(ScoringModel):
    """Likelier, the more words of the text stand in the list before it."""

    def __init__(self) -> None:
        super().__init__(lambda request, choice: float(sum(word in request.prefix.split() for word in choice.split())))


def test_text_goes_to_the_class_whose_list_makes_it_likeliest() -> None:
    texts = [TEXT, Example(("lend me a euro",), "")]
    verdicts = ChannelJudge(Shared(), 3).verdicts(texts, np.tile(NEAR, (2, 1)), GOLD)
    assert verdicts.scores.argmax(axis=1).tolist() == [0, 1]
    assert verdicts.graded
    assert verdicts.parsable.all()


def test_each_near_class_is_a_list_that_the_text_continues() -> None:
    model = Shared()
    verdicts = ChannelJudge(model, 2).verdicts([TEXT], NEAR, GOLD)
    assert [request.full_prompt for request in model.requests] == [
        "Questions about lost cards:\n- my card is gone\n- card swallowed by machine\n-",
        "Questions about rate:\n- what is the euro\n-",
    ]
    assert {request.choices for request in model.requests} == {(" where is my card\n",)}
    assert {request.form for request in model.requests} == {"continue"}
    assert np.isneginf(verdicts.scores[0, 1])


def test_inner_line_breaks_do_not_end_an_entry() -> None:
    model = Shared()
    ChannelJudge(model, 3).verdicts([Example(("two\nlines",), "")], NEAR, GOLD)
    assert {request.choices for request in model.requests} == {(" two lines\n",)}
    assert any("- lend me money\n" in request.prefix for request in model.requests)


def test_equal_texts_are_read_once_under_each_class() -> None:
    model = Shared()
    ChannelJudge(model, 3).verdicts([TEXT, TEXT], np.tile(NEAR, (2, 1)), GOLD)
    assert len(model.requests) == 3


class Forgetful(Shared):
    """Fails for texts with a word in them, under one class."""

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        for reply in super().answer(requests):
            fails = "broken" in reply.request.choices[0] and "rate" in reply.request.prefix
            yield replace(reply, error="out of memory", choice_logprobs=None) if fails else reply


def test_text_without_one_of_its_likelihoods_has_no_verdict() -> None:
    texts = [Example(("a broken card",), ""), TEXT]
    verdicts = ChannelJudge(Forgetful(), 2).verdicts(texts, np.tile(NEAR, (2, 1)), GOLD)
    assert verdicts.parsable.tolist() == [False, True]
    assert verdicts.scores[0].tolist() == [0.0, -np.inf, 0.0]


def test_lists_of_long_texts_are_shorter_but_never_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relabelling, "MOST_CHARACTERS", 20)
    assert list_of_class(GOLD, "card").endswith(":\n- my card is gone\n")
    monkeypatch.setattr(relabelling, "MOST_CHARACTERS", 1)
    assert list_of_class(GOLD, "card").endswith(":\n- my card is gone\n")


def test_a_class_without_texts_is_told_by_its_description() -> None:
    assert list_of_class(replace(GOLD, examples=()), "card") == "Questions about lost cards:\n"


def test_plan_counts_one_request_for_each_class_compared() -> None:
    judge = ChannelJudge(Shared(), 5)
    assert (judge.requests_each(3), judge.requests_each(77)) == (3, 5)
    assert judge.example_request(GOLD).full_prompt.endswith("- card swallowed by machine\n-")
