"""Say how often written rows lie outside the classes they were mixed of, by ratio and by pair of classes.

`intrusion.py` measures this over a grid of ratios between the same parents, above the floor of ratio 1. Rows of a run
have whatever ratio was drawn, so there is no floor here: the rates hold what judge and inversion get wrong by
themselves, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from crossfade.data import Corpus, Synthetic
from crossfade.evaluation.intrusion import score_student
from crossfade.numerics.intrusion import Kind, intrusions, rate_by_class_pair, wilson
from crossfade.roles import Floats
from crossfade.selection.out_of_fold import NewStudent, fit_on_gold

EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Edges of the bins of the first parent's share; the last bin holds both its ends. Ours."""
SHOWN: tuple[Kind, ...] = ("third_class", "flip", "same_class")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share with its 95 % interval (Wilson)."""

    rows: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RowIntrusion:
    """What a student fitted on the gold texts sees in mixed rows."""

    judge_accuracy: float
    """Of that student on gold texts it had not seen, the mean over the draws, in [0, 1]."""
    bins: tuple[tuple[float, float], ...]
    """Low and high end of the first parent's share."""
    curves: dict[Kind, tuple[Rate | None, ...]]
    """Kind to one rate for each bin; None where no row counts."""
    labels: tuple[str, ...]
    neither: Floats
    """Share judged to be of neither parent's class, [class of the first parent, of the second]; NaN for none."""


def intrusion_of_rows(
    draws: Sequence[tuple[Corpus, Sequence[Synthetic]]], new_student: NewStudent
) -> RowIntrusion | None:
    """Let a student fitted on each draw's gold texts judge the rows that were mixed of them.

    Args:
        draws: Gold texts and written rows; only readable rows with a ratio and two parents count.
        new_student: Makes an unfitted student.

    Returns:
        The rates, or None when no row was mixed.
    """
    labels = draws[0][0].labels if draws else ()
    parts: dict[str, list[Floats]] = {kind: [] for kind in SHOWN}
    ratios, firsts, seconds, accuracies = [], [], [], []
    for gold, rows in draws:
        mixed = [row for row in rows if _is_mixed(row)]
        if not mixed:
            continue
        said = fit_on_gold(gold, new_student).predict_probabilities([row.example for row in mixed])
        first, second = (np.array([labels.index(row.origin.parents[place]) for row in mixed]) for place in (0, 1))
        ratio = np.array([row.origin.ratio for row in mixed], dtype=np.float64)
        marks = intrusions(said, first, second, ratio)
        for kind in SHOWN:
            parts[kind].append(marks[kind])
        ratios.append(ratio)
        firsts.append(first)
        seconds.append(second)
        accuracies.append(score_student(gold, new_student).accuracy)
    if not ratios:
        return None
    ratio, marked = np.concatenate(ratios), {kind: np.concatenate(found) for kind, found in parts.items()}
    edges = tuple(pairwise(EDGES))
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    neither = np.where(first == second, marked["same_class"], marked["third_class"])
    return RowIntrusion(
        judge_accuracy=float(np.mean(accuracies)),
        bins=edges,
        curves={kind: tuple(_rate(marked[kind][_within(ratio, *ends)]) for ends in edges) for kind in SHOWN},
        labels=labels,
        neither=rate_by_class_pair(neither, first, second, len(labels)),
    )


def _is_mixed(row: Synthetic) -> bool:
    """Whether a row is a text between two parents; what could not be read as a text is none."""
    origin = row.origin
    return origin.ratio is not None and len(origin.parents) == 2 and not (origin.reason or "").startswith("unparsable")


def _within(ratio: Floats, low: float, high: float) -> NDArray[np.bool_]:
    # The first parent has the larger share, but for what is written with any ratio.
    share = np.round(np.maximum(ratio, 1 - ratio), 9)
    return (share >= low) & ((share < high) | (high == EDGES[-1]))


def _rate(marks: Floats) -> Rate | None:
    told = marks[~np.isnan(marks)]
    if not len(told):
        return None
    share = np.array([told.mean()])
    low, high = wilson(share, np.array([len(told)]))
    return Rate(rows=len(told), share=float(share[0]), low=float(low[0]), high=float(high[0]))
