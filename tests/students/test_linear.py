import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression

from crossfade.data import Example, MixedExample
from crossfade.errors import DataError, ModelError, ParsingError
from crossfade.models.encoder import SentenceEncoder
from crossfade.roles import Floats, Student
from crossfade.students.head import HEAD_NAME, SMALLEST_SHARE, point_of
from crossfade.students.linear import LinearSettings, LinearStudent

LABELS = ["a", "b", "c"]
QUESTIONS = [Example((f"question {number}",), "a") for number in range(6)]


class HashEncoder:
    """Eight numbers from a digest of the text, scaled to unit length."""

    name = "hash"

    def __init__(self, path: str | None = None) -> None:
        self.path = path

    def encode(self, texts: Sequence[str]) -> Floats:
        rows = [list(hashlib.sha256(text.encode()).digest()[:8]) for text in texts]
        vectors: Floats = np.array(rows, dtype=np.float64).reshape(len(texts), 8) - 127.5
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


class OtherEncoder(HashEncoder):
    name = "other"


class Rows:
    """Random training rows that name every class at least once; every other one is mixed when asked for."""

    def __init__(self, seed: int, count: int, *, pairs: bool = False, mixed: bool = False) -> None:
        rng = np.random.default_rng(seed)
        texts = [(f"text {seed} {row}", f"second {row}") if pairs else (f"text {seed} {row}",) for row in range(count)]
        self.examples = [
            MixedExample(text, "a", texts[row - 1], float(rng.uniform(0.1, 0.9)))
            if mixed and row % 2
            else Example(text, "a")
            for row, text in enumerate(texts)
        ]
        self.targets = rng.dirichlet([0.5] * len(LABELS), size=count)
        self.targets[: len(LABELS)] = np.eye(len(LABELS))
        self.weights = rng.uniform(0.2, 2, size=count)


rows = st.builds(Rows, seed=st.integers(0, 1000), count=st.integers(4, 15), mixed=st.booleans())


def answers(
    examples: Sequence[Example], targets: Floats, weights: Floats, asked: Sequence[Example] = QUESTIONS
) -> Floats:
    student: Student = LinearStudent(HashEncoder())
    return student.fit(examples, targets, weights, LABELS).predict_probabilities(asked)


def assert_close(left: Floats, right: Floats) -> None:
    np.testing.assert_allclose(left, right, rtol=0, atol=1e-6)


@settings(max_examples=15)
@given(rows, st.data())
def test_weight_zero_equals_absence(given_rows: Rows, data: st.DataObject) -> None:
    row = data.draw(st.integers(len(LABELS), len(given_rows.examples) - 1))
    silenced = given_rows.weights.copy()
    silenced[row] = 0
    present = [other for other in range(len(silenced)) if other != row]
    assert_close(
        answers(given_rows.examples, given_rows.targets, silenced),
        answers(
            [given_rows.examples[other] for other in present],
            given_rows.targets[present],
            given_rows.weights[present],
        ),
    )


@settings(max_examples=15)
@given(rows, st.data())
def test_a_duplicated_row_equals_weight_two(given_rows: Rows, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(given_rows.examples) - 1))
    once = np.ones(len(given_rows.examples))
    twice = once.copy()
    twice[row] = 2
    assert_close(
        answers(given_rows.examples, given_rows.targets, twice),
        answers(
            [*given_rows.examples, given_rows.examples[row]],
            np.vstack([given_rows.targets, given_rows.targets[row]]),
            np.append(once, 1.0),
        ),
    )


@settings(max_examples=15)
@given(rows, st.data())
def test_the_order_of_rows_does_not_matter(given_rows: Rows, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(given_rows.examples))))
    assert_close(
        answers(given_rows.examples, given_rows.targets, given_rows.weights),
        answers([given_rows.examples[row] for row in order], given_rows.targets[order], given_rows.weights[order]),
    )


