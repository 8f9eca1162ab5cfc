"""The few things that a page is put together from; `page.html` has a way to draw each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from crossfade.numerics.statistics import Interval

Trace = Mapping[str, Any]
"""A trace in plotly's form; a colour that begins with $ is one of the page's, light or dark."""


@dataclass(frozen=True, slots=True)
class Prose:
    """A paragraph."""

    text: str
    kind: Literal["prose"] = "prose"


@dataclass(frozen=True, slots=True)
class Table:
    """A table; all cells are plain text."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers_from: int = 1
    """Columns from this one on are set right."""
    numbers_to: int = 1000
    """The first column set left again."""
    last_is_total: bool = False
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart."""

    name: str
    """Unique on the page."""
    told: str
    """What it shows, for those who cannot see it."""
    traces: Sequence[Trace]
    layout: Mapping[str, Any]
    """Plotly's layout; the page adds fonts and colours."""
    height: int = 320
    """Pixels."""
    kind: Literal["figure"] = "figure"

    def as_json(self) -> dict[str, Any]:
        """Return what plotly draws."""
        return {"data": [dict(trace) for trace in self.traces], "layout": {**self.layout, "height": self.height}}


@dataclass(frozen=True, slots=True)
class Widget:
    """A part that the page's own program fills from the data that come with the page."""

    name: Literal["map", "suspects"]
    kind: Literal["widget"] = "widget"


@dataclass(frozen=True, slots=True)
class Sample:
    """A text with what is known of it."""

    text: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Samples:
    """Some rows of one class, folded."""

    title: str
    rows: tuple[Sample, ...]
    is_open: bool = False
    kind: Literal["samples"] = "samples"


Block = Prose | Table | Figure | Widget | Samples


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page with a heading."""

    name: str
    """Its anchor."""
    title: str
    lead: str
    """What is to be seen here, in a sentence or two."""
    blocks: tuple[Block, ...]


def percent(share: float, digits: int = 1) -> str:
    """Write a share in [0, 1] as percent."""
    return f"{100 * share:.{digits}f} %"


def points(share: float) -> str:
    """Write a difference of shares in points, with a sign that is a true minus."""
    return f"{100 * share:+.1f}".replace("-", "−")


def interval_words(interval: Interval) -> str:
    """Write a gain with its interval, in points."""
    if interval.low is None or interval.high is None:
        return f"{points(interval.mean)} (one split)"
    return f"{points(interval.mean)} ({points(interval.low)} to {points(interval.high)})"


def counted(number: int, one: str, several: str = "") -> str:
    """Write a number with its noun."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
