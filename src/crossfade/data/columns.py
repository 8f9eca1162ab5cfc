"""Decide which columns of a table hold the texts and the label.

Columns that are not named are guessed only from short lists of usual names, and only when one candidate is there.
"""

from collections.abc import Sequence

from crossfade.data.tables import Table
from crossfade.errors import DataError, SettingsError, nearest_name

USUAL_TEXTS = ("text", "sentence", "utterance", "question", "query", "content")
USUAL_PAIRS = (("premise", "hypothesis"), ("sentence1", "sentence2"), ("question", "sentence"))
USUAL_LABELS = ("label", "category", "intent", "class", "target")


def choose_text_columns(table: Table, text: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the one or two text columns: those named, or the only usual ones.

    Raises:
        SettingsError: `text` names no column or more than two.
        DataError: A named column is missing, or the usual names leave no candidate or several.
    """
    if text is not None:
        named = (text,) if isinstance(text, str) else tuple(text)
        if len(set(named)) != len(named) or len(named) not in (1, 2):
            raise SettingsError(f"text names the columns {list(named)}; expected one column, or two different ones.")
        return tuple(_existing(table, column) for column in named)
    usual = {column.lower(): column for column in table.columns}
    pairs = [pair for pair in USUAL_PAIRS if set(pair) <= set(usual)]
    # 'question' beside 'sentence' is half of a pair, not a candidate of its own.
    singles = [(name,) for name in USUAL_TEXTS if name in usual and not any(name in pair for pair in pairs)]
    candidates = [*pairs, *singles]
    if len(candidates) != 1:
        found = ", ".join(" + ".join(candidate) for candidate in candidates)
        raise _cannot_guess(table, "text", found, "text='...', or text=('...', '...') for two texts")
    return tuple(usual[name] for name in candidates[0])


def choose_label_column(table: Table, label: str | None) -> str:
    """Return the label column: the one named, or the only one with a usual name.

    Raises:
        DataError: The named column is missing, or the usual names leave no candidate or several.
    """
    if label is not None:
        return _existing(table, label)
    candidates = [column for column in table.columns if column.lower() in USUAL_LABELS]
    if len(candidates) != 1:
        raise _cannot_guess(table, "label", ", ".join(candidates), "label='...'")
    return candidates[0]


def _existing(table: Table, column: str) -> str:
    """Return a column name that the table has."""
    if column not in table.columns:
        raise DataError(
            f"{table.name} has no column '{column}'; columns found: {_listed(table)}.",
            hint=nearest_name(column, table.columns),
        )
    return column


def _cannot_guess(table: Table, role: str, candidates: str, setting: str) -> DataError:
    """Build the error for a column that was not named and cannot be told."""
    why = f"several could be it ({candidates})" if candidates else "none has a usual name"
    hint = f"Name it: {setting}."
    if len(table.columns) == 1 and any(separator in table.columns[0] for separator in ";\t|"):
        hint = (
            "The header looks separated by another character: save the file as .csv with commas, or as .tsv with tabs."
        )
    return DataError(
        f"{table.name}: the {role} column cannot be told: {why}; columns found: {_listed(table)}.", hint=hint
    )


def _listed(table: Table) -> str:
    return ", ".join(table.columns) or "none"
