"""Scores of predictions against known labels."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np

from crossfade.data import Corpus
from crossfade.errors import DataError
from crossfade.roles import Annotator, Floats, Learner, Reader, Student
from crossfade.tasks.classification import TrainingRows
from crossfade.tasks.targets import as_target

NO_ANSWER = ""
"""Stands for the label of a row that a student has no answer for; it equals no class, so it counts as wrong."""
Measure = Literal["accuracy", "exact_match", "strict_f1"]
"""What a student is measured by: of classes, the share of rows it has right; of answers, the share that matches one of
the true ones; of annotations, the strict micro F1. Each in [0, 1]."""
BESIDE: Mapping[Measure, str] = MappingProxyType({"exact_match": "f1", "strict_f1": "lenient_score"})
"""What stands beside a measure: the mean F1 of the answers, the lenient score of the paper of soft prompts."""


def measure_words(name: str) -> str:
    """Return the name of a measure as it is read: 'exact match', 'strict F1'."""
    return name.replace("_", " ").replace("f1", "F1")


def counted(*, classes: bool) -> str:
    """Return what the number of a draw counts: labels of each class, or rows in all where texts have no classes."""
    return "labels per class" if classes else "labelled rows"


def trained(learner: Learner, rows: TrainingRows, labels: Sequence[str]) -> Learner:
    """Train a student, or a reader or an annotator, which have no classes, on some rows."""
    if isinstance(learner, Reader | Annotator):
        return learner.fit(rows.examples, rows.weights)
    return learner.fit(rows.examples, rows.targets, rows.weights, labels)


def answers(learner: Learner, corpus: Corpus) -> list[str]:
    """Return what a fitted learner says of each example: its most probable label, its answer, or its annotation."""
    if isinstance(learner, Reader):
        return learner.find_answers(corpus.examples)
    if isinstance(learner, Annotator):
        return [as_target(row) for row in learner.annotate(corpus.examples)]
    return predicted_labels(learner, corpus)


def predicted_labels(student: Student, corpus: Corpus) -> list[str]:
    """Return the most probable label of each example; the corpus's labels must be in the student's column order."""
    return best_labels(student.predict_probabilities(corpus.examples), corpus.labels)


def best_labels(probabilities: Floats, labels: Sequence[str]) -> list[str]:
    """Return the most probable label of each row, or `NO_ANSWER` for a row of zeros.

    Args:
        probabilities: [rows, classes].
        labels: Class names in column order.
    """
    best = probabilities.argmax(axis=1)
    answered = probabilities.max(axis=1) > 0
    return [labels[index] if known else NO_ANSWER for index, known in zip(best, answered, strict=True)]


def accuracy(predicted: Sequence[str], true: Sequence[str]) -> float:
    """Return the share of equal labels, in [0, 1].

    Raises:
        DataError: There is nothing to compare.
    """
    if not true or len(predicted) != len(true):
        raise DataError(f"{len(predicted)} predictions stand against {len(true)} labels; expected equally many, not 0.")
    return float(np.mean([guess == label for guess, label in zip(predicted, true, strict=True)]))


def macro_f1(predicted: Sequence[str], true: Sequence[str]) -> float:
    """Return the unweighted mean of the classes' F1, in [0, 1]; classes are those that occur in either list.

    A prediction of `NO_ANSWER` is a miss for the true class, not a class of its own.
    """
    from sklearn.metrics import f1_score

    classes = sorted({*true, *predicted} - {NO_ANSWER})
    return float(f1_score(list(true), list(predicted), labels=classes, average="macro", zero_division=0))
