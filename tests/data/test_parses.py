import pytest

from crossfade.data import Mention
from crossfade.data.annotated import NOWHERE
from crossfade.data.parses import flatten
from crossfade.errors import DataError

NESTED = "[IN:CREATE_REMINDER I need to [SL:TODO [IN:SEND_MESSAGE text [SL:RECIPIENT Nic ] ] ] [SL:DATE_TIME at 7 ] ]"


def test_a_tree_becomes_words_intents_and_slots_and_stays_beside_them() -> None:
    row = flatten(NESTED)
    assert row.texts == ("I need to text Nic at 7",)
    assert row.intents == ("create_reminder", "send_message")
    assert row.mentions == (
        Mention(NOWHERE, "send message", "todo"),
        Mention(15, "Nic", "recipient"),
        Mention(19, "at 7", "date_time"),
    )
    assert row.parse == NESTED


def test_a_slot_without_words_is_no_slot() -> None:
    row = flatten("[IN:GET_REMINDER show [SL:PERSON_REMINDED ] all ]")
    assert row.texts == ("show all",)
    assert row.mentions == ()


@pytest.mark.parametrize(
    ("tree", "why"),
    [
        ("[IN:A b", "before its brackets are closed"),
        ("[IN:A b ] c", "goes on after its end"),
        ("b [IN:A ]", "begins without an intent"),
        ("[SL:A b ]", "expected"),
        ("[IN:A ]", "no words"),
        ("", "no words"),
        ("] a", "closes a bracket"),
    ],
)
def test_what_is_no_tree_is_refused(tree: str, why: str) -> None:
    with pytest.raises(DataError, match=why):
        flatten(tree)
