"""Manifold intrusion: texts between two parents that a judge puts elsewhere, and whether the ratio steers the text.

The definitions are ours: how the paper (inversedMixup, arXiv 2601.21543) measures intrusion is not known to us.
docs/methods/inversed_mixup.md has them in words.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.stats import norm, spearmanr

from crossfade.errors import DataError
from crossfade.numerics.statistics import TAILS
from crossfade.roles import Floats

Indices = NDArray[np.intp]
Kind = Literal["third_class", "flip", "same_class", "confident_conflict"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FLIP_FROM = 0.6
"""Share of the larger parent from which the smaller one may not win."""
CONFIDENT = 0.9
"""Probability of the judge's class from which it is sure."""
UNSURE_LABEL = 0.7
"""Share of the larger parent up to which a mixed label says that the text is of both."""


def intrusions(probabilities: Floats, first: Indices, second: Indices, ratios: Floats) -> dict[Kind, Floats]:
    """Mark for each kind of intrusion which texts intrude: 1, 0, or NaN where the kind does not apply.

    third_class: parents of two classes, and the judge names neither. flip: parents of two classes, one of them with a
    share of 0.6 or more, and the judge names the other. same_class: parents of one class, and the judge names another.
    confident_conflict: parents of two classes, the larger share at most 0.7, and the judge 90 % sure of one class.

    Texts of ratio 1 are the floor, what judge and inversion get wrong by themselves: there a flip is the second
    parent's class, and a confident conflict any class but the first parent's of which the judge is sure.

    Args:
        probabilities: The judge's, [texts, classes]; a row of zeros is no answer and counts nowhere.
        first: Class of the first parent, [texts].
        second: Class of the second parent, [texts].
        ratios: Share of the first parent, [texts], in [0, 1].
    """
    named = probabilities.argmax(axis=1)
    told = probabilities.sum(axis=1) > 0
    crossed = first != second
    # Grids are often made by steps that miss 0.6 and 0.7 by a rounding error.
    larger = np.round(np.maximum(ratios, 1 - ratios), 9)
    smaller_parent = np.where(ratios > 0.5, second, first)
    neither = (named != first) & (named != second)
    sure = probabilities.max(axis=1) >= CONFIDENT
    whole = ratios == 1
    mixed_label = crossed & (whole | (larger <= UNSURE_LABEL))
    return {
        "third_class": np.where(told & crossed, neither, np.nan),
        "flip": np.where(told & crossed & (larger >= FLIP_FROM), named == smaller_parent, np.nan),
        "same_class": np.where(told & ~crossed, neither, np.nan),
        "confident_conflict": np.where(told & mixed_label, sure & (~whole | (named != first)), np.nan),
    }


def intrudes(probabilities: Floats, first: Indices, second: Indices, ratios: Floats) -> NDArray[np.bool_]:
    """Say which texts do not lie between their parents, [texts]: a third class, a flip, or not their one class.

    A text that the judge is sure of still lies between its parents, so confident conflicts are left out.

    Args:
        probabilities: As in `intrusions`, like the others.
        first: Class of the first parent, [texts].
        second: Class of the second parent, [texts].
        ratios: Share of the first parent, [texts].
    """
    marks = intrusions(probabilities, first, second, ratios)
    return np.asarray(np.nansum([marks["third_class"], marks["flip"], marks["same_class"]], axis=0) > 0)


@dataclass(frozen=True, slots=True)
class Curve:
    """How often texts intrude at each ratio, with 95 % intervals; NaN where a ratio has no text that counts."""

    texts: NDArray[np.int_]
    """Texts that count, [ratios]."""
    rate: Floats
    """Share that intrudes, [ratios], in [0, 1]."""
    low: Floats
    """Wilson's interval of the rate."""
    high: Floats
    floor: float
    """The same share of the texts of ratio 1."""
    above: Floats
    """Rate less floor, [ratios]: the intrusion itself."""
    above_low: Floats
    """Percentile interval of `above` over resampled pairs of parents, which keep their text of ratio 1."""
    above_high: Floats


