import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.encoder_doubles import FRUIT, METAL, write_tiny_encoder

from crossfade.data import DataWarning, Example, MixedExample
from crossfade.errors import DataError, ModelError, SettingsError
from crossfade.roles import Student
from crossfade.students.encoder_classifier import PRESETS, EncoderClassifier, EncoderClassifierSettings

LABELS = ["fruit", "metal"]
QUICK = EncoderClassifierSettings(epochs=12, batch_size=4, learning_rate=5e-3, max_length=8)
EXAMPLES = [Example((f"{word} {other}",), "x") for words in (FRUIT, METAL) for word in words for other in words[:2]]
CLASSES = np.repeat([0, 1], 8)
TARGETS = np.eye(2)[CLASSES]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_tiny_encoder(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def fitted(base: str) -> EncoderClassifier:
    return EncoderClassifier(base, QUICK).fit(EXAMPLES, TARGETS, np.ones(16), LABELS)


def test_separable_classes_are_learnt(fitted: EncoderClassifier) -> None:
    student: Student = fitted
    unseen = [Example(("grape plum",), "x"), Example(("lead zinc",), "x")]
    probabilities = student.predict_probabilities([*EXAMPLES, *unseen])
    assert probabilities.argmax(axis=1).tolist() == [*CLASSES.tolist(), 0, 1]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_mixed_embeddings_are_refused(base: str, fitted: EncoderClassifier) -> None:
    mix = MixedExample(EXAMPLES[0].texts, "x", EXAMPLES[8].texts, 0.5)
    with pytest.raises(DataError, match="hidden_mixup"):
        EncoderClassifier(base, QUICK).fit([*EXAMPLES[1:], mix], TARGETS, np.ones(16), LABELS)
    with pytest.raises(DataError, match="hidden_mixup"):
        fitted.predict_probabilities([mix])


def test_a_saved_student_predicts_the_same(fitted: EncoderClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path / "student")
    loaded = EncoderClassifier.load(tmp_path / "student")
    assert loaded.settings == fitted.settings
    assert loaded.base == fitted.base
    assert loaded.tuned is not None
    assert loaded.tuned.labels == tuple(LABELS)
    np.testing.assert_allclose(
        loaded.predict_probabilities(EXAMPLES), fitted.predict_probabilities(EXAMPLES), rtol=0, atol=1e-6
    )
    assert {path.suffix for path in (tmp_path / "student").iterdir()} == {".json", ".safetensors"}


def test_the_same_seed_gives_the_same_student_and_leaves_global_randomness_alone(base: str) -> None:
    settings = QUICK.model_copy(update={"epochs": 1})
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = EncoderClassifier(base, settings).fit(EXAMPLES, TARGETS, np.ones(16), LABELS)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = EncoderClassifier(base, settings).fit(EXAMPLES, TARGETS, np.ones(16), LABELS)
    other = EncoderClassifier(base, settings.model_copy(update={"seed": 1})).fit(EXAMPLES, TARGETS, np.ones(16), LABELS)
    assert np.array_equal(first.predict_probabilities(EXAMPLES), again.predict_probabilities(EXAMPLES))
    assert not np.allclose(first.predict_probabilities(EXAMPLES), other.predict_probabilities(EXAMPLES))


def test_weight_zero_equals_absence(base: str) -> None:
    settings = QUICK.model_copy(update={"epochs": 1})
    noise = [Example(("apple iron",), "x"), Example(("gold pear",), "x")]
    with_noise = EncoderClassifier(base, settings).fit(
        [noise[0], *EXAMPLES, noise[1]],
        np.vstack([TARGETS[:1], TARGETS, TARGETS[:1]]),
        np.r_[0, np.ones(16), 0],
        LABELS,
    )
    without = EncoderClassifier(base, settings).fit(EXAMPLES, TARGETS, np.ones(16), LABELS)
    assert np.array_equal(with_noise.predict_probabilities(EXAMPLES), without.predict_probabilities(EXAMPLES))


def test_soft_labels_are_learnt_as_probabilities(base: str) -> None:
    soft = np.where(TARGETS == 1, 0.7, 0.3)
    student = EncoderClassifier(base, QUICK).fit(EXAMPLES, soft, np.ones(16), LABELS)
    np.testing.assert_allclose(student.predict_probabilities(EXAMPLES), soft, rtol=0, atol=0.15)


def test_the_heavier_of_two_contradicting_rows_wins(base: str) -> None:
    examples = [Example(("apple iron",), "x")] * 8
    targets = np.eye(2)[[0, 1] * 4]
    for winner in (0, 1):
        weights = np.where(targets[:, winner] == 1, 9.0, 1.0)
        student = EncoderClassifier(base, QUICK).fit(examples, targets, weights, LABELS)
        assert student.predict_probabilities(examples[:1])[0, winner] > 0.75


def test_two_texts_are_read_as_a_pair(base: str) -> None:
    pairs = [Example((left, right), "x") for words in (FRUIT, METAL) for left in words for right in words[:2]]
    student = EncoderClassifier(base, QUICK).fit(pairs, TARGETS, np.ones(16), LABELS)
    assert student.predict_probabilities(pairs).argmax(axis=1).tolist() == CLASSES.tolist()
    assert student.tuned is not None
    tokens = student.tuned.tokens(pairs[:1])
    assert tokens["token_type_ids"].tolist() == [[0, 0, 0, 1, 1]]


def test_long_texts_are_cut_to_the_maximal_length(fitted: EncoderClassifier) -> None:
    assert fitted.tuned is not None
    assert fitted.tuned.tokens([Example(("apple " * 50,), "x")])["input_ids"].shape == (1, 8)


@pytest.mark.parametrize(("long", "warned"), [(1, False), (2, True)])
def test_a_warning_says_that_many_rows_are_cut(base: str, long: int, warned: bool) -> None:
    words = [7] * long + [6] * (16 - long)
    rows = [Example((" ".join([FRUIT[0]] * count),), "x") for count in words]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        EncoderClassifier(base, QUICK).fit(rows, TARGETS, np.ones(16), LABELS)
    said = [str(warning.message) for warning in caught if warning.category is DataWarning]
    assert (
        said
        == [
            "More than 10% of the training rows have over 8 word pieces; what stands after them is not read. "
            "Raise student.encoder_classifier.max_length."
        ]
        * warned
    )


def test_no_examples_give_no_rows(fitted: EncoderClassifier) -> None:
    assert fitted.predict_probabilities([]).shape == (0, 2)


def test_a_student_that_is_not_fitted_says_so(base: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not fitted"):
        EncoderClassifier(base).predict_probabilities(EXAMPLES)
    with pytest.raises(ModelError, match="not fitted"):
        EncoderClassifier(base).save(tmp_path)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        EncoderClassifier(str(tmp_path)).fit(EXAMPLES, TARGETS, np.ones(16), LABELS)


def test_training_prints_nothing(base: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    student = EncoderClassifier(base, QUICK.model_copy(update={"epochs": 1}))
    student.fit(EXAMPLES, TARGETS, np.ones(16), LABELS).save(tmp_path)
    EncoderClassifier.load(tmp_path)
    assert tuple(capfd.readouterr()) == ("", "")


def test_presets_differ_as_promptmix_reports() -> None:
    assert PRESETS["promptmix"] == EncoderClassifierSettings(
        epochs=5, batch_size=8, prediction_batch_size=32, learning_rate=4e-5, weight_decay=0.01, max_length=50
    )
    banking = PRESETS["promptmix_banking77"]
    assert (banking.learning_rate, banking.weight_decay, banking.epochs) == (6e-5, 0.001, 5)


def test_the_ssmix_preset_holds_the_values_of_its_code() -> None:
    assert PRESETS["ssmix"] == EncoderClassifierSettings(
        epochs=3, batch_size=32, learning_rate=5e-5, weight_decay=1e-4, warm_up=0.1, max_length=128
    )


def test_a_preset_is_named_among_the_keys_and_gives_way_to_them() -> None:
    settings = EncoderClassifierSettings.model_validate({"preset": "ssmix", "epochs": 5})
    assert (settings.epochs, settings.batch_size) == (5, 32)
    kept = settings.model_dump(exclude_defaults=True)
    assert EncoderClassifierSettings.model_validate(kept) == settings


def test_an_unknown_preset_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(SettingsError, match=r"no preset 'ssmx'\. Did you mean 'ssmix'"):
        EncoderClassifierSettings.checked({"preset": "ssmx"})


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="patience"):
        EncoderClassifierSettings.model_validate({"patience": 3})
