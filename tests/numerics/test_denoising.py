import numpy as np
import pytest

from crossfade.numerics.denoising import attribute_frequencies, least_noisy, noise_of

ROWS = [("a", "b"), ("a",), ("a", "c")]


def test_frequencies_are_shares_of_all_attributes() -> None:
    assert attribute_frequencies(ROWS) == {"a": 3 / 5, "b": 1 / 5, "c": 1 / 5}
    assert attribute_frequencies([()]) == {}


def test_noise_is_the_mean_frequency_and_the_distance_weighted() -> None:
    frequencies = attribute_frequencies(ROWS)
    noise = noise_of([("a", "b"), ()], np.array([0.8, 1.0]), frequencies)
    assert noise == pytest.approx([0.5 * 0.4 + 0.5 * 0.2, 0.0])
    alone = noise_of([("a",)], np.array([0.8]), frequencies, frequency_weight=0.0, distance_weight=1.0)
    assert alone == pytest.approx([0.2])


def test_ranking_keeps_the_least_noisy_in_row_order() -> None:
    noise, rng = np.array([0.3, 0.1, 0.9, 0.2]), np.random.default_rng(0)
    assert least_noisy(noise, 3, "rank", rng) == [0, 1, 3]
    assert least_noisy(noise, 2, "none", rng) == [0, 1]
    assert least_noisy(noise, 9, "rank", rng) == [0, 1, 2, 3]
    assert least_noisy(noise[:0], 2, "sample", rng) == []


def test_sampling_draws_noisy_texts_seldom_but_does() -> None:
    noise, rng = np.array([0.1, 1.0]), np.random.default_rng(0)
    drawn = [least_noisy(noise, 1, "sample", rng)[0] for _ in range(400)]
    assert np.mean(drawn) == pytest.approx(1 / 11, abs=0.04)
    assert len(least_noisy(np.zeros(5), 3, "sample", rng)) == 3
