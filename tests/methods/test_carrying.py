from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests.annotated_doubles import corpus_of, parsed, sentences
from tests.doubles import FakeEncoder

from crossfade.attribute_roles import Written
from crossfade.data import AnnotatedExample, Augmented, Corpus, Example, Mention
from crossfade.errors import DataError, SettingsError
from crossfade.methods.carrying import retrieve, rows_with_attributes, write_for_rows
from crossfade.methods.writing import RoundSettings

ROME = AnnotatedExample(("Ann saw Rome",), "entities", (), (Mention(0, "Ann", "person"), Mention(8, "Rome", "place")))
BOB = AnnotatedExample(("Bob slept",), "entities", (), (Mention(0, "Bob", "person"),))
EMPTY = AnnotatedExample(("it rained",), "entities")
GOLD = corpus_of([ROME, BOB, EMPTY])


def write(texts: dict[str, list[str]], gold: Corpus = GOLD, wanted: int = 2, rounds: int = 1) -> Augmented:
    """Let a script answer with texts for each gold text."""

    def scripted(rows: Sequence[AnnotatedExample], round_index: int) -> list[list[Written]]:
        return [[Written(text) for text in texts.get(row.text, [])] for row in rows]

    return write_for_rows(
        gold,
        scripted,
        method="m",
        model="w",
        texts=wanted,
        encoder=FakeEncoder(),
        settings=RoundSettings(max_rounds=rounds),
    )


def test_a_text_without_one_of_its_values_is_dropped_and_its_tags_come_from_where_they_stand() -> None:
    made = write({"Ann saw Rome": ["Rome is old", "In Rome lives Ann ."], "Bob slept": ["Bobby slept"]})
    (row,) = made.kept
    assert row.example == AnnotatedExample(
        ("In Rome lives Ann .",), "entities", (), (Mention(3, "Rome", "place"), Mention(14, "Ann", "person"))
    )
    assert row.origin.parent_key == ROME.key
    reasons = [dropped.origin.reason for dropped in made.dropped]
    assert reasons == ["missing: 'Ann' does not stand in the text", "missing: 'Bob' does not stand in the text"]
    assert made.losses["entities"]["missing"] == 2
    assert "missing for entities (1)" in made.stopped


def test_copies_and_empty_texts_are_no_texts() -> None:
    made = write({"Ann saw Rome": ["ann saw Rome !", "Ann saw Rome.", ""], "Bob slept": ["x"]})
    assert not made.kept
    found = [str(row.origin.reason).partition(":")[0] for row in made.dropped]
    assert found == ["missing", "copy", "unparsable", "unparsable"]


def test_a_list_of_the_strings_is_no_text_unless_the_gold_row_is_one() -> None:
    made = write({"Ann saw Rome": ["Ann; Rome.", "Ann; Rome; Ann", "Rome and Ann"], "Bob slept": ["Bob ate"]})
    assert [row.example.text for row in made.kept] == ["Rome and Ann", "Bob ate"]
    assert [row.origin.reason for row in made.dropped] == ["echo: nothing but its strings"] * 2
    alone = AnnotatedExample(
        ("Ann , Rome",), "entities", (), (Mention(0, "Ann", "person"), Mention(6, "Rome", "place"))
    )
    found = write_for_rows(
        replace(GOLD, examples=(alone,)),
        lambda rows, round_index: [[Written("Rome ! Ann ?")] for _ in rows],
        method="m",
        model="w",
        texts=1,
        encoder=FakeEncoder(),
        settings=RoundSettings(max_rounds=1),
    )
    assert [row.origin.reason for row in found.dropped] == []
    assert [row.example.text for row in found.kept] == ["Rome ! Ann ?"]


def test_the_description_of_an_intent_is_no_text_unless_gold_texts_say_it() -> None:
    rows = (parsed("move my money", ["move"]), parsed("I want to say hello there", ["greet"]))
    descriptions = {"move": "about a transfer, payment or deposit", "greet": "I want to say hello there"}
    gold = Corpus(rows, ("parses",), descriptions, "notes", ("greet", "move"))
    texts = {
        "move my money": ["it is about a transfer; payment or deposit", "about a transfer of payment or deposit"],
        "I want to say hello there": ["About a transfer, payment", "I want to say hello"],
    }
    found = write_for_rows(
        gold,
        lambda rows, round_index: [[Written(text) for text in texts[row.text]] for row in rows],
        method="m",
        model="w",
        texts=4,
        candidates=2,
        encoder=FakeEncoder(),
        settings=RoundSettings(max_rounds=1, duplicate_similarity=1.0),
    )
    assert [row.example.text for row in found.kept] == ["about a transfer of payment or deposit", "I want to say hello"]
    assert [row.origin.reason for row in found.dropped] == ["echo: the description 'about a transfer payment'"] * 2


