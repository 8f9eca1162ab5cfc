import pytest

from crossfade.data import AnnotatedExample, Example, Mention, annotated
from crossfade.data.annotated import NOWHERE, find_values, in_text_order, occurrences
from crossfade.errors import DataError


def test_attributes_are_intents_then_kinds_and_values_are_what_stands_in_the_text() -> None:
    mentions = (Mention(NOWHERE, "send message", "todo"), Mention(5, "Nicquana", "recipient"))
    row = AnnotatedExample(("text Nicquana",), "parses", ("create", "send"), mentions)
    assert row.attributes == ("create", "send", "todo", "recipient")
    assert row.values == ("Nicquana",)


def test_an_entity_is_required_once_and_a_slot_as_often_as_it_stands() -> None:
    mentions = (Mention(0, "Rome", "place"), Mention(5, "Rome", "place"), Mention(10, "Rome", "team"))
    row = AnnotatedExample(("Rome Rome Rome",), "entities", (), mentions)
    assert row.required == (mentions[0], mentions[2])
    assert row.values == ("Rome", "Rome")
    slots = AnnotatedExample(("Rome Rome Rome",), "parses", (), mentions)
    assert slots.values == ("Rome", "Rome", "Rome")


def test_mentions_are_sorted_by_where_they_stand_and_what_stands_nowhere_goes_along() -> None:
    last, nested, first = Mention(9, "five", "time"), Mention(NOWHERE, "get todo", "todo"), Mention(0, "me", "who")
    final = Mention(NOWHERE, "end", "todo")
    assert in_text_order([last, nested, first, final]) == (nested, first, last, final)


def test_a_mention_that_is_not_at_its_place_is_refused() -> None:
    with pytest.raises(DataError, match="does not stand in the text at character 1"):
        AnnotatedExample(("in Rome",), "entities", (), (Mention(1, "Rome", "place"),))


def test_plain_examples_have_no_annotation() -> None:
    with pytest.raises(DataError, match="no annotation"):
        annotated([Example(("text",), "a")])


@pytest.mark.parametrize(
    ("text", "values", "starts"),
    [
        ("New York is in York", ["York", "New York"], (15, 0)),
        ("Rome and Rome", ["Rome", "Rome"], (0, 9)),
        ("Romes", ["Rome"], (NOWHERE,)),
        ("one Rome", ["Rome", "Rome"], (4, NOWHERE)),
        ("New York", ["York", "New York"], (NOWHERE, 0)),
        ("a C++ book (C++)", ["C++", "C++"], (2, 12)),
        ("in Köln.", ["Köln"], (3,)),
        ("anything", [], ()),
    ],
)
def test_values_are_found_as_whole_words_in_different_places(
    text: str, values: list[str], starts: tuple[int, ...]
) -> None:
    assert find_values(text, values) == starts


def test_an_empty_value_stands_nowhere() -> None:
    assert occurrences("any text", " ") == []
