import numpy as np
import pytest
from tests.doubles import FakeEncoder

from crossfade.data import Augmented, Corpus, Example, Origin, Synthetic
from crossfade.errors import ModelError
from crossfade.roles import Floats, Student
from crossfade.selection.checking import LabelSettings, check_labels
from crossfade.selection.row_value import helpfulness, learn_weights, pair_features, reverse_cross_entropy

WRONG = np.arange(200) % 8 == 0


def clusters(classes: int = 2) -> tuple[Floats, np.ndarray]:
    """Draw points around one centre a class, every eighth with another class's label."""
    rng = np.random.default_rng(0)
    true = np.arange(200) // 8 % classes
    points = 3 * np.eye(8)[true] + rng.standard_normal((200, 8))
    return points, np.where(WRONG, (true + 1) % classes, true)


def test_the_gradient_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(1)
    logits, labels = rng.standard_normal((5, 3)), np.array([0, 1, 2, 0, 1])

    def loss(given: Floats) -> Floats:
        powers = np.exp(given)
        return reverse_cross_entropy(powers / powers.sum(axis=1, keepdims=True), labels)[0]

    powers = np.exp(logits)
    _, gradient = reverse_cross_entropy(powers / powers.sum(axis=1, keepdims=True), labels)
    for column in range(3):
        moved = 1e-6 * np.eye(3)[column]
        np.testing.assert_allclose((loss(logits + moved) - loss(logits - moved)) / 2e-6, gradient[:, column], atol=1e-6)


def test_the_loss_is_bounded_and_small_where_the_label_is_sure() -> None:
    losses, _ = reverse_cross_entropy(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 0]))
    np.testing.assert_allclose(losses, [0, 10], atol=1e-3)


@pytest.mark.parametrize("classes", [2, 4])
def test_wrong_labels_lose_weight(classes: int) -> None:
    weights = learn_weights(*clusters(classes))
    assert weights[WRONG].mean() < 0.2
    assert weights[~WRONG].mean() > 0.7


@pytest.mark.parametrize("classes", [2, 4])
def test_rows_with_wrong_labels_do_not_help(classes: int) -> None:
    value = helpfulness(*clusters(classes), np.random.default_rng(0))
    measured = value != 0
    assert 60 < measured.sum() < 140
    assert value[measured & WRONG].max() < 0
    assert value[measured & ~WRONG].mean() > 0


def test_pairs_are_told_apart_by_both_texts() -> None:
    rows = [Example(("a b", "c"), "x"), Example(("a b", "a b"), "x")]
    features = pair_features(rows, FakeEncoder())
    assert features.shape == (2, 4 * 64)
    np.testing.assert_allclose(features[1, 128:192], 0)


def test_the_check_weighs_texts_and_drops_those_that_lose() -> None:
    texts = [f"{'good fine' if row % 2 else 'bad poor'} w{row}" for row in range(40)]
    labels = [("bad", "good")[(row % 2) ^ (row < 4)] for row in range(40)]
    kept = tuple(
        Synthetic(Example((text,), label), Origin(method="m", written_label=label))
        for text, label in zip(texts, labels, strict=True)
    )

    def no_student() -> Student:
        raise ModelError("No student is needed.")

    made = check_labels(
        Augmented(kept, (), {"bad": {"kept": 20}, "good": {"kept": 20}}, ""),
        Corpus((), ("bad", "good")),
        judges={},
        encoder=FakeEncoder(),
        settings=LabelSettings(check="sungen"),
        new_student=no_student,
    )
    lost = {row.example.text for row in made.dropped}
    assert {text for text in texts[:4]} <= lost
    assert len(lost) < 12
    assert all(row.origin.confidence is not None and row.origin.confidence >= 0.5 for row in made.kept)
    assert all("learned weight" in str(row.origin.reason) for row in made.dropped)
