import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.errors import DataError
from crossfade.numerics.statistics import (
    Interval,
    WorthInterval,
    draw_means,
    is_gain,
    paired_interval,
    worth_in_labels,
    worth_interval,
)

SHOTS = [1, 2, 4]
CURVE = [0.5, 0.6, 0.8]
CURVE_VALUES = [[0.48, 0.5, 0.52], [0.58, 0.6, 0.62], [0.78, 0.8, 0.82]]


def bounds(interval: Interval) -> tuple[float, float]:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


def placed(values: Sequence[float], curve: Sequence[Sequence[float]] = CURVE_VALUES) -> WorthInterval:
    return worth_interval(values, SHOTS, curve, np.random.default_rng(0), draws=2_000)


def number(place: float | None) -> float:
    """Read "more than the last count" as infinity."""
    return math.inf if place is None else place


def test_equal_differences_have_no_spread() -> None:
    interval = paired_interval([0.25, 0.25, 0.25])
    assert (interval.mean, interval.low, interval.high) == (0.25, 0.25, 0.25)


def test_interval_of_five_differences_is_that_of_a_t_table() -> None:
    # Mean 3, standard deviation 1.5811, and 2.7764 is the tabled 97.5 % point with 4 degrees of freedom.
    half = 2.7764 * 1.5811 / math.sqrt(5)
    assert bounds(paired_interval([1, 2, 3, 4, 5])) == pytest.approx((3 - half, 3 + half), abs=1e-3)


def test_single_difference_has_no_bounds_and_none_is_refused() -> None:
    assert paired_interval([0.5]) == Interval(mean=0.5, low=None, high=None)
    with pytest.raises(DataError, match="0 paired differences"):
        paired_interval([])


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8))
def test_interval_lies_around_the_mean_and_turns_with_the_sign(differences: list[float]) -> None:
    interval = paired_interval(differences)
    low, high = bounds(interval)
    assert low <= interval.mean <= high
    assert interval.mean == pytest.approx(np.mean(differences))
    assert bounds(paired_interval([-value for value in differences])) == pytest.approx((-high, -low))
    assert bounds(paired_interval(differences[::-1])) == pytest.approx((low, high))


def test_interval_is_near_the_normal_one_for_many_pairs() -> None:
    differences = np.random.default_rng(1).normal(0.3, 1.0, size=400)
    half = 1.96 * differences.std() / 20
    expected = (differences.mean() - half, differences.mean() + half)
    assert bounds(paired_interval(differences.tolist())) == pytest.approx(expected, abs=0.01)


