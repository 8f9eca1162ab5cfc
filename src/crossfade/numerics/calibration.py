"""Turn scores into probabilities that can be trusted, and combine several sources into one.

Scores are [rows, classes]; a class that was not considered for a row holds -inf.
"""

import numpy as np
from scipy.optimize import minimize_scalar

from crossfade.roles import Floats

LARGEST_SHARPNESS = 50.0
"""Upper end of the search for a sharpness; scores are standardised first, so this is close to a hard choice."""
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
    """Return the factor on the scores that makes their softmax fit known answers best (least log loss).

    A source that knows nothing gets a factor near 0 and so casts no vote. Probabilities are smoothed as
    `sharpened` does. Source: temperature scaling (Guo et al. 2017), fitted on gold texts held out of the prompt.

    Args:
        scores: [rows, classes], bias already removed.
        answers: Index of the right class, [rows].
    """

    def loss(log_factor: float) -> float:
        right = sharpened(scores, float(np.exp(log_factor)))[np.arange(len(answers)), answers]
        return float(-np.log(right).mean())

    best = minimize_scalar(loss, bounds=(-8.0, float(np.log(LARGEST_SHARPNESS))), method="bounded")
    return float(np.exp(best.x))


def sharpened(scores: Floats, factor: float) -> Floats:
    """Return softmax(factor * scores), mixed with a little of the uniform distribution."""
    return np.asarray((1 - SMOOTHING) * softmax(factor * scores) + SMOOTHING / scores.shape[1], dtype=np.float64)


def writer_posterior(written: np.ndarray, evidence: Floats, *, strength: float = 5.0, rounds: int = 50) -> Floats:
    """Return P(class | text, class the writer was asked for), [rows, classes].

    What the writer tends to write when asked for a class is estimated from the texts themselves by expectation
    maximisation (Dawid and Skene 1979), with the other sources as evidence: asked for 'entity' it may write of people.

    Args:
        written: Index of the class asked for, [rows].
        evidence: Product of the other sources' probabilities, [rows, classes], rows summing to 1.
        strength: Pseudo-counts of "wrote what was asked" per class, which hold where there are few rows.
        rounds: Steps of expectation maximisation.
    """
    classes = evidence.shape[1]
    asked = np.eye(classes)[written]
    prior = strength * np.eye(classes) + 1.0 / classes
    habits = prior / prior.sum(axis=1, keepdims=True)
    posterior = evidence
    for _ in range(rounds):
        joint = evidence * habits[written]
        posterior = joint / joint.sum(axis=1, keepdims=True)
        counts = prior + asked.T @ posterior
        habits = counts / counts.sum(axis=1, keepdims=True)
    return np.asarray(posterior, dtype=np.float64)


def product_of(sources: list[Floats]) -> Floats:
    """Multiply the sources' probabilities and normalise the rows, [rows, classes]."""
    logs = np.sum([np.log(source) for source in sources], axis=0)
    return softmax(np.asarray(logs, dtype=np.float64))
