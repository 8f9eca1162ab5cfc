"""Decide which label a written text keeps, how sure we are, and what a student is taught: votes that were earned.

Every source of labels is scored on gold texts it has not seen, and all are weighed there together, so that a judge no
better than chance casts no vote and two sources that err alike count once. Ours; the paper lets the judge replace every
label. Formulas and figures: docs/label_trust.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from crossfade.data import Corpus, Example
from crossfade.numerics import calibration
from crossfade.roles import Encoder, Floats
from crossfade.selection.out_of_fold import NewStudent, predict_from_gold, predict_gold, predict_written
from crossfade.selection.relabelling import Judge, Verdicts, folds_of_one_per_class, prototypes

BELIEF_SHARE = 0.25
"""Exponent on the writer's vote in the label. Ours: the students have learnt the labels asked for, so a full vote would
count them twice (docs/label_trust.md)."""
TAUGHT_SHARE = 0.5
"""Exponent on the writer's vote in what a student is taught. Ours: the writer and the judges have seen the same few
gold texts (docs/label_trust.md)."""
LEAST_PROBABILITY = 1e-6
"""A student's probabilities below this count as this."""


@dataclass(frozen=True, slots=True)
class SourceScore:
    """How well a source of labels did on gold texts that it had not seen."""

    accuracy: float
    """Share of gold texts it named rightly, in [0, 1]."""
    sharpness: float
    """Factor on its standardised scores; near 0 means that it casts no vote."""
    texts: int
    """Gold texts it was scored on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The labels of written texts, and how they came about."""

    labels: np.ndarray
    """Index of the class decided on, [texts]; -1 where the text is to be dropped."""
    votes: Mapping[str, np.ndarray]
    """Source name to the class index it would choose, [texts]; -1 where a judge's answer was unparsable."""
    reasons: Mapping[int, str] = field(default_factory=dict)
    """Row to why it is dropped, for every row labelled -1."""
    confidence: Floats | None = None
    """Probability that the label is right, [texts]; None when it was not estimated."""
    taught: Floats | None = None
    """Soft labels for a student, [texts, classes], rows summing to 1; None when all mass is on the label."""
    sources: Mapping[str, SourceScore] = field(default_factory=dict)
    """Source name to what it earned on the gold texts."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a source of labels says, on one scale for written and gold texts."""

    scores: Floats
    """[texts, classes], class bias removed, standard deviation about 1; -inf for classes not considered."""
    on_gold: Floats
    """The same for gold texts that the source has not seen, [gold rows, classes]."""
    votes: np.ndarray
    """Index of the class it would choose, [texts]; -1 for none."""
    knows_encoder: bool
    """It draws on the gold texts through an encoder, as a student does, and so tells a student nothing new."""


def trust_labels(
    texts: Sequence[Example],
    written: np.ndarray,
    gold: Corpus,
    *,
    judges: Mapping[str, Judge],
    encoder: Encoder,
    new_student: NewStudent,
) -> Decided:
    """Combine judges, prototypes, students and the writer's own label.

    Args:
        texts: The written texts.
        written: Index of the class the writer was asked for, [texts].
        gold: The human-labelled texts; the only labels used.
        judges: The name of a vote to a judging model.
        encoder: Gives the prototypes.
        new_student: Makes the students that are fitted on the folds.
    """
    similarities = encoder.encode([example.text for example in texts]) @ prototypes(gold, encoder).T
    held_out = held_out_similarities(gold, encoder)
    sources = {
        "prototypes": prototypes_source(similarities, held_out),
        "students": students_source(texts, written, gold, new_student),
    }
    for name, judge in judges.items():
        verdicts = judge.verdicts(texts, similarities, gold)
        sources[name] = judge_source(verdicts, judge_on_gold(gold, judge, held_out))
    return combine(sources, written, gold)


