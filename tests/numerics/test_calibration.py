import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.numerics import calibration
from crossfade.roles import Floats

NEVER = -np.inf


def probabilities(seed: int, rows: int = 12, classes: int = 4) -> Floats:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), size=rows)


def test_softmax_gives_excluded_classes_nothing() -> None:
    shares = calibration.softmax(np.array([[0.0, NEVER, 0.0], [1000.0, 0.0, NEVER]]))
    assert shares == pytest.approx(np.array([[0.5, 0.0, 0.5], [1.0, 0.0, 0.0]]))


@given(st.integers(0, 999), st.floats(-50, 50))
def test_softmax_ignores_what_a_whole_row_gains(seed: int, shift: float) -> None:
    scores = np.random.default_rng(seed).normal(size=(3, 4))
    assert calibration.softmax(scores + shift) == pytest.approx(calibration.softmax(scores))


def test_centred_rows_have_mean_zero_over_the_classes_they_consider() -> None:
    centred = calibration.centre_rows(np.array([[1.0, 3.0, NEVER], [5.0, 5.0, 5.0]]))
    assert centred.tolist() == [[-1.0, 1.0, NEVER], [0.0, 0.0, 0.0]]


@given(st.integers(0, 999))
def test_removing_offsets_frees_scores_of_any_class_bias(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, bias = rng.normal(size=(6, 3)), rng.normal(size=3)
    plain = calibration.centre_rows(scores) - calibration.class_offsets(scores)
    biased = calibration.centre_rows(scores + bias) - calibration.class_offsets(scores + bias)
    assert biased == pytest.approx(plain)


def test_class_that_no_row_considers_has_no_offset() -> None:
    assert calibration.class_offsets(np.array([[1.0, 3.0, NEVER]]))[2] == 0.0


def fit_one(scores: Floats, answers: np.ndarray) -> float:
    (factor,) = calibration.fit_sharpnesses([scores], answers)
    return float(factor)


def noisy(seed: int, answers: np.ndarray, strength: float = 1.0) -> Floats:
    scores: Floats = strength * np.eye(4)[answers] + np.random.default_rng(seed).normal(size=(len(answers), 4))
    return scores


def test_scores_that_are_right_are_sharpened_and_random_ones_flattened() -> None:
    answers = np.arange(200) % 4
    right = 2 * np.eye(4)[answers]
    random = np.random.default_rng(0).normal(size=(200, 4))
    assert fit_one(right, answers) > 2
    assert fit_one(random, answers) < 0.5


def test_the_more_answers_are_wrong_the_less_a_source_says() -> None:
    factors = []
    for count in (4, 40, 400):
        answers = np.arange(count) % 4
        factors.append(fit_one(2 * np.eye(4)[(answers + 1) % 4], answers))
    assert 1 > factors[0] > factors[1] > factors[2]
    assert factors[2] < 0.3


def test_a_copy_of_a_source_counts_once() -> None:
    answers = np.arange(40) % 4
    source, other = noisy(0, answers), noisy(1, answers)
    copies = calibration.fit_sharpnesses([source, source], answers)
    assert copies[0] == pytest.approx(copies[1], rel=1e-3)
    alone = fit_one(source, answers)
    assert copies.sum() == pytest.approx(alone, rel=0.15)
    assert calibration.fit_sharpnesses([source, other], answers).sum() > 1.3 * alone


def test_source_at_chance_beside_a_good_one_is_hardly_heard() -> None:
    answers = np.arange(200) % 4
    good, random = calibration.fit_sharpnesses([noisy(0, answers, 3), noisy(1, answers, 0)], answers)
    assert good > 4 * random


def test_order_of_sources_does_not_matter_to_their_sharpness() -> None:
    answers = np.arange(40) % 4
    sources = [noisy(seed, answers, seed + 0.5) for seed in range(3)]
    plain = calibration.fit_sharpnesses(sources, answers)
    assert calibration.fit_sharpnesses(sources[::-1], answers)[::-1] == pytest.approx(plain, rel=1e-3)


def test_sources_that_only_agree_on_the_truth_do_not_err_together() -> None:
    answers = np.arange(400) % 4
    first, second = noisy(0, answers, 3), noisy(1, answers, 3)
    correlations = calibration.error_correlations([first, second, first], answers)
    assert abs(correlations[0, 1]) < 0.1
    assert correlations[0, 2] == pytest.approx(1)
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.5


def test_classes_that_a_source_did_not_consider_are_its_lowest_scores() -> None:
    answers = np.array([0, 1])
    partly = np.array([[1.0, 0.0, NEVER], [0.5, 1.0, NEVER]])
    lowest = np.where(np.isfinite(partly), partly, 0.0)
    correlations = calibration.error_correlations([partly, lowest], answers)
    assert correlations == pytest.approx(np.ones((2, 2)))


@given(st.integers(0, 999), st.floats(1e-3, 50))
def test_sharpened_rows_sum_to_one_and_veto_nothing(seed: int, factor: float) -> None:
    shares = calibration.sharpened(np.random.default_rng(seed).normal(size=(5, 4)), factor)
    assert shares.sum(axis=1) == pytest.approx(np.ones(5))
    assert shares.min() > 0


def test_uniform_source_changes_no_product() -> None:
    source = probabilities(0)
    assert calibration.product_of([source, np.full_like(source, 0.25)]) == pytest.approx(source)


@given(st.integers(0, 999))
def test_order_of_sources_does_not_matter(seed: int) -> None:
    first, second = probabilities(seed), probabilities(seed + 1)
    assert calibration.product_of([first, second]) == pytest.approx(calibration.product_of([second, first]))


def posterior_of(written: np.ndarray, evidence: Floats, share: float = 0.5) -> Floats:
    return calibration.with_writer(written, evidence, calibration.writer_reliability(written, evidence), share)


def test_reliability_is_how_far_others_bear_the_writer_out_but_at_least_a_half() -> None:
    written = np.zeros(2, dtype=int)
    assert calibration.writer_reliability(written, np.array([[0.9, 0.1], [0.6, 0.4]])) == pytest.approx(0.75)
    assert calibration.writer_reliability(written, np.array([[0.1, 0.9], [0.2, 0.8]])) == 0.5
    assert calibration.writer_reliability(written, np.array([[1.0, 0.0], [1.0, 0.0]])) < 1


def test_writer_without_a_share_has_no_vote() -> None:
    evidence = probabilities(3)
    assert posterior_of(np.arange(12) % 4, evidence, share=0.0) == pytest.approx(evidence)


def test_writers_vote_does_not_grow_with_the_number_of_classes() -> None:
    odds = []
    for classes in (5, 50):
        posterior = calibration.with_writer(np.array([0]), np.full((1, classes), 1 / classes), 0.8, 1.0)
        odds.append(posterior[0, 0] / posterior[0, 1])
    assert odds[0] == pytest.approx(odds[1])


def test_two_classes_leave_the_writer_its_reliability() -> None:
    posterior = calibration.with_writer(np.array([0]), np.full((1, 2), 0.5), 0.8, 1.0)
    assert posterior == pytest.approx(np.array([[0.8, 0.2]]))


@given(st.integers(0, 999))
def test_posterior_rows_sum_to_one_and_follow_a_permutation(seed: int) -> None:
    evidence = probabilities(seed)
    written = np.arange(12) % 4
    order = np.random.default_rng(seed).permutation(12)
    posterior = posterior_of(written, evidence)
    assert posterior.sum(axis=1) == pytest.approx(np.ones(12))
    assert posterior_of(written[order], evidence[order]) == pytest.approx(posterior[order], abs=1e-6)


def test_writer_that_others_bear_out_adds_to_its_own_class() -> None:
    written = np.arange(12) % 4
    evidence = np.full((12, 4), 0.2)
    evidence[np.arange(12), written] = 0.4
    posterior = posterior_of(written, evidence)
    assert (posterior[np.arange(12), written] > 0.4).all()


def test_without_evidence_the_text_is_what_was_asked_for() -> None:
    written = np.arange(12) % 4
    posterior = posterior_of(written, np.full((12, 4), 0.25))
    assert np.array_equal(posterior.argmax(axis=1), written)


def test_certain_evidence_overrules_the_writer() -> None:
    written = np.zeros(4, dtype=int)
    evidence = np.tile([0.001, 0.999, 0.0, 0.0], (4, 1)) + 1e-9
    assert posterior_of(written, evidence / evidence.sum(axis=1, keepdims=True)).argmax(axis=1).tolist() == [1, 1, 1, 1]
