"""Means, spreads, paired intervals, and what a gain is worth in real labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from crossfade.roles import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean with a 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def paired_interval(differences: Sequence[float], rng: Generator, draws: int = 10_000) -> Interval:
    """Bootstrap the mean of paired differences (percentile interval, 95 %).

    With few pairs the interval is too narrow; it cannot be wider than the range of the differences.
    """
    values = np.asarray(differences, dtype=np.float64)
    means = rng.choice(values, size=(draws, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(mean=float(values.mean()), low=float(low), high=float(high))


def worth_in_labels(accuracy: float, shots: Sequence[int], curve: Sequence[float]) -> float | None:
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
