"""Describe synthetic texts: how varied they are, how they lie among real ones, and how many labels are right."""

import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from crossfade.data import Corpus
from crossfade.errors import DataError, missing_extra
from crossfade.evaluation.scores import accuracy
from crossfade.numerics.diversity import Neighbourhood, distinct, nearest_distances, neighbourhood
from crossfade.roles import Encoder, Floats

SELF_BLEU_SAMPLE = 200
"""Texts compared with each other for self-BLEU; the work grows with its square, 200 take about a second. Ours."""
NEIGHBOURS = 5
"""k of coverage and density (Naeem et al. 2020): as many texts of the same distribution cover 1 - 1/2^k = 97 %."""
PUNCTUATION = string.punctuation + "…“”‘’«»¡¿–—。、，！？；："
"""Stripped from the ends of a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diversity:
    """What describes a set of synthetic texts, as plain values; docs/comparison.md has the formulas."""

    rows: int
    vocabulary: int
    """Different words."""
    mean_length: float
    """Words in a text."""
    distinct_1: float | None
    """Different words over all words, in [0, 1]; None where there are none."""
    distinct_2: float | None
    """The same of word pairs."""
    distinct_3: float | None
    """The same of three words in a row."""
    self_bleu: float | None
    """Mean BLEU of a text against the others, in [0, 1], high when they repeat each other; None for one text."""
    distance_to_gold: float | None
    """Mean cosine distance to the nearest gold text, in [0, 2]; None without gold texts."""
    coverage: float | None
    """Share of real texts with a synthetic one near, in [0, 1]; None with fewer than two real texts."""
    density: float | None
    """Synthetic texts near real ones, about 1 for texts like the real ones; None with fewer than two real texts."""
    fidelity: float | None
    """Share of labels that the oracle confirms, in [0, 1]; None without an oracle."""


def describe_texts(
    texts: Sequence[str],
    *,
    gold: Corpus,
    encoder: Encoder,
    rng: Generator,
    pool: Sequence[str] = (),
    labels: Sequence[str] | None = None,
    oracle_labels: Sequence[str] | None = None,
) -> Diversity:
    """Measure synthetic texts; nothing measured here goes back into a method or a student.

    Args:
        texts: The synthetic texts, at least one.
        gold: The labelled texts that they were written from.
        encoder: Gives the vectors of all distances.
        rng: Draws the sample for self-BLEU.
        pool: Training texts; those that are not gold are the real texts to cover. Without any, gold is.
        labels: The labels of the texts, to be held against the oracle's.
        oracle_labels: What a student trained on the whole training data says of the texts.

    Raises:
        DataError: There are no texts, or only one of the two lists of labels.
        DependencyError: sacrebleu is not installed.
    """
    if not texts:
        raise DataError("0 texts were given; there is nothing to describe.")
    if (labels is None) != (oracle_labels is None):
        raise DataError("Labels were given without an oracle's, or the other way round; expected both or neither.")
    rows = [words_of(text) for text in texts]
    vectors = encoder.encode(texts)
    near = _near_real_texts(vectors, gold, pool, encoder)
    return Diversity(
        rows=len(texts),
        vocabulary=len({word for row in rows for word in row}),
        mean_length=float(np.mean([len(row) for row in rows])),
        distinct_1=distinct(rows, 1),
        distinct_2=distinct(rows, 2),
        distinct_3=distinct(rows, 3),
        self_bleu=self_bleu(rows, rng),
        distance_to_gold=float(nearest_distances(vectors, encoder.encode(gold.texts)).mean()) if len(gold) else None,
        coverage=near.coverage if near else None,
        density=near.density if near else None,
        fidelity=None if labels is None or oracle_labels is None else accuracy(labels, oracle_labels),
    )


def words_of(text: str) -> list[str]:
    """Split a text at white space into words without case and without punctuation at their ends."""
    words = (word.strip(PUNCTUATION) for word in text.casefold().split())
    return [word for word in words if word]


def self_bleu(rows: Sequence[Sequence[str]], rng: Generator) -> float | None:
    """Return the mean BLEU of each text with all others as references, in [0, 1]; None for fewer than two texts.

    BLEU up to four words, by sacrebleu, with its exponential smoothing and without orders that a short text does not
    reach. Of more than 200 texts a sample is compared with itself; it depends on the texts and `rng`, not on their
    order. More references make BLEU larger, so only sets that reach the sample, or have equally many texts, compare.
    Source: Zhu et al. 2018, arXiv 1802.01886.

    Args:
        rows: The words of each text.
        rng: Draws the sample.

    Raises:
        DependencyError: sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics import BLEU
    except ModuleNotFoundError as error:
        raise missing_extra("sacrebleu", "diversity") from error
    if len(rows) < 2:
        return None
    texts = sorted(" ".join(row) for row in rows)
    if len(texts) > SELF_BLEU_SAMPLE:
        texts = [texts[index] for index in rng.choice(len(texts), size=SELF_BLEU_SAMPLE, replace=False)]
    metric = BLEU(tokenize="none", effective_order=True)
    scores = [metric.sentence_score(text, texts[:index] + texts[index + 1 :]).score for index, text in enumerate(texts)]
    return min(float(np.mean(scores)) / 100, 1.0)


def _near_real_texts(vectors: Floats, gold: Corpus, pool: Sequence[str], encoder: Encoder) -> Neighbourhood | None:
    """Hold vectors against the pool's texts that are not gold, or against gold where there are none."""
    known = set(gold.texts)
    real = [text for text in pool if text not in known] or gold.texts
    if len(real) < 2:
        return None
    return neighbourhood(encoder.encode(real), vectors, min(NEIGHBOURS, len(real) - 1))
