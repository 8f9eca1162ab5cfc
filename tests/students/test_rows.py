import numpy as np
import pytest

from crossfade.data import Example, MixedExample
from crossfade.errors import DataError
from crossfade.students.rows import texts_per_example, training_rows

ROWS = [Example(("one",), "a"), Example(("two",), "b")]
LABELS = ["a", "b"]


def test_rows_of_weight_zero_are_left_out_whatever_their_target() -> None:
    kept = training_rows(ROWS, np.array([[np.nan, 7.0], [0.0, 1.0]]), np.array([0.0, 2.0]), LABELS)
    assert kept.examples == (ROWS[1],)
    assert kept.targets.tolist() == [[0.0, 1.0]]
    assert kept.weights.tolist() == [2.0]


@pytest.mark.parametrize(
    ("targets", "weights", "complaint"),
    [
        ([[1.0, 0.0]], [1.0, 1.0], "shape"),
        ([[1.0, 0.0], [0.0, 1.0]], [1.0], "shape"),
        ([[1.0, 0.0], [0.0, 1.0]], [1.0, -1.0], "negative"),
        ([[1.0, 0.0], [0.0, 1.0]], [1.0, np.nan], "not finite"),
        ([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0], "no row to train on"),
        ([[1.0, 0.0], [0.5, 0.6]], [1.0, 1.0], "sum to 1"),
        ([[1.0, 0.0], [1.5, -0.5]], [1.0, 1.0], "sum to 1"),
    ],
)
def test_malformed_rows_are_refused(targets: list[list[float]], weights: list[float], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        training_rows(ROWS, np.array(targets), np.array(weights), LABELS)


def test_single_texts_and_pairs_are_not_mixed() -> None:
    with pytest.raises(DataError, match="same number in every row"):
        texts_per_example([*ROWS, Example(("one", "two"), "a")])
    assert texts_per_example(ROWS) == 1


def test_mixed_embeddings_are_refused_unless_the_student_takes_them() -> None:
    rows = [*ROWS, MixedExample(("one",), "a", ("two",), 0.5)]
    targets, weights = np.eye(2)[[0, 1, 0]], np.ones(3)
    with pytest.raises(DataError, match="no text of their own"):
        training_rows(rows, targets, weights, LABELS)
    with pytest.raises(DataError, match="no text of their own"):
        texts_per_example(rows)
    assert training_rows(rows, targets, weights, LABELS, mixed=True).examples == tuple(rows)