def intrusion_curve(marks: Floats, floor_marks: Floats, rng: Generator, draws: int = 2000) -> Curve:
    """Put the marks of one kind into rates by ratio, above the floor.

    Args:
        marks: 1, 0 or NaN, [pairs of parents, ratios].
        floor_marks: The same for the texts of ratio 1 of the same pairs, [pairs].
        rng: Resamples the pairs.
        draws: Number of resamples, >= 1.

    Raises:
        DataError: There are no pairs, or the two arrays do not have the same.
    """
    pairs = len(marks)
    if not pairs or floor_marks.shape != (pairs,):
        raise DataError(
            f"Marks of {pairs} pairs stand beside a floor of shape {list(floor_marks.shape)}; expected one or more "
            "pairs, and one text of ratio 1 for each."
        )
    everything = np.column_stack([marks, floor_marks])
    weights = np.vstack([np.ones(pairs), rng.multinomial(pairs, np.full(pairs, 1 / pairs), size=draws)])
    counted = ~np.isnan(everything)
    rates = _divide(weights @ np.nan_to_num(everything), weights @ counted)
    above = rates[:, :-1] - rates[:, -1:]
    low, high = wilson(rates[0, :-1], counted[:, :-1].sum(axis=0))
    above_low, above_high = (_quantile(above[1:], tail) for tail in TAILS)
    return Curve(
        texts=counted[:, :-1].sum(axis=0),
        rate=rates[0, :-1],
        low=low,
        high=high,
        floor=float(rates[0, -1]),
        above=above[0],
        above_low=above_low,
        above_high=above_high,
    )


def wilson(rate: Floats, trials: NDArray[np.int_]) -> tuple[Floats, Floats]:
    """Return the ends of Wilson's 95 % score interval of shares (Wilson 1927); NaN where there are no trials.

    Args:
        rate: Observed shares, any shape, in [0, 1].
        trials: Of how many each is the share.
    """
    z = float(norm.ppf(TAILS[1]))
    count = np.where(trials > 0, trials, np.nan).astype(np.float64)
    middle = (rate + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(rate * (1 - rate) / count + z**2 / (4 * count**2))
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def rate_by_class_pair(marks: Floats, first: Indices, second: Indices, classes: int) -> Floats:
    """Return the share of texts that intrude, [classes of the first parent, classes of the second]; NaN for none.

    Args:
        marks: 1, 0 or NaN, [texts].
        first: Class of the first parent, [texts].
        second: Class of the second parent, [texts].
        classes: How many classes there are.
    """
    hits, counts = np.zeros((classes, classes)), np.zeros((classes, classes))
    counted = ~np.isnan(marks)
    np.add.at(hits, (first[counted], second[counted]), marks[counted])
    np.add.at(counts, (first[counted], second[counted]), 1)
    return _divide(hits, counts)


def embedded_share(points: Floats, first: Floats, second: Floats) -> Floats:
    """Return where embeddings lie on the line from their second parent (0) to their first (1), [texts].

    Args:
        points: Embeddings of the texts, [texts, width].
        first: Of the first parents, [texts, width].
        second: Of the second parents, [texts, width]; NaN comes out where it equals the first.
    """
    line = first - second
    return _divide(np.sum((points - second) * line, axis=1), np.sum(line * line, axis=1))


def judged_share(probabilities: Floats, first: Indices, second: Indices) -> Floats:
    """Return what the first parent's class has of the judge's probability for both parents, [texts].

    NaN where the parents are of one class, or neither has any probability.

    Args:
        probabilities: The judge's, [texts, classes].
        first: Class of the first parent, [texts].
        second: Class of the second parent, [texts].
    """
    rows = np.arange(len(probabilities))
    of_first, of_second = probabilities[rows, first], probabilities[rows, second]
    return np.where(first == second, np.nan, _divide(of_first, of_first + of_second))


def rank_correlation(ratios: Floats, shares: Floats) -> float:
    """Return Spearman's correlation of ratio and share over all texts whose share is no NaN; NaN for too few.

    Args:
        ratios: Share of the first parent that was asked for, [texts].
        shares: Share that came out, [texts].
    """
    told = ~np.isnan(shares)
    if len(np.unique(ratios[told])) < 2 or len(np.unique(shares[told])) < 2:
        return float("nan")
    return float(spearmanr(ratios[told], shares[told]).statistic)


def _divide(hits: Floats, counts: NDArray[np.float64] | NDArray[np.int_]) -> Floats:
    """Divide, with NaN where nothing was counted."""
    quotients = np.full(np.shape(hits), np.nan)
    np.divide(hits, counts, out=quotients, where=counts > 0)
    return quotients


def _quantile(draws: Floats, tail: float) -> Floats:
    """Return a quantile of each column over the draws that have a number; NaN where none has."""
    empty = np.isnan(draws).all(axis=0)
    found = np.full(draws.shape[1], np.nan)
    found[~empty] = np.nanquantile(draws[:, ~empty], tail, axis=0)
    return found
