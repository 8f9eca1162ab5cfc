"""Do written texts carry what they were written for? Shares by strings, and by an oracle; measuring only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from crossfade.data import AnnotatedExample, Augmented, Corpus, Synthetic, annotated
from crossfade.numerics.intrusion import wilson
from crossfade.numerics.statistics import Interval
from crossfade.roles import Annotator

HELD = ("surplus", "duplicate", "copy", "noise")
"""Reasons of rows that held all their strings and were left out for something else."""


@dataclass(frozen=True, slots=True)
class Carried:
    """How many of some drafts carry everything they were written for."""

    drafts: int
    all: int

    @property
    def share(self) -> Interval:
        """With Wilson's interval."""
        rate = np.array([self.all / self.drafts if self.drafts else 0.0])
        low, high = wilson(rate, np.array([self.drafts]))
        return Interval(mean=float(rate[0]), low=float(low[0]), high=float(high[0]))


def drafts_of(made: Augmented) -> list[Synthetic]:
    """Return all that a method drafted, kept and dropped."""
    return [*made.kept, *made.dropped]


def holds_strings(drafts: Sequence[Synthetic]) -> list[bool]:
    """Say of each draft whether all its strings stood in it, as the label check found."""
    return [draft.origin.reason is None or draft.origin.reason.partition(":")[0] in HELD for draft in drafts]


def holds_intents(rows: Sequence[AnnotatedExample], oracle: Annotator) -> list[bool]:
    """Say of each text whether an oracle finds all its intents in it; it may find others, too."""
    said = oracle.annotate(rows)
    return [set(row.intents) <= set(found.intents) for row, found in zip(rows, said, strict=True)]


def count_carried(
    drafts: Sequence[Synthetic], held: Sequence[bool], gold: Corpus, number: Callable[[Sequence[str]], int] = len
) -> tuple[Carried, dict[int, Carried]]:
    """Count the drafts that carry everything, in all and by how many attributes or strings their gold row has.

    Args:
        drafts: What was drafted after gold rows.
        held: Whether each carries everything.
        gold: The gold rows.
        number: Counts the strings of a row, or its intents where it has none.
    """
    sizes = {row.key: number(row.values or row.intents) for row in annotated(gold)}
    groups: dict[int, list[bool]] = {}
    for draft, found in zip(drafts, held, strict=True):
        groups.setdefault(sizes[draft.origin.parent_key], []).append(found)
    by_number = {size: Carried(len(found), sum(found)) for size, found in sorted(groups.items())}
    return Carried(len(drafts), sum(held)), by_number


def correctness(oracle: Annotator, kept: Sequence[Synthetic]) -> float | None:
    """Return the micro precision of an oracle's attributes against those that the texts inherited, in [0, 1].

    Source: the released code of Mixture of Soft Prompts, whose "accuracy" this is.

    Args:
        oracle: A student trained on all real data, which no method sees.
        kept: Rows written for attributes.

    Returns:
        The precision; None where the oracle finds nothing.
    """
    rows = annotated(row.example for row in kept)
    said = oracle.annotate(rows)
    right = [name in row.attributes for row, found in zip(rows, said, strict=True) for name in found.attributes]
    return float(np.mean(right)) if right else None
