from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Augmented, Corpus, Example, Origin, Synthetic
from crossfade.errors import DataError
from crossfade.evaluation.comparison import (
    GOLD_ONLY,
    Curve,
    ResultRow,
    Scored,
    drop_test_copies,
    refuse_leaks,
    score_rows,
    summarise,
    text_key,
    without_overlap,
)
from crossfade.numerics.statistics import is_gain
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


@pytest.mark.parametrize(
    "copy",
    [
        "A Loan",
        "  a   loan\n",
        "a loan.",
        "\u201ca loan?!\u201d",
        "(a loan)",
        "\u00bfa loan?",
        "\uff41\u3000\uff4coan",
        "a\u00a0loan",
    ],
)
def test_copy_that_a_reader_calls_the_same_is_a_leak(copy: str) -> None:
    pool = Corpus((Example((copy,), "card"), Example(("my card",), "card")), LABELS)
    with pytest.raises(DataError, match="1 of 2 test texts stand in the training data"):
        refuse_leaks([pool], TEST)
    assert without_overlap(pool, TEST).texts == ["my card"]


@pytest.mark.parametrize("other", ["a loan, now", "aloan", "a-loan", "-a loan", "a loan%", "a l\u00f4an", "a lo.an"])
def test_other_text_is_no_leak(other: str) -> None:
    pool = Corpus((Example((other,), "loan"),), LABELS)
    refuse_leaks([pool], TEST)
    assert without_overlap(pool, TEST).texts == [other]


def test_texts_of_nothing_but_marks_differ_by_their_marks() -> None:
    assert text_key(Example(("?",), "card")) != text_key(Example(("!",), "card"))


def test_pairs_are_the_same_when_both_texts_are_in_their_order() -> None:
    pair = Example(("A loan", "my card."), "card")
    assert text_key(pair) == text_key(Example(("a loan.", "My card"), "loan"))
    assert text_key(pair) != text_key(Example(("my card", "a loan"), "card"))
    assert text_key(pair) != text_key(Example(("a loan",), "card"))


@given(
    st.text("abAB1%-. ?!'\"()", min_size=1), st.text(' \n.,?!"()'), st.sampled_from([str.upper, str.lower, str.title])
)
def test_case_and_surrounding_marks_never_tell_texts_apart(text: str, around: str, cased: Callable[[str], str]) -> None:
    inner = "x" + text + "x"
    assert text_key(Example((around + cased(inner) + around,), "card")) == text_key(Example((inner,), "card"))


def test_leak_says_whether_it_stands_in_training_or_synthetic_data() -> None:
    clean = without_overlap(TRAIN, TEST)
    with pytest.raises(DataError, match=r"1 of 2 test texts stand in the synthetic data.*'a loan'") as caught:
        refuse_leaks([clean], TEST, synthetic=[Example(("A loan!",), "card")])
    assert "drop_test_copies" in caught.value.hint
    with pytest.raises(DataError, match="in the training data"):
        refuse_leaks([clean.examples, TRAIN.examples], TEST, synthetic=TRAIN)


def written(text: str, label: str, asked: str) -> Synthetic:
    return Synthetic(Example((text,), label), Origin(method="test", written_label=asked))


def test_written_copy_of_a_test_text_is_dropped_and_counted_where_it_was_asked_for() -> None:
    kept = (written("my own card", "card", "card"), written("A loan.", "loan", "card"))
    dropped = (written("a", "loan", "loan"),)
    losses = {"card": {"asked": 2, "kept": 2}, "loan": {"asked": 1, "kept": 0, "dropped": 1}}
    made = Augmented(kept, dropped, losses, "Done.", {"judge": {"accuracy": 0.5}})
    clean = drop_test_copies(made, TEST)
    assert clean.kept == kept[:1]
    assert [row.example.text for row in clean.dropped] == ["a", "A loan."]
    assert clean.dropped[-1].origin.reason == "leak: stands in the test data"
    assert clean.losses == {"card": {"asked": 2, "kept": 1, "leak": 1}, "loan": {"asked": 1, "kept": 0, "dropped": 1}}
    assert (clean.stopped, clean.sources) == (made.stopped, made.sources)
    assert losses["card"]["kept"] == 2, "what was handed in stays as it was"
    refuse_leaks([], TEST, synthetic=[row.example for row in clean.kept])
    assert drop_test_copies(clean, TEST) == clean


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
    assert is_gain(mixed.uplift)


def test_interval_of_an_unsteady_gain_holds_zero() -> None:
    _, mixed = lines({GOLD_ONLY: [0.5] * 4, "mixed": [0.4, 0.6, 0.45, 0.6]})
    assert mixed.uplift is not None
    assert mixed.uplift.mean > 0
    assert not is_gain(mixed.uplift)


def test_without_gold_there_is_no_gain() -> None:
    (line,) = lines({"descriptions": [0.5, 0.6]})
    assert line.uplift is None


def test_accuracy_is_placed_on_the_curve() -> None:
    gold, better, best = lines({GOLD_ONLY: [0.6, 0.6], "mixed": [0.65, 0.75], "oracle": [0.9, 0.9]})
    assert gold.worth_per_class == pytest.approx(2)
    assert better.worth_per_class == pytest.approx(3)
    assert best.worth_per_class is None
    assert lines({GOLD_ONLY: [0.6]}, curve=None)[0].worth_per_class is None


def test_worth_has_an_interval_where_the_curve_has_the_same_splits() -> None:
    _, mixed = lines({GOLD_ONLY: [0.5, 0.7], "mixed": [0.55, 0.75]})
    assert mixed.worth is not None
    assert mixed.worth.estimate == mixed.worth_per_class
    assert mixed.worth.low is not None
    assert 1 < mixed.worth.low < 2.5
    assert lines({GOLD_ONLY: [0.6]})[0].worth is None
    assert lines({GOLD_ONLY: [0.6, 0.7]}, curve=None)[0].worth is None


def test_lines_keep_their_order_and_say_mean_and_spread() -> None:
    made = lines({GOLD_ONLY: [0.4, 0.6], "mixed": [0.7, 0.7]})
    assert [line.rows for line in made] == [GOLD_ONLY, "mixed"]
    assert (made[0].mean, made[0].splits, made[0].shots) == (0.5, 2, 2)
    assert made[0].std == pytest.approx(0.2 / np.sqrt(2))
    assert lines({GOLD_ONLY: [0.4]})[0].std == 0.0


def test_curve_averages_over_the_splits() -> None:
    assert CURVE.means == pytest.approx([0.5, 0.6, 0.8])
