"""Put the rows of a run into the order of a review, and take decisions about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crossfade.data import Augmented, Synthetic, has_mixed
from crossfade.errors import DataError, SettingsError, nearest_name
from crossfade.reviewing.applying import decided, was_dropped_by_check
from crossfade.reviewing.decisions import REVIEWS_NAME, Decision, DecisionFile, Verdict, row_key
from crossfade.selection.noise_report import LEAST_CONFIDENCE, reasons_against, suggested_label


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """A row as a reviewer sees it."""

    key: str
    row: Synthetic
    """As the label check left it."""
    suggested: str
    """The label that speaks loudest, which may be the row's own."""
    reasons: tuple[str, ...]
    """What speaks against the label it was written for, in words."""
    kinds: tuple[str, ...]
    """The same in a few fixed words, to filter by."""


class ReviewSession:
    """The rows of one run folder, least trusted first, and the decisions about them.

    Args:
        folder: The run folder; decisions go to its `reviews.jsonl`.
        made: The rows in it.
        labels: The classes, in the order of their number keys.

    Raises:
        DataError: There is nothing that a person could read.
    """

    def __init__(self, folder: Path, made: Augmented, labels: Sequence[str]) -> None:
        if has_mixed(row.example for row in made.kept):
            raise DataError(
                f"The rows in '{folder}' are points between the embeddings of gold texts; there is nothing to read.",
                hint="Review the rows of a method that writes texts.",
            )
        self.folder = folder
        self.labels = tuple(labels)
        reviewable = (*made.kept, *filter(was_dropped_by_check, made.dropped))
        self.rows: dict[str, ReviewRow] = {}
        for row in sorted(map(_review_row, reviewable), key=_distrust):
            # A text that stands there twice is one decision, shown where it is trusted least.
            self.rows.setdefault(row.key, row)
        self._file = DecisionFile(folder / REVIEWS_NAME)

    @property
    def decisions(self) -> Mapping[str, Decision]:
        """The decisions about rows that are there."""
        self._file.read()
        return {key: decision for key, decision in self._file.by_key.items() if key in self.rows}

    def decide(
        self, key: str, *, drop: bool = False, label: str | None = None, texts: Sequence[str] | None = None
    ) -> Decision:
        """Save a decision about a row; what is left out stays as the newest decision, or the check, had it.

        Args:
            key: Of the row.
            drop: Whether the row goes.
            label: Its label.
            texts: Its texts; outer white space goes.

        Raises:
            DataError: The row is not there, a text is empty or does not fit the row, or the disk refuses.
            SettingsError: The label is no class of this run.
        """
        if key not in self.rows:
            raise DataError(f"There is no row '{key}' in this run.", hint="Load the page again.")
        row = self.rows[key].row
        before = self.decisions.get(key)
        label = label if label is not None else before.label if before else row.example.label
        given = tuple(text.strip() for text in texts) if texts is not None else None
        final = given if given is not None else before.texts if before else row.example.texts
        if label not in self.labels:
            raise SettingsError(f"'{label}' is not a class of this run.", hint=nearest_name(label, self.labels))
        if len(final) != len(row.example.texts) or not all(final):
            raise DataError("A text is empty or missing.", hint="Drop the row instead.")
        verdict: Verdict = "accept"
        if drop:
            verdict = "drop"
        elif final != row.example.texts:
            verdict = "edit"
        elif label != row.example.label:
            verdict = "relabel"
        decision = Decision(key=key, verdict=verdict, label=label, texts=final)
        # A reading row without its answer is refused here, before it is saved.
        decided(row, decision)
        return self._file.add(decision)

    def undo(self) -> Decision | None:
        """Take back the newest decision and return it; None when there is none."""
        return self._file.undo(self.rows)


def _review_row(row: Synthetic) -> ReviewRow:
    reasons = reasons_against(row)
    return ReviewRow(row_key(row.example), row, suggested_label(row), reasons, _kinds(row))


def _kinds(row: Synthetic) -> tuple[str, ...]:
    origin = row.origin
    kinds = [
        f"{source} disagrees" if source != "students" else "students disagree"
        for source, vote in origin.votes.items()
        if source != "writer" and vote != origin.written_label
    ]
    if origin.reason is not None:
        kinds.insert(0, "dropped by the check")
    elif row.example.label != origin.written_label:
        kinds.insert(0, "relabelled by the check")
    if origin.confidence is not None and origin.confidence < LEAST_CONFIDENCE:
        kinds.append("less than half sure")
    return tuple(kinds)


def _distrust(row: ReviewRow) -> tuple[float, int]:
    """Order rows: the least confident first, and among equals those that more speaks against."""
    confidence = row.row.origin.confidence
    return (1.0 if confidence is None else confidence, -len(row.reasons))
