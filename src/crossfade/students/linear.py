"""Train a logistic head on the vectors of a fixed encoder: seconds on a laptop, and the default student."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from crossfade.data import Example, MixedExample
from crossfade.errors import DataError, ModelError, ParsingError
from crossfade.roles import Encoder, Floats
from crossfade.settings import Settings
from crossfade.students.graphs import TokenGraph, encoder_graph, head_graph
from crossfade.students.rows import texts_per_example, training_rows
from crossfade.students.saving import REMEDY, OpenEncoder, StudentNote, encoder_of, read_note, write_note
from crossfade.tasks.classification import TrainingRows

SMALLEST_SHARE = 0.01
"""A class with less than this probability in a soft label gets no copy of the row; the others share its mass. With many
classes the copies would else multiply the rows by the number of classes."""
HEAD_NAME = "head.npz"


class LinearSettings(Settings):
    """How the logistic head is trained."""

    strength: float = Field(default=10.0, gt=0)
    """Inverse of the L2 penalty, scikit-learn's C; larger follows the training rows more closely. Ours."""


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


class Point(NamedTuple):
    """What makes two rows the same to the student; an example that is not mixed is mixed with itself."""

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


class LinearStudent:
    """A logistic regression on embeddings.

    Two texts u and v become [u, v, |u - v|, u * v] (InferSent, Conneau et al. 2017); of a `MixedExample`, the features
    of its two sides are mixed. Rows with equal texts (and equal mixing) are merged and sorted before training, so
    neither row order nor repetition changes the result.
    """

    kind: ClassVar[str] = "linear"

    def __init__(self, encoder: Encoder, *, settings: LinearSettings | None = None, head: Head | None = None) -> None:
        self.encoder = encoder
        self.settings = settings or LinearSettings()
        self.head = head

    def fit(
        self, examples: Sequence[Example], targets: Floats, weights: Floats, labels: Sequence[str]
    ) -> "LinearStudent":
        """Train from scratch and return the fitted student; this one stays as it is.

        Args:
            examples: The training rows, mixed ones included; all with one text or all with two.
            targets: Class probabilities, [rows, classes].
            weights: Sample weights, [rows]; 0 equals absence, 2 equals a duplicated row.
            labels: Class names in column order; one without training mass is predicted with probability 0.

        Raises:
            DataError: The rows are malformed, or fewer than two classes have training mass.
        """
        mass = _mass_by_point(training_rows(examples, targets, weights, labels, mixed=True))
        class_mass = np.stack(list(mass.values()))
        row, column = np.nonzero(class_mass)
        trained = [labels[index] for index in np.unique(column)]
        if len(trained) < 2:
            raise DataError(
                f"The training rows have mass in the classes {trained}; expected at least two classes.",
                hint="Add rows of another class, or check that the weights are not all 0 for it.",
            )
        features = self._features(list(mass))
        model = LogisticRegression(C=self.settings.strength, tol=1e-6, max_iter=2000)
        with warnings.catch_warnings():
            # Very few rows per class are what this is for; scikit-learn takes them for a sign of regression.
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            model.fit(features[row], column, sample_weight=class_mass[row, column])
        return LinearStudent(self.encoder, settings=self.settings, head=_head(model, labels))

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in column order.

        Raises:
            ModelError: The student is not fitted.
        """
        return self._fitted_head().labels

    def predict_probabilities(self, examples: Sequence[Example]) -> Floats:
        """Return class probabilities, [rows, classes].

        Raises:
            ModelError: The student is not fitted.
            DataError: The examples have another number of texts than the training rows.
        """
        head = self._fitted_head()
        probabilities = np.zeros((len(examples), len(head.labels)))
        if not examples:
            return probabilities
        texts_per_example(examples, mixed=True)
        features = self._features([point_of(example) for example in examples])
        if features.shape[1] != head.coefficients.shape[1]:
            raise DataError(
                f"The examples become vectors of width {features.shape[1]}; expected {head.coefficients.shape[1]}.",
                hint="Give as many texts per example, and the same encoder, as in training.",
            )
        probabilities[:, head.columns] = softmax(features @ head.coefficients.T + head.intercepts, axis=1)
        return probabilities

    def torch_graph(self) -> TokenGraph:
        """Return encoder and head as one graph, for an export.

        Raises:
            ModelError: The student is not fitted, or its encoder is no sentence-transformers model.
        """
        head = self._fitted_head()
        encoder = encoder_graph(self.encoder)
        width = self.encoder.encode([]).shape[1]
        return head_graph(
            encoder,
            coefficients=head.coefficients,
            intercepts=head.intercepts,
            columns=head.columns,
            classes=len(head.labels),
            texts=1 if head.coefficients.shape[1] == width else 2,
        )

    def save(self, folder: Path) -> None:
        """Write the head and `student.json`; the encoder is only named.

        Raises:
            ModelError: The student is not fitted.
        """
        head = self._fitted_head()
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / HEAD_NAME, coefficients=head.coefficients, intercepts=head.intercepts, columns=head.columns)
        note = StudentNote(
            kind=self.kind,
            labels=head.labels,
            settings=self.settings.model_dump(),
            encoder_name=self.encoder.name,
            # An encoder without a path was made in code: whoever loads the student has to hand over its like.
            encoder_path=getattr(self.encoder, "path", None),
        )
        write_note(folder, note)

    @classmethod
    def load(cls, folder: Path, *, open_encoder: OpenEncoder) -> "LinearStudent":
        """Read a saved student.

        Args:
            folder: Where it was saved.
            open_encoder: Makes the encoder from the saved folder or hub id (None is the packaged model).

        Raises:
            ModelError: The folder holds no linear student, or the opened encoder is not the one it was trained with.
            ParsingError: A file of the student is missing or not in the form it must have.
        """
        note = read_note(folder, kind=cls.kind)
        encoder = encoder_of(note, open_encoder)
        return cls(encoder, settings=note.settings_as(LinearSettings), head=_read_head(folder, note.labels))

    def _fitted_head(self) -> Head:
        if self.head is None:
            raise ModelError("The student is not fitted.", hint="Call fit and use the student that it returns.")
        return self.head

    def _features(self, points: Sequence[Point]) -> Floats:
        """Embed points, [rows, width] for single texts and [rows, 4 * width] for pairs; each text once."""
        texts = dict.fromkeys(texts for point in points for texts in (point.texts, point.other))
        rows = {texts: row for row, texts in enumerate(texts)}
        features = self._text_features(list(texts))
        placed = features[[rows[point.texts] for point in points]]
        for row, point in enumerate(points):
            if point.ratio < 1:
                placed[row] = point.ratio * placed[row] + (1 - point.ratio) * features[rows[point.other]]
        return placed

    def _text_features(self, texts: Sequence[tuple[str, ...]]) -> Floats:
        """Embed single texts, [rows, width], or pairs, [rows, 4 * width]."""
        vectors = [self.encoder.encode(column) for column in zip(*texts, strict=True)]
        if len(vectors) == 1:
            return vectors[0]
        first, second = vectors
        return np.hstack([first, second, np.abs(first - second), first * second])


def _mass_by_point(rows: TrainingRows) -> dict[Point, Floats]:
    """Add up weight times class probability, [classes], over the rows at the same point; sorted."""
    smallest = np.minimum(SMALLEST_SHARE, rows.targets.max(axis=1, keepdims=True))
    shares = np.where(rows.targets >= smallest, rows.targets, 0)
    shares /= shares.sum(axis=1, keepdims=True)
    mass: dict[Point, Floats] = {}
    for example, row in zip(rows.examples, shares * rows.weights[:, None], strict=True):
        point = point_of(example)
        mass[point] = mass[point] + row if point in mass else row
    return dict(sorted(mass.items()))


def _head(model: LogisticRegression, labels: Sequence[str]) -> Head:
    """Take the parameters out of a fitted regression, with one row per class also when there are only two."""
    coefficients, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([[0.0], intercepts])
    return Head(coefficients, intercepts, model.classes_, tuple(labels))


def _read_head(folder: Path, labels: tuple[str, ...]) -> Head:
    """Read the saved head."""
    try:
        with np.load(folder / HEAD_NAME, allow_pickle=False) as arrays:
            return Head(arrays["coefficients"], arrays["intercepts"], arrays["columns"], labels)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ParsingError(f"'{folder / HEAD_NAME}' cannot be read: {error}.", hint=REMEDY) from error
