import sys

import pytest
from tests.doubles import FakeEncoder

from crossfade.errors import DependencyError
from crossfade.selection.duplicates import near_duplicates

LONG = "please tell me where my lost card could possibly be found again this very evening in town"


def flags(texts: list[str], beside: list[str], threshold: float = 0.9) -> list[bool]:
    return near_duplicates(texts, beside=beside, encoder=FakeEncoder(), threshold=threshold)


def test_distinct_texts_are_fresh() -> None:
    assert flags(["where is it", "lend me money", "hello there"], ["good morning everyone"]) == [False, False, False]


def test_second_of_two_equal_texts_is_a_duplicate() -> None:
    assert flags(["where is it", "lend me money", "where is it"], []) == [False, False, True]


def test_near_copy_of_an_earlier_text_is_a_duplicate() -> None:
    assert flags([LONG, LONG.replace("evening", "morning")], []) == [False, True]


def test_near_copy_of_a_kept_text_is_a_duplicate() -> None:
    assert flags([LONG.replace("evening", "morning"), "lend me money"], [LONG]) == [True, False]


def test_lower_similarity_counts_more_texts_as_the_same() -> None:
    pair = ["one two three four", "one two three five"]
    assert flags(pair, [], threshold=0.99) == [False, False]
    assert flags(pair, [], threshold=0.4) == [False, True]


def test_nothing_to_check_gives_no_flags() -> None:
    assert flags([], ["where is it"]) == []


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "semhash", None)
    with pytest.raises(DependencyError, match=r"'semhash'.*crossfade\[duplicates\]"):
        flags(["where is it"], [])
