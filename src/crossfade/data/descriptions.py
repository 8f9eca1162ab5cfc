"""Read what each class is about: a mapping, or a TOML or JSON file of class = "phrase"."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from crossfade.data.files import read_utf8
from crossfade.errors import DataError, nearest_name


def read_descriptions(source: Path | str | Mapping[str, str], labels: Sequence[str]) -> dict[str, str]:
    """Return class name to phrase, checked against the classes of the data.

    Args:
        source: A mapping, or a .toml or .json file of class = "phrase", at its top or in a table `descriptions`.
        labels: The classes of the data.

    Raises:
        DataError: The file is missing or broken, a class is unknown, or a phrase is not a string or is empty.
    """
    if isinstance(source, Mapping):
        name, entries = "The mapping", dict[str, object](source)
    else:
        name, entries = f"'{source}'", _read_entries(Path(source))
    phrases: dict[str, str] = {}
    for label, phrase in entries.items():
        if label not in labels:
            raise DataError(
                f"{name} describes '{label}', which is not a class with rows in the data.",
                hint=nearest_name(label, labels),
            )
        if not isinstance(phrase, str) or not phrase.strip():
            raise DataError(
                f"{name} describes '{label}' with {phrase!r}; expected a phrase.",
                hint=f'Write it as a string: {label} = "...".',
            )
        phrases[label] = phrase.strip()
    return phrases


def _read_entries(path: Path) -> dict[str, object]:
    """Read the entries of a file, below its table `descriptions` where it has one."""
    parse = {".toml": tomllib.loads, ".json": json.loads}.get(path.suffix.lower())
    if parse is None:
        raise DataError(
            f"'{path}' cannot hold descriptions; expected a .toml or .json file.", hint='Write class = "phrase" lines.'
        )
    try:
        content = parse(read_utf8(path))
    except ValueError as error:
        raise DataError(
            f"'{path}' is not {path.suffix[1:].upper()}: {error}.", hint='Expected class = "phrase" lines.'
        ) from error
    if not isinstance(content, dict):
        raise DataError(
            f"'{path}' holds a {type(content).__name__}; expected class = phrase entries.",
            hint='Write {"class": "phrase", ...}.',
        )
    table = content.get("descriptions")
    return table if isinstance(table, dict) else content
