"""Train, measure and use inverters, from files and folders."""

from collections.abc import Sequence
from pathlib import Path

from crossfade.data import read_unlabelled
from crossfade.errors import DataError
from crossfade.inversion import InverterSettings, Tell, Workplace, align
from crossfade.models.inverter import InverterCard
from crossfade.parts import cache_folder
from crossfade.recipe import override


def train_inverter(
    texts: str, out: Path, *, overrides: Sequence[str] = (), text: Sequence[str] | None = None, tell: Tell
) -> InverterCard:
    """Train an inverter on unlabelled texts (stage 1), going on where an earlier start was stopped.

    Args:
        texts: A file or hub id that `read_unlabelled` takes.
        out: Folder of the inverter.
        overrides: `key.key=value` of `InverterSettings`.
        text: The text column.
        tell: Takes lines about the progress.
    """
    settings = InverterSettings.checked(override(overrides))
    return align(read_single_texts(texts, text), settings, Workplace(out, cache_folder(), tell)).card


def read_single_texts(source: str, text: Sequence[str] | None = None) -> list[str]:
    """Read texts from a file or hub id, one each row.

    Raises:
        DataError: The rows are pairs, or the source cannot be read.
    """
    rows = read_unlabelled(source, text=list(text) if text else None)
    if any(len(row) != 1 for row in rows):
        raise DataError("The rows hold two texts; expected one.", hint="Name the text column with --text.")
    return [row[0] for row in rows]
