"""Write rows, train a student, use what a run left in its folder, and write between its classes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from crossfade import demo
from crossfade.data import AnnotatedExample, Augmented, Example, read_annotated, read_corpus, read_rows, read_squad
from crossfade.errors import DataError, ParsingError, SettingsError, nearest_name
from crossfade.estimating import expected_requests
from crossfade.evaluation.comparison import measure
from crossfade.evaluation.scores import NO_ANSWER, accuracy, best_labels, macro_f1, predicted_labels
from crossfade.labelled import source_of
from crossfade.methods.logit_mixup import GuidedText, LogitMixupSettings, write_between
from crossfade.models.encoder import SentenceEncoder
from crossfade.parts import NOISE_NAME, RecipeLike, opened
from crossfade.reviewing import REVIEWS_NAME, DecisionFile, Reviewed, ReviewSession, apply_decisions
from crossfade.roles import Learner, Student
from crossfade.selection.noise_report import LabelNoise
from crossfade.students import ANNOTATORS, load_annotator, load_student
from crossfade.students.exporting import ExportCheck, export_onnx
from crossfade.students.nearest import NearestStudent
from crossfade.students.saving import read_note
from crossfade.students.span_reader import SpanReader


def augment(recipe: RecipeLike, *, progress: bool = False) -> tuple[Path, Augmented]:
    """Write rows from all labelled texts of the recipe into the run folder; return the folder and the rows."""
    with opened(recipe, progress) as parts:
        parts.watch.expect(expected_requests(parts, parts.texts.pool, parts.recipe.method, [parts.label_check]))
        return parts.folder, parts.augment(parts.texts.pool, parts.folder, parts.rng(0, 0))


def train(recipe: RecipeLike, *, progress: bool = False) -> tuple[Path, Learner]:
    """Write rows from all labelled texts, fit the student on both, and save it in the run folder.

    What a person decided about the rows (`crossfade review`) wins over the label check.
    """
    with opened(recipe, progress) as parts:
        parts.watch.expect(expected_requests(parts, parts.texts.pool, parts.recipe.method, [parts.label_check]))
        made = parts.augment(parts.texts.pool, parts.folder, parts.rng(0, 0))
        decisions = DecisionFile(parts.folder / REVIEWS_NAME).by_key
        made = apply_decisions(made, decisions, parts.texts.pool.labels).rows
        with parts.watch.stage("training"):
            rows = parts.with_synthetic(parts.texts.pool, made)
            student = parts.fitted(rows, parts.texts.pool.labels)
            student.save(parts.folder / "student")
        return parts.folder, student


def review_session(folder: Path) -> ReviewSession:
    """Open the rows of a run folder for review.

    Raises:
        DataError: The folder has no rows of `augment` or `train`, or none that a person could read.
    """
    made, labels = _written(folder)
    return ReviewSession(folder, made, labels)


def reviewed(folder: Path) -> Reviewed:
    """Return the rows of a run folder as a person left them, and how many were reviewed.

    The files `kept.jsonl` and `dropped.jsonl` stay as the label check left them; students are trained on these rows.

    Raises:
        DataError: The folder has no rows of `augment` or `train`.
    """
    made, labels = _written(folder)
    return apply_decisions(made, DecisionFile(folder / REVIEWS_NAME).by_key, labels)


def _written(folder: Path) -> tuple[Augmented, list[str]]:
    """Read the rows in a run folder, and their classes."""
    kept, dropped = folder / "kept.jsonl", folder / "dropped.jsonl"
    if not kept.is_file() or not dropped.is_file() or not (folder / "recipe.toml").is_file():
        found = "the splits of a comparison" if (folder / "splits").is_dir() else "no rows that `augment` wrote"
        raise DataError(
            f"'{folder}' holds {found}; expected kept.jsonl and dropped.jsonl beside recipe.toml.",
            hint="Run `crossfade augment RECIPE`, which writes rows from all labelled texts, and name its folder.",
        )
    rows = Augmented(tuple(read_rows(kept)), tuple(read_rows(dropped)), losses={}, stopped="")
    return rows, [of_class.label for of_class in noise(folder).classes]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a saved student says of a text."""

    texts: tuple[str, ...]
    label: str
    """Empty when the student has no answer, which only a language model as student may lack."""
    probability: float
    """Of the label, in [0, 1]; 0 when there is no answer."""


