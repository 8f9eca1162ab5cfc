import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.numerics.mixing import draw_ratios, partner_count, percentages


@given(st.integers(0, 2**32 - 1))
def test_ratios_are_twentieths_between_a_half_and_one(seed: int) -> None:
    ratios = draw_ratios(50, np.random.default_rng(seed))
    assert ratios.shape == (50,)
    assert ratios.min() >= 0.5
    assert ratios.max() <= 1.0
    assert np.array_equal(np.round(ratios * 20) / 20, ratios)


def test_ratios_follow_the_released_law() -> None:
    ratios = draw_ratios(20_000, np.random.default_rng(0))
    # 0.5 + 0.5 * Beta(5, 2) has mean 0.857 and standard deviation 0.080.
    assert ratios.mean() == pytest.approx(0.857, abs=0.005)
    assert ratios.std() == pytest.approx(0.080, abs=0.005)


def test_same_rng_draws_the_same_ratios() -> None:
    first, second = (draw_ratios(9, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("ratio", "printed"),
    [(0.8, (80, 20)), (0.9, (90, 10)), (0.55, (55, 45)), (0.5, (50, 50)), (1.0, (100, 0)), (0.29, (29, 71))],
)
def test_percentages_are_the_nearest_whole_ones(ratio: float, printed: tuple[int, int]) -> None:
    assert percentages(ratio) == printed


@given(st.floats(0, 1))
def test_percentages_add_up_to_a_hundred(ratio: float) -> None:
    first, second = percentages(ratio)
    assert first + second == 100
    assert 0 <= first <= 100


def test_ratio_one_has_no_partner_examples_and_a_half_has_as_many() -> None:
    rng = np.random.default_rng(0)
    assert {partner_count(7, 1.0, rng) for _ in range(50)} == {0}
    assert {partner_count(7, 0.5, rng) for _ in range(50)} == {7}


def test_partner_count_is_rounded_at_random_around_the_exact_count() -> None:
    rng = np.random.default_rng(0)
    assert {partner_count(8, 0.8, rng) for _ in range(200)} == {2}
    counts = [partner_count(5, 0.8, rng) for _ in range(4000)]
    assert set(counts) == {1, 2}
    assert np.mean(counts) == pytest.approx(1.25, abs=0.03)
