"""Read gold corpora and unlabelled texts, and say everything that is wrong with them at once.

The way of a source: `sources.py` makes a table, `columns.py` picks its columns, `cells.py` reads their cells, and this
file checks the rows against each other and the classes against the rows.
"""

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from crossfade.data.cells import LabelReader, UnusableCellError, read_text
from crossfade.data.columns import choose_label_column, choose_text_columns
from crossfade.data.descriptions import read_descriptions
from crossfade.data.files import read_utf8
from crossfade.data.nouns import Corpus, Example
from crossfade.data.sources import read_table
from crossfade.data.tables import BadRow, DataWarning, Row, Table
from crossfade.errors import DataError, SettingsError


@dataclass(frozen=True, slots=True)
class _Placed:
    """An example and the number of its row."""

    number: int
    example: Example


@runtime_checkable
class TextStream(Protocol):
    """What is used of an open text file or standard input."""

    def read(self) -> str:
        """Return the whole rest of the stream."""
        ...

    def readline(self) -> str:
        """Return the next line; tells a stream from other things that can be read."""
        ...


def read_corpus(
    source: object,
    *,
    text: str | Sequence[str] | None = None,
    label: str | None = None,
    label_names: Sequence[str] | Mapping[int, str] | None = None,
    descriptions: Path | str | Mapping[str, str] | None = None,
    kind: str = "texts",
    labels: Sequence[str] | None = None,
    split: str = "train",
    on_bad_rows: Literal["error", "skip"] = "error",
    held_out: bool = False,
) -> Corpus:
    """Read labelled texts from a file, frame, data set or list.

    Args:
        source: A path to .csv, .tsv, .jsonl (each also with .gz), .json or .parquet; a pandas or polars frame; a
            Hugging Face data set, a mapping of its splits, or a hub id such as 'PolyAI/banking77'; a list of
            mappings, of (text, label), or of ((text, text), label).
        text: The text column, or two for pairs. Guessed from usual names when None and only one fits.
        label: The label column. Guessed likewise.
        label_names: Class names for labels that are numbers, by position or by number. Data sets bring their own.
        descriptions: Class to phrase, or a TOML or JSON file of them.
        kind: What the texts are, as a plural; prompts say it.
        labels: The label set in its order. Sorted names when None.
        split: Which split of a data set to read.
        on_bad_rows: 'skip' leaves bad rows out with a `DataWarning`; 'error' refuses the source.
        held_out: The rows are for testing: each counts, repeats too, and a class may have none.

    Returns:
        The corpus, its texts stripped of outer white space. Unless held out, rows that repeat an earlier one are left
        out with a `DataWarning`.

    Raises:
        DataError: The source, a column, rows, or the classes are not as they must be.
        SettingsError: `text`, `label` or `labels` cannot work for any data.
        DependencyError: The source needs a package that is not installed.
    """
    if labels is not None and len(set(labels)) < len(labels):
        raise SettingsError(f"labels names a class twice: {list(labels)}.")
    table = read_table(source, split)
    text_columns = choose_text_columns(table, text)
    label_column = choose_label_column(table, label)
    if label_column in text_columns:
        raise SettingsError(f"The column '{label_column}' is both a text and the label; name two different columns.")
    names = _by_number(label_names if label_names is not None else table.class_names.get(label_column, ()))
    placed, bad_rows = _read_rows(table, text_columns, LabelReader(label_column, names, labels))
    placed, torn = _without_conflicts(table, placed)
    settle_bad_rows(table, [*bad_rows, *torn], skip=on_bad_rows == "skip")
    examples = [item.example for item in placed] if held_out else _without_repeats(table, placed)
    label_set = tuple(labels if labels is not None else sorted({item.label for item in examples} | set(names.values())))
    if not held_out:
        _check_classes(table, examples, label_set)
    phrases = {} if descriptions is None else read_descriptions(descriptions, label_set)
    return Corpus(tuple(examples), label_set, phrases, kind)


def read_unlabelled(source: object, *, text: str | Sequence[str] | None = None) -> list[tuple[str, ...]]:
    """Read texts to label: one tuple of one or two texts per row, in row order, repeats included.

    Args:
        source: What `read_corpus` takes, except lists of tuples; or a list of texts; or a .txt file or open text
            stream with one text per line. Of data sets with splits, 'train' is read.
        text: The text column, or two for pairs. Guessed from usual names when None and only one fits.

    Raises:
        DataError: The source or a column is not as it must be, or a row has no text. No row is left out, so that
            answers stay beside their rows.
        DependencyError: The source needs a package that is not installed.
    """
    if isinstance(source, list | tuple) and any(isinstance(item, list | tuple) for item in source):
        raise DataError(
            "The list holds tuples, which may be pairs of texts or texts with labels.",
            hint="Give a list of texts, or of mappings such as {'sentence1': ..., 'sentence2': ...}.",
        )
    table = _unlabelled_table(source)
    columns = choose_text_columns(table, text)
    texts: list[tuple[str, ...]] = []
    bad_rows = list(table.bad_rows)
    for row in table.rows:
        try:
            texts.append(tuple(read_text(row.cells.get(column), column) for column in columns))
        except UnusableCellError as error:
            bad_rows.append(BadRow(row.number, str(error)))
    if bad_rows:
        raise _bad_rows_error(table, bad_rows, hint="Correct these rows, or remove them.")
    return texts


