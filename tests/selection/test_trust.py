import hashlib

import numpy as np
import pytest
from tests.doubles import FakeEncoder, FlatEncoder, ScoringModel

from crossfade.data import Corpus, Example
from crossfade.models.scripted import ScriptedModel
from crossfade.roles import Encoder, Request, TextModel
from crossfade.selection.relabelling import Judge
from crossfade.selection.trust import Decided, replace_labels, trust_labels

LABELS = ("card", "loan", "rate")


def texts_of(label: str, start: int, count: int) -> list[Example]:
    return [Example((f"{label} number{number} word{number}",), label) for number in range(start, start + count)]


GOLD = Corpus(tuple(row for label in LABELS for row in texts_of(label, 0, 20)), LABELS)
WRITTEN = [row for label in LABELS for row in texts_of(label, 100, 6)]
ASKED = np.repeat([0, 1, 2], 6)


def chance(request: Request, choice: str) -> float:
    digest = hashlib.sha256((request.prompt + choice).encode()).digest()
    return float(np.random.default_rng(int.from_bytes(digest[:8])).normal())


def knows(request: Request, choice: str) -> float:
    """Score the class whose name stands in the text."""
    name = choice.strip(" .\n")
    return 5.0 if f'"{name} ' in request.prompt else 0.0


def as_judge(model: TextModel) -> Judge:
    return Judge(model, 3)


def trust(
    model: TextModel, asked: np.ndarray = ASKED, *, texts: list[Example] = WRITTEN, encoder: Encoder | None = None
) -> Decided:
    return trust_labels(texts, asked, GOLD, judge=as_judge(model), encoder=encoder or FlatEncoder())


def test_probabilities_sum_to_one_and_the_label_is_the_most_probable() -> None:
    decided = trust(ScoringModel(chance), encoder=FakeEncoder())
    assert decided.probabilities is not None
    assert decided.probabilities.shape == (18, 3)
    assert decided.probabilities.sum(axis=1) == pytest.approx(np.ones(18))
    assert np.array_equal(decided.labels, decided.probabilities.argmax(axis=1))


def test_judge_at_chance_gets_next_to_no_vote() -> None:
    decided = trust(ScoringModel(chance))
    assert decided.sources["judge"].sharpness < 0.5
    assert decided.sources["judge"].accuracy < 0.6
    assert decided.sources["judge"].texts == 60
    assert decided.probabilities is not None
    # Nobody else knows anything either, so that nothing is near certain: a third would be sheer chance.
    assert decided.probabilities.max(axis=1).mean() < 0.5


def test_perfect_judge_is_sharper_than_one_at_chance() -> None:
    perfect, random = (trust(ScoringModel(score)).sources["judge"].sharpness for score in (knows, chance))
    assert perfect > 3 * random


def test_perfect_judge_overrules_a_writer_that_wrote_of_another_class() -> None:
    asked = ASKED.copy()
    asked[-2:] = 0
    decided = trust(ScoringModel(knows), asked)
    assert decided.sources["judge"].accuracy == 1.0
    assert np.array_equal(decided.labels, ASKED)
    assert decided.votes["writer"].tolist() == asked.tolist()
    assert decided.votes["judge"].tolist() == ASKED.tolist()


def test_good_prototypes_outvote_a_judge_at_chance() -> None:
    asked = ASKED.copy()
    asked[-2:] = 0
    decided = trust(ScoringModel(chance), asked, encoder=FakeEncoder())
    assert decided.sources["prototypes"].accuracy > 0.9
    assert np.array_equal(decided.labels, ASKED)


def test_judge_that_prefers_one_phrase_is_freed_of_its_bias() -> None:
    def biased(request: Request, choice: str) -> float:
        return knows(request, choice) + (100.0 if "loan" in choice else 0.0)

    decided = trust(ScoringModel(biased))
    assert decided.sources["judge"].accuracy == 1.0
    assert np.array_equal(decided.labels, ASKED)


def test_order_of_texts_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(len(WRITTEN))
    plain = trust(ScoringModel(chance), encoder=FakeEncoder())
    shuffled = trust(
        ScoringModel(chance), ASKED[order], texts=[WRITTEN[index] for index in order], encoder=FakeEncoder()
    )
    assert plain.probabilities is not None
    assert shuffled.probabilities == pytest.approx(plain.probabilities[order], abs=1e-6)


def test_judge_never_sees_the_gold_text_it_is_scored_on() -> None:
    model = ScoringModel(chance)
    trust(model)
    gold_questions = [request for request in model.requests if any(text in request.prompt for text in GOLD.texts)]
    assert len(gold_questions) == 60
    for request in gold_questions:
        (text,) = [text for text in GOLD.texts if f'"{text}"' in request.prompt]
        assert text not in request.prefix


def test_without_gold_texts_every_source_votes_unscored() -> None:
    gold = Corpus((), LABELS)
    decided = trust_labels(WRITTEN, ASKED, gold, judge=as_judge(ScoringModel(knows)), encoder=FlatEncoder())
    assert decided.sources["judge"].texts == 0
    assert np.array_equal(decided.labels, ASKED)


def test_replacing_takes_the_judges_answer_as_it_is() -> None:
    def answer(request: Request) -> str:
        return "loan" if "1. card number100 " in request.prompt else "rate"

    decided = replace_labels(WRITTEN, GOLD, judge=as_judge(ScriptedModel(answer)), encoder=FakeEncoder())
    assert decided.probabilities is None
    assert decided.labels.tolist() == [1] + [2] * 17


def test_replacing_marks_texts_without_a_verdict() -> None:
    judge = as_judge(ScriptedModel(lambda _: "none of these"))
    decided = replace_labels(WRITTEN, GOLD, judge=judge, encoder=FakeEncoder())
    assert decided.labels.tolist() == [-1] * 18
