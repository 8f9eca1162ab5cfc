from pathlib import Path

import numpy as np
import pytest
from tests.annotated_doubles import FILLER, INTENTS, requests
from tests.doubles import write_tiny_bert

from crossfade.data import AnnotatedExample, Example
from crossfade.errors import DataError, ModelError
from crossfade.evaluation.annotations import strict_f1
from crossfade.roles import Annotator
from crossfade.students.encoder_classifier import PRESETS, EncoderClassifierSettings
from crossfade.students.multi_label import MultiLabelClassifier

QUICK = EncoderClassifierSettings(epochs=1, batch_size=8, learning_rate=4e-3, max_length=16)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("base")
    write_tiny_bert(folder, [*INTENTS.values(), *FILLER], tokens=32)
    return str(folder)


@pytest.fixture(scope="module")
def fitted(base: str) -> MultiLabelClassifier:
    return MultiLabelClassifier(base, QUICK).fit(requests(16), np.ones(16))


@pytest.mark.model
def test_it_learns_several_intents_of_a_text() -> None:
    # The tiny encoder is too small to look from its first token at two words at once.
    settings = EncoderClassifierSettings(epochs=12, batch_size=8, learning_rate=5e-4, max_length=16)
    student = MultiLabelClassifier(None, settings).fit(requests(48), np.ones(48))
    assert isinstance(student, Annotator)
    rows = requests(20, 1)
    assert strict_f1(student.annotate(rows), rows) > 0.9
    (row,) = student.predict_probabilities([Example(("pays card when",), "intents")])
    # Several intents can be probable at once.
    assert row.sum() > 1.5


def test_no_texts_have_no_annotations(fitted: MultiLabelClassifier) -> None:
    assert fitted.annotate([]) == []
    assert fitted.predict_probabilities([]).shape == (0, 3)


def test_a_weight_of_zero_equals_absence(base: str) -> None:
    rows = requests(12)
    without = MultiLabelClassifier(base, QUICK).fit(rows[:8], np.ones(8))
    weighed = MultiLabelClassifier(base, QUICK).fit(rows, np.array([1.0] * 8 + [0.0] * 4))
    assert np.array_equal(without.predict_probabilities(rows), weighed.predict_probabilities(rows))


def test_a_saved_student_annotates_the_same(fitted: MultiLabelClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path / "student")
    rows = requests(10, 2)
    assert MultiLabelClassifier.load(tmp_path / "student").annotate(rows) == fitted.annotate(rows)


def test_what_cannot_be_learned_from_is_refused(base: str) -> None:
    student = MultiLabelClassifier(base, QUICK)
    with pytest.raises(DataError, match="No row has an intent"):
        student.fit([AnnotatedExample(("x",), "intents")], np.ones(1))
    with pytest.raises(DataError, match="no annotation"):
        student.fit([Example(("x",), "a")], np.ones(1))
    with pytest.raises(ModelError, match="not fitted"):
        student.annotate(requests(1))


def test_the_head_starts_from_how_often_each_intent_occurs(base: str) -> None:
    # At a rate of next to nothing the start is what is left.
    still = EncoderClassifierSettings(epochs=1, batch_size=8, learning_rate=1e-12, max_length=16)
    rows = requests(24)
    names = sorted(INTENTS)
    frequencies = [sum(name in row.intents for row in rows) / len(rows) for name in names]
    found = MultiLabelClassifier(base, still).fit(rows, np.ones(24)).predict_probabilities(rows)
    assert found.mean(axis=0) == pytest.approx(frequencies, abs=0.05)
    assert not np.allclose(frequencies, 0.5, atol=0.1)


@pytest.mark.model
def test_it_learns_intents_that_are_rare() -> None:
    # From even odds all of them are pushed down at once, and nothing is ever found.
    words = ("card", "loan", "pin", "fee", "app", "limit", "refund", "branch", "safe", "wire", "cheque", "atm")
    rows = [
        AnnotatedExample((f"what about my {word} {end}",), "intents", (word,)) for word in words for end in ("?", "now")
    ]
    settings = EncoderClassifierSettings(epochs=20, batch_size=8, learning_rate=5e-4, max_length=16)
    student = MultiLabelClassifier(None, settings).fit(rows, np.ones(len(rows)))
    asked = [AnnotatedExample((f"tell me of the {word}",), "intents", (word,)) for word in words]
    assert strict_f1(student.annotate(asked), asked) > 0.5


def test_what_is_not_set_is_as_for_intents() -> None:
    assert MultiLabelClassifier().settings == PRESETS["intents"]
    given = EncoderClassifierSettings.model_validate({"epochs": 7, "preset": "ssmix"})
    assert MultiLabelClassifier(None, given).settings == given.model_copy(update={"seed": 0})
    few = EncoderClassifierSettings(epochs=7)
    assert MultiLabelClassifier(None, few).settings == PRESETS["intents"].model_copy(update={"epochs": 7})
