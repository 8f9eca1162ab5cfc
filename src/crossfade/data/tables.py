"""A table of raw rows, each with the place it came from: what every source becomes before it is checked.

Sources (files, frames, data sets, lists) make tables; `columns.py` and `cells.py` turn tables into texts and labels.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from crossfade.errors import DataError

LISTED_ROWS = 10
"""How many rows a message lists before it only counts."""


class DataWarning(UserWarning):
    """Rows were left out while reading; the message lists them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One raw row."""

    number: int
    """1-based: the physical line where the row starts, or the position in a source without lines."""
    cells: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, and why."""

    number: int
    """Counted as in `Row`."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Raw rows with named columns."""

    name: str
    """What messages call the source: the path as given, or words such as 'the list'."""
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    bad_rows: tuple[BadRow, ...] = ()
    has_lines: bool = False
    """Whether row numbers are lines of a file."""
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Column to class names in integer order, where the source declares them; a column inside another is 'a.b'."""

    def __post_init__(self) -> None:
        repeated = sorted({column for column in self.columns if column and self.columns.count(column) > 1})
        if repeated:
            raise DataError(
                f"{self.name} has several columns of the same name: {', '.join(repeated)}.",
                hint="Give each column its own name.",
            )
        if not self.rows and not self.bad_rows:
            raise DataError(
                f"{self.name} holds no rows; columns found: {', '.join(self.columns) or 'none'}.",
                hint="Add at least one row per class.",
            )

    def place(self, number: int) -> str:
        """Name a row so that an editor can jump to it: 'file:line', or 'source, row n'."""
        return f"{self.name}:{number}" if self.has_lines else f"{self.name}, row {number}"

    def listing(self, bad_rows: Sequence[BadRow]) -> str:
        """List the first rows with their reasons, one a line, and count the rest."""
        lines = [f"  {self.place(row.number)}: {row.reason}" for row in bad_rows[:LISTED_ROWS]]
        left = len(bad_rows) - LISTED_ROWS
        return "\n".join([*lines, f"  and {left} more"] if left > 0 else lines)


def table_from_records(
    name: str,
    records: Iterable[tuple[int, object]],
    *,
    broken: Sequence[BadRow] = (),
    has_lines: bool = False,
) -> Table:
    """Make a table from numbered mappings of column to cell; anything but a mapping becomes a bad row."""
    rows: list[Row] = []
    bad_rows = list(broken)
    for number, record in records:
        if isinstance(record, Mapping):
            rows.append(Row(number, {str(key): cell for key, cell in record.items()}))
        else:
            found = type(record).__name__
            bad_rows.append(BadRow(number, f"is a {found}; expected an object such as {{'text': ..., 'label': ...}}"))
    columns = dict.fromkeys(column for row in rows for column in row.cells)
    return Table(name=name, columns=tuple(columns), rows=tuple(rows), bad_rows=tuple(bad_rows), has_lines=has_lines)
