from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.doubles import FakeEncoder, ScoringModel

from crossfade.data import Example
from crossfade.errors import DataError, ModelError, ParsingError
from crossfade.models.embedded import EmbeddedModel
from crossfade.models.scripted import ScriptedModel
from crossfade.roles import Encoder, Reply, Request, Student
from crossfade.students import load_student
from crossfade.students.nearest import ASKING, ROWS_NAME, NearestSettings, NearestStudent

LABELS = ["lost_card", "loan", "rate"]
DESCRIPTIONS = {"lost_card": "lost or stolen cards", "loan": "borrowing money"}
GOLD = [
    Example(("my card is gone",), "lost_card"),
    Example(("someone took my card",), "lost_card"),
    Example(("i need a loan",), "loan"),
    Example(("lend me money",), "loan"),
    Example(("which rate is it today",), "rate"),
    Example(("the rate of exchange",), "rate"),
]
COLUMNS = [0, 0, 1, 1, 2, 2]
ASKED = Example(("is my card a loan",), "loan")
TWO = NearestSettings(examples=2)
FOUR = NearestSettings(examples=4)


class FailingModel:
    """Every request fails for good."""

    name = "failing"
    preferred_form = "instruct"

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        for request in requests:
            yield Reply(request=request, error="The server refused the request.")


class ListeningModel(ScriptedModel):
    """Keeps the requests, names the last class on offer, and answers in reverse order."""

    def __init__(self) -> None:
        super().__init__(lambda request: request.choices[-1])
        self.requests: list[Request] = []

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        new = list(requests)
        self.requests.extend(new)
        yield from reversed(list(super().answer(new)))


def fitted(model: object, settings: NearestSettings = FOUR, encoder: Encoder | None = None) -> NearestStudent:
    student = NearestStudent(
        model,  # type: ignore[arg-type]
        encoder or FakeEncoder(),
        settings=settings,
        text_kind="questions",
        descriptions=DESCRIPTIONS,
    )
    return student.fit(GOLD, np.eye(3)[COLUMNS], np.ones(6), LABELS)


def test_an_instruction_lists_the_classes_of_the_nearest_texts_the_most_similar_last() -> None:
    model = ListeningModel()
    student: Student = fitted(model)
    student.predict_probabilities([ASKED])
    (request,) = model.requests
    assert request.form == "instruct"
    assert request.sampling == ASKING
    assert request.choices == ("rate", "loan", "lost_card")
    assert (
        request.full_prompt
        == """\
The task is to tell apart these classes of questions.

1. rate. Examples:
- which rate is it today
2. loan, which is about borrowing money. Examples:
- i need a loan
3. lost_card, which is about lost or stolen cards. Examples:
- someone took my card
- my card is gone

Here is one more text:
1. is my card a loan

Which of the classes above does it belong to? Answer with the name of one class and nothing else."""
    )


def test_a_list_to_continue_shows_the_nearest_texts_the_most_similar_last() -> None:
    model = ScoringModel(lambda request, choice: float(len(choice)))
    fitted(model).predict_probabilities([ASKED])
    (request,) = model.requests
    assert request.form == "continue"
    assert request.choices == (" rate.\n", " borrowing money.\n", " lost or stolen cards.\n")
    assert (
        request.full_prompt
        == """\
Questions, and what each is about.

- "which rate is it today" is about rate.
- "someone took my card" is about lost or stolen cards.
- "i need a loan" is about borrowing money.
- "my card is gone" is about lost or stolen cards.
- "is my card a loan" is about"""
    )
    assert request.prompt == '- "is my card a loan" is about'


def test_log_probabilities_of_the_choices_become_probabilities() -> None:
    scores = {" rate.\n": -5.0, " borrowing money.\n": -2.0, " lost or stolen cards.\n": -3.0}
    student = fitted(ScoringModel(lambda request, choice: scores[choice]))
    shares = np.exp([-3.0, -2.0, -5.0])
    np.testing.assert_allclose(student.predict_probabilities([ASKED]), [shares / shares.sum()])


