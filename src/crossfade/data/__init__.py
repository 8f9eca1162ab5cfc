"""Examples, gold corpora, synthetic rows; and the files, frames and data sets they are read from."""

from crossfade.data.annotated import AnnotatedExample, Mention, annotated
from crossfade.data.annotations import ANNOTATED_TASKS, AnnotatedTask, read_annotated
from crossfade.data.nouns import (
    ANSWERABLE,
    TEXT_SEPARATOR,
    Augmented,
    Corpus,
    Example,
    MixedExample,
    Origin,
    ReadingExample,
    Synthetic,
    has_mixed,
    readable,
)
from crossfade.data.reading import read_corpus, read_unlabelled
from crossfade.data.squad import read_squad
from crossfade.data.tables import DataWarning
from crossfade.data.writing import read_rows, write_rows

__all__ = [
    "ANNOTATED_TASKS",
    "ANSWERABLE",
    "TEXT_SEPARATOR",
    "AnnotatedExample",
    "AnnotatedTask",
    "Augmented",
    "Corpus",
    "DataWarning",
    "Example",
    "Mention",
    "MixedExample",
    "Origin",
    "ReadingExample",
    "Synthetic",
    "annotated",
    "has_mixed",
    "read_annotated",
    "read_corpus",
    "read_rows",
    "read_squad",
    "read_unlabelled",
    "readable",
    "write_rows",
]
