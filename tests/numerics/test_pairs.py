import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.numerics.pairs import SORTED_TOGETHER, PairSampler, Rows, Turns
from crossfade.roles import Floats


def all_turns(mass: Floats, turns: int, *, size: int = 4, seed: int = 0, lengths: Rows | None = None) -> Turns:
    sampler = PairSampler(mass, np.random.default_rng(seed))
    batches = list(sampler.batches(turns, size, np.ones(len(mass), dtype=np.intp) if lengths is None else lengths))
    assert sorted(map(len, batches))[1:] == [size] * (len(batches) - 1)
    return Turns(
        np.concatenate([batch.anchors for batch in batches]),
        np.concatenate([batch.positives for batch in batches]),
        np.concatenate([batch.negatives for batch in batches]),
    )


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=40), st.integers(0, 1000))
def test_hard_labels_give_partners_of_the_same_class_and_of_another(classes: list[int], seed: int) -> None:
    of = np.array([0, 1, *classes])
    turns = all_turns(np.eye(4)[of], 3 * len(of), seed=seed)
    assert (of[turns.anchors] == of[turns.positives]).all()
    assert (of[turns.anchors] != of[turns.negatives]).all()


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=40), st.integers(0, 1000))
def test_every_row_of_mass_one_is_an_anchor_once_a_pass(classes: list[int], seed: int) -> None:
    mass = np.eye(4)[[0, 1, *classes]]
    turns = all_turns(mass, 3 * len(mass), seed=seed)
    assert np.bincount(turns.anchors).tolist() == [3] * len(mass)


def test_rows_come_up_in_proportion_to_their_mass() -> None:
    mass = np.array([[1, 0], [0.25, 0], [0, 1], [0, 0.75]])
    assert PairSampler(mass, np.random.default_rng(0)).turns_per_pass == 3
    turns = all_turns(mass, 3000)
    np.testing.assert_allclose(np.bincount(turns.anchors) / 1000, [1, 0.25, 1, 0.75], atol=0.05)
    of_second_class = turns.negatives[mass[turns.anchors, 0] > 0]
    np.testing.assert_allclose(
        np.bincount(of_second_class)[2:] / len(of_second_class), [1 / 1.75, 0.75 / 1.75], atol=0.05
    )


def test_a_soft_row_stands_in_each_of_its_classes() -> None:
    mass = np.array([[1, 0, 0], [0, 1, 0], [0.7, 0.3, 0]])
    turns = all_turns(mass, 3000)
    partners = turns.positives[turns.anchors == 2]
    expected = np.array([0.7 * 1 / 1.7, 0.3 * 1 / 1.3, 0.7 * 0.7 / 1.7 + 0.3 * 0.3 / 1.3])
    np.testing.assert_allclose(np.bincount(partners) / len(partners), expected, atol=0.05)


def test_a_row_alone_in_its_class_is_its_own_partner() -> None:
    turns = all_turns(np.eye(2)[[0, 1, 1]], 30)
    assert (turns.positives[turns.anchors == 0] == 0).all()


def test_rows_without_mass_are_never_drawn() -> None:
    mass = np.array([[1.0, 0], [0, 0], [0, 1]])
    turns = all_turns(mass, 100)
    assert 1 not in np.concatenate([turns.anchors, turns.positives, turns.negatives])


def test_batches_hold_rows_of_similar_length() -> None:
    lengths = np.arange(400) % 100
    mass = np.eye(2)[np.arange(400) % 2]
    sampler = PairSampler(mass, np.random.default_rng(0))
    batches = sampler.batches(8 * SORTED_TOGETHER, 8, lengths)
    spreads = []
    for batch in batches:
        longest = lengths[np.stack([batch.anchors, batch.positives, batch.negatives])].max(axis=0)
        spreads.append(longest.max() - longest.min())
    assert np.mean(spreads) < 10


def test_the_same_generator_gives_the_same_batches() -> None:
    mass = np.random.default_rng(0).dirichlet([1, 1, 1], 20)
    first, again, other = (all_turns(mass, 60, seed=seed).negatives.tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize("rows", [1_000, 100_000])
def test_memory_grows_with_the_rows_and_not_with_their_pairs(rows: int) -> None:
    mass = np.eye(4)[np.arange(rows) % 4]
    lengths = np.ones(rows, dtype=np.intp)
    tracemalloc.start()
    for _ in PairSampler(mass, np.random.default_rng(0)).batches(rows, 500, lengths):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The entries, their ends and a few arrays of the anchors, plus the batches that are near.
    assert peak < 200 * rows + 4_000_000
