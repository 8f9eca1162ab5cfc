from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.annotated_doubles import FILLER, PEOPLE, PLACES, sentences
from tests.doubles import write_tiny_bert

from crossfade.data import AnnotatedExample, Mention
from crossfade.data.parses import flatten
from crossfade.errors import DataError, ModelError
from crossfade.evaluation.annotations import strict_f1
from crossfade.roles import Annotator
from crossfade.students import load_annotator
from crossfade.students.token_classifier import TokenClassifier, TokenClassifierSettings, whole_of
from crossfade.students.tuning import RAREST

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


ASK = "[IN:GET_VISIT [SL:PERSON {person} ] the near ]"
GO = "[IN:ADD_VISIT the [SL:PERSON {person} ] near [SL:PLACE {place} ] ]"
NESTED = "[IN:ADD_VISIT the near [SL:VISIT [IN:GET_VISIT [SL:PERSON {person} ] far ] ] ]"


def parses(number: int, seed: int = 0) -> list[AnnotatedExample]:
    """Make trees of three forms."""
    rng = np.random.default_rng(seed)
    return [
        flatten([ASK, GO, NESTED][row % 3].format(person=rng.choice(PEOPLE), place=rng.choice(PLACES)))
        for row in range(number)
    ]


def test_what_is_true_of_a_whole_parse_is_its_intents_and_the_slots_that_hold_one() -> None:
    ask, go, nested = map(whole_of, parses(3))
    assert ask == ("=get_visit",)
    assert go == ("=add_visit",)
    assert nested == ("=add_visit", "=get_visit", "=visit get visit")
    assert whole_of(sentences(1)[0]) == ()


def test_it_learns_to_read_parses_and_keeps_them_when_saved(base: str, tmp_path: Path) -> None:
    student = TokenClassifier(base, QUICK.model_copy(update={"epochs": 16})).fit(parses(96), np.ones(96))
    rows = parses(42, 1)
    said = student.annotate(rows)
    assert strict_f1(said, rows) > 0.9
    assert [row.label for row in said] == ["parses"] * 42
    student.save(tmp_path / "student")
    annotator, task = load_annotator(tmp_path / "student")
    assert task == "parses"
    assert annotator.annotate(rows) == said


def test_every_parse_has_an_intent(base: str) -> None:
    untrained = TokenClassifier(base, QUICK.model_copy(update={"epochs": 1, "learning_rate": 1e-9}))
    said = untrained.fit(parses(24), np.ones(24)).annotate(parses(24, 1))
    assert all(row.intents for row in said)


def test_the_head_starts_from_how_often_each_tag_and_each_intent_occurs(base: str) -> None:
    # At a rate of next to nothing the start is what is left. A row counts as its weight.
    still = QUICK.model_copy(update={"epochs": 1, "learning_rate": 1e-12})
    rows = sentences(6)
    tuned = TokenClassifier(base, still).fit(rows, np.ones(6)).tuned
    assert tuned is not None
    (starts,) = [values for name, values in tuned.model.named_parameters() if name == "classifier.bias"]
    frequencies = {"O": 4 / 6, "B-person": 1 / 6, "B-place": 1 / 6}
    for tag, start in zip(tuned.tags, starts.softmax(dim=0).tolist(), strict=True):
        assert start == pytest.approx(frequencies.get(tag, RAREST), abs=0.002)
    asked, gone, nested = parses(3)
    tuned = TokenClassifier(base, still).fit([asked, gone, nested], np.array([2.0, 1.0, 0.0])).tuned
    assert tuned is not None
    (starts,) = [values for name, values in tuned.model.named_parameters() if name == "classifier.bias"]
    often = dict(zip(tuned.wholes, starts[len(tuned.tags) :].sigmoid().tolist(), strict=True))
    assert often == {"=add_visit": pytest.approx(1 / 3), "=get_visit": pytest.approx(2 / 3)}


@pytest.mark.model
def test_what_is_not_set_finds_entities_that_are_rare_among_few_rows() -> None:
    kinds = {
        "river": ("Rhine", "Elbe"),
        "city": ("Lyon", "Bern"),
        "painter": ("Klee", "Goya"),
        "metal": ("zinc", "tin"),
    }
    rows = []
    for kind, names in kinds.items():
        for name in names:
            for text in (
                f"last summer all of us read so much about {name} that nobody slept",
                f"{name} is old , they said",
            ):
                rows.append(AnnotatedExample((text,), "entities", (), (Mention(text.index(name), name, kind),)))
    student = TokenClassifier().fit(rows, np.ones(len(rows)))
    asked = []
    for kind, names in kinds.items():
        for name in names:
            text = f"why did everyone talk about {name} for a week"
            asked.append(AnnotatedExample((text,), "entities", (), (Mention(text.index(name), name, kind),)))
    assert strict_f1(student.annotate(asked), asked) > 0.7
