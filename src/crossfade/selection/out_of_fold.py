"""Let students that have not seen a row say what class it is of, as in cleanlab's `cross_val_predict`."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from crossfade.data import Corpus, Example
from crossfade.roles import Floats, Student
from crossfade.selection.relabelling import folds_of_one_per_class
from crossfade.tasks.classification import TrainingRows, class_text_rows, gold_rows, hard_rows

FOLDS = 5
"""Each row is predicted by a student fitted on the gold rows and four fifths of the others. cleanlab's default."""
ROW_WEIGHT = 0.1
"""Weight of a written row beside a gold one. Ours: as in training; with 1 the students were right less often (TREC6,
docs/label_trust.md)."""

NewStudent = Callable[[], Student]


def predict_written(texts: Sequence[Example], written: np.ndarray, gold: Corpus, new_student: NewStudent) -> Floats:
    """Predict each written text by a student fitted on the gold texts and the other folds, [texts, classes].

    Args:
        texts: The written texts.
        written: Index of the class that the writer was asked for, [texts]; the label the students learn.
        gold: The human-labelled texts, in every fit.
        new_student: Makes an unfitted student.
    """
    labels = gold.labels
    rows = hard_rows(texts, [labels[index] for index in written], labels).weighing(ROW_WEIGHT)
    folds = fold_of_each(texts, written)
    probabilities = np.zeros((len(texts), len(labels)))
    for fold in np.unique(folds):
        out = np.flatnonzero(folds == fold).tolist()
        student = _fitted(_base(gold) + _rows(rows, np.flatnonzero(folds != fold).tolist()), labels, new_student)
        probabilities[out] = student.predict_probabilities([texts[row] for row in out])
    return probabilities


def predict_gold(gold: Corpus, new_student: NewStudent) -> Floats:
    """Predict each gold text by a student fitted on the other gold texts alone, [gold rows, classes].

    Written texts have no part in it: the gold text stood in the prompts they come from, so a student fitted on them
    has all but seen it, and is right nearly always.
    """
    probabilities = np.zeros((len(gold), len(gold.labels)))
    for fold in folds_of_one_per_class(gold):
        rest = gold.rows([row for row in range(len(gold)) if row not in set(fold)])
        student = _fitted(_base(rest), gold.labels, new_student)
        probabilities[fold] = student.predict_probabilities([gold.examples[row] for row in fold])
    return probabilities


def predict_from_gold(texts: Sequence[Example], gold: Corpus, new_student: NewStudent) -> Floats:
    """Predict written texts by a student fitted on the gold texts alone, [texts, classes]."""
    return fit_on_gold(gold, new_student).predict_probabilities(texts)


def fit_on_gold(gold: Corpus, new_student: NewStudent) -> Student:
    """Fit a student on the gold texts and the class texts."""
    return _fitted(_base(gold), gold.labels, new_student)


def fold_of_each(texts: Sequence[Example], written: np.ndarray) -> np.ndarray:
    """Return the fold of each text, [texts]: every class is spread over all folds, whatever the order of texts."""
    digests = [hashlib.sha256("\n".join(example.texts).encode()).hexdigest() for example in texts]
    folds = np.zeros(len(texts), dtype=int)
    seen: dict[int, int] = {}
    for row in sorted(range(len(texts)), key=digests.__getitem__):
        label = int(written[row])
        folds[row] = seen.get(label, 0) % FOLDS
        seen[label] = seen.get(label, 0) + 1
    return folds


def _base(gold: Corpus) -> TrainingRows:
    """Return the gold rows and one row per class: without it a class that lost its only text could not be told."""
    return gold_rows(gold) + class_text_rows(gold)


def _rows(rows: TrainingRows, chosen: list[int]) -> TrainingRows:
    return TrainingRows(tuple(rows.examples[row] for row in chosen), rows.targets[chosen], rows.weights[chosen])


def _fitted(rows: TrainingRows, labels: Sequence[str], new_student: NewStudent) -> Student:
    return new_student().fit(rows.examples, rows.targets, rows.weights, labels)
