"""Decide the labels of written texts, whatever method wrote them. What each check does: docs/label_trust.md."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, get_args

import numpy as np
from pydantic import Field

from crossfade.data import Augmented, Corpus, Example, Synthetic
from crossfade.errors import SettingsError, missing_extra
from crossfade.roles import Encoder, Floats, Student
from crossfade.selection.between import CheckBetween, check_between
from crossfade.selection.out_of_fold import predict_written
from crossfade.selection.relabelling import Judge, prototypes
from crossfade.selection.row_value import learn_weights, pair_features
from crossfade.selection.trust import Decided, judge_votes, trust_labels
from crossfade.settings import Settings
from crossfade.tasks.classification import synthetic_rows

START_WEIGHT = 0.5
"""Weight that every row has before 'sungen' learns."""
Check = Literal["none", "paper", "agreement", "cleanlab", "sungen", "trust", CheckBetween]


class LabelSettings(Settings):
    """How the labels of written texts are checked."""

    check: Check = "trust"
    """'none': the label that the writer was asked for. 'paper': the judge's answer replaces every label (PromptMix).
    'agreement': a text stays where every judge and the nearest prototype name the class asked for. 'cleanlab': texts
    that cleanlab finds mislabelled by cross-validated students go. 'sungen': each text gets a weight, learned so that a
    model trained with the weights errs little; texts that end below their start go. 'trust': writer, judges, prototypes
    and cross-validated students vote, each as strongly as it did on the gold texts (ours). 'student', 'student_soft',
    'average' and 'between' ask a student fitted on the gold texts: its class replaces every label, its probabilities
    do, they are averaged with the mixed label, or texts go for which it names none of the classes mixed."""
    nearest: int = Field(5, ge=2)
    """Nearest classes that a judge is offered. PromptMix's released code: 5."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a check goes by."""

    rows: Sequence[Synthetic]
    written: np.ndarray
    """Index of the class the writer was asked for, [texts]."""
    gold: Corpus
    judges: Mapping[str, Judge]
    encoder: Encoder
    new_student: Callable[[], Student]

    @property
    def texts(self) -> list[Example]:
        """What is to be checked."""
        return [row.example for row in self.rows]

    @property
    def mixed(self) -> Floats | None:
        """The soft labels that the method gave, [texts, classes]; None where it gave none."""
        soft = any(row.probabilities for row in self.rows)
        return synthetic_rows(self.rows, self.gold.labels, doubt="soften").targets if soft else None

    @property
    def similarities(self) -> Floats:
        """Of each text to each class prototype, [texts, classes]."""
        vectors = self.encoder.encode([example.text for example in self.texts])
        return np.asarray(vectors @ prototypes(self.gold, self.encoder).T)


def check_labels(
    made: Augmented,
    gold: Corpus,
    *,
    judges: Mapping[str, Judge],
    encoder: Encoder,
    settings: LabelSettings,
    new_student: Callable[[], Student],
) -> Augmented:
    """Decide the label of every kept row, and drop those for which no label can be told.

    Args:
        made: What a method wrote, every kept row with the label that was asked for.
        gold: The human-labelled texts; the only labels used.
        judges: The name of a vote to the judge that casts it; 'none', 'cleanlab' and the checks that ask a student
            fitted on gold ask none of them.
        encoder: Finds the nearest classes.
        settings: Which check, and its settings.
        new_student: Makes an unfitted student, for all checks but 'none', 'paper' and 'agreement'.

    Raises:
        SettingsError: 'paper' was given no judge or several.
        DependencyError: The check needs a package that is not installed.
    """
    if settings.check == "none" or not made.kept:
        return made
    case = Case(
        rows=made.kept,
        written=np.array([gold.labels.index(row.origin.written_label) for row in made.kept], dtype=int),
        gold=gold,
        judges=judges,
        encoder=encoder,
        new_student=new_student,
    )
    return decide(made, gold, CHECKS[settings.check](case))


def replace_labels(case: Case) -> Decided:
    """Take the judge's answer as the label of every text, as PromptMix does.

    Choice probabilities are freed of each class's bias over the texts first (batch calibration): the raw likelihood of
    a phrase says more about the phrase than about the text.
    """
    if len(case.judges) != 1:
        raise SettingsError(
            f"The label check 'paper' has {len(case.judges)} judges; expected one.", hint="Use 'trust' for several."
        )
    ((name, votes),) = _judged(case, case.similarities).items()
    reasons = dict.fromkeys(np.flatnonzero(votes < 0).tolist(), "the judge named no class that it was offered")
    return Decided(labels=votes, votes={"writer": case.written, name: votes}, reasons=reasons)


def keep_agreed(case: Case) -> Decided:
    """Keep the texts for which every judge and the nearest prototype name the class that was asked for."""
    similarities = case.similarities
    others = {"prototypes": similarities.argmax(axis=1)} | _judged(case, similarities)
    against = {name: votes != case.written for name, votes in others.items()}
    lost = np.any(list(against.values()), axis=0)
    reasons = {
        row: "; ".join(_said(name, others[name][row], case.gold) for name, marks in against.items() if marks[row])
        for row in np.flatnonzero(lost).tolist()
    }
    return Decided(
        labels=np.where(lost, -1, case.written),
        votes={"writer": case.written} | others,
        reasons=reasons,
        taught=case.mixed,
    )


