from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.doubles import FakeEncoder

from crossfade.data import Corpus, Example
from crossfade.roles import Floats
from crossfade.selection.out_of_fold import FOLDS, fold_of_each, predict_from_gold, predict_gold, predict_written
from crossfade.students.linear import LinearStudent

LABELS = ("card", "loan")
GOLD = Corpus(tuple(Example((f"{label} gold{row}",), label) for label in LABELS for row in range(3)), LABELS)
TEXTS = [Example((f"{label} number{row}",), label) for label in LABELS for row in range(10)]
WRITTEN = np.repeat([0, 1], 10)


class Notebook:
    """A student that notes the texts it was fitted on, and fails when it predicts one of them."""

    def __init__(self) -> None:
        self.labels = LABELS
        self.seen: set[str] = set()

    def fit(self, examples: Sequence[Example], targets: Floats, weights: Floats, labels: Sequence[str]) -> "Notebook":
        self.seen = {example.text for example in examples}
        return self

    def predict_probabilities(self, examples: Sequence[Example]) -> Floats:
        assert self.seen.isdisjoint(example.text for example in examples)
        return np.tile([len(self.seen), 0.0], (len(examples), 1))

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def linear() -> LinearStudent:
    return LinearStudent(FakeEncoder())


def test_no_written_text_is_predicted_by_a_student_that_saw_it() -> None:
    seen = predict_written(TEXTS, WRITTEN, GOLD, Notebook)[:, 0]
    # Gold, one row per class, and four of five folds.
    assert seen.tolist() == [6 + 2 + 16] * 20


def test_gold_texts_are_predicted_from_other_gold_texts_alone() -> None:
    assert predict_gold(GOLD, Notebook)[:, 0].tolist() == [4 + 2] * 6


def test_folds_spread_every_class_and_do_not_depend_on_the_order() -> None:
    folds = fold_of_each(TEXTS, WRITTEN)
    for label in (0, 1):
        assert np.bincount(folds[label == WRITTEN]).tolist() == [2] * FOLDS
    order = np.random.default_rng(0).permutation(20)
    assert np.array_equal(fold_of_each([TEXTS[row] for row in order], WRITTEN[order]), folds[order])


def test_students_find_the_texts_whose_label_is_wrong() -> None:
    asked = WRITTEN.copy()
    asked[0] = 1
    predicted = predict_written(TEXTS, asked, GOLD, linear)
    assert predicted.sum(axis=1) == pytest.approx(np.ones(20))
    assert np.array_equal(predicted.argmax(axis=1), WRITTEN)


def test_a_class_without_gold_texts_can_still_be_predicted() -> None:
    gold = GOLD.rows([0, 1, 2])
    predicted = predict_from_gold([Example(("loan",), "loan")], gold, linear)
    assert predicted.argmax(axis=1).tolist() == [1]


def test_fewer_texts_than_folds_are_all_predicted() -> None:
    assert predict_written(TEXTS[:2], WRITTEN[:2], GOLD, linear).sum(axis=1) == pytest.approx(np.ones(2))
