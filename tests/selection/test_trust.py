import hashlib

import numpy as np
import pytest
from tests.doubles import FakeEncoder, FlatEncoder, ScoringModel

from crossfade.data import Corpus, Example
from crossfade.roles import Encoder, Request, TextModel
from crossfade.selection.relabelling import ChoiceJudge
from crossfade.selection.trust import Decided, Source, combine, trust_labels
from crossfade.students.linear import LinearStudent

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


def as_judge(model: TextModel) -> ChoiceJudge:
    return ChoiceJudge(model, 3)


def trust(
    model: TextModel, asked: np.ndarray = ASKED, *, texts: list[Example] = WRITTEN, encoder: Encoder | None = None
) -> Decided:
    encoder = encoder or FlatEncoder()
    return trust_labels(
        texts,
        asked,
        GOLD,
        judges={"judge": as_judge(model)},
        encoder=encoder,
        new_student=lambda: LinearStudent(encoder),
    )


def says(classes: np.ndarray, *, on_gold: np.ndarray | None = None, knows_encoder: bool = False) -> Source:
    known = np.repeat([0, 1, 2], 20) if on_gold is None else on_gold
    return Source(2 * np.eye(3)[classes], 2 * np.eye(3)[known], classes, knows_encoder)


def taught(decided: Decided) -> np.ndarray:
    assert decided.taught is not None
    return decided.taught


def sure(decided: Decided) -> np.ndarray:
    assert decided.confidence is not None
    return decided.confidence


def test_soft_labels_sum_to_one_and_confidence_is_a_probability() -> None:
    decided = trust(ScoringModel(chance), encoder=FakeEncoder())
    assert taught(decided).shape == (18, 3)
    assert taught(decided).sum(axis=1) == pytest.approx(np.ones(18))
    assert ((sure(decided) > 1 / 3) & (sure(decided) < 1)).all()
    assert set(decided.votes) == {"writer", "prototypes", "students", "judge"}


def test_judge_at_chance_gets_next_to_no_vote() -> None:
    decided = trust(ScoringModel(chance))
    assert decided.sources["judge"].sharpness < 0.5
    assert decided.sources["judge"].accuracy < 0.6
    assert decided.sources["judge"].texts == 60
    # Nobody else knows anything either, so that nothing is near certain: a third would be sheer chance.
    assert sure(decided).mean() < 0.5


def test_perfect_judge_is_sharper_than_one_at_chance() -> None:
    perfect, random = (trust(ScoringModel(score)).sources["judge"].sharpness for score in (knows, chance))
    assert perfect > 3 * random


def test_perfect_judge_overrules_a_writer_that_wrote_of_another_class() -> None:
    asked = ASKED.copy()
    asked[-2:] = 0
    decided = trust(ScoringModel(knows), asked)
    assert decided.sources["judge"].accuracy == 1.0
    assert np.array_equal(decided.labels, ASKED)
    assert np.array_equal(taught(decided).argmax(axis=1), ASKED)
    assert decided.votes["writer"].tolist() == asked.tolist()
    assert decided.votes["judge"].tolist() == ASKED.tolist()


def test_good_prototypes_and_students_outvote_a_judge_at_chance() -> None:
    asked = ASKED.copy()
    asked[-2:] = 0
    decided = trust(ScoringModel(chance), asked, encoder=FakeEncoder())
    assert decided.sources["prototypes"].accuracy > 0.9
    assert decided.sources["students"].accuracy > 0.9
    assert np.array_equal(decided.labels, ASKED)


def test_two_judges_that_agree_make_the_label_surer_than_one() -> None:
    one = combine({"judge": says(ASKED)}, ASKED, GOLD)
    rng = np.random.default_rng(0)
    known = np.where(rng.random(60) < 0.8, np.repeat([0, 1, 2], 20), rng.integers(0, 3, 60))
    two = combine({"judge": says(ASKED), "second_judge": says(ASKED, on_gold=known)}, ASKED, GOLD)
    assert (sure(two) > sure(one)).all()
    assert set(two.sources) == {"judge", "second_judge"}


def test_student_is_not_taught_what_it_would_say_itself() -> None:
    judge, asked = says(ASKED), ASKED
    other = says((ASKED + 1) % 3, knows_encoder=True)
    with_other = combine({"students": other, "judge": judge}, asked, GOLD)
    agreeing = combine({"students": says(ASKED, knows_encoder=True), "judge": judge}, asked, GOLD)
    assert (sure(with_other) < sure(agreeing)).all()
    # Only the estimate of how reliable the writer is goes by all votes.
    assert np.array_equal(taught(with_other).argmax(axis=1), ASKED)


def test_without_a_judge_the_student_is_taught_what_all_votes_say() -> None:
    decided = combine({"students": says(ASKED, knows_encoder=True)}, ASKED, GOLD)
    assert taught(decided).max(axis=1) == pytest.approx(sure(decided))


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
    assert taught(shuffled) == pytest.approx(taught(plain)[order], abs=1e-4)
    assert sure(shuffled) == pytest.approx(sure(plain)[order], abs=1e-4)


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
    decided = trust_labels(
        WRITTEN,
        ASKED,
        gold,
        judges={"judge": as_judge(ScoringModel(knows))},
        encoder=FlatEncoder(),
        new_student=lambda: LinearStudent(FlatEncoder()),
    )
    assert decided.sources["judge"].texts == 0
    assert np.array_equal(decided.labels, ASKED)
