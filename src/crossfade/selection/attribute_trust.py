"""Label trust for several intents to a text: does a student that saw the gold texts alone find them there? Ours.

A text inherits the intents of the gold row it was written after. Its support is the geometric mean, over its intents,
of their probability divided by how often they occur, by logistic regressions on sentence embeddings fitted to the gold
texts. What support is too little is read off the gold texts with such intents, each judged by regressions that have not
seen it: nine in ten would stay. Probabilities alone would say little: most intents are rare, and that of a rare one is
low for right texts, too.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from crossfade.data import AnnotatedExample, Augmented, Corpus, annotated
from crossfade.roles import Encoder, Floats

STAY = 0.9
"""Share of the gold texts that must pass. Ours, fixed."""
FOLDS = 5
LEAST = 2
"""Gold texts that an intent needs to be judged."""


def trust_intents(made: Augmented, gold: Corpus, encoder: Encoder) -> Augmented:
    """Drop the written texts whose intents have less support than those of nine in ten gold texts.

    Args:
        made: What a method wrote.
        gold: The human-labelled texts; the only labels used.
        encoder: Gives the vectors of the regressions.
    """
    known = annotated(gold)
    counts = {name: sum(name in row.intents for row in known) for name in gold.attributes}
    judged = [name for name, count in counts.items() if LEAST <= count < len(known)]
    if not made.kept or not judged or len(known) < FOLDS:
        return made
    vectors = encoder.encode(gold.texts)
    has = np.array([[name in row.intents for name in judged] for row in known])
    of_gold = _support(_out_of_fold(vectors, has), known, judged)
    # Where no intent is judged, support says nothing.
    of_gold = of_gold[np.isfinite(of_gold)]
    if not len(of_gold):
        return made
    least = float(np.quantile(of_gold, 1 - STAY))
    rows = annotated(row.example for row in made.kept)
    support = _support(_fit(vectors, has, encoder.encode([row.text for row in rows])), rows, judged)
    lost = {place for place in range(len(rows)) if support[place] < least}
    dropped = [
        replace(row, origin=replace(row.origin, reason=f"dropped: support of its intents is {support[place]:.2f}"))
        for place, row in enumerate(made.kept)
        if place in lost
    ]
    losses = {label: {**stages, "relabelled": 0, "dropped": 0} for label, stages in made.losses.items()}
    for row in dropped:
        losses[row.origin.written_label]["dropped"] += 1
        losses[row.origin.written_label]["kept"] -= 1
    kept = tuple(row for place, row in enumerate(made.kept) if place not in lost)
    return replace(made, kept=kept, dropped=(*made.dropped, *dropped), losses=losses)


def _support(lifts: Floats, rows: Sequence[AnnotatedExample], judged: Sequence[str]) -> Floats:
    """Return the geometric mean of the lifts of each row's intents, [rows]; infinite where none of them is judged."""
    logs = np.log(np.maximum(lifts, 1e-12))
    means = []
    for row, of_row in zip(rows, logs, strict=True):
        of_intents = of_row[[judged.index(name) for name in row.intents if name in judged]]
        known = of_intents[~np.isnan(of_intents)]
        means.append(float(known.mean()) if len(known) else np.inf)
    return np.asarray(np.exp(means), dtype=np.float64)


def _out_of_fold(vectors: Floats, has: np.ndarray) -> Floats:
    """Return the lift of each intent of each gold text, by regressions that have not seen it."""
    from sklearn.model_selection import KFold

    lifts = np.zeros(has.shape)
    for fitted, held in KFold(FOLDS, shuffle=True, random_state=0).split(vectors):
        lifts[held] = _fit(vectors[fitted], has[fitted], vectors[held])
    return lifts


def _fit(vectors: Floats, has: np.ndarray, texts: Floats) -> Floats:
    """Fit one regression for each intent, and return its lift for each text, [texts, intents].

    That is its probability divided by how often the intent occurs; no number where it occurs in none of the fitted
    texts, or in all.
    """
    from sklearn.linear_model import LogisticRegression

    lifts = np.full((len(texts), has.shape[1]), np.nan)
    for column in range(has.shape[1]):
        # A fold without the intent knows nothing of it.
        if 0 < has[:, column].sum() < len(has):
            model = LogisticRegression(C=10.0, max_iter=1000).fit(vectors, has[:, column])
            lifts[:, column] = model.predict_proba(texts)[:, 1] / has[:, column].mean()
    return lifts
