"""Write synthetic rows and read them back: JSON lines, one row each, text, label and origin side by side."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from crossfade.data.annotated import AnnotatedExample, Mention
from crossfade.data.files import read_utf8
from crossfade.data.nouns import Example, MixedExample, Origin, ReadingExample, Synthetic
from crossfade.errors import DataError, ParsingError, nearest_name

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """The keys of a line that are not part of the origin."""

    text: str
    text_pair: str | None = None
    """The second text of a pair."""
    label: str
    probabilities: Mapping[str, float] = field(default_factory=dict)
    mixed_with: tuple[str, ...] = ()
    """The texts that a mixed example is mixed with; this key and the next stand in its line only."""
    share: float | None = None
    """Share of the first texts in a mixed example."""
    answer: str | None = None
    """The answer of a reading example; this key and the next two stand in its line only."""
    answer_start: int = 0
    also: tuple[str, ...] = ()
    intents: tuple[str, ...] | None = None
    """The intents of an annotated example; this key and the next two stand in its line only."""
    mentions: tuple[Mention, ...] = ()
    parse: str = ""


CONTENT_KEYS = tuple(item.name for item in fields(_Content))
ORIGIN_KEYS = tuple(item.name for item in fields(Origin))
CONTENT_READER = TypeAdapter(_Content)
ORIGIN_READER = TypeAdapter(Origin)


def write_rows(rows: Iterable[Synthetic], path: Path) -> None:
    """Write synthetic rows as JSON lines; the file appears whole or not at all.

    Args:
        rows: The rows; nothing is written before the last one is read.
        path: The file to write, replaced when it exists; its folder must exist.

    Raises:
        DataError: The file cannot be written, or a row holds what JSON in UTF-8 cannot: a number that is not
            finite, or half a character (a lone surrogate).
    """
    content = b"".join(_line(row, number) for number, row in enumerate(rows, start=1))
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        raise DataError(f"'{path}' cannot be written: {error}.", hint="Check the folder and the disk.") from error
    finally:
        draft.unlink(missing_ok=True)


def _line(row: Synthetic, number: int) -> bytes:
    """Write one row as a line that holds a JSON object."""
    example = row.example
    values: dict[str, object] = {
        "text": example.texts[0],
        "text_pair": example.texts[1] if len(example.texts) == 2 else None,
        "label": example.label,
        "probabilities": row.probabilities,
    }
    if isinstance(example, MixedExample):
        values |= {"mixed_with": example.other, "share": example.ratio}
    if isinstance(example, ReadingExample):
        values |= {"answer": example.answer, "answer_start": example.answer_start, "also": example.also}
    if isinstance(example, AnnotatedExample):
        mentions = [asdict(mention) for mention in example.mentions]
        values |= {"intents": example.intents, "mentions": mentions, "parse": example.parse}
    values |= {key: getattr(row.origin, key) for key in ORIGIN_KEYS}
    plain = {key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}
    try:
        return (json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except ValueError as error:
        raise DataError(f"Synthetic row {number} cannot be written as JSON: {error}.") from error


def read_rows(path: Path) -> list[Synthetic]:
    """Read what `write_rows` wrote; the rows are equal to those written.

    Raises:
        DataError: The file is missing or not text.
        ParsingError: A line is not a synthetic row; the message names file, line and key.
    """
    if path.is_file() and path.stat().st_size == 0:
        return []
    lines = enumerate(read_utf8(path).split("\n"), start=1)
    return [_row(line, f"{path}:{number}") for number, line in lines if line.strip()]


def _row(line: str, place: str) -> Synthetic:
    """Read one line."""
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ParsingError(
            f"{place}: the line is not JSON: {error}.", hint="Was the file edited or cut off?"
        ) from error
    if not isinstance(record, dict):
        raise ParsingError(f"{place}: the line is a JSON {type(record).__name__}; expected an object.")
    unknown = sorted(set(record) - set(CONTENT_KEYS) - set(ORIGIN_KEYS))
    if unknown:
        raise ParsingError(
            f"{place}: unknown key '{unknown[0]}'.", hint=nearest_name(unknown[0], (*CONTENT_KEYS, *ORIGIN_KEYS))
        )
    content = _part(CONTENT_READER, {key: record[key] for key in CONTENT_KEYS if key in record}, place)
    origin = _part(ORIGIN_READER, {key: record[key] for key in ORIGIN_KEYS if key in record}, place)
    texts = (content.text,) if content.text_pair is None else (content.text, content.text_pair)
    try:
        return Synthetic(_example(texts, content), origin, content.probabilities)
    except DataError as error:
        raise ParsingError(f"{place}: {error.message}", hint="Was the file edited?") from error


def _example(texts: tuple[str, ...], content: _Content) -> Example:
    """Build the example: mixed where the line says with what, reading with an answer, annotated with intents."""
    if content.intents is not None:
        return AnnotatedExample(texts, content.label, content.intents, content.mentions, content.parse)
    if content.answer is not None:
        return ReadingExample(texts, content.label, content.answer, content.answer_start, content.also)
    if content.share is None and not content.mixed_with:
        return Example(texts, content.label)
    if content.share is None or not content.mixed_with:
        raise DataError("A mixed example needs both keys, 'mixed_with' and 'share'.")
    return MixedExample(texts, content.label, content.mixed_with, content.share)


def _part(reader: TypeAdapter[Part], values: Mapping[str, object], place: str) -> Part:
    """Check the values of one part of a line."""
    try:
        # As JSON, because strict reading of Python values would refuse a list where a tuple is due.
        return reader.validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(step) for step in first["loc"])
        raise ParsingError(f"{place}: key '{key}': {first['msg']}.", hint="Was the file edited?") from error
