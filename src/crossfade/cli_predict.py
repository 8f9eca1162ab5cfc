"""Label new texts from the command line: `crossfade predict`."""

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.table import Table

import crossfade
from crossfade.data import read_unlabelled
from crossfade.data.sources import PAIR_COLUMNS
from crossfade.tables import plain_table
from crossfade.terminal import AsJson, StudentFolder, TextColumns, console, told_plainly

READING_COLUMNS = ("context", "question")
"""What a reader's texts are called where no columns are named."""

if TYPE_CHECKING:
    from crossfade.data.annotated import AnnotatedExample
    from crossfade.runs import Prediction


@told_plainly
def predict(
    folder: StudentFolder,
    file: Annotated[str, typer.Argument(metavar="FILE", help="File of texts, or - for standard input, one a line.")],
    text: TextColumns = None,
    as_json: AsJson = False,
) -> None:
    """Label new texts: a table on a terminal, tab-separated values in a pipe, one JSON object a line with --json."""
    gives = crossfade.student_gives(folder)
    usual = list(READING_COLUMNS) if gives == "answers" else None
    texts = read_unlabelled(sys.stdin if file == "-" else file, text=text or usual)
    if gives == "annotations":
        found = crossfade.annotate(folder, texts)
        lines, cells, table = map(annotation_line, found), annotation_cells(found), annotation_table(found)
    elif gives == "answers":
        answered = [[answer, *row] for answer, row in zip(crossfade.find_answers(folder, texts), texts, strict=True)]
        cells, table = [["answer", *READING_COLUMNS], *answered], answer_table(answered)
        lines = map(answer_line, answered)
    else:
        said = crossfade.predict(folder, texts)
        lines, cells, table = map(asdict, said), prediction_cells(said), prediction_table(said)
    if as_json:
        for line in lines:
            typer.echo(json.dumps(line, ensure_ascii=False))
    elif sys.stdout.isatty():
        console().print(table)
    else:
        write_separated(cells, sys.stdout)


def prediction_table(predictions: Iterable["Prediction"]) -> Table:
    """Tabulate predictions with their texts."""
    table = plain_table("label", "probability", "text", numbers_from=3)
    for row in predictions:
        table.add_row(row.label, f"{row.probability:.2f}", " | ".join(row.texts))
    return table


def annotation_table(examples: Iterable["AnnotatedExample"]) -> Table:
    """Tabulate texts with their intents, and with the entities or slots found in them."""
    table = plain_table("intents", "found in the text", "text", numbers_from=3)
    for row in examples:
        found = (f"{mention.kind}: {mention.value}" for mention in row.mentions)
        table.add_row(", ".join(row.intents), "; ".join(found), row.text)
    return table


def answer_table(answered: Iterable[Sequence[str]]) -> Table:
    """Tabulate answers with their questions; contexts are too long for a line."""
    table = plain_table("answer", "question", numbers_from=2)
    for answer, _, question in answered:
        table.add_row(answer, question)
    return table


def answer_line(row: Sequence[str]) -> dict[str, Any]:
    """Name answer, context and question."""
    return dict(zip(("answer", *READING_COLUMNS), row, strict=True))


def annotation_line(example: "AnnotatedExample") -> dict[str, Any]:
    """Return what was found in a text; an entity says where it stands, in characters, in the form that is read again.

    A slot that holds a nested intent is no part of the text; its `start` and `end` are null.
    """
    entities = [
        {
            "start": mention.start if mention.stands else None,
            "end": mention.end if mention.stands else None,
            "label": mention.kind,
            "value": mention.value,
        }
        for mention in example.mentions
    ]
    return {"text": example.text, "intents": list(example.intents), "entities": entities}


def prediction_cells(predictions: Sequence["Prediction"]) -> list[list[str]]:
    """Return predictions with a header, in the form that Crossfade reads."""
    paired = bool(predictions) and len(predictions[0].texts) == 2
    header = ["label", "probability", *(PAIR_COLUMNS if paired else ("text",))]
    return [header, *([row.label, f"{row.probability:.4f}", *row.texts] for row in predictions)]


def annotation_cells(examples: Iterable["AnnotatedExample"]) -> list[list[str]]:
    """Return annotations with a header; lists are JSON, as a cell holds them."""
    lines = map(annotation_line, examples)
    return [
        ["intents", "entities", "text"],
        *(
            [*(json.dumps(line[name], ensure_ascii=False) for name in ("intents", "entities")), line["text"]]
            for line in lines
        ),
    ]


def write_separated(rows: Iterable[Sequence[str]], stream: TextIO) -> None:
    """Write rows of cells as tab-separated values."""
    csv.writer(stream, delimiter="\t", lineterminator="\n").writerows(rows)