def drop_label_issues(case: Case) -> Decided:
    """Drop the texts that cleanlab finds mislabelled, going by students that have not seen them.

    Confident learning (Northcutt et al. 2021), cleanlab's own defaults; the confidence is cleanlab's self-confidence.
    """
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_self_confidence_for_each_label
    except ImportError as error:
        raise missing_extra("cleanlab", "cleanlab") from error
    probabilities = predict_written(case.texts, case.written, case.gold, case.new_student)
    # One process: the rows are few, and a library starts none behind its caller's back.
    issues = np.asarray(find_label_issues(case.written, probabilities, n_jobs=1), dtype=bool)
    students = probabilities.argmax(axis=1)
    reasons = {
        row: f"cleanlab finds a label issue; {_said('students', students[row], case.gold)}"
        for row in np.flatnonzero(issues).tolist()
    }
    return Decided(
        labels=np.where(issues, -1, case.written),
        votes={"writer": case.written, "students": students},
        reasons=reasons,
        confidence=np.asarray(get_self_confidence_for_each_label(case.written, probabilities)),
        taught=case.mixed,
    )


def weigh_rows(case: Case) -> Decided:
    """Weigh each text by SunGen's learned weight, which becomes its confidence; below the start, 0.5, it goes."""
    if len(set(case.written.tolist())) < 2:
        # Nothing could be learnt from a single class.
        return Decided(labels=case.written, votes={"writer": case.written}, taught=case.mixed)
    # Columns of the head are the classes that occur.
    _, columns = np.unique(case.written, return_inverse=True)
    weights = learn_weights(pair_features(case.texts, case.encoder), columns)
    low = weights < START_WEIGHT
    reasons = {row: f"its learned weight is {weights[row]:.2f}" for row in np.flatnonzero(low).tolist()}
    labels = np.where(low, -1, case.written)
    return Decided(
        labels=labels, votes={"writer": case.written}, reasons=reasons, confidence=weights, taught=case.mixed
    )


def weigh_votes(case: Case) -> Decided:
    """Let every source vote as strongly as it earned; see `trust_labels`."""
    return trust_labels(
        case.texts,
        case.written,
        case.gold,
        judges=case.judges,
        encoder=case.encoder,
        new_student=case.new_student,
    )


def _between(check: CheckBetween) -> Callable[[Case], Decided]:
    return lambda case: check_between(check, case.rows, case.gold, case.new_student)


CHECKS: Mapping[str, Callable[[Case], Decided]] = {
    "paper": replace_labels,
    "agreement": keep_agreed,
    "cleanlab": drop_label_issues,
    "sungen": weigh_rows,
    "trust": weigh_votes,
    **{check: _between(check) for check in get_args(CheckBetween)},
}
"""Name of a check to what it does; 'none' does nothing."""


def _judged(case: Case, similarities: Floats) -> dict[str, np.ndarray]:
    return {
        name: judge_votes(judge.verdicts(case.texts, similarities, case.gold)) for name, judge in case.judges.items()
    }


def _said(name: str, vote: int, gold: Corpus) -> str:
    return f"{name}: {gold.labels[vote]}" if vote >= 0 else f"{name}: no class that was offered"


def judgements(check: Check, *, written: int, gold: int) -> int:
    """Return how many texts a judge is asked about: the written ones, and under 'trust' the gold ones."""
    return {"paper": written, "agreement": written, "trust": written + gold}.get(check, 0)


def decide(made: Augmented, gold: Corpus, decided: Decided) -> Augmented:
    """Give every kept row its decided label, and drop those that got none."""
    kept: list[Synthetic] = []
    dropped = list(made.dropped)
    losses = {label: {**counts, "relabelled": 0, "dropped": 0} for label, counts in made.losses.items()}
    for index, row in enumerate(made.kept):
        counts = losses[row.origin.written_label]
        votes = {
            source: gold.labels[choices[index]] for source, choices in decided.votes.items() if choices[index] >= 0
        }
        origin = replace(row.origin, judged_label=votes.get("judge"), votes={**row.origin.votes, **votes})
        if decided.confidence is not None:
            origin = replace(origin, confidence=float(decided.confidence[index]))
        if decided.labels[index] < 0:
            reason = f"dropped: {decided.reasons[index]}"
            dropped.append(replace(row, origin=replace(origin, reason=reason)))
            counts["dropped"] += 1
            counts["kept"] -= 1
            continue
        label = gold.labels[decided.labels[index]]
        counts["relabelled"] += label != row.origin.written_label
        taught = {} if decided.taught is None else dict(zip(gold.labels, decided.taught[index].tolist(), strict=True))
        kept.append(Synthetic(replace(row.example, label=label), origin, taught))
    # Without gold texts a source has earned nothing that could be told.
    sources = {name: asdict(score) for name, score in decided.sources.items() if score.texts}
    return Augmented(tuple(kept), tuple(dropped), losses, made.stopped, sources)
