from collections.abc import Sequence

import numpy as np
import pytest

from crossfade.data import Corpus, Example
from crossfade.errors import DataError
from crossfade.evaluation.intrusion import Grid, Intrusion, JudgeScore, measure_intrusion, score_student
from crossfade.numerics.mixing import mix_points
from crossfade.roles import Floats
from crossfade.students.linear import LinearStudent
from tests.doubles import FakeEncoder

LABELS = ("card", "loan", "rate")
GOLD = Corpus(tuple(Example((f"{label} gold{number}",), label) for label in LABELS for number in range(2)), LABELS)
JUDGE = JudgeScore(name="script", accuracy=1.0, texts=6)
RATIOS = np.array([0.25, 0.75, 1.0])


def grid(texts: list[list[str | None]], first: list[int], second: list[int]) -> Grid:
    return Grid(gold=GOLD, first=np.array(first), second=np.array(second), ratios=RATIOS, texts=texts)


def measured(found: Grid, vectors: Floats | None = None) -> Intrusion:
    """Judge each text by its first word, and embed it as asked for or by its words."""
    named = [LABELS.index(text.split()[0]) for text in found.told]
    encoder = FakeEncoder()
    return measure_intrusion(
        found,
        np.eye(3)[named] * 0.8 + 0.2 / 3,
        encoder.encode(found.told) if vectors is None else vectors,
        encoder.encode(GOLD.texts),
        JUDGE,
        np.random.default_rng(0),
    )


def test_rates_stand_by_ratio_above_those_of_ratio_one() -> None:
    texts: list[list[str | None]] = [
        ["rate a", "card b", "card c"],
        ["rate d", "rate e", "rate f"],
        ["card g", "card h", "card i"],
    ]
    found = measured(grid(texts, [0, 0, 1], [2, 3, 0]))
    assert found.ratios.tolist() == [0.25, 0.75]
    third = found.curves["third_class"]
    assert third.texts.tolist() == [2, 2]
    assert (third.rate.tolist(), third.floor, third.above.tolist()) == ([1.0, 0.5], 0.5, [0.5, 0.0])
    assert found.curves["same_class"].rate.tolist() == [0.0, 0.0]
    assert found.curves["flip"].rate.tolist() == [0.0, 0.0]
    matrix = found.above_by_class_pair
    assert (matrix[0, 1], matrix[0, 0]) == (0.25, 0.0)
    assert np.isnan(matrix).sum() == 7


def test_missing_text_counts_nowhere() -> None:
    found = measured(grid([["rate a", None, "card c"], ["card a", "card d", "card e"]], [0, 0], [2, 2]))
    assert found.curves["third_class"].texts.tolist() == [2, 1]
    assert found.curves["third_class"].rate.tolist() == [0.5, 0.0]


def test_texts_at_their_points_and_in_their_classes_are_perfectly_controlled() -> None:
    shape = grid([["loan a", "card b", "card c"]] * 2, [0, 1], [2, 3])
    parents = FakeEncoder().encode(GOLD.texts)
    points = [
        mix_points(parents[[one]], parents[[other]], np.array([ratio]))[0]
        for one, other in ((0, 2), (1, 3))
        for ratio in RATIOS
    ]
    found = measured(shape, np.array(points))
    assert found.embedded_control == pytest.approx(1.0, abs=0.11)
    assert found.judged_control == pytest.approx(1.0)
    turned = measured(grid([["card a", "loan b", "card c"]] * 2, [0, 1], [2, 3]), np.array(points))
    assert turned.judged_control == pytest.approx(-1.0)


def test_judge_is_scored_on_texts_that_it_has_not_seen() -> None:
    learnt: list[list[str]] = []

    class Noting(LinearStudent):
        def fit(
            self, examples: Sequence[Example], targets: Floats, weights: Floats, labels: Sequence[str]
        ) -> LinearStudent:
            learnt.append([example.text for example in examples])
            return super().fit(examples, targets, weights, labels)

    score = score_student(GOLD, lambda: Noting(FakeEncoder()))
    assert (score.accuracy, score.texts) == (1.0, 6)
    assert [sum(text in GOLD.texts for text in texts) for texts in learnt] == [3, 3]


@pytest.mark.parametrize("texts", [[["one", "two"]], [["one", "two", "three"], ["one"]]])
def test_ragged_grid_is_refused(texts: list[list[str | None]]) -> None:
    with pytest.raises(DataError, match="a text for each ratio"):
        grid(texts, [0] * len(texts), [1] * len(texts))


def test_grid_without_ratio_one_is_refused() -> None:
    with pytest.raises(DataError, match="the last ratio 1"):
        Grid(gold=GOLD, first=np.array([0]), second=np.array([1]), ratios=np.array([0.5]), texts=[["one"]])
