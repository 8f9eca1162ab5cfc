"""Say which labels of written texts are suspect, and why: the label-noise report."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from crossfade.data import Augmented, Corpus, Synthetic

FEWEST_GOLD = 5
"""Gold texts of a class below which the sources' votes on it are hardly measured. Ours: with four texts, one right or
wrong answer moves a source's accuracy there by a quarter."""
RATIO_EDGES = (0.5, 0.7, 0.8, 0.9, 1.0)
"""Edges of the bins of the mixing ratio; the last bin holds both its ends. Ours, after the ratios PromptMix draws."""
LEAST_CONFIDENCE = 0.5
"""A row whose label is less probable than this is suspect, whatever its votes. Ours."""


@dataclass(frozen=True, slots=True)
class SuspectRow:
    """A written text whose label may be wrong."""

    text: str
    written_label: str
    suggested_label: str
    """The label decided on; where that is the one asked for, the one that most other votes name."""
    confidence: float | None
    """Probability that the decided label is right, in [0, 1]; None when it was not estimated."""
    reasons: tuple[str, ...]
    """What speaks against the written label, in words."""


@dataclass(frozen=True, slots=True)
class ClassNoise:
    """What became of the texts that were written for one class."""

    label: str
    rows: int
    """Texts written for the class that got as far as the label check."""
    suspects: tuple[SuspectRow, ...]
    """The most suspect first: labels surely changed, then labels hardly kept."""
    gold_texts: int
    warning: str
    """Why the figures of this class say little; empty when they say something."""


@dataclass(frozen=True, slots=True)
class RatioNoise:
    """How often the check changed or dropped what was written at some mixing ratios."""

    low: float
    high: float
    rows: int
    changed: float
    """Share of the rows whose label was changed or which were dropped, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class LabelNoise:
    """The label-noise report."""

    classes: tuple[ClassNoise, ...]
    confusion: Mapping[str, Mapping[str, int]]
    """Class asked for to class decided on to rows; classes that never occur are left out. Dropped rows count under the
    class that most votes other than the writer's name."""
    ratios: tuple[RatioNoise, ...]
    """By mixing ratio; empty when nothing was mixed."""

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)

    def cells(self) -> list[tuple[str, str, str, str, str]]:
        """Return one row of cells per class: class, rows, suspects, most frequent other class, warning."""
        table = []
        for of_class in self.classes:
            others = Counter({name: n for name, n in self.confusion[of_class.label].items() if name != of_class.label})
            often = ", ".join(f"{name} ({count})" for name, count in others.most_common(1))
            cells = (of_class.label, str(of_class.rows), str(len(of_class.suspects)), often or "-", of_class.warning)
            table.append(cells)
        return table


def label_noise(made: Augmented, gold: Corpus) -> LabelNoise:
    """Report which labels of checked rows are suspect.

    Suspect are rows that the check relabelled or dropped, rows less than half sure, and rows for which most votes other
    than the writer's name another class.

    Args:
        made: Rows after `check_labels`; rows lost before the check (duplicates, unparsable ones) are left out.
        gold: The human-labelled texts that the check went by.
    """
    checked = [*made.kept, *(row for row in made.dropped if (row.origin.reason or "").startswith("dropped"))]
    counts = Counter(gold.example_labels)
    classes = tuple(
        _class_noise(label, [row for row in checked if row.origin.written_label == label], counts[label])
        for label in gold.labels
    )
    confusion: dict[str, Counter[str]] = {label: Counter() for label in gold.labels}
    for row in checked:
        confusion[row.origin.written_label][suggested_label(row)] += 1
    return LabelNoise(classes, {label: dict(found) for label, found in confusion.items()}, _by_ratio(checked))


def _class_noise(label: str, rows: Sequence[Synthetic], gold_texts: int) -> ClassNoise:
    suspects = [
        SuspectRow(row.example.text, label, suggested_label(row), row.origin.confidence, reasons)
        for row in rows
        if (reasons := reasons_against(row))
    ]
    suspects.sort(key=suspicion, reverse=True)
    warning = f"only {gold_texts} gold texts: too few to say" if gold_texts < FEWEST_GOLD else ""
    return ClassNoise(label, len(rows), tuple(suspects), gold_texts, warning)


def suspicion(row: SuspectRow) -> float:
    """Return how little a written label is to be trusted, in [0, 2]: surely changed first, hardly kept last."""
    sure = 0.0 if row.confidence is None else row.confidence
    return 1 + sure if row.suggested_label != row.written_label else 1 - sure


def _others(row: Synthetic) -> dict[str, str]:
    return {name: vote for name, vote in row.origin.votes.items() if name != "writer"}


def suggested_label(row: Synthetic) -> str:
    """Return the label decided on; where that tells nothing new, the one that most votes beside the writer's name."""
    written = row.origin.written_label
    if row.origin.reason is None and row.example.label != written:
        return row.example.label
    votes = Counter(_others(row).values())
    if not votes:
        return written
    (most, count), *_ = votes.most_common(1)
    return most if count > votes[written] and 2 * count > votes.total() else written


def reasons_against(row: Synthetic) -> tuple[str, ...]:
    """Say what speaks against the written label; nothing when the row is not suspect."""
    written = row.origin.written_label
    against = [f"{name}: {vote}" for name, vote in _others(row).items() if vote != written]
    sure = row.origin.confidence is None or row.origin.confidence >= LEAST_CONFIDENCE
    if row.origin.reason is None and sure and suggested_label(row) == written:
        return ()
    if not sure:
        against.append(f"the label is only {row.origin.confidence:.0%} sure")
    if row.origin.reason is not None:
        against.append(row.origin.reason)
    return tuple(against) or (f"the check decided on {row.example.label}",)


def _changed(row: Synthetic) -> bool:
    return row.origin.reason is not None or row.example.label != row.origin.written_label


def _by_ratio(rows: Sequence[Synthetic]) -> tuple[RatioNoise, ...]:
    bins = []
    for low, high in pairwise(RATIO_EDGES):
        inside = [
            row
            for row in rows
            if row.origin.ratio is not None
            and (low <= row.origin.ratio < high or row.origin.ratio == high == RATIO_EDGES[-1])
        ]
        if inside:
            bins.append(RatioNoise(low, high, len(inside), sum(map(_changed, inside)) / len(inside)))
    return tuple(bins)
