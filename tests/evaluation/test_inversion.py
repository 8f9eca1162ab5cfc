from collections.abc import Sequence

import numpy as np
import pytest

from crossfade.errors import DataError
from crossfade.evaluation.inversion import cosines, score_inversion, token_f1
from crossfade.roles import Floats, Sampling
from tests.inverter_doubles import CountingEncoder


class Memory(CountingEncoder):
    """An inverter that knows what it embedded last, gives it back in order, and changes it as told."""

    def __init__(self, changed: dict[str, str]) -> None:
        super().__init__()
        self.changed = changed
        self.last: list[str] = []

    def encode(self, texts: Sequence[str]) -> Floats:
        self.last = list(texts)
        return super().encode(texts)

    def decode(self, points: Floats, *, sampling: Sampling, candidates: int = 1, seed: int = 0) -> list[list[str]]:
        assert sampling.temperature == 0
        asked, self.last = self.last[: len(points)], self.last[len(points) :]
        return [[self.changed.get(text, text)] for text in asked]


TEXTS = ["red small round cup", "green large round box"]


def test_texts_that_come_back_score_one() -> None:
    scores = score_inversion(TEXTS, Memory({}))
    assert (scores.rows, scores.token_f1, scores.exact) == (2, 1, 1)
    assert (scores.bleu, scores.cosine) == pytest.approx((1, 1))


def test_changed_words_cost_words_bleu_and_nearness() -> None:
    scores = score_inversion(TEXTS, Memory({TEXTS[0]: "Red, small round hat!"}))
    assert scores.token_f1 == pytest.approx((0.75 + 1) / 2)
    assert scores.exact == 0.5
    assert 0.5 < scores.bleu < 1
    # Word counts know neither "Red," nor "hat!".
    assert scores.cosine == pytest.approx((1 + 2.01 / np.sqrt(4.01 * 2.01)) / 2)


def test_many_texts_are_brought_back_in_parts_with_a_line_for_each() -> None:
    told: list[str] = []
    scores = score_inversion(TEXTS * 200, Memory({TEXTS[1]: "changed"}), told.append)
    assert (scores.rows, scores.exact) == (400, 0.5)
    assert told == ["0 of 400 texts brought back ...", "250 of 400 texts brought back ..."]


@pytest.mark.parametrize(
    ("wanted", "found", "score"),
    [
        ("a b c", "c b a", 1),
        ("a a b", "a b b", 2 / 3),
        ("a b", "a b c d", 2 / 3),
        ("a", "b", 0),
        ("a", "", 0),
        ("", "", 1),
    ],
)
def test_token_f1_counts_words_in_common(wanted: str, found: str, score: float) -> None:
    assert token_f1(wanted.split(), found.split()) == pytest.approx(score)


def test_cosine_of_nothing_is_zero() -> None:
    first = np.array([[1.0, 0], [2, 0], [0, 0]])
    assert cosines(first, np.array([[3.0, 0], [0, 1], [1, 0]])).tolist() == [1, 0, 0]


def test_no_texts_are_refused() -> None:
    with pytest.raises(DataError, match="nothing to invert"):
        score_inversion([], Memory({}))
