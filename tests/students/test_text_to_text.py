from pathlib import Path

import numpy as np
import pytest
from tests.annotated_doubles import FILLER, INTENTS, PEOPLE, PLACES, requests, sentences, write_tiny_t5

from crossfade.data import AnnotatedExample
from crossfade.errors import ModelError, SettingsError
from crossfade.evaluation.annotations import strict_f1
from crossfade.roles import Annotator
from crossfade.students.text_to_text import TextToText, TextToTextSettings

TARGETS = ["", *INTENTS, "card;pay", "card;when", "pay;when", "card;pay;when"]
QUICK = TextToTextSettings(epochs=25, batch_size=16, learning_rate=1e-2, target_length=4, source_length=8)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("t5")
    write_tiny_t5(folder, list(dict.fromkeys([*INTENTS.values(), *FILLER, *TARGETS[1:]])))
    return str(folder)


@pytest.fixture(scope="module")
def fitted(base: str) -> TextToText:
    return TextToText(base, QUICK).fit(requests(96), np.ones(96))


def test_it_learns_to_write_annotations(fitted: TextToText) -> None:
    assert isinstance(fitted, Annotator)
    rows = requests(40, 1)
    assert strict_f1(fitted.annotate(rows), rows) > 0.8


def test_a_saved_student_annotates_the_same(fitted: TextToText, tmp_path: Path) -> None:
    fitted.save(tmp_path / "student")
    rows = requests(10, 2)
    assert TextToText.load(tmp_path / "student").annotate(rows) == fitted.annotate(rows)


def test_a_separator_that_the_vocabulary_cannot_write_is_added_to_it(tmp_path: Path) -> None:
    # As T5 does, the model has more rows than its tokenizer has tokens.
    write_tiny_t5(tmp_path / "base", [*FILLER, *PEOPLE, *PLACES, "[person]", "[place]"], more_rows=8)
    settings = TextToTextSettings(epochs=40, batch_size=16, learning_rate=1e-2, target_length=8, source_length=8)
    student = TextToText(str(tmp_path / "base"), settings).fit(sentences(96), np.ones(96))
    rows = sentences(40, 1)
    said = student.annotate(rows)
    assert sum(len(row.mentions) == 2 for row in said) > 30
    assert strict_f1(said, rows) > 0.5
    assert student.tuned is not None
    assert student.tuned.model.config.vocab_size == 3 + len(FILLER) + 8 + 2 + 8
    student.save(tmp_path / "student")
    assert TextToText.load(tmp_path / "student").annotate(rows) == said


def test_a_vocabulary_without_room_grows(tmp_path: Path) -> None:
    write_tiny_t5(tmp_path / "base", ["ann"])
    student = TextToText(str(tmp_path / "base"), TextToTextSettings(epochs=1)).fit(sentences(2), np.ones(2))
    assert student.tuned is not None
    assert student.tuned.model.config.vocab_size == 5
    assert TextToText(str(tmp_path / "base"), QUICK).fit(requests(2), np.ones(2)).tuned.model.config.vocab_size == 4  # type: ignore[union-attr]


def test_a_student_without_a_base_says_what_to_name() -> None:
    with pytest.raises(SettingsError, match="text_to_text"):
        TextToText(None).fit(requests(2), np.ones(2))
    with pytest.raises(ModelError, match="not fitted"):
        TextToText("t5").annotate([AnnotatedExample(("x",), "intents")])
