"""Let a student that was fitted on the gold texts say whether texts lie between the classes they were mixed of.

Remedies against manifold intrusion for which a text need not be written anew. The paper's own (inversedMixup, arXiv
2601.21543) is not known to us; these are the ones it may be compared with, docs/methods/inversed_mixup.md.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from crossfade.data import Corpus, Synthetic
from crossfade.selection.out_of_fold import NewStudent, predict_from_gold, predict_gold
from crossfade.selection.trust import Decided, SourceScore
from crossfade.tasks.classification import synthetic_rows

CheckBetween = Literal["student", "student_soft", "average", "between"]
SOURCE = "student"
"""Name of the student's vote."""


def check_between(check: CheckBetween, rows: Sequence[Synthetic], gold: Corpus, new_student: NewStudent) -> Decided:
    """Decide the labels of rows by a student that has seen nothing but gold texts.

    Args:
        check: 'student': its class replaces every label. 'student_soft': its probabilities do. 'average': the label is
            half its probabilities and half what the method asked for. 'between': a row goes for which the student
            names none of the classes it was mixed of; the others stay as they are.
        rows: What a method wrote.
        gold: The human-labelled texts; the student is scored on them fold by fold, too.
        new_student: Makes an unfitted student.
    """
    said = predict_from_gold([row.example for row in rows], gold, new_student)
    named = said.argmax(axis=1)
    written = np.array([gold.labels.index(row.origin.written_label) for row in rows], dtype=int)
    mixed = synthetic_rows(rows, gold.labels, doubt="soften").targets
    labels, taught, reasons = named, None, {}
    if check == "student_soft":
        taught = said
    elif check == "average":
        taught = (mixed + said) / 2
        labels = taught.argmax(axis=1)
    elif check == "between":
        parents = [[gold.labels.index(label) for label in row.origin.parents] for row in rows]
        reasons = {
            row: f"{SOURCE}: {gold.labels[named[row]]}, which is none of the classes mixed"
            for row in range(len(rows))
            if named[row] not in parents[row]
        }
        taught, labels = mixed, np.where([row in reasons for row in range(len(rows))], -1, written)
    right = predict_gold(gold, new_student).argmax(axis=1) == [
        gold.labels.index(label) for label in gold.example_labels
    ]
    return Decided(
        labels=labels,
        votes={"writer": written, SOURCE: named},
        reasons=reasons,
        taught=taught,
        sources={SOURCE: SourceScore(float(np.mean(right)) if len(gold) else float("nan"), 1.0, len(gold))},
    )
