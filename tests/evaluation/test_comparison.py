from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from crossfade.data import Corpus, Example
from crossfade.errors import DataError
from crossfade.evaluation.comparison import (
    GOLD_ONLY,
    Curve,
    ResultRow,
    Scored,
    refuse_leaks,
    score_rows,
    summarise,
    without_overlap,
)
from crossfade.roles import Floats
from crossfade.tasks.classification import gold_rows

LABELS = ("card", "loan")
TRAIN = Corpus((Example(("my card",), "card"), Example(("a loan",), "loan")), LABELS)
TEST = Corpus((Example(("where is my card",), "card"), Example(("a loan",), "loan")), LABELS)
CURVE = Curve((1, 2, 4), ((0.4, 0.6), (0.5, 0.7), (0.8, 0.8)))


class MajorityStudent:
    """Predicts the class with most weight in training."""

    def __init__(self) -> None:
        self.labels: tuple[str, ...] = ()
        self.shares: Floats = np.zeros(0)

    def fit(
        self, examples: Sequence[Example], targets: Floats, weights: Floats, labels: Sequence[str]
    ) -> "MajorityStudent":
        assert not self.labels, "a student is fitted once"
        self.labels, self.shares = tuple(labels), weights @ targets
        return self

    def predict_probabilities(self, examples: Sequence[Example]) -> Floats:
        return np.tile(self.shares / self.shares.sum(), (len(examples), 1))

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def lines(values: dict[str, list[float]], curve: Curve | None = CURVE) -> list[ResultRow]:
    scored = [Scored(rows, tuple(of_rows)) for rows, of_rows in values.items()]
    return summarise(scored, student="linear", shots=2, curve=curve, rng=np.random.default_rng(0))


def test_test_text_in_the_training_data_is_refused_and_named() -> None:
    with pytest.raises(DataError, match=r"1 of 2 test texts.*'a loan'") as caught:
        refuse_leaks([TRAIN], TEST)
    assert "data.overlap" in caught.value.hint


def test_same_text_under_another_label_is_a_leak_too() -> None:
    relabelled = Corpus((Example(("a loan",), "card"),), LABELS)
    with pytest.raises(DataError, match="1 of 2"):
        refuse_leaks([Corpus((), LABELS), relabelled], TEST)


def test_pool_without_the_overlap_is_not_refused() -> None:
    clean = without_overlap(TRAIN, TEST)
    assert clean.texts == ["my card"]
    refuse_leaks([clean], TEST)


def test_fresh_student_is_scored_each_time() -> None:
    rows = gold_rows(TRAIN.rows([0]))
    assert [score_rows(MajorityStudent, rows, TEST) for _ in range(2)] == [0.5, 0.5]
    assert score_rows(MajorityStudent, rows, TEST.rows([0])) == 1.0


def test_gain_is_paired_by_split() -> None:
    gold, mixed = lines({GOLD_ONLY: [0.2, 0.9], "mixed": [0.3, 1.0]})
    assert gold.uplift is None
    assert mixed.uplift is not None
    # The splits differ widely, the gain is the same in both.
    assert [mixed.uplift.mean, mixed.uplift.low, mixed.uplift.high] == pytest.approx([0.1, 0.1, 0.1])


def test_interval_of_an_unsteady_gain_holds_zero() -> None:
    _, mixed = lines({GOLD_ONLY: [0.5] * 4, "mixed": [0.4, 0.6, 0.45, 0.6]})
    assert mixed.uplift is not None
    assert mixed.uplift.low < 0 < mixed.uplift.high


def test_without_gold_there_is_no_gain() -> None:
    (line,) = lines({"descriptions": [0.5, 0.6]})
    assert line.uplift is None


def test_accuracy_is_placed_on_the_curve() -> None:
    gold, better, best = lines({GOLD_ONLY: [0.6, 0.6], "mixed": [0.65, 0.75], "oracle": [0.9, 0.9]})
    assert gold.worth_per_class == pytest.approx(2)
    assert better.worth_per_class == pytest.approx(3)
    assert best.worth_per_class is None
    assert lines({GOLD_ONLY: [0.6]}, curve=None)[0].worth_per_class is None


def test_lines_keep_their_order_and_say_mean_and_spread() -> None:
    made = lines({GOLD_ONLY: [0.4, 0.6], "mixed": [0.7, 0.7]})
    assert [line.rows for line in made] == [GOLD_ONLY, "mixed"]
    assert (made[0].mean, made[0].splits, made[0].shots) == (0.5, 2, 2)
    assert made[0].std == pytest.approx(0.2 / np.sqrt(2))
    assert lines({GOLD_ONLY: [0.4]})[0].std == 0.0


def test_curve_averages_over_the_splits() -> None:
    assert CURVE.means == pytest.approx([0.5, 0.6, 0.8])
