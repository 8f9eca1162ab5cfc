from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from crossfade.data import Corpus, Example
from crossfade.errors import DataError
from crossfade.evaluation.scores import NO_ANSWER, accuracy, best_labels, macro_f1, predicted_labels
from crossfade.roles import Floats


class LengthStudent:
    """Finds long texts to be of the last class, and others of the first."""

    labels = ("short", "middling", "long")

    def fit(
        self, examples: Sequence[Example], targets: Floats, weights: Floats, labels: Sequence[str]
    ) -> "LengthStudent":
        return self

    def predict_probabilities(self, examples: Sequence[Example]) -> Floats:
        return np.array([[0.1, 0.0, 0.9] if len(example.text) > 5 else [0.6, 0.3, 0.1] for example in examples])

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def test_most_probable_label_is_predicted() -> None:
    corpus = Corpus((Example(("quite long",), "long"), Example(("hi",), "long")), LengthStudent.labels)
    assert predicted_labels(LengthStudent(), corpus) == ["long", "short"]


def test_accuracy_is_the_share_of_equal_labels() -> None:
    assert accuracy(["a", "b", "a", "a"], ["a", "b", "b", "a"]) == 0.75


@pytest.mark.parametrize(("predicted", "true"), [([], []), (["a"], ["a", "b"]), (["a"], [])])
def test_accuracy_of_nothing_or_of_unequal_lists_is_refused(predicted: list[str], true: list[str]) -> None:
    with pytest.raises(DataError, match="expected equally many"):
        accuracy(predicted, true)


def test_f1_weighs_classes_alike() -> None:
    # Class a: precision 3/4, recall 1, F1 6/7. Class b: never predicted, F1 0.
    assert macro_f1(["a"] * 4, ["a", "a", "a", "b"]) == pytest.approx((6 / 7 + 0) / 2)
    assert macro_f1(["a", "b"], ["a", "b"]) == 1.0


def test_a_row_of_zeros_is_no_answer_and_wrong_for_every_class() -> None:
    named = best_labels(np.array([[0.0, 0.0], [0.0, 1.0], [0.6, 0.4]]), ["a", "b"])
    assert named == [NO_ANSWER, "b", "a"]
    for label in ("a", "b"):
        assert accuracy([NO_ANSWER], [label]) == 0


def test_no_answer_is_a_miss_and_not_a_class_in_f1() -> None:
    # Class a: precision 1, recall 1/2, F1 2/3. Class b: F1 1.
    assert macro_f1(["a", NO_ANSWER, "b"], ["a", "a", "b"]) == pytest.approx((2 / 3 + 1) / 2)
