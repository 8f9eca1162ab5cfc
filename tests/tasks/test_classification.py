import numpy as np
import pytest

from crossfade.data import Corpus, Example, Origin, Synthetic
from crossfade.errors import DataError, SettingsError
from crossfade.tasks.classification import (
    Doubt,
    class_text_rows,
    draw_shots,
    gold_rows,
    hard_rows,
    require_examples,
    synthetic_rows,
)

LABELS = ("card", "loan")
POOL = Corpus(
    tuple(Example((f"{label} {number}",), label) for number in range(8) for label in LABELS),
    LABELS,
    {"loan": "borrowing money"},
)
ROW = Example(("where is it",), "card")
SURE = Synthetic(ROW, Origin(method="promptmix"))
UNSURE = Synthetic(ROW, Origin(method="promptmix", confidence=0.75), {"card": 0.75, "loan": 0.25})


def test_every_class_gets_its_shots_without_copies() -> None:
    drawn = draw_shots(POOL, 3, np.random.default_rng(0))
    assert [len(drawn.of_class(label)) for label in LABELS] == [3, 3]
    assert len(set(drawn.texts)) == 6
    assert (drawn.labels, drawn.descriptions) == (POOL.labels, POOL.descriptions)


def test_class_without_a_text_is_named_with_what_needs_one() -> None:
    require_examples(POOL, "eda")
    with pytest.raises(SettingsError, match="eda starts from gold texts, and there are none of card"):
        require_examples(POOL.rows([1]), "eda")


def test_class_left_out_of_a_soft_label_has_no_share() -> None:
    row = Synthetic(ROW, Origin(method="hidden_mixup"), {"card": 1.0})
    assert synthetic_rows([row], LABELS, doubt="soften").targets.tolist() == [[1.0, 0.0]]


def test_draws_from_the_same_state_are_nested() -> None:
    drawn = [set(draw_shots(POOL, shots, np.random.default_rng(4)).texts) for shots in (1, 2, 5, 8)]
    assert drawn[0] < drawn[1] < drawn[2] < drawn[3] == set(POOL.texts)


def test_other_states_draw_other_rows() -> None:
    draws = {tuple(draw_shots(POOL, 2, np.random.default_rng(seed)).texts) for seed in range(5)}
    assert len(draws) > 1


def test_zero_shots_are_no_rows() -> None:
    assert len(draw_shots(POOL, 0, np.random.default_rng(0))) == 0


def test_class_with_too_few_rows_is_named() -> None:
    with pytest.raises(DataError, match="'card' has 8 rows; 9 per class"):
        draw_shots(POOL, 9, np.random.default_rng(0))


def test_gold_is_certain_and_weighs_one() -> None:
    rows = gold_rows(POOL)
    assert rows.examples == POOL.examples
    assert rows.targets.tolist() == [[1.0, 0.0], [0.0, 1.0]] * 8
    assert rows.weights.tolist() == [1.0] * 16


def test_rows_are_added_in_order() -> None:
    first, second = hard_rows([ROW], ["loan"], LABELS), synthetic_rows([UNSURE], LABELS, doubt="soften")
    both = first + second
    assert both.examples == (ROW, ROW)
    assert both.targets.tolist() == [[0.0, 1.0], [0.75, 0.25]]
    assert both.weights.tolist() == [1.0, 1.0]


def test_no_rows_add_nothing() -> None:
    rows = gold_rows(POOL)
    both = rows + gold_rows(POOL.rows([]))
    assert both.examples == rows.examples
    assert np.array_equal(both.targets, rows.targets)
    assert np.array_equal(both.weights, rows.weights)


def test_every_class_gives_a_row_of_its_description_or_else_its_name() -> None:
    rows = class_text_rows(POOL)
    assert rows.examples == (Example(("card",), "card"), Example(("borrowing money",), "loan"))
    assert rows.targets.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert rows.weights.tolist() == [1.0, 1.0]


def test_class_text_is_both_texts_of_a_pair() -> None:
    gold = Corpus((Example(("one", "two"), "yes"),), ("yes",))
    assert class_text_rows(gold).examples == (Example(("yes", "yes"), "yes"),)


@pytest.mark.parametrize(
    ("doubt", "target", "weight"),
    [("keep", [1.0, 0.0], 1.0), ("weigh", [1.0, 0.0], 0.75), ("soften", [0.75, 0.25], 1.0)],
)
def test_doubtful_rows_are_used_as_asked(doubt: Doubt, target: list[float], weight: float) -> None:
    rows = synthetic_rows([SURE, UNSURE], LABELS, doubt=doubt)
    assert rows.targets.tolist() == [[1.0, 0.0], target]
    assert rows.weights.tolist() == [1.0, weight]


def test_rows_less_than_half_sure_are_dropped_where_doubtful_ones_are() -> None:
    wrong = Synthetic(Example(("who is it",), "loan"), Origin(method="promptmix", confidence=0.49))
    rows = synthetic_rows([wrong, UNSURE, SURE], LABELS, doubt="drop")
    assert rows.examples == (ROW, ROW)
    assert rows.weights.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("doubt", ["keep", "drop", "weigh", "soften"])
def test_rows_that_nobody_doubts_are_hard_rows_whatever_is_done_about_doubt(doubt: Doubt) -> None:
    rows = synthetic_rows([SURE], LABELS, doubt=doubt)
    assert (rows.targets.tolist(), rows.weights.tolist()) == ([[1.0, 0.0]], [1.0])


def test_soft_targets_follow_the_order_of_the_labels() -> None:
    rows = synthetic_rows([UNSURE], ("loan", "card"), doubt="soften")
    assert rows.targets.tolist() == [[0.25, 0.75]]
