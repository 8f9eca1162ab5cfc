"""Compare the same student on different training rows, over the same splits, and place the gain in real labels."""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator

from crossfade.data import AnnotatedExample, Augmented, Corpus, Example, ReadingExample, annotated
from crossfade.errors import DataError
from crossfade.evaluation.annotations import lenient_score, strict_f1
from crossfade.evaluation.scores import BESIDE, Measure, answers, counted, trained
from crossfade.numerics.statistics import Interval, WorthInterval, paired_interval, worth_in_labels, worth_interval
from crossfade.roles import Annotator, Learner
from crossfade.tasks.answers import answer_f1
from crossfade.tasks.classification import TrainingRows
from crossfade.tasks.shapes import task_of

GOLD_ONLY = "gold only"
"""The rows every other row of the table is compared with."""
CLASS_TEXTS = "gold + class texts"
"""Gold rows and one row per class, its description or name: what the classes' own words are worth without writing."""
ALL_DATA = "all real data"
"""Every labelled text: what the student could reach."""
LEAK = "leak: stands in the test data"
"""Why a written row is left out that repeats a test text."""
SURROUNDING = " .,;:!?·\"'`´“”„‘’‚«»‹›()[]{}–—¡¿。、「」"
"""Around a text these do not make it another text."""


def row_name(method: str, check: str) -> str:
    """Return what rows of a method are called after a label check: gold and synthetic rows together."""
    return f"+ {method}" if check == "none" else f"+ {method}, {check}"


@dataclass(frozen=True, slots=True)
class Scored:
    """A student's scores on one kind of training rows."""

    rows: str
    values: tuple[float, ...]
    """Score on the test set, in [0, 1], one per split."""
    kept: tuple[int, ...] = ()
    """Synthetic rows among them, one count per split; nothing where there are none."""
    fidelity: tuple[float, ...] = ()
    """Share of synthetic labels that the oracle confirms, one per split; nothing where it was not asked."""
    measure: Measure = "accuracy"
    beside: tuple[float, ...] = ()
    """`Measured.beside`, one per split; nothing for classes."""


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
    """Score on the test set, in [0, 1], one per split."""
    uplift: Interval | None
    """Gain over gold only, paired by split; None for gold only itself and where there is no gold."""
    worth_per_class: float | None
    """Real labels per class that give the same mean score; None when it lies above the measured curve."""
    kept: tuple[int, ...] = ()
    """Synthetic rows used, one count per split; nothing for rows without any."""
    fidelity: tuple[float, ...] = ()
    """Share of their labels that the oracle confirms, one per split; measuring only."""
    worth: WorthInterval | None = None
    """The same with its interval; None without a curve over the same splits."""
    measure: Measure = "accuracy"
    """What the values are."""
    beside: tuple[float, ...] = ()
    """The measure that `BESIDE` names, in [0, 1], one per split; nothing for classes."""

    @property
    def measures(self) -> list[str]:
        """What the values are, and what `beside` is, if anything."""
        return [self.measure, *([BESIDE[self.measure]] if self.beside else [])]

    @property
    def counted(self) -> str:
        """What `shots` and the worth count."""
        return counted(classes=self.measure == "accuracy")

    @property
    def mean(self) -> float:
        """Mean score over the splits."""
        return float(np.mean(self.values))

    @property
    def std(self) -> float:
        """Sample standard deviation of the score over the splits; 0 for one split."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the line as plain values."""
        return {
            "rows": self.rows,
            "student": self.student,
            "shots": self.shots,
            "splits": self.splits,
            "measure": self.measure,
            "score": {"mean": self.mean, "std": self.std, "values": list(self.values)},
            "beside": {BESIDE[self.measure]: list(self.beside)} if self.beside else {},
            "uplift": asdict(self.uplift) if self.uplift else None,
            "worth_per_class": self.worth_per_class,
            "worth": asdict(self.worth) if self.worth else None,
            "kept": list(self.kept),
            "fidelity": list(self.fidelity),
        }


