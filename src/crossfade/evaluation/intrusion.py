"""Measure manifold intrusion over a grid of ratios, by a judge that was scored first, and whether the ratio steers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from crossfade.data import Corpus
from crossfade.errors import DataError
from crossfade.evaluation.scores import accuracy
from crossfade.numerics.intrusion import (
    Curve,
    Indices,
    Kind,
    embedded_share,
    intrusion_curve,
    intrusions,
    judged_share,
    rank_correlation,
    rate_by_class_pair,
)
from crossfade.roles import Floats
from crossfade.selection.out_of_fold import NewStudent, predict_gold


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Texts between pairs of gold texts, one at each ratio; the last ratio is 1, the floor."""

    gold: Corpus
    first: Indices
    """Gold row of each pair's first parent, [pairs]."""
    second: Indices
    """Of its second parent, [pairs]."""
    ratios: Floats
    """Share of the first parent, [ratios], in [0, 1]."""
    texts: Sequence[Sequence[str | None]]
    """[pairs][ratios]; None where what was decoded is no text."""

    def __post_init__(self) -> None:
        if self.ratios[-1] != 1 or {len(row) for row in self.texts} != {len(self.ratios)}:
            raise DataError(
                f"A grid has the ratios {self.ratios.tolist()} and rows of {sorted({len(row) for row in self.texts})} "
                "texts; expected a text for each ratio, the last ratio 1."
            )

    @property
    def told(self) -> list[str]:
        """The texts that are there, row by row."""
        return [text for row in self.texts for text in row if text is not None]

    @property
    def classes(self) -> tuple[Indices, Indices]:
        """The classes of first and second parents, [pairs] each."""
        labels = np.array([self.gold.labels.index(label) for label in self.gold.example_labels])
        return labels[self.first], labels[self.second]

    def spread(self, values: Floats, missing: float) -> Floats:
        """Lay what belongs to the texts that are there, [texts, width], over the grid, [pairs, ratios, width]."""
        whole = np.full((len(self.texts), len(self.ratios), values.shape[1]), missing)
        whole[np.array([[text is not None for text in row] for row in self.texts])] = values
        return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeScore:
    """How well a judge does on labelled texts that it has not seen."""

    name: str
    accuracy: float
    """In [0, 1]."""
    texts: int
    """Labelled texts it was scored on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intrusion:
    """What a judge sees between the parents."""

    judge: JudgeScore
    ratios: Floats
    """Those below 1, [ratios]."""
    curves: Mapping[Kind, Curve]
    above_by_class_pair: Floats
    """Share of texts judged to be of neither parent's class, over all ratios below 1, less that of ratio 1, where only
    first parents come back: [class of the first parent, class of the second]; NaN where no pair was decoded."""
    embedded_control: float
    """Spearman's correlation of ratio and place of the text between its parents' embeddings, over all texts."""
    judged_control: float
    """The same with the first parent's part of the judge's probability of both; pairs of two classes only."""


def score_student(gold: Corpus, new_student: NewStudent, name: str = "student") -> JudgeScore:
    """Score a student as a judge on gold texts, fold by fold: it never saw the text that it judges.

    Args:
        gold: The labelled texts that it will be fitted on.
        new_student: Makes an unfitted student.
        name: What to call it.
    """
    named = [gold.labels[column] for column in predict_gold(gold, new_student).argmax(axis=1)]
    return JudgeScore(name=name, accuracy=accuracy(gold.example_labels, named), texts=len(gold))


def measure_intrusion(
    grid: Grid, probabilities: Floats, vectors: Floats, parents: Floats, judge: JudgeScore, rng: Generator
) -> Intrusion:
    """Put what a judge says of the texts of a grid into curves, a matrix of classes and two correlations.

    The floor is what comes of the first parents at ratio 1. A judge that has learned from the parents knows them there
    better than it knows other texts, so its floor is too low.

    Args:
        grid: What was decoded.
        probabilities: The judge's, of `grid.told`, [texts, classes].
        vectors: Embeddings of `grid.told`, [texts, width], in the space in which the parents were mixed.
        parents: Embeddings of the gold texts in that space, [gold rows, width].
        judge: How good the judge is.
        rng: Resamples pairs for the intervals.
    """
    pairs, columns = len(grid.texts), len(grid.ratios)
    # One row for each text of the grid, missing ones included: a judge without an answer counts nowhere.
    ratios = np.tile(grid.ratios, pairs)
    first, second = (np.repeat(classes, columns) for classes in grid.classes)
    judged = grid.spread(probabilities, 0.0).reshape(pairs * columns, -1)
    marks = {kind: found.reshape(pairs, columns) for kind, found in intrusions(judged, first, second, ratios).items()}
    neither = np.where(grid.classes[0] == grid.classes[1], marks["same_class"].T, marks["third_class"].T).T
    places = embedded_share(
        grid.spread(vectors, np.nan).reshape(pairs * columns, -1),
        np.repeat(parents[grid.first], columns, axis=0),
        np.repeat(parents[grid.second], columns, axis=0),
    )
    below = ratios < 1
    return Intrusion(
        judge=judge,
        ratios=grid.ratios[:-1],
        curves={kind: intrusion_curve(found[:, :-1], found[:, -1], rng) for kind, found in marks.items()},
        above_by_class_pair=_by_class_pair(neither[:, :-1], grid) - _by_class_pair(neither[:, -1:], grid),
        embedded_control=rank_correlation(ratios[below], places[below]),
        judged_control=rank_correlation(ratios[below], judged_share(judged, first, second)[below]),
    )


def _by_class_pair(marks: Floats, grid: Grid) -> Floats:
    first, second = (np.repeat(classes, marks.shape[1]) for classes in grid.classes)
    return rate_by_class_pair(marks.ravel(), first, second, len(grid.gold.labels))