@settings(max_examples=15)
@given(rows)
def test_a_soft_label_equals_the_text_once_per_class(given_rows: Rows) -> None:
    count, classes = given_rows.targets.shape
    hard = np.tile(np.eye(classes), (count, 1))
    shares = np.where(given_rows.targets >= SMALLEST_SHARE, given_rows.targets, 0)
    shares /= shares.sum(axis=1, keepdims=True)
    assert_close(
        answers(given_rows.examples, given_rows.targets, given_rows.weights),
        answers(
            [example for example in given_rows.examples for _ in range(classes)],
            hard,
            (shares * given_rows.weights[:, None]).ravel(),
        ),
    )


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize(("ratio", "parent"), [(1.0, 0), (0.0, 1)])
def test_ratio_one_equals_the_first_parent_exactly(ratio: float, parent: int, pairs: bool) -> None:
    given_rows = Rows(4, 12, pairs=pairs)
    parents = given_rows.examples[:2]
    mix = MixedExample(parents[0].texts, "a", parents[1].texts, ratio)
    extra = np.vstack([given_rows.targets, [0.5, 0.3, 0.2]]), np.append(given_rows.weights, 2.0)
    mixed, plain = (
        answers([*given_rows.examples, row], *extra, asked=given_rows.examples) for row in (mix, parents[parent])
    )
    assert (mixed == plain).all()


def test_a_mixed_row_lies_between_the_features_of_its_sides() -> None:
    student = LinearStudent(HashEncoder())
    first, second = Rows(0, 4, pairs=True).examples[:2]
    mix = MixedExample(first.texts, "a", second.texts, 0.7)
    sides = student._features([point_of(first), point_of(second)])
    np.testing.assert_allclose(student._features([point_of(mix)])[0], 0.7 * sides[0] + 0.3 * sides[1])


def test_mixed_rows_shift_the_border_towards_the_smaller_share() -> None:
    ends = [Example(("one end",), "a"), Example(("other end",), "b")]
    middle = MixedExample(ends[0].texts, "a", ends[1].texts, 0.5)
    even = answers(ends, np.eye(3)[:2], np.ones(2), asked=[middle])
    towards_first = answers([*ends, middle], np.vstack([np.eye(3)[:2], [1.0, 0.0, 0.0]]), np.ones(3), asked=[middle])
    assert towards_first[0, 0] > even[0, 0] + 0.1


