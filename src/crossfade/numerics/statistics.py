"""Paired intervals of gains, and what a gain is worth in real labels with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.stats import t as student_t

from crossfade.errors import DataError
from crossfade.roles import Floats

LEVEL = 0.95
"""Share of repetitions in which an interval should hold the truth."""
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
"""The two probabilities between which an interval lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float | None
    """None for a single value: without spread nothing limits the mean."""
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorthInterval:
    """Real labels per class that give the same accuracy, with a 95 % interval; None is "more than the last count"."""

    estimate: float | None
    low: float | None
    """The curve's first shot count means "that many or fewer"."""
    high: float | None
    is_below: bool = False
    """Whether the student lies below the curve: it is worth fewer labels than the first count, which `estimate` is."""


def paired_interval(differences: Sequence[float]) -> Interval:
    """Return the mean of paired differences with Student's t interval at 95 %.

    It is that of the paired bootstrap of `worth_interval` in closed form. Over five normal pairs the percentile
    bootstrap holds the truth in 85 % of cases and this in 95 % (docs/comparison.md).

    Raises:
        DataError: There are no differences.
    """
    values = np.asarray(differences, dtype=np.float64)
    pairs = len(values)
    if not pairs:
        raise DataError("0 paired differences were given; an interval needs at least one, and two to have bounds.")
    mean = float(values.mean())
    if pairs == 1:
        return Interval(mean=mean, low=None, high=None)
    half = float(student_t.ppf(TAILS[1], pairs - 1) * values.std(ddof=1) / np.sqrt(pairs))
    return Interval(mean=mean, low=mean - half, high=mean + half)


def is_gain(interval: Interval) -> bool:
    """Say whether the whole interval lies above zero; where it holds zero, or has no bounds, there is no gain."""
    return interval.low is not None and interval.low > 0


def worth_in_labels(accuracy: float, shots: Sequence[int], curve: Sequence[float] | Floats) -> float | None:
    """Return how many real labels per class give this accuracy, by linear interpolation on a learning curve.

    The curve is made non-decreasing first (running maximum). Below the curve the answer is its first shot count, above
    it None: "more than the last".

    Args:
        accuracy: The accuracy to place, in the curve's unit.
        shots: Real labels per class, increasing, [points].
        curve: Mean accuracy of the same student trained on that many real labels, [points].
    """
    rising: Floats = np.maximum.accumulate(np.asarray(curve, dtype=np.float64))
    if accuracy > rising[-1]:
        return None
    # On a flat stretch the smallest shot count that reaches the accuracy counts.
    reached = int(np.searchsorted(rising, accuracy, side="left"))
    if reached == 0:
        return float(shots[0])
    below, above = rising[reached - 1], rising[reached]
    fraction = (accuracy - below) / (above - below)
    return float(shots[reached - 1] + fraction * (shots[reached] - shots[reached - 1]))


def worth_interval(
    values: Sequence[float],
    curve_shots: Sequence[int],
    curve_values: Sequence[Sequence[float]],
    rng: Generator,
    draws: int = 10_000,
) -> WorthInterval:
    """Place a student on a learning curve with a 95 % interval, resampling the splits of both together.

    Each draw moves the student's mean and the curve's means with the same weights on the splits, so that what a split
    does to both cancels; the moved student is placed on the moved curve, and the interval runs between the 2.5th and
    the 97.5th percentile of the places. It is widened to hold the estimate, should that lie outside. One split says
    nothing of the spread: the interval is then the whole curve and beyond.

    Args:
        values: Accuracy of the student, [splits].
        curve_shots: Real labels per class, increasing, [points].
        curve_values: Accuracy of the same student on that many real labels over the same splits, [points, splits].
        rng: Draws the weights.
        draws: Number of draws, >= 1.

    Raises:
        DataError: The student and the curve do not have the same splits, at least one.
    """
    splits = {len(values), *map(len, curve_values)}
    if len(splits) != 1 or not values or len(curve_shots) != len(curve_values):
        raise DataError(
            f"A student measured on {len(values)} splits stands against a curve with {len(curve_shots)} shot counts "
            f"and {[len(of_count) for of_count in curve_values]} splits; expected the same splits everywhere."
        )
    rows: Floats = np.column_stack([np.asarray(values, dtype=np.float64), np.transpose(curve_values)])
    means = rows.mean(axis=0)
    estimate = worth_in_labels(float(means[0]), curve_shots, means[1:].tolist())
    is_below = bool(means[0] < means[1])
    if len(values) == 1:
        return WorthInterval(estimate=estimate, low=float(curve_shots[0]), high=None, is_below=is_below)
    moved = draw_means(rows, draws, rng)
    places = [worth_in_labels(float(of_draw[0]), curve_shots, of_draw[1:]) for of_draw in moved]
    numbers = np.array([np.inf if place is None else place for place in places])
    # Between a number and infinity nothing can be interpolated, so the next draw outwards is taken.
    low = np.quantile(numbers, TAILS[0], method="lower")
    high = np.quantile(numbers, TAILS[1], method="higher")
    middle = np.inf if estimate is None else estimate
    return WorthInterval(
        estimate=estimate,
        low=_finite(min(float(low), middle)),
        high=_finite(max(float(high), middle)),
        is_below=is_below,
    )


def draw_means(rows: Floats, draws: int, rng: Generator) -> Floats:
    """Draw means that the rows could have had instead, [draws, columns].

    A bootstrap with normal weights on the rows' deviations, divided by the root of a chi-square over its degrees of
    freedom: each column, and each difference of columns, then spreads as Student's t does around its mean, so that the
    percentiles of a single column give the interval of `paired_interval`. Plain resampling never leaves the range of
    the rows and is too narrow for a handful of them. Normal weights make this a multiplier bootstrap; the division is
    ours.

    Args:
        rows: Values that belong together in each row, [rows, columns], at least two rows.
        draws: How many means to draw.
        rng: Draws weights and divisors.
    """
    count = len(rows)
    mean = rows.mean(axis=0)
    weights = rng.standard_normal((draws, count)) / np.sqrt(count * (count - 1))
    divisors = np.sqrt(rng.chisquare(count - 1, size=draws) / (count - 1))
    return np.asarray(mean + weights @ (rows - mean) / divisors[:, None], dtype=np.float64)


def _finite(place: float) -> float | None:
    return float(place) if np.isfinite(place) else None
