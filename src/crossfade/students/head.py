"""The logistic head on sentence vectors, shared by the students that end in one.

Rows with equal texts are merged and sorted before anything is drawn or fitted, so neither row order nor repetition
changes a student.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from crossfade.data import Example, MixedExample
from crossfade.errors import DataError, ParsingError
from crossfade.roles import Floats
from crossfade.students.saving import REMEDY
from crossfade.tasks.classification import TrainingRows

SMALLEST_SHARE = 0.01
"""A class with less than this probability in a soft label gets no copy of the row; the others share its mass. With many
classes the copies would else multiply the rows by the number of classes."""
HEAD_NAME = "head.npz"


@dataclass(frozen=True, slots=True)
class Head:
    """A fitted logistic head, for the classes that had training rows."""

    coefficients: Floats
    """One row per trained class, [trained classes, width]."""
    intercepts: Floats
    """[trained classes]."""
    columns: NDArray[np.intp]
    """The label column of each trained class, [trained classes]."""
    labels: tuple[str, ...]
    """Every class, in column order."""

    def probabilities(self, features: Floats) -> Floats:
        """Return class probabilities, [rows, classes], of features, [rows, width]; 0 for a class not trained."""
        result = np.zeros((len(features), len(self.labels)))
        result[:, self.columns] = softmax(features @ self.coefficients.T + self.intercepts, axis=1)
        return result


class Point(NamedTuple):
    """What makes two rows the same to a student; an example that is not mixed is mixed with itself."""

    texts: tuple[str, ...]
    other: tuple[str, ...]
    ratio: float
    """Share of `texts`, in [0, 1]."""


def point_of(example: Example) -> Point:
    """Return where an example lies; at ratio 1 or 0 a mixed one lies where its parent does."""
    if isinstance(example, MixedExample) and example.ratio < 1:
        if example.ratio > 0:
            return Point(example.texts, example.other, example.ratio)
        return Point(example.other, example.other, 1.0)
    return Point(example.texts, example.texts, 1.0)


@dataclass(frozen=True, slots=True)
class MergedRows:
    """Training rows with equal texts, and equal mixing, made one; sorted."""

    points: tuple[Point, ...]
    """No two are equal."""
    mass: Floats
    """Weight times class probability, [rows, classes]."""

    @property
    def texts(self) -> list[tuple[str, ...]]:
        """One or two texts per row, for students that take no mixed rows."""
        return [point.texts for point in self.points]


def merged_rows(rows: TrainingRows, labels: Sequence[str]) -> MergedRows:
    """Merge rows at the same point by adding up their mass.

    Raises:
        DataError: Fewer than two classes have training mass.
    """
    smallest = np.minimum(SMALLEST_SHARE, rows.targets.max(axis=1, keepdims=True))
    shares = np.where(rows.targets >= smallest, rows.targets, 0)
    shares /= shares.sum(axis=1, keepdims=True)
    given = shares * rows.weights[:, None]
    points = [point_of(example) for example in rows.examples]
    mass: dict[Point, Floats] = {}
    # Ordered by all that a row holds: a sum of floats depends, in its last digit, on the order of its terms.
    for row in sorted(range(len(given)), key=lambda row: (points[row], given[row].tolist())):
        point = points[row]
        mass[point] = mass[point] + given[row] if point in mass else given[row]
    merged = MergedRows(tuple(mass), np.stack(list(mass.values())))
    trained = [labels[column] for column in np.flatnonzero(merged.mass.any(axis=0)).tolist()]
    if len(trained) < 2:
        raise DataError(
            f"The training rows have mass in the classes {trained}; expected at least two classes.",
            hint="Add rows of another class, or check that the weights are not all 0 for it.",
        )
    return merged


def fit_head(features: Floats, mass: Floats, labels: Sequence[str], *, strength: float) -> Head:
    """Fit a logistic regression to soft labels, as one weighted copy of a row for each class that it may have.

    Args:
        features: [rows, width].
        mass: Weight times class probability, [rows, classes], in at least two classes.
        labels: Class names in column order.
        strength: Inverse of the L2 penalty, scikit-learn's C.
    """
    row, column = np.nonzero(mass)
    model = LogisticRegression(C=strength, tol=1e-6, max_iter=2000)
    with warnings.catch_warnings():
        # Very few rows per class are what this is for; scikit-learn takes them for a sign of regression.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        model.fit(features[row], column, sample_weight=mass[row, column])
    coefficients, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        # scikit-learn keeps one row for two classes; the other is 0.
        coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([[0.0], intercepts])
    return Head(coefficients, intercepts, model.classes_, tuple(labels))


def write_head(folder: Path, head: Head) -> None:
    """Write the head's numbers into a student's folder; its labels stand in the note."""
    np.savez(folder / HEAD_NAME, coefficients=head.coefficients, intercepts=head.intercepts, columns=head.columns)


def read_head(folder: Path, labels: tuple[str, ...]) -> Head:
    """Read a saved head.

    Raises:
        ParsingError: The file is missing or not in the form it must have.
    """
    try:
        with np.load(folder / HEAD_NAME, allow_pickle=False) as arrays:
            return Head(arrays["coefficients"], arrays["intercepts"], arrays["columns"], labels)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ParsingError(f"'{folder / HEAD_NAME}' cannot be read: {error}.", hint=REMEDY) from error
