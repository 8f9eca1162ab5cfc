"""Which synthetic texts are noise: of frequent attributes, or far from the text they were written after.

Source: Mixture of Soft Prompts (Chen et al. 2023, arXiv 2303.01580), denoising; weights and threshold are those of the
released code, whose own denoiser does not run.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.random import Generator

from crossfade.roles import Floats

Denoising = Literal["none", "rank", "sample"]
LEAST = 1e-6
"""Least noise that a chance is computed from."""


def attribute_frequencies(rows: Iterable[Sequence[str]]) -> dict[str, float]:
    """Return count(a) / count of all attributes, for each attribute a of the gold rows; they sum to 1."""
    counts = Counter(attribute for row in rows for attribute in row)
    return {attribute: count / counts.total() for attribute, count in counts.items()}


def noise_of(
    rows: Sequence[Sequence[str]],
    similarities: Floats,
    frequencies: dict[str, float],
    *,
    frequency_weight: float = 0.5,
    distance_weight: float = 0.5,
) -> Floats:
    """Return frequency_weight · mean frequency of a text's attributes + distance_weight · (1 - similarity), [texts].

    Args:
        rows: The attributes of each text.
        similarities: Cosine of each text with the gold text it was written after, [texts].
        frequencies: Of the attributes among the gold texts.
        frequency_weight: 0 ignores how frequent attributes are.
        distance_weight: 0 ignores how far texts are.
    """
    overlap = np.array([np.mean([frequencies.get(name, 0.0) for name in row]) if row else 0.0 for row in rows])
    return np.asarray(frequency_weight * overlap + distance_weight * (1 - similarities), dtype=np.float64)


def least_noisy(noise: Floats, count: int, denoising: Denoising, rng: Generator) -> list[int]:
    """Return which texts stay, in row order, at most so many.

    'rank' keeps the least noisy (the paper's reading of the code), 'sample' draws without replacement by chances of
    1 / noise, 'none' keeps the first.
    """
    count = min(count, len(noise))
    if denoising == "rank":
        chosen = np.argsort(noise, kind="stable")[:count]
    elif denoising == "sample" and count:
        chances = 1 / np.maximum(noise, LEAST)
        chosen = rng.choice(len(noise), size=count, replace=False, p=chances / chances.sum())
    else:
        chosen = np.arange(count)
    return sorted(chosen.tolist())
