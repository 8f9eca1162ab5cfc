"""Small models that learn from soft labels and sample weights, and how to read a saved one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from crossfade.data import ANNOTATED_TASKS, AnnotatedTask
from crossfade.errors import ModelError, nearest_name
from crossfade.roles import Annotator, Student, TextModel
from crossfade.students.contrastive import ContrastiveStudent
from crossfade.students.encoder_classifier import EncoderClassifier
from crossfade.students.linear import LinearStudent
from crossfade.students.multi_label import MultiLabelClassifier
from crossfade.students.nearest import NearestStudent
from crossfade.students.saving import OpenEncoder, read_note
from crossfade.students.text_to_text import TextToText
from crossfade.students.token_classifier import TokenClassifier

LOADERS: Mapping[str, Callable[[Path, OpenEncoder, TextModel | None], Student]] = MappingProxyType(
    {
        LinearStudent.kind: lambda folder, open_encoder, _: LinearStudent.load(folder, open_encoder=open_encoder),
        ContrastiveStudent.kind: lambda folder, *_: ContrastiveStudent.load(folder),
        EncoderClassifier.kind: lambda folder, *_: EncoderClassifier.load(folder),
        NearestStudent.kind: lambda folder, open_encoder, model: NearestStudent.load(
            folder, open_encoder=open_encoder, model=model
        ),
    }
)
"""Kind, as it stands in `student.json`, to what reads the folder."""

ANNOTATORS: Mapping[str, Callable[[Path], Annotator]] = MappingProxyType(
    {
        MultiLabelClassifier.kind: MultiLabelClassifier.load,
        TokenClassifier.kind: TokenClassifier.load,
        TextToText.kind: TextToText.load,
    }
)
"""The same of students that annotate texts."""


def load_annotator(folder: Path) -> tuple[Annotator, AnnotatedTask]:
    """Read a saved student that annotates texts, and name its task; raises as `load_student` does."""
    kind = read_note(folder).kind
    if kind not in ANNOTATORS:
        raise ModelError(f"The student in '{folder}' is of kind '{kind}'.", hint=nearest_name(kind, ANNOTATORS))
    annotator = ANNOTATORS[kind](folder)
    task = "intents"
    if isinstance(annotator, TextToText | TokenClassifier) and annotator.tuned is not None:
        task = annotator.tuned.task
    return annotator, next(name for name in ANNOTATED_TASKS if name == task)


def load_student(folder: Path, *, open_encoder: OpenEncoder, model: TextModel | None = None) -> Student:
    """Read a saved student of any kind.

    Args:
        folder: Where it was saved.
        open_encoder: Makes the encoder for the students that need one, such as `SentenceEncoder`.
        model: The language model for the students that ask one; the others leave it unused.

    Raises:
        ModelError: The folder holds no saved student, one of an unknown kind or a newer version, or one that needs
            another encoder or language model than it is given.
        ParsingError: `student.json` is not in the form it must have.
    """
    kind = read_note(folder).kind
    if kind not in LOADERS:
        raise ModelError(f"The student in '{folder}' is of unknown kind '{kind}'.", hint=nearest_name(kind, LOADERS))
    return LOADERS[kind](folder, open_encoder, model)
