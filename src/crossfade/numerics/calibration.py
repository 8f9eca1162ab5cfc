"""Turn scores into probabilities that can be trusted, and combine several sources into one.

Scores are [rows, classes]; a class that was not considered for a row holds -inf.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from crossfade.roles import Floats

LARGEST_SHARPNESS = 50.0
"""Upper end of the search for a sharpness; scores are standardised first, so this is close to a hard choice."""
PRIOR_SPREAD = 0.35
"""Standard deviation of the prior on the log of a sharpness. Ours: chosen on held-out training rows of TREC6."""
NEAR_CLASSES = 5
"""A text that is not of the class asked for is taken to be of one of so many near classes, not of any class: with many
classes the writer's vote would else drown the others. Ours, after the classes that PromptMix offers its judge."""
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


def fit_sharpnesses(sources: Sequence[Floats], answers: np.ndarray) -> Floats:
    """Return one factor per source, so that the product of their softmaxes fits known answers best, [sources].

    Temperature scaling (Guo et al. 2017) of all sources at once, on gold texts that none of them has seen, with a
    log-normal prior: a dozen gold texts say little, hundreds decide. A source that knows nothing is pushed towards 0
    and so casts next to no vote. The prior of a source is centred on 1 / (how many sources make its errors, itself
    included), so that two copies of a source weigh as much as one. The prior is ours.

    Args:
        sources: One array of [rows, classes] each, bias removed, standard deviation about 1.
        answers: Index of the right class, [rows].
    """
    centres = -np.log(np.clip(error_correlations(sources, answers), 0.0, 1.0).sum(axis=1))
    rows = np.arange(len(answers))

    def loss(log_factors: Floats) -> float:
        right = combined(sources, np.exp(log_factors))[rows, answers]
        return float(-np.log(right).sum() + 0.5 * (((log_factors - centres) / PRIOR_SPREAD) ** 2).sum())

    limits = [(-8.0, float(np.log(LARGEST_SHARPNESS)))] * len(sources)
    return np.asarray(np.exp(minimize(loss, centres, method="L-BFGS-B", bounds=limits).x), dtype=np.float64)


def error_correlations(sources: Sequence[Floats], answers: np.ndarray) -> Floats:
    """Return how far the sources err together, [sources, sources]: the correlation of what their scores miss.

    From each score its mean over right (or over wrong) classes is taken, so that sources which merely agree on the
    truth do not correlate. Scores of classes that a source did not consider count as its lowest score.
    """
    right = np.zeros(sources[0].shape, dtype=bool)
    right[np.arange(len(answers)), answers] = True
    errors = []
    for scores in sources:
        known = np.where(np.isfinite(scores), scores, scores[np.isfinite(scores)].min())
        errors.append((known - np.where(right, known[right].mean(), known[~right].mean())).ravel())
    lengths = np.array([max(float(np.linalg.norm(error)), 1e-12) for error in errors])
    correlations = (np.array(errors) @ np.array(errors).T) / np.outer(lengths, lengths)
    np.fill_diagonal(correlations, 1.0)
    return np.asarray(correlations, dtype=np.float64)


def combined(sources: Sequence[Floats], factors: Floats) -> Floats:
    """Return the normalised product of the sources, each as sharp as its factor says, [rows, classes]."""
    return product_of([sharpened(scores, float(factor)) for scores, factor in zip(sources, factors, strict=True)])


def sharpened(scores: Floats, factor: float) -> Floats:
    """Return softmax(factor * scores), mixed with a little of the uniform distribution."""
    return np.asarray((1 - SMOOTHING) * softmax(factor * scores) + SMOOTHING / scores.shape[1], dtype=np.float64)


def writer_reliability(written: np.ndarray, evidence: Floats) -> float:
    """Return how often the writer writes what it is asked for, in [0.5, 0.95].

    Estimated from the texts themselves: the mean probability that the other sources give to the class asked for, at
    least one half, since sources that know nothing cannot tell. Ours.

    Args:
        written: Index of the class asked for, [rows].
        evidence: The other sources' probabilities, [rows, classes], rows summing to 1.
    """
    mean = float(evidence[np.arange(len(written)), written].mean())
    return min(max(0.5, mean), 1 - SMOOTHING)


def with_writer(written: np.ndarray, evidence: Floats, reliability: float, share: float) -> Floats:
    """Add the writer's vote for the class it was asked for, and return P(class | text), [rows, classes].

    Args:
        written: Index of the class asked for, [rows].
        evidence: The other sources' probabilities, [rows, classes], rows summing to 1.
        reliability: How often the writer writes what it is asked for, in (0, 1).
        share: Exponent on the vote, in [0, 1]: less than 1 where other sources know the class asked for, too.
    """
    near = min(NEAR_CLASSES, evidence.shape[1])
    vote = np.full(evidence.shape, (1 - reliability) / (near - 1))
    vote[np.arange(len(written)), written] = reliability
    return product_of([evidence, vote**share])


def product_of(sources: Sequence[Floats]) -> Floats:
    """Multiply the sources' probabilities and normalise the rows, [rows, classes]."""
    logs = np.sum([np.log(source) for source in sources], axis=0)
    return softmax(np.asarray(logs, dtype=np.float64))
