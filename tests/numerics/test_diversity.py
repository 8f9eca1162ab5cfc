import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.numerics import diversity
from crossfade.numerics.diversity import distinct, nearest_distances, neighbourhood, overlap
from crossfade.roles import Floats

ROWS = st.lists(st.lists(st.sampled_from("abcd"), max_size=6), max_size=8)


def unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float64)


def random_unit(count: int, *, seed: int, width: int = 8) -> Floats:
    return unit(np.random.default_rng(seed).standard_normal((count, width)))


def on_circle(*degrees: float) -> Floats:
    angles = np.radians(degrees)
    return np.column_stack([np.cos(angles), np.sin(angles)])


@pytest.mark.parametrize(("length", "share"), [(1, 3 / 6), (2, 3 / 4), (3, 2 / 2)])
def test_distinct_is_different_grams_over_all(length: int, share: float) -> None:
    assert distinct([["a", "b", "a"], ["b", "a", "c"]], length) == share


def test_grams_do_not_reach_into_the_next_text() -> None:
    assert distinct([["a"], ["b"]], 2) is None
    assert distinct([], 1) is None


@given(ROWS, st.integers(1, 3))
def test_distinct_is_a_share_that_no_order_changes(rows: list[list[str]], length: int) -> None:
    share = distinct(rows, length)
    assert share is None or 0 < share <= 1
    assert distinct(rows[::-1], length) == share
    if share is not None:
        assert distinct(rows + rows, length) == pytest.approx(share / 2)


def test_nearest_distance_is_one_minus_the_largest_cosine() -> None:
    found = nearest_distances(on_circle(0, 90, 180), on_circle(60, 0))
    assert found == pytest.approx([0, 1 - np.cos(np.radians(30)), 1 - np.cos(np.radians(120))])


def test_neighbourhoods_on_a_circle() -> None:
    # With k = 1 the real vectors at 0 and 10 degrees reach 10 degrees, the one at 90 reaches 80.
    real, made = on_circle(0, 10, 90), on_circle(15, 200)
    near = neighbourhood(real, made, 1)
    assert near.coverage == pytest.approx(2 / 3)
    assert near.density == pytest.approx(2 / (1 * 2))


def test_copies_cover_everything_and_opposites_nothing() -> None:
    real = random_unit(30, seed=0)
    assert neighbourhood(real, real, 5).coverage == 1
    assert neighbourhood(on_circle(0, 1, 2, 3), on_circle(180), 2) == diversity.Neighbourhood(0.0, 0.0)


def test_repeated_real_vectors_are_covered_by_a_copy() -> None:
    repeated = np.vstack([random_unit(1, seed=0).repeat(4, axis=0), random_unit(4, seed=1)])
    assert neighbourhood(repeated, repeated[:1], 3).coverage >= 0.5


def test_same_distribution_is_covered_as_the_paper_expects() -> None:
    # Lemma 2 of Naeem et al.: 1 - (N-1)...(N-k) / ((M+N-1)...(M+N-k)) for N real and M made vectors.
    n, m, k = 300, 150, 5
    expected = 1 - np.prod([(n - i) / (n + m - i) for i in range(1, k + 1)])
    found = [neighbourhood(random_unit(n, seed=s), random_unit(m, seed=100 + s), k) for s in range(10)]
    assert np.mean([one.coverage for one in found]) == pytest.approx(expected, abs=0.02)
    assert np.mean([one.density for one in found]) == pytest.approx(1, abs=0.05)


def test_blocks_give_what_one_matrix_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = random_unit(23, seed=0), random_unit(17, seed=1)
    whole = neighbourhood(real, made, 3)
    distances = nearest_distances(made, real)
    monkeypatch.setattr(diversity, "BLOCK", 5)
    assert neighbourhood(real, made, 3) == whole
    assert nearest_distances(made, real) == pytest.approx(distances)


@given(st.integers(0, 1000))
def test_order_of_vectors_changes_nothing(seed: int) -> None:
    real, made = random_unit(12, seed=seed), random_unit(9, seed=seed + 1)
    turned = neighbourhood(real[::-1], made[::-1], 3)
    assert turned.coverage == neighbourhood(real, made, 3).coverage
    assert turned.density == pytest.approx(neighbourhood(real, made, 3).density)
    assert 0 <= turned.coverage <= 1
    assert nearest_distances(made[::-1], real)[::-1] == pytest.approx(nearest_distances(made, real[::-1]))


def test_overlap_is_the_largest_share_of_pairs_in_one_other_text() -> None:
    others = [["a", "b", "c"], ["c", "d"]]
    assert overlap([["a", "b", "c", "d"]], others) == pytest.approx(2 / 3)
    assert overlap([["a", "b"], ["x", "y"]], others) == pytest.approx(0.5)
    assert overlap([["a"]], others) is None
    assert overlap([["a", "b"]], []) is None
