import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.numerics.statistics import paired_interval, worth_in_labels

SHOTS = [1, 2, 4]
CURVE = [0.5, 0.6, 0.8]


def test_equal_differences_have_no_spread() -> None:
    interval = paired_interval([0.25, 0.25, 0.25], np.random.default_rng(0))
    assert (interval.mean, interval.low, interval.high) == (0.25, 0.25, 0.25)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8))
def test_interval_lies_within_the_differences(differences: list[float]) -> None:
    interval = paired_interval(differences, np.random.default_rng(0), draws=200)
    slack = 1e-9
    assert min(differences) - slack <= interval.low <= interval.high <= max(differences) + slack
    assert interval.mean == pytest.approx(np.mean(differences))


def test_interval_is_near_the_normal_one_for_many_pairs() -> None:
    differences = np.random.default_rng(1).normal(0.3, 1.0, size=400)
    interval = paired_interval(differences.tolist(), np.random.default_rng(0))
    half = 1.96 * differences.std() / 20
    assert interval.low == pytest.approx(differences.mean() - half, abs=0.01)
    assert interval.high == pytest.approx(differences.mean() + half, abs=0.01)


def test_same_rng_gives_the_same_interval() -> None:
    first, second = (paired_interval([0.1, 0.3, 0.2], np.random.default_rng(5)) for _ in range(2))
    assert first == second


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
