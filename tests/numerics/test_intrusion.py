import numpy as np
import pytest

from crossfade.errors import DataError
from crossfade.numerics.intrusion import (
    KINDS,
    embedded_share,
    intrudes,
    intrusion_curve,
    intrusions,
    judged_share,
    rank_correlation,
    rate_by_class_pair,
    wilson,
)
from crossfade.roles import Floats

NAN = np.nan


def sure_of(*classes: int, probability: float = 0.95) -> Floats:
    """A judge of three classes, this sure of one of them."""
    rows = np.full((len(classes), 3), (1 - probability) / 2)
    rows[np.arange(len(classes)), classes] = probability
    return rows


def marked(
    named: list[int], first: int, second: int, ratio: float, probability: float = 0.95
) -> dict[str, list[float]]:
    count = len(named)
    found = intrusions(
        sure_of(*named, probability=probability), np.full(count, first), np.full(count, second), np.full(count, ratio)
    )
    return {kind: marks.tolist() for kind, marks in found.items()}


def test_third_class_is_neither_parents() -> None:
    assert marked([0, 1, 2], 0, 1, 0.5)["third_class"] == [0, 0, 1]


@pytest.mark.parametrize(("ratio", "flips"), [(0.6, [0, 1, 0]), (0.4, [1, 0, 0]), (0.9, [0, 1, 0])])
def test_flip_is_the_smaller_parent(ratio: float, flips: list[float]) -> None:
    assert marked([0, 1, 2], 0, 1, ratio)["flip"] == flips


def test_near_the_middle_nothing_flips() -> None:
    assert np.isnan(marked([0, 1, 2], 0, 1, 0.55)["flip"]).all()


def test_ratios_made_by_steps_meet_the_limits() -> None:
    steps = np.linspace(0.1, 0.9, 9)
    rows = np.zeros(9, dtype=int)
    found = intrusions(sure_of(*rows), rows, rows + 1, steps)
    assert np.isnan(found["flip"]).tolist() == [False] * 4 + [True] + [False] * 4
    assert np.isnan(found["confident_conflict"]).tolist() == [True] * 2 + [False] * 5 + [True] * 2


def test_same_class_parents_have_one_class_only() -> None:
    found = marked([0, 1], 0, 0, 0.5)
    assert found["same_class"] == [0, 1]
    assert all(np.isnan(found[kind]).all() for kind in KINDS if kind != "same_class")
    assert np.isnan(marked([0, 1], 0, 1, 0.5)["same_class"]).all()


@pytest.mark.parametrize(
    ("ratio", "probability", "conflict"), [(0.7, 0.95, 1.0), (0.3, 0.95, 1.0), (0.75, 0.95, NAN), (0.5, 0.8, 0.0)]
)
def test_confident_conflict_is_sure_of_one_class_where_the_label_says_both(
    ratio: float, probability: float, conflict: float
) -> None:
    assert marked([0], 0, 1, ratio, probability)["confident_conflict"] == pytest.approx([conflict], nan_ok=True)


def test_at_ratio_one_every_error_counts_as_floor() -> None:
    found = marked([0, 1, 2], 0, 1, 1.0)
    assert found["third_class"] == [0, 0, 1]
    assert found["flip"] == [0, 1, 0]
    assert found["confident_conflict"] == [0, 1, 1]
    assert marked([0, 1], 0, 0, 1.0)["same_class"] == [0, 1]


def test_judge_without_an_answer_counts_nowhere() -> None:
    row = np.zeros(1, dtype=int)
    found = intrusions(np.zeros((1, 3)), row, row + 1, np.full(1, 0.6))
    assert all(np.isnan(marks).all() for marks in found.values())


def test_text_lies_between_its_parents_unless_a_third_class_or_the_smaller_parent_wins() -> None:
    named = sure_of(0, 1, 2, 0, 1)
    first, second = np.zeros(5, dtype=int), np.array([1, 1, 1, 0, 0])
    assert intrudes(named, first, second, np.full(5, 0.7)).tolist() == [False, True, True, False, True]
    assert intrudes(named, first, second, np.full(5, 0.5)).tolist() == [False, False, True, False, True]


