"""Mixing ratios: how much of the first class or point a text should hold; and points between two points."""

from typing import Literal

import numpy as np
from numpy.random import Generator

from crossfade.roles import Floats

RATIO_STEP = 0.05
"""Ratios are rounded to this step (PromptMix, released code)."""
Mixing = Literal["linear", "spherical"]
"""Along the straight line between two points, or along the arc."""
TINY = 1e-9


def draw_ratios(count: int, rng: Generator) -> Floats:
    """Draw mixing ratios, [count], each in [0.5, 1]: 0.5 + 0.5 * Beta(5, 2), rounded to 0.05.

    Source: PromptMix (arXiv 2310.14192), the law of its released code; mean 0.857.
    """
    raw = 0.5 + 0.5 * rng.beta(5.0, 2.0, size=count)
    return np.round(np.round(raw / RATIO_STEP) * RATIO_STEP, 2)


def percentages(ratio: float) -> tuple[int, int]:
    """Return the two whole percentages that a prompt prints for a ratio in [0, 1]; they always add up to 100.

    The released PromptMix code truncates instead and prints 80 / 19 for 0.8.
    """
    first = round(100 * ratio)
    return first, 100 - first


def partner_count(target_count: int, ratio: float, rng: Generator) -> int:
    """Return how many partner examples stand beside `target_count` target examples at a ratio in (0, 1].

    The expected share of target examples is the ratio: the exact count target * (1 - ratio) / ratio is rounded up or
    down at random, in proportion to its fraction. Ours: how a model that continues lists is told the ratio.
    """
    exact = target_count * (1 - ratio) / ratio
    return int(np.floor(exact + rng.random()))


def mix_points(first: Floats, second: Floats, ratios: Floats, how: Mixing = "linear") -> Floats:
    """Return the points that lie between pairs of points, [rows, width]; ratio 1 is the first, 0 the second.

    Both ways end at the interpolated length, ratio * |first| + (1 - ratio) * |second|, because a plain mean shrinks
    (our reading of inversedMixup, arXiv 2601.21543, whose mixing settings are unknown). 'linear' takes the direction
    of ratio * first + (1 - ratio) * second; 'spherical' turns from one direction to the other at an even pace
    (Shoemake 1985). Exactly opposite points have no arc: they mix linearly, and their middle is zero.

    Args:
        first: Points, [rows, width].
        second: Their partners, [rows, width].
        ratios: Share of the first, [rows], each in [0, 1].
        how: The path between two points.
    """
    share = np.asarray(ratios, dtype=np.float64)[:, None]
    lengths = [np.linalg.norm(points, axis=1, keepdims=True) for points in (first, second)]
    shares = [share, 1 - share]
    if how == "spherical":
        units = [points / np.maximum(length, TINY) for points, length in zip((first, second), lengths, strict=True)]
        angle = np.arccos(np.clip((units[0] * units[1]).sum(axis=1, keepdims=True), -1, 1))
        turns = np.sin(angle) > 1e-6
        first, second = (np.where(turns, unit, points) for unit, points in zip(units, (first, second), strict=True))
        shares = [np.where(turns, np.sin(part * angle) / np.maximum(np.sin(angle), TINY), part) for part in shares]
    mixed = shares[0] * first + shares[1] * second
    wanted = share * lengths[0] + (1 - share) * lengths[1]
    return np.asarray(mixed * wanted / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), TINY), dtype=np.float64)
