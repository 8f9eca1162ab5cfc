import pytest

from crossfade.data import AnnotatedExample, Corpus, Example, Mention, ReadingExample
from crossfade.data.parses import flatten
from crossfade.errors import DataError
from crossfade.tasks.shapes import TASKS, cut, task_of

CONTEXT = "The fair is held on the Town Moor every June."
QUESTION = ReadingExample((CONTEXT, "Where is the fair?"), "answerable", "Town Moor", 24)
PAIR = Example(("A cat sleeps.", "An animal sleeps."), "correct")


def test_a_corpus_tells_its_task() -> None:
    assert task_of(Corpus((Example(("a",), "x"),), ("x", "y"))).name == "text"
    assert task_of(Corpus((PAIR,), ("correct", "wrong"))).name == "pair"
    assert task_of(Corpus((QUESTION,), ("answerable",))).name == "reading"


def test_an_answer_must_stand_where_it_is_said_to() -> None:
    assert QUESTION.answers == ("Town Moor",)
    for start in (23, -1, 400):
        with pytest.raises(DataError, match="does not stand in the context"):
            ReadingExample((CONTEXT, "Where?"), "answerable", "Town Moor", start)


def test_the_written_part_changes_and_all_else_stays() -> None:
    assert TASKS["text"].rewritten(Example(("old",), "x"), "new") == Example(("new",), "x")
    assert TASKS["pair"].rewritten(PAIR, "It sleeps.") == Example(("A cat sleeps.", "It sleeps."), "correct")
    again = TASKS["reading"].rewritten(QUESTION, "On what ground is it?")
    assert again == ReadingExample((CONTEXT, "On what ground is it?"), "answerable", "Town Moor", 24)


def test_a_question_must_be_one_and_not_hold_its_answer() -> None:
    reading = TASKS["reading"]
    assert reading.fault(QUESTION, "Where is the fair?") is None
    assert reading.fault(QUESTION, "The fair.") == "unparsable: no question"
    assert reading.fault(QUESTION, "Is it on the town moor?") == "unparsable: the question holds its answer"
    assert reading.fault(QUESTION, "Is it on the town moorland?") is None


def test_a_copy_of_the_first_text_is_an_echo() -> None:
    assert TASKS["pair"].fault(PAIR, "a  CAT sleeps.") == "echo: the first text again"
    assert TASKS["pair"].fault(PAIR, "A dog sleeps.") is None


def test_answers_are_right_by_label_or_by_exact_match() -> None:
    assert TASKS["pair"].is_right("correct", PAIR)
    assert not TASKS["pair"].is_right("wrong", PAIR)
    assert TASKS["reading"].is_right("the town moor", QUESTION)
    assert not TASKS["reading"].is_right("moor", QUESTION)
    credits = [TASKS["reading"].credit(said, QUESTION) for said in ("the town moor", "moor", "sea")]
    assert credits == pytest.approx([1, 2 / 3, 0])
    assert [TASKS["pair"].credit(said, PAIR) for said in ("correct", "wrong")] == [1, 0]


def test_a_long_context_is_cut_around_its_answer() -> None:
    far = ReadingExample(("left " * 100 + "gold " + "right " * 100, "What?"), "answerable", "gold", 500)
    shown = TASKS["reading"].shown(far, 60)["context"]
    assert "gold" in shown
    assert len(shown) <= 60
    assert {"left", "right", "gold"} == set(shown.split())


def test_a_context_that_fits_is_shown_whole_and_one_whose_answer_stands_late_fills_the_room() -> None:
    late = ReadingExample(("left " * 100 + "gold", "What?"), "answerable", "gold", 500)
    assert TASKS["reading"].shown(late, 504)["context"] == late.texts[0]
    shown = TASKS["reading"].shown(late, 60)["context"]
    assert shown == "left " * 11 + "gold"


def test_texts_are_cut_between_words() -> None:
    assert cut("one two\nthree", 9) == "one two"
    assert cut("one two\nthree", 13) == "one two three"
    assert cut("unbroken", 4) == "unbr"


ROME = AnnotatedExample(("Ann saw Rome",), "entities", (), (Mention(0, "Ann", "person"), Mention(8, "Rome", "place")))


def test_annotated_rows_tell_their_task() -> None:
    assert task_of(Corpus((ROME,), ("entities",))).name == "entities"
    assert task_of(Corpus((AnnotatedExample(("x",), "intents"),), ("intents",))).name == "intents"


def test_every_value_must_stand_in_a_new_text_and_is_found_wherever_it_does() -> None:
    entities = TASKS["entities"]
    assert entities.fault(ROME, "Rome is old") == "missing: 'Ann' does not stand in the text"
    assert entities.fault(ROME, "In Rome, Ann slept") is None
    again = entities.rewritten(ROME, "In Rome , old Rome , Ann slept")
    assert isinstance(again, AnnotatedExample)
    assert again.mentions == (Mention(3, "Rome", "place"), Mention(14, "Rome", "place"), Mention(21, "Ann", "person"))
    with pytest.raises(DataError, match="does not hold all"):
        entities.rewritten(ROME, "Rome is old")


def test_an_entity_that_is_named_twice_must_stand_in_a_new_text_once() -> None:
    twice = AnnotatedExample(
        ("Rome , old Rome",), "entities", (), (Mention(0, "Rome", "place"), Mention(11, "Rome", "place"))
    )
    entities = TASKS["entities"]
    assert entities.fault(twice, "in Rome") is None
    again = entities.rewritten(twice, "in Rome")
    assert again == AnnotatedExample(("in Rome",), "entities", (), (Mention(3, "Rome", "place"),))


def test_slots_of_one_value_need_a_place_each_and_the_reason_says_how_many_there_are() -> None:
    slots = AnnotatedExample(
        ("tell me , tell me",), "parses", ("tell",), (Mention(5, "me", "who"), Mention(15, "me", "whom"))
    )
    assert TASKS["parses"].fault(slots, "me and me") is None
    assert TASKS["parses"].fault(slots, "tell me") == "missing: 'me' has 1 of 2 places of its own in the text"
    cities = AnnotatedExample(
        ("York or New York",), "parses", (), (Mention(0, "York", "a"), Mention(8, "New York", "b"))
    )
    assert TASKS["parses"].fault(cities, "New York") == "missing: 'York' has 0 of 1 places of its own in the text"


def test_slots_come_in_the_order_of_the_new_text() -> None:
    row = AnnotatedExample(
        ("ring me at 5",), "parses", ("ring",), (Mention(5, "me", "who"), Mention(8, "at 5", "time"))
    )
    again = TASKS["parses"].rewritten(row, "at 5 ring me")
    assert again.mentions == (Mention(0, "at 5", "time"), Mention(10, "me", "who"))  # type: ignore[attr-defined]


def test_the_tree_of_a_parse_does_not_go_over_to_another_text() -> None:
    row = flatten("[IN:SET Set [SL:DATE at 5 ] ]")
    again = TASKS["parses"].rewritten(row, "do it at 5 please")
    assert again == AnnotatedExample(("do it at 5 please",), "parses", ("set",), (Mention(6, "at 5", "date"),))


def test_an_annotation_is_right_when_all_of_it_is() -> None:
    assert TASKS["entities"].is_right("Ann [person] <sep> Rome [place]", ROME)
    assert not TASKS["entities"].is_right("Rome [place]", ROME)