def predict(folder: Path, texts: Sequence[tuple[str, ...]]) -> list[Prediction]:
    """Classify new texts with a saved student.

    Args:
        folder: A run folder, or the folder of the student itself.
        texts: One or two strings per row, as the student was trained on.
    """
    with _saved_student(folder) as student:
        labels = student.labels
        probabilities = student.predict_probabilities([Example(row, labels[0]) for row in texts])
    return [
        Prediction(row, label, float(of_row.max()))
        for row, label, of_row in zip(texts, best_labels(probabilities, labels), probabilities, strict=True)
    ]


def student_gives(folder: Path) -> Literal["classes", "answers", "annotations"]:
    """Say what a saved student gives: classes (`predict`), answers (`find_answers`) or annotations (`annotate`)."""
    kind = read_note(_student_folder(folder)).kind
    if kind == SpanReader.kind:
        return "answers"
    return "annotations" if kind in ANNOTATORS else "classes"


def find_answers(folder: Path, texts: Sequence[tuple[str, ...]]) -> list[str]:
    """Answer questions from their contexts with a saved reader.

    Args:
        folder: A run folder, or the folder of the student itself.
        texts: Context and question of each row.

    Returns:
        One span of its context for each question.

    Raises:
        ModelError: There is no saved student, or it is of another kind.
        DataError: A row is no context with a question.
    """
    place = _student_folder(folder)
    return SpanReader.load(place).find_answers([Example(row, "") for row in texts])


def annotate(folder: Path, texts: Sequence[tuple[str, ...]]) -> list[AnnotatedExample]:
    """Find intents, entities or slots of new texts with a saved student.

    Args:
        folder: A run folder, or the folder of the student itself.
        texts: One string per row.

    Raises:
        ModelError: There is no saved student, or it is of another kind.
        DataError: A row has two texts.
    """
    student, task = load_annotator(_student_folder(folder))
    return student.annotate([AnnotatedExample(row, task) for row in texts])


@dataclass(frozen=True, slots=True)
class Scores:
    """How a saved student does on labelled texts."""

    shares: Mapping[str, float]
    """Measure to its value in [0, 1]: `accuracy` and `macro_f1`, the mean over the classes; of a reader `exact_match`
    and `f1`, the mean over its answers; of an annotator `strict_f1` over all mentions, and the paper's
    `lenient_score`."""
    rows: int
    unanswered: int
    """Rows that the student has no answer for; they count as wrong."""


def evaluate(folder: Path, test: str, *, text: str | list[str] | None = None, label: str | None = None) -> Scores:
    """Score a saved student on a labelled file that it has not seen; a reader on one in SQuAD's layout."""
    kind, place = read_note(_student_folder(folder)).kind, _student_folder(folder)
    if kind == SpanReader.kind:
        questions = read_squad(test)
        found = measure(SpanReader.load(place), questions)
        return Scores(found.as_shares(), len(questions), unanswered=0)
    if kind in ANNOTATORS:
        annotator, task = load_annotator(place)
        texts = read_annotated(test, task, held_out=True)
        found = measure(annotator, texts)
        return Scores(found.as_shares(), len(texts), unanswered=0)
    with _saved_student(folder) as student:
        corpus = read_corpus(source_of(test, demo.TEST), text=text, label=label, labels=student.labels, held_out=True)
        predicted = predicted_labels(student, corpus)
    truth = corpus.example_labels
    unanswered = predicted.count(NO_ANSWER)
    shares = {"accuracy": accuracy(predicted, truth), "macro_f1": macro_f1(predicted, truth)}
    return Scores(shares, len(corpus), unanswered)