@pytest.mark.parametrize("classes", [2, 3])
def test_one_hot_labels_give_the_plain_logistic_regression(classes: int) -> None:
    texts = [f"plain {row}" for row in range(12)]
    hard = np.arange(12) % classes
    encoder = HashEncoder()
    plain = LogisticRegression(C=10.0, tol=1e-10, max_iter=2000).fit(encoder.encode(texts), hard)
    student = LinearStudent(encoder).fit(
        [Example((text,), "a") for text in texts], np.eye(classes)[hard], np.ones(12), LABELS[:classes]
    )
    expected = plain.predict_proba(encoder.encode([question.text for question in QUESTIONS]))
    np.testing.assert_allclose(student.predict_probabilities(QUESTIONS), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_class_without_mass_keeps_its_column_at_zero(empty: int) -> None:
    given_rows = Rows(0, 9)
    targets = np.eye(3)[[(empty + 1 + row % 2) % 3 for row in range(9)]]
    probabilities = answers(given_rows.examples, targets, given_rows.weights)
    assert probabilities.shape == (len(QUESTIONS), 3)
    assert (probabilities[:, empty] == 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_training_texts_are_recognised() -> None:
    given_rows = Rows(3, 12)
    hard = np.arange(12) % 3
    probabilities = answers(given_rows.examples, np.eye(3)[hard], np.ones(12), asked=given_rows.examples)
    assert (probabilities.argmax(axis=1) == hard).mean() >= 0.75


def test_a_larger_strength_follows_the_training_rows_more_closely() -> None:
    given_rows = Rows(3, 12)
    hard = np.eye(3)[np.arange(12) % 3]
    loose, tight = (
        LinearStudent(HashEncoder(), settings=LinearSettings(strength=strength))
        .fit(given_rows.examples, hard, np.ones(12), LABELS)
        .predict_probabilities(given_rows.examples)
        for strength in (0.1, 100.0)
    )
    assert (tight * hard).sum() > (loose * hard).sum()


def test_pairs_notice_the_order_of_their_texts() -> None:
    given_rows = Rows(5, 12, pairs=True)
    student = LinearStudent(HashEncoder()).fit(given_rows.examples, given_rows.targets, given_rows.weights, LABELS)
    assert student.head is not None
    assert student.head.coefficients.shape == (3, 4 * 8)
    swapped = [Example((example.texts[1], example.texts[0]), "a") for example in given_rows.examples]
    straight = student.predict_probabilities(given_rows.examples)
    assert np.abs(straight - student.predict_probabilities(swapped)).max() > 0.01


def test_a_student_of_pairs_refuses_single_texts() -> None:
    given_rows = Rows(5, 12, pairs=True)
    student = LinearStudent(HashEncoder()).fit(given_rows.examples, given_rows.targets, given_rows.weights, LABELS)
    with pytest.raises(DataError, match="width 8; expected 32"):
        student.predict_probabilities(QUESTIONS)


def test_one_row_for_each_of_many_classes_is_no_cause_for_warnings() -> None:
    labels = [f"class {number}" for number in range(30)]
    examples = [Example((label,), label) for label in labels]
    student = LinearStudent(HashEncoder()).fit(examples, np.eye(30), np.ones(30), labels)
    assert student.predict_probabilities(examples).argmax(axis=1).tolist() == list(range(30))


def test_one_class_is_not_enough() -> None:
    with pytest.raises(DataError, match=r"\['b'\]; expected at least two classes"):
        answers(QUESTIONS, np.eye(3)[[1] * 6], np.ones(6))


def test_a_student_that_is_not_fitted_says_so(tmp_path: Path) -> None:
    student = LinearStudent(HashEncoder())
    with pytest.raises(ModelError, match="not fitted"):
        student.predict_probabilities(QUESTIONS)
    with pytest.raises(ModelError, match="not fitted"):
        student.save(tmp_path)


def test_fitting_leaves_the_student_as_it_was() -> None:
    given_rows = Rows(0, 9)
    student = LinearStudent(HashEncoder())
    student.fit(given_rows.examples, given_rows.targets, given_rows.weights, LABELS)
    assert student.head is None


def test_no_examples_give_no_rows() -> None:
    given_rows = Rows(0, 9)
    assert answers(given_rows.examples, given_rows.targets, given_rows.weights, asked=[]).shape == (0, 3)


def test_a_strength_of_zero_is_refused() -> None:
    with pytest.raises(ValidationError, match="strength"):
        LinearSettings(strength=0)


def saved_student(folder: Path, path: str | None = None) -> LinearStudent:
    given_rows = Rows(0, 9)
    student = LinearStudent(HashEncoder(path), settings=LinearSettings(strength=3.0))
    student = student.fit(given_rows.examples, given_rows.targets, given_rows.weights, LABELS)
    student.save(folder)
    return student


def test_a_saved_student_predicts_the_same(tmp_path: Path) -> None:
    student = saved_student(tmp_path / "new" / "student", path="models/hash")
    asked_for: list[str | None] = []

    def open_encoder(path: str | None) -> HashEncoder:
        asked_for.append(path)
        return HashEncoder(path)

    loaded = LinearStudent.load(tmp_path / "new" / "student", open_encoder=open_encoder)
    assert asked_for == ["models/hash"]
    assert loaded.settings == student.settings
    assert_close(loaded.predict_probabilities(QUESTIONS), student.predict_probabilities(QUESTIONS))


def test_another_encoder_than_in_training_is_refused(tmp_path: Path) -> None:
    saved_student(tmp_path)
    with pytest.raises(ModelError, match="'other'; the student was trained with 'hash'"):
        LinearStudent.load(tmp_path, open_encoder=OtherEncoder)


@pytest.mark.parametrize("content", [None, b"", b"no archive"])
def test_a_missing_or_broken_head_is_named(tmp_path: Path, content: bytes | None) -> None:
    saved_student(tmp_path)
    (tmp_path / HEAD_NAME).unlink()
    if content is not None:
        (tmp_path / HEAD_NAME).write_bytes(content)
    with pytest.raises(ParsingError, match=HEAD_NAME):
        LinearStudent.load(tmp_path, open_encoder=HashEncoder)


@pytest.mark.model
def test_four_texts_teach_minilm_two_topics(tmp_path: Path) -> None:
    gold = ["the striker scored a late goal", "she won the tennis final", "mix flour and butter", "boil the pasta"]
    examples = [Example((text,), label) for text, label in zip(gold, ["a", "a", "b", "b"], strict=True)]
    student = LinearStudent(SentenceEncoder()).fit(examples, np.eye(2)[[0, 0, 1, 1]], np.ones(4), ["sport", "food"])
    asked = [Example(("the goalkeeper saved a penalty",), "a"), Example(("roast the onions in oil",), "b")]
    probabilities = student.predict_probabilities(asked)
    assert probabilities.argmax(axis=1).tolist() == [0, 1]
    student.save(tmp_path)
    loaded = LinearStudent.load(tmp_path, open_encoder=SentenceEncoder)
    assert_close(loaded.predict_probabilities(asked), probabilities)
