"""Train a logistic head on the vectors of a fixed encoder: seconds on a laptop, and the default student."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from crossfade.data import Example
from crossfade.errors import DataError
from crossfade.roles import Encoder, Floats
from crossfade.settings import Settings
from crossfade.students.fitted import fitted
from crossfade.students.graphs import TokenGraph, encoder_graph, head_graph
from crossfade.students.head import Head, Point, fit_head, merged_rows, point_of, read_head, write_head
from crossfade.students.rows import texts_per_example, training_rows
from crossfade.students.saving import OpenEncoder, StudentNote, encoder_of, read_note, write_note


class LinearSettings(Settings):
    """How the logistic head is trained."""

    strength: float = Field(default=10.0, gt=0)
    """Inverse of the L2 penalty, scikit-learn's C; larger follows the training rows more closely. Ours."""


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
        merged = merged_rows(training_rows(examples, targets, weights, labels, mixed=True), labels)
        head = fit_head(self._features(merged.points), merged.mass, labels, strength=self.settings.strength)
        return LinearStudent(self.encoder, settings=self.settings, head=head)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in column order.

        Raises:
            ModelError: The student is not fitted.
        """
        return fitted(self.head).labels

    def predict_probabilities(self, examples: Sequence[Example]) -> Floats:
        """Return class probabilities, [rows, classes].

        Raises:
            ModelError: The student is not fitted.
            DataError: The examples have another number of texts than the training rows.
        """
        head = fitted(self.head)
        if not examples:
            return np.zeros((0, len(head.labels)))
        texts_per_example(examples, mixed=True)
        features = self._features([point_of(example) for example in examples])
        if features.shape[1] != head.coefficients.shape[1]:
            raise DataError(
                f"The examples become vectors of width {features.shape[1]}; expected {head.coefficients.shape[1]}.",
                hint="Give as many texts per example, and the same encoder, as in training.",
            )
        return head.probabilities(features)

    def torch_graph(self) -> TokenGraph:
        """Return encoder and head as one graph, for an export.

        Raises:
            ModelError: The student is not fitted, or its encoder is no sentence-transformers model.
        """
        head = fitted(self.head)
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
        head = fitted(self.head)
        folder.mkdir(parents=True, exist_ok=True)
        write_head(folder, head)
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
        return cls(encoder, settings=note.settings_as(LinearSettings), head=read_head(folder, note.labels))

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
