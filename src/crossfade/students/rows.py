"""Check what a student is handed before it trains or predicts; shared by every student."""

from collections.abc import Sequence

import numpy as np

from crossfade.data import AnnotatedExample, Example, annotated, has_mixed
from crossfade.errors import DataError
from crossfade.roles import Floats
from crossfade.tasks.classification import TrainingRows

SUM_TOLERANCE = 1e-6


def training_rows(
    examples: Sequence[Example], targets: Floats, weights: Floats, labels: Sequence[str], *, mixed: bool = False
) -> TrainingRows:
    """Check the arguments of `Student.fit` and leave out the rows of weight 0.

    Args:
        examples: As in `fit`, like the next three.
        targets: Class probabilities, [rows, classes].
        weights: Sample weights, [rows].
        labels: Class names in column order.
        mixed: Whether the student can learn from mixed embeddings.

    Raises:
        DataError: Shapes do not agree, a weight is negative or not finite, a target row of positive weight is not a
            probability distribution, no row is left, one-text and two-text examples are mixed, or rows are mixed
            embeddings and the student reads texts.
    """
    if targets.shape != (len(examples), len(labels)) or weights.shape != (len(examples),):
        raise DataError(
            f"Targets have shape {list(targets.shape)} and weights {list(weights.shape)}; expected "
            f"{[len(examples), len(labels)]} and {[len(examples)]} for {len(examples)} rows and {len(labels)} labels.",
            hint="Give one row of targets and one weight per example, and one column per label.",
        )
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise DataError("Some weights are negative or not finite; expected numbers >= 0.", hint="Check the weights.")
    used = np.flatnonzero(weights).tolist()
    if not used:
        raise DataError("There is no row to train on; expected at least one with a weight above 0.")
    kept = TrainingRows(tuple(examples[row] for row in used), targets[used], weights[used])
    if not ((kept.targets >= 0).all() and np.allclose(kept.targets.sum(axis=1), 1, rtol=0, atol=SUM_TOLERANCE)):
        raise DataError(
            "Some target rows are not probabilities; expected numbers >= 0 that sum to 1 in each row.",
            hint="Divide each row of targets by its sum.",
        )
    texts_per_example(kept.examples, mixed=mixed)
    return kept


def annotated_rows(examples: Sequence[Example], weights: Floats) -> tuple[list[AnnotatedExample], Floats]:
    """Check the arguments of `Annotator.fit`, leave out the rows of weight 0, and divide the weights by their mean.

    Raises:
        DataError: A row has no annotation, rows are of several tasks, there is no row, or weights are not as they must
            be.
    """
    if weights.shape != (len(examples),) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise DataError(f"There are {len(examples)} rows; expected as many finite weights >= 0.")
    used = np.flatnonzero(weights)
    if not len(used):
        raise DataError("There is no row to train on; expected at least one with a weight above 0.")
    rows = annotated([examples[row] for row in used.tolist()])
    if len({row.label for row in rows}) > 1:
        raise DataError(f"The rows are of several tasks: {sorted({row.label for row in rows})}; expected one.")
    return rows, weights[used] / weights[used].mean()


def texts_per_example(examples: Sequence[Example], *, mixed: bool = False) -> int:
    """Return how many texts each example has, 1 or 2.

    Args:
        examples: One or more.
        mixed: Whether mixed embeddings may be among them.

    Raises:
        DataError: Some examples have one text and some have two, or are mixed embeddings and may not be.
    """
    if not mixed and has_mixed(examples):
        raise DataError(
            "Some examples are mixed embeddings, which have no text of their own; this student reads texts.",
            hint="Use the student 'linear' with rows of hidden_mixup.",
        )
    counts = {len(example.texts) for example in examples}
    if len(counts) != 1:
        raise DataError(
            "Some examples have one text and some have two; expected the same number in every row.",
            hint="Train one student for single texts and another for pairs.",
        )
    return counts.pop()