def test_interval_of_five_pairs_holds_the_truth_as_often_as_it_says() -> None:
    samples = np.random.default_rng(0).normal(size=(2_000, 5))
    held = [low <= 0 <= high for low, high in (bounds(paired_interval(row.tolist())) for row in samples)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(
    ("low", "high", "gain"),
    [(0.01, 0.2, True), (0.0, 0.2, False), (-0.1, 0.2, False), (-0.2, -0.1, False), (None, None, False)],
)
def test_gain_needs_an_interval_above_zero(low: float | None, high: float | None, gain: bool) -> None:
    assert is_gain(Interval(mean=0.1, low=low, high=high)) is gain


@pytest.mark.parametrize(("accuracy", "labels"), [(0.5, 1), (0.55, 1.5), (0.6, 2), (0.7, 3), (0.8, 4)])
def test_worth_is_interpolated_on_the_curve(accuracy: float, labels: float) -> None:
    assert worth_in_labels(accuracy, SHOTS, CURVE) == pytest.approx(labels)


def test_worth_below_the_curve_is_its_first_count_and_above_it_unknown() -> None:
    assert worth_in_labels(0.1, SHOTS, CURVE) == 1
    assert worth_in_labels(0.81, SHOTS, CURVE) is None


def test_flat_stretch_counts_from_its_start() -> None:
    assert worth_in_labels(0.6, [1, 2, 3, 4], [0.5, 0.6, 0.6, 0.8]) == 2


def test_dip_in_the_curve_is_levelled() -> None:
    assert worth_in_labels(0.55, [1, 2, 3], [0.5, 0.4, 0.6]) == pytest.approx(2.5)


def test_worth_interval_without_spread_is_its_estimate() -> None:
    still = [[value] * 3 for value in CURVE]
    worth = placed([0.7] * 3, still)
    assert [worth.estimate, worth.low, worth.high] == pytest.approx([3, 3, 3])


def test_worth_interval_lies_around_its_estimate_and_grows_with_the_spread() -> None:
    narrow, wide = placed([0.69, 0.71, 0.7]), placed([0.67, 0.73, 0.7])
    assert narrow.estimate == wide.estimate == pytest.approx(3)
    assert number(wide.low) < number(narrow.low) < 3 < number(narrow.high) < number(wide.high)


def test_what_a_split_does_to_student_and_curve_alike_does_not_widen_the_worth() -> None:
    luck = np.array([-0.2, 0.0, 0.1])
    shared = placed((0.7 + luck).tolist(), [(value + luck).tolist() for value in CURVE])
    assert [shared.estimate, shared.low, shared.high] == pytest.approx([3, 3, 3])
    # The same values in another order of the splits are no longer paired.
    unpaired = placed((0.7 + luck[::-1]).tolist(), [(value + luck).tolist() for value in CURVE])
    assert number(unpaired.high) - number(unpaired.low) > 1


def test_worth_may_have_a_lower_bound_where_it_has_no_upper_one() -> None:
    worth = placed([0.77, 0.79, 0.8])
    assert worth.estimate is not None
    assert worth.low is not None
    assert 2 < worth.low < worth.estimate
    assert worth.high is None


def test_worth_far_above_or_below_the_curve_is_sure_of_it() -> None:
    assert placed([0.97, 0.98, 0.99]) == WorthInterval(estimate=None, low=None, high=None)
    assert placed([0.1, 0.11, 0.12]) == WorthInterval(estimate=1, low=1, high=1, is_below=True)


def test_the_start_of_the_curve_is_not_below_it() -> None:
    start, end = [0.1, 0.2, 0.7], [0.5, 0.6, 0.8]
    found = worth_interval(start, [2, 5], [start, end], np.random.default_rng(0))
    assert found.estimate == 2
    assert not found.is_below


def test_one_split_says_nothing_of_the_spread() -> None:
    one = placed([0.7], [[value] for value in CURVE])
    assert one.estimate == pytest.approx(3)
    assert (one.low, one.high) == (1, None)


def test_student_and_curve_need_the_same_splits() -> None:
    with pytest.raises(DataError, match=r"2 splits stands against .* 3 shot counts and \[3, 3, 3\] splits"):
        placed([0.7, 0.7])
    with pytest.raises(DataError, match="0 splits"):
        placed([], [[], [], []])
    with pytest.raises(DataError, match="3 shot counts"):
        placed([0.7] * 3, CURVE_VALUES[:2])


def test_same_rng_gives_the_same_worth_interval() -> None:
    assert placed([0.69, 0.72, 0.7]) == placed([0.69, 0.72, 0.7])


ACCURACIES = st.floats(0, 1)


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(*[ACCURACIES] * 4), min_size=n, max_size=n)))
def test_worth_interval_holds_its_estimate(splits: list[tuple[float, ...]]) -> None:
    values, *curve = zip(*splits, strict=True)
    worth = worth_interval(values, SHOTS, curve, np.random.default_rng(0), draws=50)
    assert 1 <= number(worth.low) <= number(worth.estimate) <= number(worth.high)
    assert worth.estimate == worth_in_labels(
        float(np.mean(values)), SHOTS, [float(np.mean(of_count)) for of_count in curve]
    )


def test_worth_interval_of_five_splits_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(200):
        luck = rng.normal(scale=0.02, size=5)
        curve = [(value + luck + rng.normal(scale=0.02, size=5)).tolist() for value in CURVE]
        values = (0.7 + luck + rng.normal(scale=0.02, size=5)).tolist()
        worth = worth_interval(values, SHOTS, curve, rng, draws=400)
        held.append(number(worth.low) <= 3 <= number(worth.high))
    assert 0.91 <= np.mean(held) <= 0.99


def test_drawn_means_have_the_interval_of_the_same_differences() -> None:
    rows = np.random.default_rng(3).normal(size=(5, 2))
    draws = draw_means(rows, 200_000, np.random.default_rng(0))
    differences = draws[:, 0] - draws[:, 1]
    expected = bounds(paired_interval((rows[:, 0] - rows[:, 1]).tolist()))
    assert np.quantile(differences, [0.025, 0.975]) == pytest.approx(expected, rel=0.02)
