"""Tell which written rows help a model trained on all of them: ProGen's influence and SunGen's learned weights.

Both papers go through a whole fine-tuned model. Here a logistic head on fixed embeddings stands in for it, whose
gradients have a closed form (ours): the gradient of a row is (probabilities - target) times its features.

Sources: Ye et al., "ProGen", Findings of EMNLP 2022, and Gao et al., "SunGen", ICLR 2023, as their released code does.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from crossfade.data import Example
from crossfade.roles import Encoder, Floats

SHARPNESS = 10.0
"""A target of the reverse cross entropy is softmax(10 * one-hot). SunGen's code."""
STEPS = 100
"""Outer steps on the weights. SunGen's code."""
RATE = 0.25
"""Adam's rate on the logits of the weights. SunGen's code."""
TOP = 0.9
"""Share of the rows, those of largest weight, that the outer loss is measured on. SunGen's code."""
VALIDATION_SHARE = 0.5
"""Share of the written rows whose loss says which others help. ProGen's code: 1,000 of the first 2,000."""


def pair_features(examples: Sequence[Example], encoder: Encoder) -> Floats:
    """Embed examples, [rows, features]; two texts u and v become [u, v, |u - v|, u * v] (Conneau et al. 2017)."""
    columns = [encoder.encode(list(texts)) for texts in zip(*(example.texts for example in examples), strict=True)]
    if len(columns) == 1:
        return columns[0]
    one, other = columns
    return np.hstack([one, other, np.abs(one - other), one * other])


def reverse_cross_entropy(probabilities: Floats, labels: np.ndarray) -> tuple[Floats, Floats]:
    """Return the loss of each row, [rows], and its gradient by the logits, [rows, classes].

    The loss is -sum p log q with q = softmax(10 * one-hot): bounded, so that wrong labels do not rule it.
    """
    logits = SHARPNESS * np.eye(probabilities.shape[1])[labels]
    costs = np.log(np.exp(logits).sum(axis=1, keepdims=True)) - logits
    losses = (probabilities * costs).sum(axis=1)
    return losses, probabilities * (costs - losses[:, None])


def helpfulness(features: Floats, labels: np.ndarray, rng: Generator) -> Floats:
    """Return how much a step on each row would lower the reverse cross entropy of held-out written rows, [rows].

    ProGen's influence with its sign turned, on the last layer alone and without the Hessian (ours). Rows that the loss
    is measured on have 0.

    Args:
        features: [rows, features].
        labels: Class index, [rows], two classes or more.
        rng: Draws the rows that are held out.
    """
    held_out = rng.random(len(labels)) < VALIDATION_SHARE
    value = np.zeros(len(labels))
    classes = int(labels.max()) + 1
    if len(set(labels[~held_out].tolist())) < classes or not held_out.any():
        return value
    probabilities = _probabilities(features, labels, (~held_out).astype(np.float64))
    _, outer = reverse_cross_entropy(probabilities[held_out], labels[held_out])
    direction = outer.T @ features[held_out] / held_out.sum()
    value[~held_out] = _along(direction, probabilities, features, labels)[~held_out]
    return value


def learn_weights(features: Floats, labels: np.ndarray) -> Floats:
    """Learn a weight in (0, 1) for each written row, so that a head trained with them errs little; SunGen.

    The inner problem, a head trained with the weights, is solved to its end each time; the outer gradient goes through
    one further step from there, as in the paper. All weights start at 0.5.

    Args:
        features: [rows, features].
        labels: Class index, [rows], two classes or more.
    """
    logits, first, second = np.zeros(len(labels)), np.zeros(len(labels)), np.zeros(len(labels))
    for step in range(1, STEPS + 1):
        weights = 1 / (1 + np.exp(-logits))
        probabilities = _probabilities(features, labels, weights)
        outer_rows = np.flatnonzero(weights >= np.quantile(weights, 1 - TOP))
        _, outer = reverse_cross_entropy(probabilities[outer_rows], labels[outer_rows])
        direction = outer.T @ features[outer_rows] / len(outer_rows)
        gradient = -_along(direction, probabilities, features, labels) / weights.sum() * weights * (1 - weights)
        # Adam (Kingma, Ba 2015) with its usual constants.
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        logits -= RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float64)


def _probabilities(features: Floats, labels: np.ndarray, weights: Floats) -> Floats:
    """Train a weighted logistic head on all rows of positive weight; return what it says of every row."""
    from sklearn.linear_model import LogisticRegression

    used = weights > 0
    head = LogisticRegression(max_iter=200).fit(features[used], labels[used], sample_weight=weights[used])
    return np.asarray(head.predict_proba(features), dtype=np.float64)


def _along(direction: Floats, probabilities: Floats, features: Floats, labels: np.ndarray) -> Floats:
    """Multiply each row's cross-entropy gradient with a gradient of the head, [classes, features]; [rows]."""
    errors = probabilities - np.eye(probabilities.shape[1])[labels]
    return np.asarray((errors * (features @ direction.T)).sum(axis=1), dtype=np.float64)
