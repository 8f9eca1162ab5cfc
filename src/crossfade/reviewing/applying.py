"""Make of checked rows what a person decided about them: the person wins over every label check."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from crossfade.data import AnnotatedExample, Augmented, Corpus, Example, Synthetic
from crossfade.reviewing.decisions import Decision, Verdict, row_key
from crossfade.tasks.shapes import task_of

DROPPED = "dropped by a reviewer"
WORDS: Mapping[Verdict, str] = {"accept": "accepted", "relabel": "relabelled", "edit": "edited", "drop": "dropped"}


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Rows after review, and what became of the decisions."""

    rows: Augmented
    counts: Mapping[Verdict, int]
    """Rows by what was decided about them."""
    unmatched: int
    """Decisions whose row is not there any more, or whose label is no class any more; they stay in the file."""

    @property
    def total(self) -> int:
        """How many rows a person has decided about."""
        return sum(self.counts.values())

    def as_json(self) -> dict[str, object]:
        """Return the counts as plain values."""
        counts = {word: self.counts.get(verdict, 0) for verdict, word in WORDS.items()}
        return {"reviewed": self.total, **counts, "unmatched": self.unmatched}

    @property
    def sentence(self) -> str:
        """The counts in words; empty when nothing was decided."""
        if not self.total and not self.unmatched:
            return ""
        parts = ", ".join(f"{self.counts.get(verdict, 0)} {word}" for verdict, word in WORDS.items())
        lost = f"; {self.unmatched} decisions match no row any more" if self.unmatched else ""
        return f"Reviewed rows: {self.total} ({parts}){lost}."


def was_dropped_by_check(row: Synthetic) -> bool:
    """Say whether a label check dropped a row; duplicates and unreadable answers are lost before."""
    return (row.origin.reason or "").startswith("dropped:")


def apply_decisions(made: Augmented, decisions: Mapping[str, Decision], labels: Sequence[str]) -> Reviewed:
    """Let decisions replace what the label check said.

    A row that was accepted, relabelled or edited is kept, also where the check had dropped it, with the person's label
    at confidence 1 and without label probabilities. An edited row has its origin, with the texts it was written with
    beside it.

    Args:
        made: Rows after the label check.
        decisions: By `row_key`.
        labels: The classes; a decision for another is counted as unmatched.
    """
    kept: list[Synthetic] = []
    dropped: list[Synthetic] = []
    found: dict[str, Verdict] = {}
    for row in (*made.kept, *made.dropped):
        reviewable = row.origin.reason is None or was_dropped_by_check(row)
        decision = decisions.get(row_key(row.example)) if reviewable else None
        if decision is not None and (decision.verdict == "drop" or decision.label in labels):
            found[decision.key] = decision.verdict
            row = decided(row, decision)
        (kept if row.origin.reason is None else dropped).append(row)
    return Reviewed(
        replace(made, kept=tuple(kept), dropped=tuple(dropped)),
        dict(Counter(found.values())),
        len(decisions) - len(found),
    )


def decided(row: Synthetic, decision: Decision) -> Synthetic:
    """Return a row as a person left it.

    Raises:
        DataError: The texts no longer hold a reading row's answer, or a string of an annotated row.
    """
    if decision.verdict == "drop":
        return replace(row, origin=replace(row.origin, reviewed="drop", reason=DROPPED))
    before = row.example.texts
    origin = replace(
        row.origin,
        reviewed=decision.verdict,
        reason=None,
        confidence=1.0,
        original_texts=before if decision.texts != before else (),
    )
    if isinstance(row.example, AnnotatedExample) and decision.texts != before:
        # Where its mentions stand is found anew.
        task = task_of(Corpus((row.example,), (row.example.label,)))
        return Synthetic(task.rewritten(row.example, decision.texts[0]), origin)
    example: Example = replace(row.example, texts=decision.texts, label=decision.label)
    return Synthetic(example, origin)
