"""Keep a person's decisions on written rows in a file that only grows.

Each decision is one JSON line, on disk before the page is told that it is saved. To undo appends a line, too: nothing
is ever taken back from the file but the torn end that a crash may leave.
"""

import hashlib
import json
import os
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from crossfade.data import Example, ReadingExample
from crossfade.errors import DataError, ParsingError

REVIEWS_NAME = "reviews.jsonl"
Verdict = Literal["accept", "relabel", "edit", "drop"]


def row_key(example: Example) -> str:
    """Name a row by its content, so that a decision finds it again whatever its line and label are by then.

    Returns:
        `Example.key`; of a reading row 16 hex digits over key and answer, as one question may have several.
    """
    if isinstance(example, ReadingExample):
        said = f"{example.key}\n{example.answer_start}\n{example.answer}"
        return hashlib.sha256(said.encode()).hexdigest()[:16]
    return example.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person decided about one row."""

    key: str
    """`row_key` of the row as it was written."""
    verdict: Verdict
    """'edit' where the texts were changed (the label may be another, too), 'relabel' where only the label was."""
    label: str
    """The label the person left the row with."""
    texts: tuple[str, ...]
    """The texts the person left the row with."""
    at: str = ""
    """When, as ISO 8601 in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Undo:
    """Takes back a decision."""

    undo: str
    """Key of the row whose newest decision that still stands goes."""
    at: str = ""


_LINE = TypeAdapter[Decision | _Undo](Decision | _Undo)


class DecisionFile:
    """The decisions of one run folder, as they stand after every undo."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._standing: list[Decision] = []
        self._bytes_read = 0
        self.read()

    @property
    def by_key(self) -> Mapping[str, Decision]:
        """The decision that holds for each row: the newest."""
        return {decision.key: decision for decision in self._standing}

    def read(self) -> None:
        """Read the file again if another process added to it.

        Raises:
            ParsingError: A line before the last is not a decision.
        """
        size = self.path.stat().st_size if self.path.is_file() else 0
        if size == self._bytes_read:
            return
        self._standing = []
        content = self.path.read_bytes() if size else b""
        whole = content[: _whole_bytes(content)]
        for number, line in enumerate(whole.split(b"\n"), start=1):
            if line.strip():
                self._take(_parse(line, f"{self.path}:{number}"))
        self._bytes_read = size

    def add(self, decision: Decision) -> Decision:
        """Write a decision to the disk; when this returns, it is there.

        Raises:
            DataError: It could not be written; then it does not hold.
        """
        self.read()
        dated = replace(decision, at=_now())
        self._append(dated)
        return dated

    def undo(self, keys: Container[str]) -> Decision | None:
        """Take back the newest decision that stands about any of these rows, and return it; None when there is none."""
        self.read()
        newest = next((decision for decision in reversed(self._standing) if decision.key in keys), None)
        if newest is not None:
            self._append(_Undo(undo=newest.key, at=_now()))
        return newest

    def _take(self, line: Decision | _Undo) -> None:
        if isinstance(line, Decision):
            self._standing.append(line)
            return
        for place in reversed(range(len(self._standing))):
            if self._standing[place].key == line.undo:
                del self._standing[place]
                break

    def _append(self, entry: Decision | _Undo) -> None:
        try:
            line = (json.dumps(asdict(entry), ensure_ascii=False) + "\n").encode()
        except UnicodeEncodeError as error:
            raise DataError("The text holds half a character (a lone surrogate).", hint="Type it again.") from error
        try:
            self._bytes_read = _write_durably(self.path, line)
        except OSError as error:
            raise DataError(
                f"The decision was not saved: '{self.path}' cannot be written: {error}.",
                hint="Check the folder and the disk.",
            ) from error
        self._take(entry)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _parse(line: bytes, place: str) -> Decision | _Undo:
    try:
        return _LINE.validate_json(line)
    except ValidationError as error:
        raise ParsingError(
            f"{place}: the line is not a decision: {error.errors()[0]['msg']}.",
            hint="Was the file edited? Mend or delete the line.",
        ) from error


def _whole_bytes(content: bytes) -> int:
    """Return how many bytes are whole lines: a last line that a crash cut off was never saved."""
    end = content.rfind(b"\n") + 1
    try:
        _LINE.validate_json(content[end:])
    except ValidationError:
        return end
    return len(content)


def _write_durably(path: Path, line: bytes) -> int:
    """Append one line after whatever is whole, or leave the file as it was; return its new size in bytes."""
    new = not path.exists()
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        content = path.read_bytes()
        before = _whole_bytes(content)
        os.ftruncate(file, before)
        if content[:before] and not content[:before].endswith(b"\n"):
            line = b"\n" + line
        if os.write(file, line) < len(line):
            os.ftruncate(file, before)
            raise OSError("the disk took only a part of it")
        os.fsync(file)
    finally:
        os.close(file)
    if new:
        _sync_folder(path.parent)
    return before + len(line)


def _sync_folder(folder: Path) -> None:
    """Make a new file's name durable, where the system can open folders."""
    if os.name == "posix":
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
