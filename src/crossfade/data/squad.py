"""Read questions with answers that are spans of a context, in the layout of SQuAD."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from crossfade.data.files import file_suffix, read_utf8
from crossfade.data.nouns import ANSWERABLE, Corpus, ReadingExample
from crossfade.data.reading import settle_bad_rows
from crossfade.data.sources import read_table
from crossfade.data.tables import BadRow, Row, Table, table_from_records
from crossfade.errors import DataError


def read_squad(
    source: object, *, kind: str = "questions", split: str = "train", on_bad_rows: Literal["error", "skip"] = "error"
) -> Corpus:
    """Read questions, their contexts and answers.

    Args:
        source: SQuAD's nested .json; or rows in any form that `read_corpus` takes, with the columns `context`,
            `question`, and either `answer` and `answer_start` or SQuAD's `answers` (`text` and `answer_start`, each a
            list; the first is taught, all count as right).
        kind: What the questions are, as a plural; prompts say it.
        split: Which split of a data set to read.
        on_bad_rows: 'skip' leaves bad rows out with a `DataWarning`; 'error' refuses the source. A question without
            an answer is a bad row.

    Returns:
        The corpus, of the single class 'answerable'. Texts are as they stand, so that positions stay right.

    Raises:
        DataError: The source or rows are not as they must be.
        DependencyError: The source needs a package that is not installed.
    """
    nested = isinstance(source, str | Path) and file_suffix(Path(source)) == ".json"
    table = _nested_table(Path(str(source))) if nested else read_table(source, split)
    examples: dict[ReadingExample, None] = {}
    bad_rows = list(table.bad_rows)
    for row in table.rows:
        try:
            examples[_example(row)] = None
        except DataError as error:
            bad_rows.append(BadRow(row.number, error.message))
    settle_bad_rows(table, bad_rows, skip=on_bad_rows == "skip")
    if not examples:
        raise DataError(f"{table.name} has no usable question.", hint="Correct the rows listed in the warning.")
    return Corpus(tuple(examples), (ANSWERABLE,), kind=kind)


def _example(row: Row) -> ReadingExample:
    context, question = (_text(row.cells.get(column), column) for column in ("context", "question"))
    given = row.cells.get("answers")
    if isinstance(given, Mapping):
        answers, starts = list(given.get("text", ())), list(given.get("answer_start", ()))
    else:
        answers, starts = [row.cells.get("answer")], [row.cells.get("answer_start")]
    if not answers or not starts:
        raise DataError("the question has no answer")
    answer, start = _text(answers[0], "answer"), starts[0]
    if isinstance(start, bool) or not isinstance(start, int):
        raise DataError(f"answer_start is {start!r:.40}; expected a whole number")
    others = dict.fromkeys(_text(other, "answer") for other in answers[1:])
    return ReadingExample(
        (context, question.strip()), ANSWERABLE, answer, start, tuple(other for other in others if other != answer)
    )


def _text(cell: object, column: str) -> str:
    if not isinstance(cell, str) or not cell.strip():
        raise DataError(f"{column} is {cell!r:.40}; expected a text")
    return cell


def _nested_table(path: Path) -> Table:
    """Read SQuAD's own layout, or a plain list of rows, as a table of one row per question."""
    try:
        content = json.loads(read_utf8(path))
    except ValueError as error:
        raise DataError(f"'{path}' is not JSON: {error}.", hint="Name a file of JSON lines .jsonl.") from error
    if isinstance(content, list):
        return table_from_records(str(path), enumerate(content, start=1))
    try:
        records = list(_questions(content["data"]))
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"'{path}' is not in SQuAD's layout: {error}.",
            hint='Expected {"data": [{"paragraphs": [{"context": ..., "qas": [...]}]}]}.',
        ) from error
    return table_from_records(str(path), enumerate(records, start=1))


def _questions(articles: Iterable[Mapping[str, object]]) -> Iterator[dict[str, object]]:
    for article in articles:
        for paragraph in _list(article["paragraphs"]):
            for question in _list(paragraph["qas"]):
                answers = _list(question["answers"])
                yield {
                    "context": paragraph["context"],
                    "question": question["question"],
                    "answers": {key: [answer[key] for answer in answers] for key in ("text", "answer_start")},
                }


def _list(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list):
        raise TypeError(f"found a {type(value).__name__} where a list is due")
    return value
