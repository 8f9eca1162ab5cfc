from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.annotated_doubles import FILLER, PEOPLE, PLACES, sentences
from tests.doubles import write_tiny_bert

from crossfade.data import AnnotatedExample, Mention
from crossfade.errors import DataError, ModelError
from crossfade.evaluation.annotations import strict_f1
from crossfade.roles import Annotator
from crossfade.students.token_classifier import TokenClassifier, TokenClassifierSettings

QUICK = TokenClassifierSettings(epochs=8, batch_size=8, learning_rate=1e-2, max_length=16)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("base")
    write_tiny_bert(folder, [*PEOPLE, *PLACES, *FILLER, "##s", ","], tokens=64)
    return str(folder)


@pytest.fixture(scope="module")
def fitted(base: str) -> TokenClassifier:
    return TokenClassifier(base, QUICK).fit(sentences(64), np.ones(64))


def test_it_learns_to_find_entities(fitted: TokenClassifier) -> None:
    assert isinstance(fitted, Annotator)
    rows = sentences(40, 1)
    assert strict_f1(fitted.annotate(rows), rows) > 0.9


def test_mentions_stand_where_the_text_has_them_however_it_is_spaced(fitted: TokenClassifier) -> None:
    (found,) = fitted.annotate([AnnotatedExample((" the  ann   near\trome ",), "entities")])
    assert found.texts == (" the  ann   near\trome ",)
    assert found.mentions == (Mention(6, "ann", "person"), Mention(17, "rome", "place"))


def with_commas(row: AnnotatedExample) -> AnnotatedExample:
    """Join a comma to each mention."""
    text, mentions = row.text, list[Mention]()
    for index, mention in enumerate(row.mentions):
        mentions.append(replace(mention, start=mention.start + index))
        text = f"{text[: mentions[-1].end]},{text[mentions[-1].end :]}"
    return AnnotatedExample((text,), row.label, (), tuple(mentions))


def test_entities_end_before_the_punctuation_that_is_joined_to_them(base: str) -> None:
    student = TokenClassifier(base, QUICK).fit([with_commas(row) for row in sentences(64)], np.ones(64))
    rows = [with_commas(row) for row in sentences(40, 1)]
    assert strict_f1(student.annotate(rows), rows) > 0.9


def test_words_beyond_the_window_are_outside(fitted: TokenClassifier) -> None:
    (found,) = fitted.annotate([AnnotatedExample((" ".join(["the"] * 30 + ["ann"]),), "entities")])
    assert found.mentions == ()


def test_a_weight_of_zero_equals_absence(base: str) -> None:
    rows, quick = sentences(12), QUICK.model_copy(update={"epochs": 2})
    without = TokenClassifier(base, quick).fit(rows[:8], np.ones(8))
    weighed = TokenClassifier(base, quick).fit(rows, np.array([1.0] * 8 + [0.0] * 4))
    assert without.annotate(rows) == weighed.annotate(rows)


def test_a_saved_student_annotates_the_same(fitted: TokenClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path / "student")
    rows = sentences(10, 2)
    assert TokenClassifier.load(tmp_path / "student").annotate(rows) == fitted.annotate(rows)


def test_what_cannot_be_done_is_refused(base: str) -> None:
    with pytest.raises(ModelError, match="not fitted"):
        TokenClassifier(base).annotate(sentences(1))
    with pytest.raises(DataError, match="several tasks"):
        TokenClassifier(base).fit([*sentences(1), AnnotatedExample(("x",), "intents")], np.ones(2))
