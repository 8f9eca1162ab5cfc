"""Write rows, train a student, and use what a run left in its folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crossfade import demo
from crossfade.data import Augmented, Example, read_corpus
from crossfade.evaluation.scores import accuracy, macro_f1, predicted_labels
from crossfade.models.encoder import SentenceEncoder
from crossfade.parts import RecipeLike, opened, source_of
from crossfade.roles import Student
from crossfade.students import load_student


def augment(recipe: RecipeLike, *, progress: bool = False) -> tuple[Path, Augmented]:
    """Write rows from all labelled texts of the recipe into the run folder; return the folder and the rows."""
    with opened(recipe, progress) as parts:
        parts.watch.expect(parts.expected_requests(parts.pool))
        return parts.folder, parts.augment(parts.pool, parts.folder, parts.rng(0, 0))


def train(recipe: RecipeLike, *, progress: bool = False) -> tuple[Path, Student]:
    """Write rows from all labelled texts, fit the student on both, and save it in the run folder."""
    with opened(recipe, progress) as parts:
        parts.watch.expect(parts.expected_requests(parts.pool))
        made = parts.augment(parts.pool, parts.folder, parts.rng(0, 0))
        with parts.watch.stage("training"):
            rows = parts.with_synthetic(parts.pool, made)
            student = parts.new_student().fit(rows.examples, rows.targets, rows.weights, parts.pool.labels)
            student.save(parts.folder / "student")
        return parts.folder, student


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a saved student says of a text."""

    texts: tuple[str, ...]
    label: str
    probability: float
    """Of the label, in [0, 1]."""


def predict(folder: Path, texts: Sequence[tuple[str, ...]]) -> list[Prediction]:
    """Classify new texts with a saved student.

    Args:
        folder: A run folder, or the folder of the student itself.
        texts: One or two strings per row, as the student was trained on.
    """
    student, labels = _saved_student(folder)
    probabilities = student.predict_probabilities([Example(row, labels[0]) for row in texts])
    return [
        Prediction(row, labels[int(of_row.argmax())], float(of_row.max()))
        for row, of_row in zip(texts, probabilities, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Scores:
    """How a saved student does on labelled texts."""

    accuracy: float
    macro_f1: float
    rows: int


def evaluate(folder: Path, test: str, *, text: str | list[str] | None = None, label: str | None = None) -> Scores:
    """Score a saved student on a labelled file that it has not seen."""
    student, labels = _saved_student(folder)
    corpus = read_corpus(source_of(test, demo.TEST), text=text, label=label, labels=labels, held_out=True)
    predicted = predicted_labels(student, corpus)
    truth = corpus.example_labels
    return Scores(accuracy(predicted, truth), macro_f1(predicted, truth), len(corpus))


def _saved_student(folder: Path) -> tuple[Student, tuple[str, ...]]:
    inner = folder / "student"
    found = load_student(inner if inner.is_dir() else folder, open_encoder=SentenceEncoder)
    return found, found.labels
