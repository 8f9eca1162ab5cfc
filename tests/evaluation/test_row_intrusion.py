import dataclasses

import numpy as np
import pytest

from crossfade.data import Corpus, Example, Origin, Synthetic
from crossfade.evaluation.row_intrusion import intrusion_of_rows
from crossfade.students.linear import LinearStudent
from tests.doubles import FakeEncoder

GOLD = Corpus(
    tuple(
        Example((f"{word} {label}",), label)
        for label in ("cat", "dog", "owl")
        for word in ("red", "old", "tiny", "soft")
    ),
    ("cat", "dog", "owl"),
)


def mixed(text: str, first: str, second: str, ratio: float | None, reason: str | None = None) -> Synthetic:
    origin = Origin(method="inversed_mixup", parents=(first, second), ratio=ratio, reason=reason)
    return Synthetic(Example((text,), first), origin)


def new_student() -> LinearStudent:
    return LinearStudent(FakeEncoder())


def test_rows_of_a_third_class_count_by_ratio_and_pair() -> None:
    rows = [
        mixed("red owl owl", "cat", "dog", 0.55),
        mixed("red cat cat", "cat", "dog", 0.55),
        mixed("old dog dog", "cat", "dog", 0.95),
        mixed("old cat cat", "cat", "cat", 1.0),
    ]
    found = intrusion_of_rows([(GOLD, rows)], new_student)
    assert found is not None
    third, flip = found.curves["third_class"], found.curves["flip"]
    assert third[0] is not None
    assert (third[0].rows, third[0].share) == (2, 0.5)
    assert third[0].low < 0.5 < third[0].high
    assert third[1] is None
    assert flip[0] is None
    assert flip[4] is not None
    assert flip[4].share == 1.0
    assert found.neither[0, 1] == pytest.approx(1 / 3)
    assert found.neither[0, 0] == 0
    assert np.isnan(found.neither[1, 0])
    assert 0 <= found.judge_accuracy <= 1


def test_what_is_no_mixed_text_does_not_count() -> None:
    rows = [mixed("x", "cat", "dog", 0.6, "unparsable: empty"), mixed("red cat", "cat", "dog", None)]
    assert intrusion_of_rows([(GOLD, rows)], new_student) is None
    assert intrusion_of_rows([], new_student) is None


def test_the_order_of_rows_does_not_matter() -> None:
    rows = [mixed(f"{word} {label}", "cat", "dog", 0.7) for word in ("red", "old") for label in GOLD.labels]
    first, second = (intrusion_of_rows([(GOLD, some)], new_student) for some in (rows, rows[::-1]))
    assert first is not None
    assert second is not None
    assert first.curves == second.curves
    np.testing.assert_array_equal(dataclasses.asdict(first)["neither"], dataclasses.asdict(second)["neither"])
