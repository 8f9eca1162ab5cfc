"""Compare the same student on different training rows, over the same splits, and place the gain in real labels."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

from crossfade.data import Corpus
from crossfade.errors import DataError
from crossfade.evaluation.scores import accuracy, predicted_labels
from crossfade.numerics.statistics import Interval, paired_interval, worth_in_labels
from crossfade.roles import Student
from crossfade.tasks.classification import TrainingRows

GOLD_ONLY = "gold only"
"""The rows every other row of the table is compared with."""
CLASS_TEXTS = "gold + class texts"
"""Gold rows and one row per class, its description or name: what the classes' own words are worth without writing."""
ALL_DATA = "all real data"
"""Every labelled text: what the student could reach."""


def row_name(method: str, check: str) -> str:
    """Return what rows of a method are called after a label check: gold and synthetic rows together."""
    return f"+ {method}" if check == "none" else f"+ {method}, {check}"


@dataclass(frozen=True, slots=True)
class Scored:
    """A student's accuracies on one kind of training rows."""

    rows: str
    values: tuple[float, ...]
    """Accuracy on the test set, in [0, 1], one per split."""
    kept: tuple[int, ...] = ()
    """Synthetic rows among them, one count per split; nothing where there are none."""
    fidelity: tuple[float, ...] = ()
    """Share of synthetic labels that the oracle confirms, one per split; nothing where it was not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """One line of the comparison: a student trained on some rows, over all splits."""

    rows: str
    """What it was trained on."""
    student: str
    shots: int
    """Real labels per class; 0 for zero-shot."""
    splits: int
    values: tuple[float, ...]
    """Accuracy on the test set, in [0, 1], one per split."""
    uplift: Interval | None
    """Gain over gold only, paired by split; None for gold only itself and where there is no gold."""
    worth_per_class: float | None
    """Real labels per class that give the same mean accuracy; None when it lies above the measured curve."""
    kept: tuple[int, ...] = ()
    """Synthetic rows used, one count per split; nothing for rows without any."""
    fidelity: tuple[float, ...] = ()
    """Share of their labels that the oracle confirms, one per split; measuring only."""

    @property
    def mean(self) -> float:
        """Mean accuracy over the splits."""
        return float(np.mean(self.values))

    @property
    def std(self) -> float:
        """Sample standard deviation of accuracy over the splits; 0 for one split."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the line as plain values."""
        return {
            "rows": self.rows,
            "student": self.student,
            "shots": self.shots,
            "splits": self.splits,
            "accuracy": {"mean": self.mean, "std": self.std, "values": list(self.values)},
            "uplift": asdict(self.uplift) if self.uplift else None,
            "worth_per_class": self.worth_per_class,
            "kept": list(self.kept),
            "fidelity": list(self.fidelity),
        }


@dataclass(frozen=True, slots=True)
class Curve:
    """What real labels are worth to a student: mean accuracy over the splits by labels per class."""

    shots: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]
    """Accuracy by shot count and split, [shot counts, splits]."""

    @property
    def means(self) -> list[float]:
        """Mean accuracy for each shot count."""
        return [float(np.mean(values)) for values in self.values]


def score_rows(make: Callable[[], Student], rows: TrainingRows, test: Corpus) -> float:
    """Fit a fresh student on some rows and return its accuracy on the test set."""
    student = make().fit(rows.examples, rows.targets, rows.weights, test.labels)
    return accuracy(predicted_labels(student, test), test.example_labels)


def refuse_leaks(training: Sequence[Corpus], test: Corpus) -> None:
    """Refuse a comparison whose test texts stand in the training pool.

    Raises:
        DataError: Names the first such text and how many there are.
    """
    pool = {example.texts for corpus in training for example in corpus}
    leaked = [example for example in test if example.texts in pool]
    if leaked:
        raise DataError(
            f"{len(leaked)} of {len(test)} test texts stand in the training data too, the first: {leaked[0].text!r}.",
            hint="Remove them from the training data, or set data.overlap = 'drop' to leave them out of the pool.",
        )


def without_overlap(pool: Corpus, test: Corpus) -> Corpus:
    """Return the pool without the rows whose text is a test text."""
    tested = {example.texts for example in test}
    return pool.rows([row for row, example in enumerate(pool.examples) if example.texts not in tested])


def summarise(
    scored: Sequence[Scored], *, student: str, shots: int, curve: Curve | None, rng: Generator
) -> list[ResultRow]:
    """Turn accuracies on each kind of training rows into the lines of the comparison, in the given order.

    The gain over gold only is paired by split, with a bootstrap interval over the splits.
    """
    base = next((one.values for one in scored if one.rows == GOLD_ONLY), None)
    lines = []
    for one in scored:
        uplift = None
        if base is not None and one.rows not in (GOLD_ONLY, ALL_DATA):
            uplift = paired_interval(np.subtract(one.values, base).tolist(), rng)
        worth = worth_in_labels(float(np.mean(one.values)), curve.shots, curve.means) if curve else None
        lines.append(
            ResultRow(
                rows=one.rows,
                student=student,
                shots=shots,
                splits=len(one.values),
                values=one.values,
                uplift=uplift,
                worth_per_class=worth,
                kept=one.kept,
                fidelity=one.fidelity,
            )
        )
    return lines
