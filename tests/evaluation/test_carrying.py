import pytest

from crossfade.data import AnnotatedExample, Augmented, Example, Origin, Synthetic
from crossfade.evaluation.carrying import correctness, count_carried, drafts_of, holds_intents, holds_strings
from tests.annotated_doubles import corpus_of, parsed

ONE = parsed("wake me", ["set"], who="me")
TWO = parsed("ring me at 5", ["set", "ring"], who="me", time="at 5")
GOLD = corpus_of([ONE, TWO])


def draft(row: AnnotatedExample, reason: str | None = None) -> Synthetic:
    return Synthetic(row, Origin(method="m", parent_key=row.key, reason=reason))


class Oracle:
    """Finds one intent everywhere."""

    def fit(self, examples: object, weights: object) -> "Oracle":
        return self

    def annotate(self, examples: list[Example]) -> list[AnnotatedExample]:
        return [AnnotatedExample(example.texts, "parses", ("set",)) for example in examples]

    def save(self, folder: object) -> None:
        """Keep nothing."""


def test_drafts_left_out_for_other_reasons_held_their_strings() -> None:
    rows = (draft(TWO, "missing: 'at 5'"), draft(ONE, "duplicate"), draft(ONE, "unparsable: empty"))
    made = Augmented((draft(ONE),), rows, {}, "")
    drafts = drafts_of(made)
    assert holds_strings(drafts) == [True, False, True, False]
    whole, by_number = count_carried(drafts, holds_strings(drafts), GOLD)
    assert (whole.drafts, whole.all) == (4, 2)
    assert {number: (one.drafts, one.all) for number, one in by_number.items()} == {1: (3, 2), 2: (1, 0)}
    low, high = whole.share.low, whole.share.high
    assert low is not None
    assert high is not None
    assert low < 0.5 < high


def test_an_oracle_must_find_every_intent() -> None:
    assert holds_intents([ONE, TWO], Oracle()) == [True, False]  # type: ignore[arg-type]


def test_correctness_is_the_precision_of_the_oracle() -> None:
    other = parsed("go", ["leave"])
    assert correctness(Oracle(), [draft(ONE), draft(other)]) == pytest.approx(0.5)  # type: ignore[arg-type]
    assert correctness(Oracle(), []) is None  # type: ignore[arg-type]
