"""Turn scores into probabilities that can be trusted, and combine several sources into one.

Scores are [rows, classes]; a class that was not considered for a row holds -inf.
"""

import numpy as np
from scipy.optimize import minimize_scalar

from crossfade.roles import Floats

LARGEST_SHARPNESS = 50.0
"""Upper end of the search for a sharpness; scores are standardised first, so this is close to a hard choice."""
PRIOR_SPREAD = 0.35
"""Standard deviation of the prior on the log of a sharpness. Ours: chosen on held-out training rows of TREC6."""
WRITER_SHARE = 0.5
"""Exponent on the writer's vote. Ours: the writer and the prototypes see the same few gold texts, so their errors go
together and a full vote would count them twice."""
SMOOTHING = 0.05
"""Share of the uniform distribution mixed into every calibrated source, so that no single source can veto."""


def softmax(scores: Floats) -> Floats:
    """Return the softmax of each row; -inf gets probability 0."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float64)


def class_offsets(scores: Floats) -> Floats:
    """Return each class's mean score after centring the rows, [classes]: the bias a batch of texts shows.

    Rows are centred over the classes they consider; -inf entries are left out of every mean. Source: batch
    calibration (Zhou et al. 2023, arXiv 2309.17249); the batch is the written texts, never test texts.
    """
    centred = centre_rows(scores)
    considered = np.isfinite(centred)
    total = np.where(considered, centred, 0.0).sum(axis=0)
    return np.asarray(total / np.maximum(considered.sum(axis=0), 1), dtype=np.float64)


def centre_rows(scores: Floats) -> Floats:
    """Subtract from each row its mean over the classes it considers; -inf stays -inf."""
    considered = np.isfinite(scores)
    means = np.where(considered, scores, 0.0).sum(axis=1) / np.maximum(considered.sum(axis=1), 1)
    return np.asarray(scores - means[:, None], dtype=np.float64)


def fit_sharpness(scores: Floats, answers: np.ndarray) -> float:
    """Return the factor on standardised scores that makes their softmax fit known answers best.

    Temperature scaling (Guo et al. 2017) on gold texts that the source has not seen, with a log-normal prior around 1:
    a dozen gold texts say little, hundreds decide. A source that knows nothing is pushed towards 0 and so casts next to
    no vote. The prior is ours.

    Args:
        scores: [rows, classes], bias removed, standard deviation about 1.
        answers: Index of the right class, [rows].
    """

    def loss(log_factor: float) -> float:
        right = sharpened(scores, float(np.exp(log_factor)))[np.arange(len(answers)), answers]
        return float(-np.log(right).sum() + 0.5 * (log_factor / PRIOR_SPREAD) ** 2)

    best = minimize_scalar(loss, bounds=(-8.0, float(np.log(LARGEST_SHARPNESS))), method="bounded")
    return float(np.exp(best.x))


def sharpened(scores: Floats, factor: float) -> Floats:
    """Return softmax(factor * scores), mixed with a little of the uniform distribution."""
    return np.asarray((1 - SMOOTHING) * softmax(factor * scores) + SMOOTHING / scores.shape[1], dtype=np.float64)


def writer_posterior(written: np.ndarray, evidence: Floats) -> Floats:
    """Add the writer's vote for the class it was asked for, and return P(class | text), [rows, classes].

    How often the writer writes what it is asked for is estimated from the texts themselves: the mean probability that
    the other sources give to the class asked for, at least one half, since sources that know nothing cannot tell. Ours.

    Args:
        written: Index of the class asked for, [rows].
        evidence: The other sources' probabilities, [rows, classes], rows summing to 1.
    """
    classes = evidence.shape[1]
    reliability = max(0.5, float(evidence[np.arange(len(written)), written].mean()))
    vote = np.full((len(written), classes), (1 - reliability) / (classes - 1))
    vote[np.arange(len(written)), written] = reliability
    return product_of([evidence, vote**WRITER_SHARE])


def product_of(sources: list[Floats]) -> Floats:
    """Multiply the sources' probabilities and normalise the rows, [rows, classes]."""
    logs = np.sum([np.log(source) for source in sources], axis=0)
    return softmax(np.asarray(logs, dtype=np.float64))
