"""Mixing ratios: how much of the first class a text should hold."""

import numpy as np
from numpy.random import Generator

from crossfade.roles import Floats

RATIO_STEP = 0.05
"""Ratios are rounded to this step (PromptMix, released code)."""


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