def test_curve_counts_above_the_floor() -> None:
    marks = np.array([[1, 0, NAN], [1, 0, NAN], [1, 1, NAN], [0, 0, NAN]])
    curve = intrusion_curve(marks, np.array([1.0, 0.0, 0.0, 0.0]), np.random.default_rng(0))
    assert curve.texts.tolist() == [4, 4, 0]
    assert curve.rate[:2].tolist() == [0.75, 0.25]
    assert curve.floor == 0.25
    assert curve.above[:2].tolist() == [0.5, 0.0]
    assert (curve.above_low[:2] <= curve.above[:2]).all()
    assert (curve.above[:2] <= curve.above_high[:2]).all()
    assert all(np.isnan(values[2]) for values in (curve.rate, curve.low, curve.above, curve.above_high))


def test_texts_that_err_just_as_their_parents_do_show_no_intrusion_at_all() -> None:
    floor = np.array([1.0, 0.0, 1.0, 0.0, 0.0])
    curve = intrusion_curve(np.column_stack([floor, floor]), floor, np.random.default_rng(0))
    assert curve.above.tolist() == curve.above_low.tolist() == curve.above_high.tolist() == [0.0, 0.0]


def test_same_rng_gives_the_same_interval_and_order_of_ratios_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    marks = rng.integers(2, size=(20, 3)).astype(float)
    floor = rng.integers(2, size=20).astype(float)
    one, two = (intrusion_curve(marks[:, order], floor, np.random.default_rng(1)) for order in ([0, 1, 2], [2, 1, 0]))
    assert one.above_low.tolist() == two.above_low.tolist()[::-1]
    assert one.high.tolist() == two.high.tolist()[::-1]


@pytest.mark.parametrize(("pairs", "floor"), [(0, 0), (2, 3)])
def test_curve_needs_a_text_of_ratio_one_for_each_pair(pairs: int, floor: int) -> None:
    with pytest.raises(DataError, match="one text of ratio 1 for each"):
        intrusion_curve(np.zeros((pairs, 2)), np.zeros(floor), np.random.default_rng(0))


def test_wilson_interval_is_the_one_of_the_books() -> None:
    low, high = wilson(np.array([0.1, 0.0, 1.0]), np.array([100, 10, 10]))
    assert low.tolist() == pytest.approx([0.0552, 0.0, 0.7225], abs=1e-4)
    assert high.tolist() == pytest.approx([0.1744, 0.2775, 1.0], abs=1e-4)
    assert np.isnan(wilson(np.array([NAN]), np.array([0]))).all()


def test_matrix_has_the_rate_of_each_pair_of_classes() -> None:
    marks = np.array([1.0, 0.0, 1.0, NAN])
    matrix = rate_by_class_pair(marks, np.array([0, 0, 1, 2]), np.array([1, 1, 0, 1]), 3)
    assert matrix[0, 1] == 0.5
    assert matrix[1, 0] == 1.0
    assert np.isnan(matrix).sum() == 7


def test_shares_are_those_of_the_mix() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 5, 8))
    ratios = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    mixed = ratios[:, None] * first + (1 - ratios)[:, None] * second
    assert embedded_share(mixed, first, second) == pytest.approx(ratios)
    assert rank_correlation(ratios, embedded_share(mixed, first, second)) == pytest.approx(1.0)
    assert np.isnan(embedded_share(mixed, first, first)).all()


def test_judged_share_looks_at_the_parents_alone() -> None:
    probabilities = np.array([[0.3, 0.1, 0.6], [0.3, 0.1, 0.6], [0.0, 0.0, 1.0]])
    shares = judged_share(probabilities, np.array([0, 1, 0]), np.array([1, 1, 1]))
    assert shares[0] == pytest.approx(0.75)
    assert np.isnan(shares[1:]).all()


def test_correlation_leaves_out_what_has_no_share_and_needs_two_of_each() -> None:
    ratios = np.array([0.1, 0.5, 0.9, 0.3])
    assert rank_correlation(ratios, np.array([3.0, 2.0, 1.0, NAN])) == pytest.approx(-1.0)
    assert np.isnan(rank_correlation(ratios, np.array([1.0, NAN, NAN, NAN])))
