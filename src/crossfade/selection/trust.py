"""Decide which label a written text keeps, and how sure we are: votes from several sources, each of which earned it.

Every source is scored on the gold texts it has not seen, and its sharpness is fitted there, so that a judge that is
no better than chance casts no vote. Ours; the paper lets the judge replace every label.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossfade.data import Corpus, Example
from crossfade.numerics import calibration
from crossfade.roles import Encoder, Floats
from crossfade.selection.relabelling import Judge, Verdicts, folds_of_one_per_class, prototypes


@dataclass(frozen=True, slots=True)
class SourceScore:
    """How well a source of labels did on gold texts that it had not seen."""

    accuracy: float
    """Share of gold texts it named rightly, in [0, 1]."""
    sharpness: float
    """Factor on its standardised scores; near 0 means that it casts no vote."""
    texts: int
    """Gold texts it was scored on."""


@dataclass(frozen=True, slots=True)
class Decided:
    """The labels of written texts, and how they came about."""

    labels: np.ndarray
    """Index of the class decided on, [texts]; -1 where the judge named none of the classes it was offered."""
    probabilities: Floats | None
    """[texts, classes], rows summing to 1; None when the judge's answer was taken as it is."""
    votes: dict[str, np.ndarray]
    """Source name to the class index it would choose, [texts]; -1 where a judge's answer was unparsable."""
    sources: dict[str, SourceScore]
    """Source name to what it earned on the gold texts."""


def replace_labels(texts: Sequence[Example], gold: Corpus, *, judge: Judge, encoder: Encoder) -> Decided:
    """Take the judge's answer as the label of every text, as PromptMix does.

    Choice probabilities are freed of each class's bias over the texts first (batch calibration): the raw likelihood of
    a phrase says more about the phrase than about the text.
    """
    similarities = encoder.encode([example.text for example in texts]) @ prototypes(gold, encoder).T
    verdicts = judge.verdicts(texts, similarities, gold)
    votes = _judge_votes(verdicts)
    return Decided(votes, None, {"judge": votes}, {})


def trust_labels(
    texts: Sequence[Example], written: np.ndarray, gold: Corpus, *, judge: Judge, encoder: Encoder
) -> Decided:
    """Combine the judge, the prototypes and the writer's own label into class probabilities.

    1. Score each source on gold texts held out of it, and fit its sharpness there.
    2. Multiply judge and prototypes.
    3. Learn from them how often the writer writes what it is asked for, and add its vote.

    Args:
        texts: The written texts.
        written: Index of the class the writer was asked for, [texts].
        gold: The human-labelled texts; the only labels used.
        judge: The judging model and how it is asked.
        encoder: Gives the prototypes.
    """
    answers = np.array([gold.labels.index(example.label) for example in gold], dtype=int)
    vectors = encoder.encode([example.text for example in texts])
    similarities = vectors @ prototypes(gold, encoder).T
    held_out = _held_out_similarities(gold, encoder)
    verdicts = judge.verdicts(texts, similarities, gold)
    sources = {
        "prototypes": _weigh(similarities, held_out, answers, graded=True),
        "judge": _weigh(verdicts.scores, judge_on_gold(gold, judge, held_out), answers, graded=verdicts.graded),
    }
    evidence = calibration.product_of([source.probabilities for source in sources.values()])
    probabilities = calibration.writer_posterior(written, evidence)
    votes = {"writer": written, "prototypes": similarities.argmax(axis=1), "judge": _judge_votes(verdicts)}
    earned = {name: source.score for name, source in sources.items()}
    return Decided(probabilities.argmax(axis=1), probabilities, votes, earned)


def _judge_votes(verdicts: Verdicts) -> np.ndarray:
    unbiased = calibration.centre_rows(verdicts.scores)
    if verdicts.graded:
        unbiased = unbiased - calibration.class_offsets(verdicts.scores)
    return np.where(verdicts.parsable, unbiased.argmax(axis=1), -1)


def judge_on_gold(gold: Corpus, judge: Judge, similarities: Floats) -> Floats:
    """Score the judge on gold texts, [gold rows, classes]: each fold with the other folds in the prompt."""
    scores = np.zeros((len(gold), len(gold.labels)))
    for fold in folds_of_one_per_class(gold):
        rest = gold.rows([row for row in range(len(gold)) if row not in set(fold)])
        asked = [gold.examples[row] for row in fold]
        scores[fold] = judge.verdicts(asked, similarities[fold], rest).scores
    return scores


def _held_out_similarities(gold: Corpus, encoder: Encoder) -> Floats:
    """Compare each gold text with prototypes made without it, [gold rows, classes]."""
    vectors = encoder.encode(gold.texts)
    rows = [vectors[row] @ prototypes(gold, encoder, without=row).T for row in range(len(gold))]
    return np.array(rows).reshape(len(gold), len(gold.labels))


@dataclass(frozen=True, slots=True)
class _Weighed:
    probabilities: Floats
    score: SourceScore


def _weigh(scores: Floats, on_gold: Floats, answers: np.ndarray, *, graded: bool) -> _Weighed:
    """Turn a source's scores into probabilities as sharp as its answers on gold texts deserve.

    Graded scores are freed of each class's bias over the texts first. Plain answers are not: a judge that says the same
    of every text would seem to say nothing.
    """
    offsets = calibration.class_offsets(scores) if graded else np.zeros(scores.shape[1])
    centred = calibration.centre_rows(scores) - offsets
    spread = float(centred[np.isfinite(centred)].std()) or 1.0
    if len(answers) == 0:
        # Without gold texts nothing can be earned; the source keeps the sharpness of its standardised scores.
        return _Weighed(calibration.sharpened(centred / spread, 1.0), SourceScore(float("nan"), 1.0, 0))
    known = (calibration.centre_rows(on_gold) - offsets) / spread
    factor = calibration.fit_sharpness(known, answers)
    accuracy = float((known.argmax(axis=1) == answers).mean())
    return _Weighed(calibration.sharpened(centred / spread, factor), SourceScore(accuracy, factor, len(answers)))