def test_a_model_that_names_a_class_gives_it_all() -> None:
    student = fitted(ScriptedModel(lambda request: " loan\n"))
    assert student.predict_probabilities([ASKED]).tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("answer", ["", "loans", "It is a loan.", "loan, rate", "LOAN"])
def test_an_answer_that_names_no_class_on_offer_is_a_row_of_zeros(answer: str) -> None:
    assert fitted(ScriptedModel(lambda request: answer)).predict_probabilities([ASKED]).tolist() == [[0, 0, 0]]


def test_a_class_that_is_not_on_offer_is_no_answer() -> None:
    student = fitted(ScriptedModel(lambda request: "rate"), TWO)
    assert student.predict_probabilities([ASKED]).tolist() == [[0, 0, 0]]


def test_a_failed_request_is_a_row_of_zeros() -> None:
    assert fitted(FailingModel()).predict_probabilities([ASKED]).tolist() == [[0, 0, 0]]


def test_neighbours_of_one_class_decide_without_a_question() -> None:
    model = ScriptedModel(lambda request: "loan")
    student = fitted(model, TWO)
    found = student.predict_probabilities([Example(("my card",), "x"), Example(("is my loan gone",), "x")])
    assert found[0].tolist() == [1, 0, 0]
    assert model.asked == 1


def test_equal_texts_are_asked_about_once_and_rows_keep_their_order() -> None:
    model = ListeningModel()
    other = Example(("money for a card",), "x")
    found = fitted(model).predict_probabilities([ASKED, other, ASKED])
    assert len(model.requests) == 2
    assert found[0].tolist() == found[2].tolist()
    alone = [fitted(ListeningModel()).predict_probabilities([example])[0].tolist() for example in (ASKED, other)]
    assert found[:2].tolist() == alone


def test_blocks_of_texts_are_answered_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [Example((f"{first} {second}",), "x") for first in ("card", "rate", "loan") for second in ("today", "my")]
    whole = fitted(ListeningModel()).predict_probabilities(texts)
    monkeypatch.setattr("crossfade.students.nearest.AT_A_TIME", 4)
    assert fitted(ListeningModel()).predict_probabilities(texts).tolist() == whole.tolist()
    assert len({tuple(row) for row in whole.tolist()}) > 1


def test_weight_zero_equals_absence_and_order_does_not_matter() -> None:
    noise = [Example(("is my card a loan",), "x"), Example(("my card",), "x")]
    order = [3, 0, 5, 2, 4, 1]
    plain, mixed = ListeningModel(), ListeningModel()
    fitted(plain).predict_probabilities([ASKED])
    student = NearestStudent(mixed, FakeEncoder(), settings=FOUR, text_kind="questions", descriptions=DESCRIPTIONS)
    student.fit(
        [noise[0], *(GOLD[row] for row in order), noise[1]],
        np.eye(3)[[2, *(COLUMNS[row] for row in order), 2]],
        np.r_[0, np.ones(6), 0],
        LABELS,
    ).predict_probabilities([ASKED])
    assert mixed.requests == plain.requests