def _unlabelled_table(source: object) -> Table:
    """Read a source that may also be plain lines."""
    if isinstance(source, str | Path) and Path(source).suffix.lower() == ".txt":
        return _table_from_lines(str(source), read_utf8(Path(source)))
    if isinstance(source, TextStream):
        name = str(getattr(source, "name", "the stream"))
        try:
            return _table_from_lines(name, source.read().removeprefix("\ufeff"))
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name} is not {error.encoding} at byte offset {error.start}.", hint="Convert it to UTF-8."
            ) from error
    return read_table(source)


def _table_from_lines(name: str, content: str) -> Table:
    """Make a table with one text per line; line ends after the last text are no rows."""
    lines = content.rstrip().split("\n") if content.strip() else []
    return Table(
        name=name,
        columns=("text",),
        rows=tuple(Row(number, {"text": line}) for number, line in enumerate(lines, start=1)),
        has_lines=True,
    )


def _by_number(label_names: Sequence[str] | Mapping[int, str]) -> dict[int, str]:
    """Return class names by number."""
    return dict(label_names if isinstance(label_names, Mapping) else enumerate(label_names))


def _read_rows(table: Table, text_columns: Sequence[str], labels: LabelReader) -> tuple[list[_Placed], list[BadRow]]:
    """Read every row on its own; rows that cannot be used are returned beside, with reasons."""
    placed: list[_Placed] = []
    bad_rows = list(table.bad_rows)
    for row in table.rows:
        try:
            texts = tuple(read_text(row.cells.get(column), column) for column in text_columns)
            placed.append(_Placed(row.number, Example(texts, labels.read(row.cells.get(labels.column)))))
        except UnusableCellError as error:
            bad_rows.append(BadRow(row.number, str(error)))
    return placed, bad_rows


def _without_conflicts(table: Table, placed: Sequence[_Placed]) -> tuple[list[_Placed], list[BadRow]]:
    """Separate rows whose text also has another label: nobody knows which of them is right."""
    by_texts: defaultdict[tuple[str, ...], list[_Placed]] = defaultdict(list)
    for item in placed:
        by_texts[item.example.texts].append(item)
    kept: list[_Placed] = []
    torn: list[BadRow] = []
    for item in placed:
        label = item.example.label
        other = next((twin for twin in by_texts[item.example.texts] if twin.example.label != label), None)
        if other is None:
            kept.append(item)
        else:
            there = f"'{other.example.label}' at {table.place(other.number)}"
            torn.append(BadRow(item.number, f"labelled '{label}', but the same text is labelled {there}"))
    return kept, torn


def _without_repeats(table: Table, placed: Sequence[_Placed]) -> list[Example]:
    """Drop rows that repeat an earlier one, with a warning."""
    first: dict[Example, int] = {}
    repeats: list[BadRow] = []
    for item in placed:
        if item.example in first:
            repeats.append(BadRow(item.number, f"repeats {table.place(first[item.example])}"))
        else:
            first[item.example] = item.number
    if repeats:
        message = f"{table.name}: rows left out because they repeat an earlier row: {len(repeats)} of {len(placed)}."
        warnings.warn(f"{message}\n{table.listing(repeats)}", DataWarning, stacklevel=3)
    return list(first)


def settle_bad_rows(table: Table, bad_rows: Sequence[BadRow], *, skip: bool) -> None:
    """Refuse bad rows all at once, or warn of them."""
    if not bad_rows:
        return
    if not skip:
        hint = "Correct these rows, or leave them out with on_bad_rows='skip'."
        raise _bad_rows_error(table, bad_rows, hint=hint)
    warnings.warn(f"Left out: {_bad_rows_message(table, bad_rows)}", DataWarning, stacklevel=3)


def _bad_rows_error(table: Table, bad_rows: Sequence[BadRow], *, hint: str) -> DataError:
    return DataError(_bad_rows_message(table, bad_rows) + "\n", hint=hint)


def _bad_rows_message(table: Table, bad_rows: Sequence[BadRow]) -> str:
    """Count bad rows and list the first, in row order."""
    total = len(table.rows) + len(table.bad_rows)
    ordered = sorted(bad_rows, key=lambda row: row.number)
    return f"{table.name}: rows that cannot be used: {len(bad_rows)} of {total}.\n{table.listing(ordered)}"


def _check_classes(table: Table, examples: Sequence[Example], label_set: Sequence[str]) -> None:
    """Refuse data without rows, with an empty class, or with a single class."""
    if not examples:
        raise DataError(f"{table.name} has no usable row left.", hint="Correct the rows listed in the warning.")
    found = {example.label for example in examples}
    empty = [name for name in label_set if name not in found]
    if empty:
        raise DataError(
            f"{table.name} has an empty class, one without rows: {', '.join(empty)}.",
            hint="Add rows for it, or name only classes that have rows with labels=[...].",
        )
    if len(label_set) < 2:
        raise DataError(
            f"{table.name} has only one class, '{label_set[0]}'; expected two or more.",
            hint="Add rows of another class, or check that the label column is the right one.",
        )
