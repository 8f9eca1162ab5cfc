"""Classification of one text or two: few-shot draws, and training rows with targets and weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator

from crossfade.data import Corpus, Example, MixedExample, Synthetic
from crossfade.errors import DataError, SettingsError
from crossfade.roles import Floats

Doubt = Literal["keep", "drop", "weigh", "soften"]
"""What is done about synthetic labels that may be wrong; see `synthetic_rows`."""
LEAST_CONFIDENCE = 0.5
"""A row whose label is more probably wrong than right is dropped where doubtful rows are. Ours, fixed."""


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """What a student is fitted on."""

    examples: tuple[Example, ...]
    targets: Floats
    """Class probabilities, [rows, classes], each row summing to 1."""
    weights: Floats
    """Sample weights, [rows], each >= 0."""

    def __add__(self, other: "TrainingRows") -> "TrainingRows":
        return TrainingRows(
            self.examples + other.examples,
            np.vstack([self.targets, other.targets]),
            np.concatenate([self.weights, other.weights]),
        )

    def weighing(self, factor: float) -> "TrainingRows":
        """Return the same rows with every weight multiplied by a factor >= 0."""
        return TrainingRows(self.examples, self.targets, self.weights * factor)


def draw_shots(pool: Corpus, shots: int, rng: Generator) -> Corpus:
    """Draw `shots` rows of each class without replacement.

    The same `rng` state gives nested draws: the rows for 2 shots are among those for 5.

    Raises:
        DataError: A class has fewer rows.
    """
    rows: list[int] = []
    for label in pool.labels:
        of_class = [row for row, example in enumerate(pool.examples) if example.label == label]
        if len(of_class) < shots:
            raise DataError(
                f"Class '{label}' has {len(of_class)} rows; {shots} per class were asked for.",
                hint="Ask for fewer shots or add rows.",
            )
        rows.extend(rng.permutation(of_class)[:shots].tolist())
    return pool.rows(rows)


def require_examples(gold: Corpus, method: str) -> None:
    """Refuse gold data in which a class has no text.

    Raises:
        SettingsError: A class has none; the message names it.
    """
    empty = sorted(set(gold.labels) - set(gold.example_labels))
    if empty:
        raise SettingsError(
            f"{method} starts from gold texts, and there are none of {', '.join(empty)}.",
            hint="Give at least one text of each class, or use label_prompting, which needs none.",
        )


def gold_rows(gold: Corpus) -> TrainingRows:
    """Give every gold example its label with certainty and weight 1."""
    return hard_rows(gold.examples, gold.example_labels, gold.labels)


def hard_rows(examples: Sequence[Example], given: Sequence[str], labels: Sequence[str]) -> TrainingRows:
    """Give every example one label with certainty and weight 1."""
    columns = [labels.index(label) for label in given]
    return TrainingRows(tuple(examples), np.eye(len(labels))[columns], np.ones(len(columns)))


def class_text_rows(gold: Corpus) -> TrainingRows:
    """Make one row of each class's description, or of its name in words where there is none.

    What the class is called is worth a labelled text or more to a sentence encoder (compare SetFit's templates), so it
    stands in every comparison as a row of its own: what written texts add must be seen beside it.
    """
    texts = [gold.describe(label) for label in gold.labels]
    return hard_rows(
        [Example((text,) * gold.width, label) for text, label in zip(texts, gold.labels, strict=True)],
        gold.labels,
        gold.labels,
    )


def synthetic_rows(kept: Sequence[Synthetic], labels: Sequence[str], *, doubt: Doubt) -> TrainingRows:
    """Make training rows of synthetic ones.

    Rows without a confidence count as sure, rows without label probabilities have all mass on their label.

    Args:
        kept: The rows.
        labels: Classes in column order.
        doubt: What is done about labels that may be wrong. 'keep': nothing. 'drop': rows less than half sure are left
            out. 'weigh': a row weighs what its confidence is. 'soften': its target is the label probabilities.
    """
    if doubt == "drop":
        kept = [row for row in kept if row.weight >= LEAST_CONFIDENCE]
    hard = hard_rows([row.example for row in kept], [row.example.label for row in kept], labels)
    weights = np.array([row.weight for row in kept]) if doubt == "weigh" else hard.weights
    targets = hard.targets.copy()
    for index, row in enumerate(kept):
        # A point between two texts has no other label than its mixed one.
        if row.probabilities and (doubt == "soften" or isinstance(row.example, MixedExample)):
            targets[index] = [row.probabilities.get(label, 0.0) for label in labels]
    return TrainingRows(hard.examples, targets, weights)