def test_equal_texts_show_their_most_probable_label_together() -> None:
    examples = [GOLD[0], GOLD[0], GOLD[0], GOLD[2]]
    soft = np.array([[0.6, 0.4, 0.0], [0.1, 0.9, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    student = NearestStudent(ListeningModel(), FakeEncoder())
    for weights, label in (([1.0, 1.0, 0.0, 1.0], "loan"), ([1.0, 1.0, 3.0, 1.0], "lost_card")):
        shown = student.fit(examples, soft, np.array(weights), LABELS).shown
        assert shown is not None
        assert [example.label for example in shown.examples] == ["rate", label]


def test_two_texts_are_shown_and_judged_as_a_pair() -> None:
    pairs = [Example((example.texts[0], "sent\ntwice"), example.label) for example in GOLD]
    model = ListeningModel()
    student = NearestStudent(model, FakeEncoder()).fit(pairs, np.eye(3)[COLUMNS], np.ones(6), LABELS)
    student.predict_probabilities([Example(("a card", "sent"), "x")])
    assert "\n- i need a loan | sent twice\n" in model.requests[0].prefix
    assert "\n1. a card\n2. sent\n" in model.requests[0].prompt
    with pytest.raises(DataError, match="one text and some have two"):
        student.predict_probabilities([ASKED])


def test_no_examples_give_no_rows_and_ask_nothing() -> None:
    model = ListeningModel()
    assert fitted(model).predict_probabilities([]).shape == (0, 3)
    assert model.requests == []


def test_malformed_rows_are_refused() -> None:
    with pytest.raises(DataError, match="no row to train on"):
        NearestStudent(ListeningModel(), FakeEncoder()).fit(GOLD, np.eye(3)[COLUMNS], np.zeros(6), LABELS)


def test_a_student_that_is_not_fitted_says_so(tmp_path: Path) -> None:
    student = NearestStudent(ListeningModel(), FakeEncoder())
    with pytest.raises(ModelError, match="not fitted"):
        student.predict_probabilities([ASKED])
    with pytest.raises(ModelError, match="not fitted"):
        student.save(tmp_path)


def open_words(path: str | None) -> FakeEncoder:
    assert path is None
    return FakeEncoder()


def test_a_saved_student_asks_the_same(tmp_path: Path) -> None:
    before, after = ListeningModel(), ListeningModel()
    student = fitted(before)
    student.save(tmp_path / "student")
    loaded = load_student(tmp_path / "student", open_encoder=open_words, model=after)
    assert isinstance(loaded, NearestStudent)
    assert loaded.labels == tuple(LABELS)
    assert (loaded.settings, loaded.text_kind, loaded.descriptions) == (FOUR, "questions", DESCRIPTIONS)
    expected = student.predict_probabilities([ASKED])
    assert loaded.predict_probabilities([ASKED]).tolist() == expected.tolist()
    assert after.requests == before.requests


@pytest.mark.parametrize(
    ("model", "found"), [(None, "none was handed over"), (ScriptedModel({}, "other"), "'other' was handed over")]
)
def test_loading_needs_the_language_model_it_was_saved_with(
    tmp_path: Path, model: ScriptedModel | None, found: str
) -> None:
    fitted(ListeningModel()).save(tmp_path)
    with pytest.raises(ModelError, match=f"asks the language model 'scripted'; {found}.*hand it over as `model`"):
        load_student(tmp_path, open_encoder=open_words, model=model)


def test_another_encoder_than_before_is_refused(tmp_path: Path) -> None:
    class OtherEncoder(FakeEncoder):
        name = "other"

    fitted(ListeningModel()).save(tmp_path)
    with pytest.raises(ModelError, match="'other'; the student was trained with 'words'"):
        load_student(tmp_path, open_encoder=lambda _: OtherEncoder(), model=ListeningModel())


@pytest.mark.parametrize(
    "content", [None, b"", b"no json\n", b'{"texts": ["a"]}\n', b'{"texts": ["a"], "label": "unknown"}\n']
)
def test_missing_or_broken_rows_are_named(tmp_path: Path, content: bytes | None) -> None:
    fitted(ListeningModel()).save(tmp_path)
    (tmp_path / ROWS_NAME).unlink()
    if content is not None:
        (tmp_path / ROWS_NAME).write_bytes(content)
    with pytest.raises(ParsingError, match=ROWS_NAME):
        load_student(tmp_path, open_encoder=open_words, model=ListeningModel())


@pytest.mark.model
def test_the_packaged_model_tells_two_topics_apart() -> None:
    labels = ["sports", "cooking"]
    texts = ["the striker scored a late goal", "she won the tennis final", "mix flour and butter", "boil the pasta"]
    gold = [Example((text,), "x") for text in texts]
    asked = [Example(("the goalkeeper saved a penalty",), "x"), Example(("roast the onions in oil",), "x")]
    with EmbeddedModel(parallel=1, context=256, threads=1) as model:
        student = NearestStudent(model, FakeEncoder()).fit(gold, np.eye(2)[[0, 0, 1, 1]], np.ones(4), labels)
        assert student.predict_probabilities(asked).tolist() == [[1, 0], [0, 1]]