@dataclass(frozen=True, slots=True)
class Curve:
    """What real labels are worth to a student: mean score over the splits by labels per class."""

    shots: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]
    """Score by shot count and split, [shot counts, splits]."""

    @property
    def means(self) -> list[float]:
        """Mean score for each shot count."""
        return [float(np.mean(values)) for values in self.values]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a student scored on the test set."""

    score: float
    """In [0, 1]."""
    measure: Measure = "accuracy"
    beside: float | None = None
    """The measure that `BESIDE` names, in [0, 1]; None for classes."""

    def as_shares(self) -> dict[str, float]:
        """Return each measure by name."""
        beside = {} if self.beside is None else {BESIDE[self.measure]: self.beside}
        return {self.measure: self.score, **beside}


def measure_rows(make: Callable[[], Learner], rows: TrainingRows, test: Corpus) -> Measured:
    """Fit a fresh student on some rows and measure it on the test set; raises as `measure` does."""
    return measure(trained(make(), rows, test.labels), test)


def measure(fitted: Learner, test: Corpus) -> Measured:
    """Measure a fitted student, reader or annotator on the test set.

    Raises:
        DataError: There is no test row.
    """
    if not len(test):
        raise DataError("There is no test row to measure on.", hint="Hold out at least one.")
    if isinstance(fitted, Annotator):
        return measure_annotations(fitted.annotate(test.examples), annotated(test))
    task, said = task_of(test), answers(fitted, test)
    right = [task.is_right(word, example) for word, example in zip(said, test, strict=True)]
    shared = [
        answer_f1(word, example.answers)
        for word, example in zip(said, test, strict=True)
        if isinstance(example, ReadingExample)
    ]
    if shared:
        return Measured(float(np.mean(right)), "exact_match", float(np.mean(shared)))
    return Measured(float(np.mean(right)))


def measure_annotations(said: Sequence[AnnotatedExample], true: Sequence[AnnotatedExample]) -> Measured:
    """Hold annotations against the true ones, strictly and leniently."""
    return Measured(strict_f1(said, true), "strict_f1", lenient_score(said, true))


def score_rows(make: Callable[[], Learner], rows: TrainingRows, test: Corpus) -> float:
    """Fit a fresh student on some rows and return its score on the test set."""
    return measure_rows(make, rows, test).score


def text_key(example: Example) -> tuple[str, ...]:
    """Return an example's texts as a reader compares them: equal keys are the same text, written otherwise.

    Unicode forms are unified (NFKC), case and the amount of white space do not count, nor do punctuation marks, quotes
    and brackets around a text. Signs that carry meaning (-, %, #, +, $) do; so does every mark inside. Labels do not
    matter. Ours.
    """
    return tuple(_normalised(text) for text in example.texts)


def refuse_leaks(
    training: Iterable[Iterable[Example]], test: Iterable[Example], *, synthetic: Iterable[Example] = ()
) -> None:
    """Refuse a comparison whose test texts stand in the training data, in near-copies too (`text_key`).

    Args:
        training: Labelled rows that students or methods see, such as [pool].
        test: The test rows.
        synthetic: Written rows that students are trained on.

    Raises:
        DataError: Names in which of both the texts stand, the first such text, and how many there are.
    """
    labelled = (example for rows in training for example in rows)
    remove = "Remove them from the training data, or set data.overlap = 'drop' to leave them out of the pool."
    take_out = "Take them out with drop_test_copies before anything is trained on them."
    tested = list(test)
    for where, rows, hint in (("training", labelled, remove), ("synthetic", synthetic, take_out)):
        seen = {text_key(example) for example in rows}
        leaked = [example for example in tested if text_key(example) in seen]
        if leaked:
            raise DataError(
                f"{len(leaked)} of {len(tested)} test texts stand in the {where} data too, the first: "
                f"{leaked[0].text!r}.",
                hint=hint,
            )


def without_overlap(pool: Corpus, test: Iterable[Example]) -> Corpus:
    """Return the pool without the rows whose text is a test text, in near-copies too (`text_key`)."""
    tested = {text_key(example) for example in test}
    return pool.rows([row for row, example in enumerate(pool.examples) if text_key(example) not in tested])


def drop_test_copies(made: Augmented, test: Iterable[Example]) -> Augmented:
    """Take out the kept rows that repeat a test text by chance, in near-copies too (`text_key`).

    This only takes rows away, after everything was written and labelled, so that a student is not measured on what it
    was trained on. The test data must not reach a method in any other way: nothing is written in the rows' place. They
    move to the dropped rows, and in the losses of the class they were written for from 'kept' to 'leak'.
    """
    tested = {text_key(example) for example in test}
    copies = [row for row in made.kept if text_key(row.example) in tested]
    losses = {label: dict(counts) for label, counts in made.losses.items()}
    for row in copies:
        counts = losses.setdefault(row.origin.written_label, {})
        counts["kept"] = counts.get("kept", 0) - 1
        counts["leak"] = counts.get("leak", 0) + 1
    kept = tuple(row for row in made.kept if text_key(row.example) not in tested)
    dropped = tuple(replace(row, origin=replace(row.origin, reason=LEAK)) for row in copies)
    return replace(made, kept=kept, dropped=made.dropped + dropped, losses=losses)


def _normalised(text: str) -> str:
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    # A text of nothing but marks is what its marks are.
    return plain.strip(SURROUNDING) or plain


def summarise(
    scored: Sequence[Scored], *, student: str, shots: int, curve: Curve | None, rng: Generator
) -> list[ResultRow]:
    """Turn scores on each kind of training rows into the lines of the comparison, in the given order.

    The gain over gold only is paired by split, with Student's t interval over the splits. The worth in real labels has
    an interval where the curve was measured over the same splits.
    """
    base = next((one.values for one in scored if one.rows == GOLD_ONLY), None)
    lines = []
    for one in scored:
        uplift = None
        if base is not None and one.rows not in (GOLD_ONLY, ALL_DATA):
            uplift = paired_interval(np.subtract(one.values, base).tolist())
        worth = worth_in_labels(float(np.mean(one.values)), curve.shots, curve.means) if curve else None
        paired = curve is not None and len(curve.values[0]) == len(one.values)
        interval = worth_interval(one.values, curve.shots, curve.values, rng) if curve and paired else None
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
                worth=interval,
                measure=one.measure,
                beside=one.beside,
            )
        )
    return lines
