"""Let a person go through written rows: decisions on disk, what they make of the rows, and the page to decide on."""

from crossfade.reviewing.applying import Reviewed, apply_decisions
from crossfade.reviewing.decisions import REVIEWS_NAME, Decision, DecisionFile, Verdict, row_key
from crossfade.reviewing.session import ReviewRow, ReviewSession

__all__ = [
    "REVIEWS_NAME",
    "Decision",
    "DecisionFile",
    "ReviewRow",
    "ReviewSession",
    "Reviewed",
    "Verdict",
    "apply_decisions",
    "row_key",
]
