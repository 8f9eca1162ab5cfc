"""Turn whatever the caller has into a table: a path, a hub id, a frame, a data set, or a list.

Frames and data sets are known by their methods, so none of their libraries has to be installed.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from crossfade.data.files import READERS, file_suffix, read_file
from crossfade.data.tables import BadRow, Row, Table, table_from_records
from crossfade.errors import DataError, missing_extra, nearest_name

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
PAIR_COLUMNS = ("sentence1", "sentence2")


@runtime_checkable
class PolarsFrame(Protocol):
    """What is used of a polars frame."""

    @property
    def columns(self) -> Sequence[str]:
        """Column names."""
        ...

    def to_dicts(self) -> list[dict[object, object]]:
        """Return one mapping of column to cell per row."""
        ...


@runtime_checkable
class PandasFrame(Protocol):
    """What is used of a pandas frame."""

    @property
    def columns(self) -> Iterable[object]:
        """Column names."""
        ...

    def notna(self) -> object:
        """Return a frame that says which cells are there."""
        ...

    def astype(self, dtype: type) -> "PandasFrame":
        """Return the frame with another cell type."""
        ...

    def where(self, cond: object, other: object) -> "PandasFrame":
        """Return the frame with cells replaced where the condition is false."""
        ...

    def to_dict(self, orient: str) -> list[dict[object, object]]:
        """Return one mapping of column to cell per row, for orient 'records'."""
        ...


@runtime_checkable
class HubDataset(Protocol):
    """What is used of a Hugging Face data set."""

    @property
    def column_names(self) -> Sequence[str]:
        """Column names."""
        ...

    @property
    def features(self) -> Mapping[str, object]:
        """Column name to its type; a class label has `names`."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Mapping[str, object]]: ...


def read_table(source: object, split: str = "train") -> Table:
    """Read any source that `read_corpus` takes, without looking at what its columns mean.

    Raises:
        DataError: The source is of no known kind, or cannot be read as a whole.
    """
    if isinstance(source, str) and _is_hub_id(source):
        return _from_hub(source, split)
    if isinstance(source, str | Path):
        return read_file(Path(source))
    if isinstance(source, Mapping):
        return _from_splits(source, split)
    if isinstance(source, HubDataset):
        return _from_dataset(source, "the data set")
    if isinstance(source, PolarsFrame):
        return _from_frame(source.columns, source.to_dicts())
    if isinstance(source, PandasFrame):
        # Every kind of missing cell becomes None; there are several, and some refuse to be compared.
        known = source.astype(object).where(source.notna(), None)
        return _from_frame(source.columns, known.to_dict("records"))
    if isinstance(source, list | tuple):
        return _from_items(source)
    raise _unknown_source(source)


def _unknown_source(source: object) -> DataError:
    """Build the error for a source of no known kind."""
    return DataError(
        f"The source is a {type(source).__name__}; expected a path, a hub id, a pandas or polars frame, a data set, "
        "or a list of rows.",
        hint="Wrap other iterables in list(...).",
    )


def _is_hub_id(source: str) -> bool:
    """Tell a hub id such as 'PolyAI/banking77' from a path, which has a known ending or a folder that exists."""
    path = Path(source)
    return bool(HUB_ID.fullmatch(source)) and file_suffix(path) not in READERS and not path.parent.is_dir()


def _from_hub(name: str, split: str) -> Table:
    """Load one split of a data set from the hub."""
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise missing_extra("datasets", "hub") from error
    try:
        dataset = load_dataset(name, split=split)
    # The library documents no common base class for what goes wrong on the way.
    except Exception as error:
        raise DataError(
            f"Neither a file nor a loadable hub data set: '{name}', split '{split}' "
            f"({type(error).__name__}: {str(error).rstrip('.')}).",
            hint="Check the name, the split and the connection; or download a file and give its path.",
        ) from error
    return _from_dataset(dataset, f"{name} ({split})")


def _from_splits(splits: Mapping[object, object], split: str) -> Table:
    """Take one split of a mapping of data sets."""
    found = {str(name): value for name, value in splits.items() if isinstance(value, HubDataset)}
    if not found or len(found) < len(splits):
        raise _unknown_source(splits)
    if split not in found:
        raise DataError(
            f"The data set has no split '{split}'; found {', '.join(found)}.", hint=nearest_name(split, found)
        )
    return _from_dataset(found[split], f"split '{split}'")


def _from_dataset(dataset: HubDataset, name: str) -> Table:
    """Read a data set with the class names that its features declare."""
    return Table(
        name=name,
        columns=tuple(dataset.column_names),
        rows=tuple(Row(number, cells) for number, cells in enumerate(dataset, start=1)),
        class_names=dict(_class_names(dataset.features)),
    )


def _class_names(features: Mapping[str, object], above: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the columns that declare class names; one inside another is 'outer.inner'."""
    for column, feature in features.items():
        # The class labels of a list belong to the feature inside it.
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, Mapping):
            yield from _class_names(inner, f"{above}{column}.")
        elif names := getattr(inner, "names", None):
            yield f"{above}{column}", tuple(names)


def _from_frame(columns: Iterable[object], records: Iterable[Mapping[object, object]]) -> Table:
    """Read the rows of a frame; row numbers are positions, whatever its index says."""
    rows = tuple(
        Row(number, {str(key): cell for key, cell in record.items()}) for number, record in enumerate(records, start=1)
    )
    return Table(name="the frame", columns=tuple(str(column) for column in columns), rows=rows)


def _from_items(items: Sequence[object]) -> Table:
    """Read a list of mappings, of texts, of (text, label), or of ((text, text), label); the first item decides."""
    numbered = list(enumerate(items, start=1))
    first = items[0] if items else None
    if isinstance(first, str):
        return _from_texts(numbered)
    if isinstance(first, list | tuple):
        return _from_tuples(numbered, paired=bool(first) and isinstance(first[0], list | tuple))
    return table_from_records("the list", numbered)


def _from_texts(numbered: Sequence[tuple[int, object]]) -> Table:
    """Read a list of plain texts."""
    rows = tuple(Row(number, {"text": item}) for number, item in numbered)
    return Table(name="the list", columns=("text",), rows=rows)


def _from_tuples(numbered: Sequence[tuple[int, object]], *, paired: bool) -> Table:
    """Read a list of (text, label), or with `paired` of ((text, text), label)."""
    text_columns = PAIR_COLUMNS if paired else ("text",)
    expected = "((text, text), label)" if paired else "(text, label)"
    rows: list[Row] = []
    bad_rows: list[BadRow] = []
    for number, item in numbered:
        parts = list(item) if isinstance(item, list | tuple) else []
        texts = parts[0] if paired and parts else parts[:1]
        if len(parts) != 2 or not isinstance(texts, list | tuple) or len(texts) != len(text_columns):
            bad_rows.append(BadRow(number, f"does not have the form {expected}"))
        else:
            rows.append(Row(number, {**dict(zip(text_columns, texts, strict=True)), "label": parts[1]}))
    return Table(name="the list", columns=(*text_columns, "label"), rows=tuple(rows), bad_rows=tuple(bad_rows))
