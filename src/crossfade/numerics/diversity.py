"""How varied texts are, and how they lie among real ones: counts of words in, vectors in, numbers out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crossfade.roles import Floats

BLOCK = 512
"""Rows compared at once: 512 rows against 20,000 take 82 MB."""
ROUNDING = 1e-9
"""Distances closer than this are the same: cosines of equal vectors differ in their last digits."""


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """How made vectors lie in the neighbourhoods of real ones (Naeem et al. 2020, arXiv 2002.09797)."""

    coverage: float
    """Share of real vectors with a made one in their neighbourhood, in [0, 1]."""
    density: float
    """Mean number of real neighbourhoods that a made vector lies in, over the neighbours asked for; about 1 where both
    are distributed alike, and not bounded by 1."""


def distinct(rows: Sequence[Sequence[str]], length: int) -> float | None:
    """Return different n-grams over all n-grams, in (0, 1]; None when no row is long enough to have one.

    Source: Li et al. 2016, arXiv 1510.03055. The share falls as rows are added, so only sets of the same
    number of rows compare.

    Args:
        rows: The words of each text; n-grams do not reach from one text into the next.
        length: Words in an n-gram, >= 1.
    """
    grams = [gram for row in rows for gram in ngrams(row, length)]
    return len(set(grams)) / len(grams) if grams else None


def overlap(rows: Sequence[Sequence[str]], others: Sequence[Sequence[str]], length: int = 2) -> float | None:
    """Return the mean over texts of the largest share of a text's n-grams that stand in one other text, in [0, 1].

    Low where texts say something new. Source: the released code of Mixture of Soft Prompts (Chen et al. 2023), which
    calls it inter-distinctness, with pairs of words.

    Args:
        rows: The words of each text; those without an n-gram do not count.
        others: The words of the texts they are held against, such as gold ones.
        length: Words in an n-gram, >= 1.

    Returns:
        The mean; None where no text, or no other, has an n-gram.
    """
    known = [grams for other in others if (grams := set(ngrams(other, length)))]
    made = [grams for row in rows if (grams := set(ngrams(row, length)))]
    if not known or not made:
        return None
    return float(np.mean([max(len(grams & other) for other in known) / len(grams) for grams in made]))


def ngrams(row: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    """Yield the runs of so many words in a row, in order."""
    return zip(*(row[start:] for start in range(length)), strict=False)


def nearest_distances(of: Floats, to: Floats) -> Floats:
    """Return the cosine distance of each vector to the nearest of others, [rows of `of`], each in [0, 2].

    Args:
        of: Unit-length vectors, [rows, width].
        to: Unit-length vectors, [others, width], at least one.
    """
    nearest = np.concatenate([distances.min(axis=1) for distances in _blocks(of, to)])
    return np.asarray(nearest.clip(0, 2), dtype=np.float64)


def neighbourhood(real: Floats, made: Floats, neighbours: int) -> Neighbourhood:
    """Return the coverage of real vectors by made ones, and their density there.

    The neighbourhood of a real vector reaches to its k-th nearest other real vector, that distance included: repeated
    real texts have neighbourhoods of no extent, which a copy still covers. The paper's code leaves the distance out.

    Args:
        real: Unit-length vectors, [real rows, width], more than `neighbours`.
        made: Unit-length vectors, [made rows, width], at least one.
        neighbours: k, >= 1.
    """
    radii = np.concatenate([_kth_smallest(distances, neighbours) for distances in _blocks(real, real)])
    covered = np.zeros(len(real), dtype=bool)
    inside = 0
    for distances in _blocks(made, real):
        reached = distances <= radii + ROUNDING
        covered |= reached.any(axis=0)
        inside += int(reached.sum())
    return Neighbourhood(float(covered.mean()), inside / (neighbours * len(made)))


def _kth_smallest(distances: Floats, place: int) -> Floats:
    """Return the value at a place (from 0) of each sorted row; a vector itself has place 0, its k-th other place k."""
    # In place, and copied: a view would keep the whole block in memory.
    distances.partition(place, axis=1)
    return distances[:, place].copy()


def _blocks(of: Floats, to: Floats) -> Iterator[Floats]:
    """Yield cosine distances, [block, others], a block of rows at a time."""
    for start in range(0, len(of), BLOCK):
        products = of[start : start + BLOCK] @ to.T
        yield np.subtract(1, products, out=products)