def test_a_text_that_goes_on_with_the_opening_of_its_prompt_is_dropped() -> None:
    texts = ["In Rome Ann sleptNotes, each with what it must contain:", "Ann saw what Rome must contain"]
    made = write({"Ann saw Rome": texts, "Bob slept": ["Bob ate"]})
    assert [row.example.text for row in made.kept] == ["Ann saw what Rome must contain", "Bob ate"]
    assert [row.origin.reason for row in made.dropped] == ["echo: the prompt's opening"]


def test_texts_that_were_cut_off_are_dropped_with_that_reason() -> None:
    def scripted(rows: Sequence[AnnotatedExample], round_index: int) -> list[list[Written]]:
        return [[Written(f"{' '.join(row.values)} and", is_whole=row is BOB)] for row in rows]

    settings = RoundSettings(max_rounds=1)
    made = write_for_rows(GOLD, scripted, method="m", model="w", texts=2, encoder=FakeEncoder(), settings=settings)
    assert [row.example.text for row in made.kept] == ["Bob and"]
    assert [row.origin.reason for row in made.dropped] == ["unparsable: cut off"]


def test_rows_that_lack_texts_are_asked_again_and_only_they() -> None:
    asked: list[list[str]] = []

    def scripted(rows: Sequence[AnnotatedExample], round_index: int) -> list[list[Written]]:
        asked.append([row.text for row in rows])
        said = [f"{' '.join(row.values)} again" if round_index or row is BOB else "nothing" for row in rows]
        return [[Written(text)] for text in said]

    settings = RoundSettings(max_rounds=5)
    made = write_for_rows(GOLD, scripted, method="m", model="w", texts=2, encoder=FakeEncoder(), settings=settings)
    assert asked == [["Ann saw Rome", "Bob slept"], ["Ann saw Rome"]]
    assert [row.example.text for row in made.kept] == ["Bob again", "Ann Rome again"]
    assert made.stopped == "Every class has its texts."


def test_a_row_that_lacks_several_texts_is_asked_for_as_often_as_its_candidates_take() -> None:
    asked: list[list[str]] = []

    def scripted(rows: Sequence[AnnotatedExample], round_index: int) -> list[list[Written]]:
        asked.append([row.text for row in rows])
        words = iter(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"])
        return [[Written(f"{next(words)} {' '.join(row.values)}") for _ in range(2)] for row in rows]

    settings = RoundSettings(max_rounds=1)
    made = write_for_rows(
        GOLD, scripted, method="m", model="w", texts=7, candidates=2, encoder=FakeEncoder(), settings=settings
    )
    assert asked == [["Ann saw Rome", "Ann saw Rome", "Bob slept", "Bob slept"]]
    assert Counter(row.origin.parent_key for row in made.kept) == {ROME.key: 4, BOB.key: 3}
    assert [row.origin.reason for row in made.dropped] == ["surplus"]


def test_a_row_keeps_no_more_texts_than_its_share() -> None:
    made = write({"Ann saw Rome": ["Ann in Rome now", "Rome has Ann here"], "Bob slept": ["Bob ate soup"]})
    assert [row.example.text for row in made.kept] == ["Ann in Rome now", "Bob ate soup"]
    assert made.dropped[0].origin.reason == "surplus"


def test_exemplars_share_attributes_and_are_never_the_row_itself() -> None:
    rows = [ROME, BOB, *sentences(20)]
    for seed in range(5):
        found = retrieve(ROME, rows, 2, np.random.default_rng(seed))
        assert len(found) == 2
        assert all(row.kinds == ("person", "place") or set(row.kinds) == {"person", "place"} for row in found)
    assert ROME not in retrieve(ROME, rows, 30, np.random.default_rng(0))
    assert retrieve(ROME, [ROME], 2, np.random.default_rng(0)) == []


def test_rows_that_share_nothing_are_exemplars_only_where_no_row_shares_anything() -> None:
    others = [parsed(f"text {number}", ["other"]) for number in range(9)]
    row, like = parsed("wake me", ["set"]), parsed("ring me", ["set"])
    for seed in range(5):
        assert retrieve(row, [*others, like], 2, np.random.default_rng(seed)) == [like]
    assert len(retrieve(row, others, 2, np.random.default_rng(0))) == 2


def test_rows_without_attributes_are_no_seeds() -> None:
    assert rows_with_attributes(GOLD, "m") == [ROME, BOB]
    with pytest.raises(SettingsError, match="there are none"):
        rows_with_attributes(corpus_of([EMPTY]), "m")
    with pytest.raises(DataError, match="no annotation"):
        rows_with_attributes(Corpus((Example(("x",), "a"),), ("a",)), "m")