def noise(folder: Path) -> LabelNoise:
    """Read the label-noise report of written rows: which labels are suspect, and why.

    Args:
        folder: A run folder of `augment` or `train`, or a split's folder of `run` or `compare`.

    Raises:
        DataError: The folder holds no report.
        ParsingError: The report is not in the form it must have.
    """
    path = folder / NOISE_NAME
    if not path.is_file():
        splits = sorted(str(found.parent) for found in folder.glob(f"splits/*/{NOISE_NAME}"))
        raise DataError(
            f"There is no {NOISE_NAME} in '{folder}'; expected a folder with written rows.",
            hint=f"Name one of: {', '.join(splits)}." if splits else "Run `crossfade augment` or `run` first.",
        )
    try:
        return TypeAdapter(LabelNoise).validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ParsingError(f"'{path}' is not a label-noise report: {error}.", hint="Run the recipe again.") from error


def export(folder: Path, out: Path | None = None) -> ExportCheck:
    """Write a saved student as ONNX with its tokenizer, checked to predict the same.

    Args:
        folder: A run folder, or the folder of the student itself.
        out: Where to write; None is the folder `onnx` inside the first.

    Raises:
        DependencyError: A library is missing, most likely one of the extra 'onnx'.
        ModelError: There is no saved student, it cannot be exported, or the export predicts something else.
    """
    with _saved_student(folder) as student:
        return export_onnx(student, folder / "onnx" if out is None else out)


def mix(folder: Path, first: str, second: str, ratios: Sequence[float], *, texts: int = 3) -> list[GuidedText]:
    """Write texts between two classes of a run, under guidance.

    Args:
        folder: A run folder; its labelled texts, its writer's weights and its settings for guided writing are used.
        first: A class.
        second: Another class.
        ratios: Shares of the first class, each in [0, 1].
        texts: Texts for each ratio.

    Raises:
        SettingsError: A class or a ratio is none, or the run's writer is an endpoint.
        DataError: The folder is no run folder.
    """
    recipe = folder / "recipe.toml"
    if not recipe.is_file():
        raise DataError(f"There is no recipe.toml in '{folder}'.", hint="Give the folder of a run.")
    if wrong := [ratio for ratio in ratios if not 0 <= ratio <= 1]:
        raise SettingsError(f"The ratio {wrong[0]} is not between 0 and 1.", hint="0.3 is 30 % of the first class.")
    with opened(recipe, progress=False) as parts:
        gold, method = parts.texts.pool, parts.recipe.method
        for label in (first, second):
            if label not in gold.labels:
                raise SettingsError(f"'{label}' is not a class of this run.", hint=nearest_name(label, gold.labels))
        if first == second:
            raise SettingsError(f"Both classes are '{first}'.", hint="Give two classes.")
        return write_between(
            gold,
            first,
            second,
            ratios,
            texts,
            writer=parts.models.guided_writer,
            encoder=parts.models.encoder,
            settings=method if isinstance(method, LogitMixupSettings) else LogitMixupSettings(),
            rng=parts.rng(0, 0),
        )


def _student_folder(folder: Path) -> Path:
    """Return the folder of the student itself."""
    inner = folder / "student"
    return inner if inner.is_dir() else folder


@contextmanager
def _saved_student(folder: Path) -> Iterator[Student]:
    """Open a saved student; one that asks a language model gets the judge of its run, behind the run's store."""
    place = _student_folder(folder)
    recipe = folder / "recipe.toml"
    if read_note(place).kind == NearestStudent.kind and recipe.is_file():
        with opened(recipe, progress=False) as parts:
            yield load_student(place, open_encoder=SentenceEncoder, model=parts.models.judge)
    else:
        yield load_student(place, open_encoder=SentenceEncoder)
