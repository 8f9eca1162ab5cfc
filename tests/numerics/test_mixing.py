import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.numerics.mixing import Mixing, draw_ratios, mix_points, partner_count, percentages


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


BOTH_WAYS = pytest.mark.parametrize("how", ["linear", "spherical"])


def points(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((6, 5))


@BOTH_WAYS
def test_ratio_one_is_the_first_point_and_ratio_zero_the_second(how: Mixing) -> None:
    first, second = points(0), points(1)
    assert mix_points(first, second, np.ones(6), how) == pytest.approx(first)
    assert mix_points(first, second, np.zeros(6), how) == pytest.approx(second)


@BOTH_WAYS
def test_mixed_points_have_the_interpolated_length(how: Mixing) -> None:
    first, second, ratios = points(0), points(1), np.linspace(0.1, 0.9, 6)
    lengths = [np.linalg.norm(side, axis=1) for side in (first, second)]
    mixed = mix_points(first, second, ratios, how)
    assert np.linalg.norm(mixed, axis=1) == pytest.approx(ratios * lengths[0] + (1 - ratios) * lengths[1])


@BOTH_WAYS
def test_swapping_points_and_ratio_changes_nothing(how: Mixing) -> None:
    first, second, ratios = points(0), points(1), np.linspace(0.1, 0.9, 6)
    assert mix_points(first, second, ratios, how) == pytest.approx(mix_points(second, first, 1 - ratios, how))


@BOTH_WAYS
def test_equal_points_mix_to_themselves(how: Mixing) -> None:
    assert mix_points(points(0), points(0), np.full(6, 0.3), how) == pytest.approx(points(0))


def test_spherical_mixing_turns_at_an_even_pace_and_linear_does_not() -> None:
    east, north = np.tile([1.0, 0.0], (3, 1)), np.tile([0.0, 1.0], (3, 1))
    ratios = np.array([1 / 3, 0.5, 2 / 3])

    def degrees(how: Mixing) -> list[float]:
        mixed = mix_points(east, north, ratios, how)
        return list(np.degrees(np.arctan2(mixed[:, 1], mixed[:, 0])))

    assert degrees("spherical") == pytest.approx([60, 45, 30])
    assert degrees("linear") == pytest.approx([63.435, 45, 26.565], abs=1e-3)


@BOTH_WAYS
def test_middle_of_opposite_points_is_zero(how: Mixing) -> None:
    first = np.array([[1.0, 0.0]])
    assert mix_points(first, -first, np.array([0.5]), how).tolist() == [[0.0, 0.0]]
    assert mix_points(first, -first, np.array([0.75]), how) == pytest.approx(np.array([[1.0, 0.0]]))
