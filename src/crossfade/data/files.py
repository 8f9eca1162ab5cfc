"""Read files of rows into tables: CSV, TSV, JSON lines, JSON, Parquet and plain text.

Text files must be UTF-8. A file in another encoding is refused with the place where it shows, never guessed.
"""

import codecs
import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path

from crossfade.data.tables import BadRow, Row, Table, table_from_records
from crossfade.errors import DataError, missing_extra

# UTF-32 first: its little-endian mark begins with that of UTF-16.
WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
WIDE_SHARE = 0.2
"""Share of NUL bytes above which a file without a mark is taken for UTF-16; Latin text there has about one half."""


def read_file(path: Path) -> Table:
    """Read a file of rows; its suffix names the form.

    Args:
        path: A file that ends in .csv, .tsv, .jsonl (each also with .gz), .json or .parquet.

    Raises:
        DataError: The file is missing, of unknown form, empty, not UTF-8, or broken as a whole.
        DependencyError: Parquet without pyarrow.
    """
    suffix = file_suffix(path)
    if suffix not in READERS:
        raise DataError(
            f"'{path}' is of no known form: its name ends in '{suffix}'; expected {', '.join(READERS)}.",
            hint="Save the data in one of these forms.",
        )
    check_exists(path)
    return READERS[suffix](path)


def file_suffix(path: Path) -> str:
    """Return the ending that names the form, in lower case, with a '.gz' after it where there is one."""
    name = path.name.lower()
    inner = name.removesuffix(".gz")
    return Path(inner).suffix + (".gz" if inner != name else "")


def check_exists(path: Path) -> None:
    """Refuse a path that is not a file."""
    if path.is_dir():
        raise DataError(f"'{path}' is a folder; expected a file.", hint="Name one file in it.")
    if not path.is_file():
        raise DataError(f"There is no file '{path}'.", hint=f"Check the path; looked for {path.absolute()}.")


def read_utf8(path: Path) -> str:
    """Read a whole text file, unpacking .gz and dropping a UTF-8 byte order mark.

    Raises:
        DataError: The file cannot be read or unpacked, is empty, not UTF-8, or holds NUL bytes.
    """
    check_exists(path)
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"'{path}' cannot be read: {error}.", hint="Check that the file is whole and readable."
        ) from error
    if not content.strip():
        raise DataError(f"'{path}' is empty.", hint="Expected rows; was the file saved?")
    _refuse_wide(path, content)
    try:
        text = content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, content, error.start) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(
            f"{path}:{line}: the file holds NUL bytes ({content.count(0)} in all), which no text has.",
            hint="It is damaged or not a text file; save it again from the program that wrote it.",
        )
    return text


def _refuse_wide(path: Path, content: bytes) -> None:
    """Refuse UTF-16 and UTF-32, by their byte order mark or by their many NUL bytes."""
    encoding = next((name for mark, name in WIDE_MARKS.items() if content.startswith(mark)), None)
    if encoding is None and content.count(0) > WIDE_SHARE * len(content):
        encoding = "utf-16"
    if encoding:
        raise DataError(
            f"{path}:1: the file is not UTF-8 from its first bytes on (byte offset 0).",
            hint=f"It looks like {encoding}. {_how_to_convert(path, encoding)}",
        )


def _not_utf8(path: Path, content: bytes, offset: int) -> DataError:
    """Say where a file stops being UTF-8, and which encoding it probably has."""
    line = content[:offset].count(b"\n") + 1
    try:
        content.decode("cp1252")
        hint = f"It looks like cp1252 (Windows). {_how_to_convert(path, 'cp1252')}"
    except UnicodeDecodeError:
        hint = "It is not cp1252 either; save it as UTF-8 in the program that wrote it."
    return DataError(f"{path}:{line}: byte 0x{content[offset]:02x} at byte offset {offset} is not UTF-8.", hint=hint)


def _how_to_convert(path: Path, encoding: str) -> str:
    """Write the sentence that says how to make a file UTF-8."""
    unpacked = path.name.removesuffix(".gz")
    unpack = "Unpack it, then save" if unpacked != path.name else "Save"
    return f"{unpack} it as UTF-8, or run: iconv -f {encoding} -t utf-8 {unpacked} > utf8_{unpacked}"


def _read_separated(path: Path) -> Table:
    """Read CSV or TSV with a header line; quotes work as in CSV in both."""
    text = read_utf8(path)
    delimiter = "\t" if file_suffix(path).startswith(".tsv") else ","
    # strict: without it an unclosed quote swallows the rows after it without a word.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    rows: list[Row] = []
    bad_rows: list[BadRow] = []
    while True:
        start = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if reader.line_num > start or not header:
                raise _broken_quotes(path, start, reader.line_num) from error
            bad_rows.append(BadRow(start, f"has broken quotes ({error}); write a quote inside a text as two"))
            continue
        if not fields:
            continue
        if not header:
            header = [name.strip() for name in fields]
        elif len(fields) != len(header):
            expected = f"expected {len(header)} ({', '.join(header)})"
            bad_rows.append(BadRow(start, f"has {len(fields)} fields; {expected}. Quote texts that hold the separator"))
        else:
            rows.append(Row(start, dict(zip(header, fields, strict=True))))
    return Table(name=str(path), columns=tuple(header), rows=tuple(rows), bad_rows=tuple(bad_rows), has_lines=True)


def _broken_quotes(path: Path, first: int, last: int) -> DataError:
    """Build the error for quotes that swallow lines, so that no row after them can be trusted."""
    return DataError(
        f"{path}:{first}: a quote that opens here is not closed properly (read on to line {last}).",
        hint='Put quotes around the whole text, and write a quote inside it as two: "".',
    )


def _read_json_lines(path: Path) -> Table:
    """Read one JSON object per line; blank lines are skipped."""
    records: list[tuple[int, object]] = []
    broken: list[BadRow] = []
    # Not splitlines: it also splits at characters that JSON strings may hold, such as U+2028.
    for number, line in enumerate(read_utf8(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append((number, json.loads(line)))
        except (ValueError, RecursionError) as error:
            broken.append(BadRow(number, f"is not JSON: {error}"))
    return table_from_records(str(path), records, broken=broken, has_lines=True)


def _read_json(path: Path) -> Table:
    """Read a JSON file that holds one list of objects."""
    try:
        content = json.loads(read_utf8(path))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"'{path}' is not JSON: {error}.", hint="One object per line is JSON lines: name that file .jsonl."
        ) from error
    if not isinstance(content, list):
        raise DataError(
            f"'{path}' holds a JSON {type(content).__name__}; expected a list of objects.",
            hint='Write it as [{"text": ..., "label": ...}, ...].',
        )
    return table_from_records(str(path), enumerate(content, start=1))


def _read_parquet(path: Path) -> Table:
    """Read a Parquet file through pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise missing_extra("pyarrow", "parquet") from error
    try:
        content = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"'{path}' cannot be read as Parquet: {error}.", hint="Check that the file is whole and is Parquet."
        ) from error
    rows = tuple(Row(number, cells) for number, cells in enumerate(content.to_pylist(), start=1))
    return Table(name=str(path), columns=tuple(content.column_names), rows=rows)


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _read_separated,
    ".csv.gz": _read_separated,
    ".tsv": _read_separated,
    ".tsv.gz": _read_separated,
    ".jsonl": _read_json_lines,
    ".jsonl.gz": _read_json_lines,
    ".json": _read_json,
    ".parquet": _read_parquet,
}