def combine(sources: Mapping[str, Source], written: np.ndarray, gold: Corpus) -> Decided:
    """Weigh the sources on the gold texts, and add the writer's vote.

    The label and its confidence come from all votes. What a student is taught leaves out the votes that draw on gold
    texts through an encoder: the student has the gold texts itself, and taught its own opinion it only grows surer of
    its mistakes. Where no other source is left, it is taught what all votes say.
    """
    answers = np.array([gold.labels.index(example.label) for example in gold], dtype=int)
    factors = _factors(list(sources.values()), answers)
    evidence = calibration.combined([source.scores for source in sources.values()], factors)
    reliability = calibration.writer_reliability(written, evidence)
    believed = calibration.with_writer(written, evidence, reliability, BELIEF_SHARE)
    taught = believed
    if fresh := [source for source in sources.values() if not source.knows_encoder]:
        alone = calibration.combined([source.scores for source in fresh], _factors(fresh, answers))
        taught = calibration.with_writer(written, alone, reliability, TAUGHT_SHARE)
    return Decided(
        labels=believed.argmax(axis=1),
        votes={"writer": written} | {name: source.votes for name, source in sources.items()},
        confidence=believed.max(axis=1),
        taught=taught,
        sources={
            name: SourceScore(_accuracy(source.on_gold, answers), float(factor), len(answers))
            for (name, source), factor in zip(sources.items(), factors, strict=True)
        },
    )


def _factors(sources: Sequence[Source], answers: np.ndarray) -> Floats:
    """Weigh sources on the gold texts; without any, each keeps the sharpness of its standardised scores."""
    if len(answers) == 0:
        return np.ones(len(sources))
    return calibration.fit_sharpnesses([source.on_gold for source in sources], answers)


def _accuracy(on_gold: Floats, answers: np.ndarray) -> float:
    return float((on_gold.argmax(axis=1) == answers).mean()) if len(answers) else float("nan")


def prototypes_source(similarities: Floats, held_out: Floats) -> Source:
    """Let the nearest prototype vote."""
    scale = _Scale.of(similarities)
    return Source(scale(similarities), scale(held_out), similarities.argmax(axis=1), knows_encoder=True)


def judge_source(verdicts: Verdicts, on_gold: Floats) -> Source:
    """Let a judge vote.

    Graded scores are freed of each class's bias over the texts first. Plain answers are not: a judge that says the same
    of every text would seem to say nothing.
    """
    scale = _Scale.of(verdicts.scores, graded=verdicts.graded)
    return Source(scale(verdicts.scores), scale(on_gold), judge_votes(verdicts), knows_encoder=False)


def students_source(texts: Sequence[Example], written: np.ndarray, gold: Corpus, new_student: NewStudent) -> Source:
    """Let students vote that have not seen the row; on gold texts, students that were fitted on gold texts alone.

    The two kinds of student differ in how bold they are, so each is scaled by what its kind says of the written texts.
    """
    said = _logits(predict_written(texts, written, gold, new_student))
    scale = _Scale.of(_logits(predict_from_gold(texts, gold, new_student)))
    on_gold = scale(_logits(predict_gold(gold, new_student)))
    return Source(_Scale.of(said)(said), on_gold, said.argmax(axis=1), knows_encoder=True)


def _logits(probabilities: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(probabilities, LEAST_PROBABILITY)), dtype=np.float64)


def judge_votes(verdicts: Verdicts) -> np.ndarray:
    """Return the class a judge would choose, freed of its bias, [texts]; -1 where its answer was unparsable."""
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


def held_out_similarities(gold: Corpus, encoder: Encoder) -> Floats:
    """Compare each gold text with prototypes made without it, [gold rows, classes]."""
    vectors = encoder.encode(gold.texts)
    rows = [vectors[row] @ prototypes(gold, encoder, without=row).T for row in range(len(gold))]
    return np.array(rows).reshape(len(gold), len(gold.labels))


@dataclass(frozen=True, slots=True)
class _Scale:
    """How a source's scores are freed of class bias and brought to a standard deviation of 1."""

    offsets: Floats
    spread: float

    @classmethod
    def of(cls, scores: Floats, *, graded: bool = True) -> "_Scale":
        offsets = calibration.class_offsets(scores) if graded else np.zeros(scores.shape[1])
        centred = calibration.centre_rows(scores) - offsets
        return cls(offsets, float(centred[np.isfinite(centred)].std()) or 1.0)

    def __call__(self, scores: Floats) -> Floats:
        return np.asarray((calibration.centre_rows(scores) - self.offsets) / self.spread, dtype=np.float64)
