from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.encoder_doubles import FRUIT, METAL, write_tiny_encoder

from crossfade.data import Example
from crossfade.errors import DataError, ModelError, ParsingError
from crossfade.roles import Floats, Student
from crossfade.students import load_student
from crossfade.students.contrastive import ContrastiveSettings, ContrastiveStudent
from crossfade.students.head import HEAD_NAME

LABELS = ["fruit", "metal"]
QUICK = ContrastiveSettings(iterations=6, batch_size=8, learning_rate=5e-3)
ONCE = QUICK.model_copy(update={"iterations": 1})
EXAMPLES = [Example((f"{word} {other}",), "x") for words in (FRUIT, METAL) for word in words for other in words[:2]]
CLASSES = np.repeat([0, 1], 8)
TARGETS = np.eye(2)[CLASSES]
ONES = np.ones(16)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_tiny_encoder(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def fitted(base: str) -> ContrastiveStudent:
    return ContrastiveStudent(base, QUICK).fit(EXAMPLES, TARGETS, ONES, LABELS)


def answers(base: str, examples: list[Example], targets: Floats, weights: Floats) -> Floats:
    return ContrastiveStudent(base, ONCE).fit(examples, targets, weights, LABELS).predict_probabilities(EXAMPLES)


def similarity_of(student: ContrastiveStudent, left: str, right: str) -> float:
    assert student.tuned is not None
    vectors = student.tuned.model.encode([left, right], normalize_embeddings=True)
    return float(vectors[0] @ vectors[1])


def test_separable_classes_are_learnt(fitted: ContrastiveStudent) -> None:
    student: Student = fitted
    unseen = [Example(("grape plum",), "x"), Example(("lead zinc",), "x")]
    probabilities = student.predict_probabilities([*EXAMPLES, *unseen])
    assert probabilities.argmax(axis=1).tolist() == [*CLASSES.tolist(), 0, 1]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_tuning_brings_classes_apart(base: str, fitted: ContrastiveStudent) -> None:
    still = ContrastiveStudent(base, QUICK.model_copy(update={"learning_rate": 1e-9}))
    untuned = still.fit(EXAMPLES, TARGETS, ONES, LABELS)
    assert similarity_of(untuned, "apple pear", "iron gold") > 0.5
    assert similarity_of(fitted, "apple pear", "iron gold") < 0.2
    assert similarity_of(fitted, "apple pear", "plum apple") > 0.8


def test_a_saved_student_predicts_the_same(fitted: ContrastiveStudent, tmp_path: Path) -> None:
    fitted.save(tmp_path / "student")
    loaded = load_student(tmp_path / "student", open_encoder=lambda _: pytest.fail("no encoder is needed"))
    assert isinstance(loaded, ContrastiveStudent)
    assert (loaded.settings, loaded.base, loaded.labels) == (fitted.settings, fitted.base, tuple(LABELS))
    np.testing.assert_allclose(
        loaded.predict_probabilities(EXAMPLES), fitted.predict_probabilities(EXAMPLES), rtol=0, atol=1e-6
    )
    files = {path.suffix for path in (tmp_path / "student").rglob("*") if path.is_file()}
    assert files <= {".json", ".safetensors", ".npz", ".txt"}


def test_the_order_of_rows_does_not_matter(base: str) -> None:
    rng = np.random.default_rng(0)
    targets, weights, order = rng.dirichlet([1, 1], 16), rng.uniform(0.2, 2, 16), rng.permutation(16)
    assert np.array_equal(
        answers(base, EXAMPLES, targets, weights),
        answers(base, [EXAMPLES[row] for row in order], targets[order], weights[order]),
    )


def test_weight_zero_equals_absence(base: str) -> None:
    noise = [Example(("apple iron",), "x"), Example(("gold pear",), "x")]
    with_noise = answers(
        base, [noise[0], *EXAMPLES, noise[1]], np.vstack([TARGETS[:1], TARGETS, TARGETS[:1]]), np.r_[0, ONES, 0]
    )
    assert np.array_equal(with_noise, answers(base, EXAMPLES, TARGETS, ONES))


def test_a_duplicated_row_equals_weight_two(base: str) -> None:
    assert np.array_equal(
        answers(base, EXAMPLES, TARGETS, np.r_[2, ONES[1:]]),
        answers(base, [*EXAMPLES, EXAMPLES[0]], np.vstack([TARGETS, TARGETS[:1]]), np.ones(17)),
    )


def test_the_same_seed_gives_the_same_student_and_leaves_global_randomness_alone(base: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = answers(base, EXAMPLES, TARGETS, ONES)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert np.array_equal(first, answers(base, EXAMPLES, TARGETS, ONES))
    other = ContrastiveStudent(base, ONCE.model_copy(update={"seed": 1})).fit(EXAMPLES, TARGETS, ONES, LABELS)
    assert not np.allclose(first, other.predict_probabilities(EXAMPLES))


def test_the_similarity_of_two_texts_nears_the_probability_that_they_agree(base: str) -> None:
    # One text of each class, and one that is 3/4 the first: it agrees with it in 3 of 4 cases.
    examples = [Example((text,), "x") for text in ("apple pear", "iron gold", "plum zinc")]
    targets = np.array([[1, 0], [0, 1], [0.75, 0.25]])
    settings = QUICK.model_copy(update={"iterations": 100})
    student = ContrastiveStudent(base, settings).fit(examples, targets, np.ones(3), LABELS)
    assert similarity_of(student, "plum zinc", "apple pear") == pytest.approx(0.75, abs=0.15)
    assert similarity_of(student, "plum zinc", "iron gold") == pytest.approx(0.25, abs=0.15)
    assert similarity_of(student, "apple pear", "iron gold") == pytest.approx(0, abs=0.15)


def test_one_row_per_class_is_enough(base: str) -> None:
    examples = [Example(("apple pear",), "x"), Example(("iron gold",), "x")]
    student = ContrastiveStudent(base, QUICK).fit(examples, np.eye(2), np.ones(2), LABELS)
    assert student.predict_probabilities(examples).argmax(axis=1).tolist() == [0, 1]


def test_a_single_class_is_refused(base: str) -> None:
    with pytest.raises(DataError, match=r"mass in the classes \['fruit'\]; expected at least two"):
        ContrastiveStudent(base, QUICK).fit(EXAMPLES, np.tile([1.0, 0], (16, 1)), ONES, LABELS)


def test_a_class_without_rows_gets_probability_zero(base: str) -> None:
    targets = np.hstack([TARGETS, np.zeros((16, 1))])
    student = ContrastiveStudent(base, ONCE).fit(EXAMPLES, targets, ONES, [*LABELS, "wood"])
    assert (student.predict_probabilities(EXAMPLES)[:, 2] == 0).all()


def test_the_steps_have_a_cap(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []

    class CountingAdamW(torch.optim.AdamW):
        def zero_grad(self, set_to_none: bool = True) -> None:
            steps.append(1)
            super().zero_grad(set_to_none)

    monkeypatch.setattr(torch.optim, "AdamW", CountingAdamW)
    ContrastiveStudent(base, ONCE).fit(EXAMPLES, TARGETS, ONES, LABELS)
    assert len(steps) == 4
    steps.clear()
    ContrastiveStudent(base, ONCE.model_copy(update={"max_steps": 3})).fit(EXAMPLES, TARGETS, ONES, LABELS)
    assert len(steps) == 3


def test_two_texts_are_read_as_a_pair(base: str) -> None:
    pairs = [Example((left, right), "x") for words in (FRUIT, METAL) for left in words for right in words[:2]]
    student = ContrastiveStudent(base, QUICK).fit(pairs, TARGETS, ONES, LABELS)
    assert student.predict_probabilities(pairs).argmax(axis=1).tolist() == CLASSES.tolist()
    assert student.tuned is not None
    tokens = student.tuned.model.preprocess([pairs[0].texts])
    assert tokens["token_type_ids"].tolist() == [[0, 0, 0, 1, 1]]


def test_no_examples_give_no_rows(fitted: ContrastiveStudent) -> None:
    assert fitted.predict_probabilities([]).shape == (0, 2)


def test_one_text_and_two_are_not_mixed(fitted: ContrastiveStudent) -> None:
    with pytest.raises(DataError, match="expected the same number"):
        fitted.predict_probabilities([EXAMPLES[0], Example(("apple", "pear"), "x")])


def test_a_student_that_is_not_fitted_says_so(base: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not fitted"):
        ContrastiveStudent(base).predict_probabilities(EXAMPLES)
    with pytest.raises(ModelError, match="not fitted"):
        ContrastiveStudent(base).save(tmp_path)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        ContrastiveStudent(str(tmp_path)).fit(EXAMPLES, TARGETS, ONES, LABELS)


def test_a_missing_head_is_named(fitted: ContrastiveStudent, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    (tmp_path / HEAD_NAME).unlink()
    with pytest.raises(ParsingError, match=HEAD_NAME):
        ContrastiveStudent.load(tmp_path)


def test_training_prints_nothing(base: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ContrastiveStudent(base, ONCE).fit(EXAMPLES, TARGETS, ONES, LABELS).save(tmp_path)
    ContrastiveStudent.load(tmp_path)
    assert tuple(capfd.readouterr()) == ("", "")


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="patience"):
        ContrastiveSettings.model_validate({"patience": 3})


@pytest.mark.model
def test_the_packaged_encoder_is_tuned_where_no_base_is_named() -> None:
    examples = [
        Example((text,), "x") for text in ("I lost my card", "my card is gone", "transfer money", "send a payment")
    ]
    settings = ContrastiveSettings(iterations=1)
    student = ContrastiveStudent(settings=settings).fit(examples, np.eye(2)[[0, 0, 1, 1]], np.ones(4), LABELS)
    asked = [Example(("where is my card",), "x"), Example(("pay my friend",), "x")]
    assert student.predict_probabilities(asked).argmax(axis=1).tolist() == [0, 1]
