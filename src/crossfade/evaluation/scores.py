"""Scores of predictions against known labels."""

from collections.abc import Sequence

import numpy as np

from crossfade.data import Corpus
from crossfade.errors import DataError
from crossfade.roles import Student


def predicted_labels(student: Student, corpus: Corpus) -> list[str]:
    """Return the most probable label of each example; the corpus's labels must be in the student's column order."""
    best = student.predict_probabilities(corpus.examples).argmax(axis=1)
    return [corpus.labels[index] for index in best]


def accuracy(predicted: Sequence[str], true: Sequence[str]) -> float:
    """Return the share of equal labels, in [0, 1].

    Raises:
        DataError: There is nothing to compare.
    """
    if not true or len(predicted) != len(true):
        raise DataError(f"{len(predicted)} predictions stand against {len(true)} labels; expected equally many, not 0.")
    return float(np.mean([guess == label for guess, label in zip(predicted, true, strict=True)]))


def macro_f1(predicted: Sequence[str], true: Sequence[str]) -> float:
    """Return the unweighted mean of the classes' F1, in [0, 1]; classes are those that occur in either list."""
    from sklearn.metrics import f1_score

    return float(f1_score(list(true), list(predicted), average="macro", zero_division=0))
