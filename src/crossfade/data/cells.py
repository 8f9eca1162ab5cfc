"""Read the cells of a row: a text, or a label by name or by number."""

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import SupportsIndex

from crossfade.errors import nearest_name

WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")


class UnusableCellError(Exception):
    """A cell that makes its row unusable; the message is the reason, without the place."""


def read_text(cell: object, column: str) -> str:
    """Return a text without its outer white space.

    Raises:
        UnusableCellError: The text is missing, empty, or no string.
    """
    if _is_missing(cell):
        raise UnusableCellError(f"the text is missing (column '{column}')")
    if not isinstance(cell, str):
        raise UnusableCellError(f"the text is {cell!r:.40}, a {type(cell).__name__}; expected a string ('{column}')")
    text = str(cell).strip()
    if not text:
        raise UnusableCellError(f"the text is empty (column '{column}')")
    return text


@dataclass(frozen=True, slots=True)
class LabelReader:
    """Turns label cells into class names."""

    column: str
    names: Mapping[int, str]
    """Class name by number; empty when numbers have no names."""
    allowed: Sequence[str] | None
    """The only classes there may be; None allows any."""

    def read(self, cell: object) -> str:
        """Return the class name a cell stands for.

        Raises:
            UnusableCellError: The label is missing, empty, of another type, without a name, or not allowed.
        """
        label = self._named(self._plain(cell))
        if self.allowed is not None and label not in self.allowed:
            raise UnusableCellError(f"label '{label}' is not one of labels. {nearest_name(label, self.allowed)}")
        return label

    def _plain(self, cell: object) -> str:
        """Return the cell as a string; whole numbers in decimal."""
        if _is_missing(cell):
            raise UnusableCellError(f"the label is missing (column '{self.column}')")
        if isinstance(cell, str):
            label = str(cell).strip()
            if not label:
                raise UnusableCellError(f"the label is empty (column '{self.column}')")
            return label
        number = _whole_number(cell)
        if number is not None:
            return str(number)
        raise UnusableCellError(
            f"the label is {cell!r:.40}, a {type(cell).__name__}; expected a string or a whole number"
        )

    def _named(self, label: str) -> str:
        """Return the name of a number, where numbers have names."""
        if not self.names:
            return label
        if not WHOLE_NUMBER.fullmatch(label):
            if label in self.names.values():
                return label
            raise UnusableCellError(
                f"label '{label}' is not one of label_names. {nearest_name(label, self.names.values())}"
            )
        if int(label) not in self.names:
            low, high = min(self.names), max(self.names)
            raise UnusableCellError(f"label {label} is outside label_names, which name {low} to {high}")
        return self.names[int(label)]


def _whole_number(cell: object) -> int | None:
    """Return a whole number of any library's kind; truth values are none."""
    if isinstance(cell, bool):
        return None
    if isinstance(cell, SupportsIndex):
        return operator.index(cell)
    # Frames turn a column of whole numbers into floats when a cell is missing.
    return int(cell) if isinstance(cell, float) and cell.is_integer() else None


def _is_missing(cell: object) -> bool:
    """Tell None and not-a-number from cells that hold something."""
    return cell is None or (isinstance(cell, float) and math.isnan(cell))
