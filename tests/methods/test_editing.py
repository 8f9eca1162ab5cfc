from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.random import Generator

from crossfade.data import Corpus, Example
from crossfade.errors import SettingsError
from crossfade.methods.editing import EditingSettings, edit_until_full

GOLD = Corpus((Example(("a b c",), "x"), Example(("d e",), "x"), Example(("f g",), "y")), ("x", "y"))
PAIRS = Corpus((Example(("a b", "c d"), "x"), Example(("e f", "g h"), "y")), ("x", "y"))


def number(words: Sequence[str], rng: Generator) -> list[str]:
    """Add a number that hardly ever comes twice."""
    return [*words, str(rng.integers(10**9))]


def leave(words: Sequence[str], rng: Generator) -> list[str]:
    return list(words)


def settings(**values: int) -> EditingSettings:
    return EditingSettings.checked({"texts_per_class": 5, **values})


def test_every_class_gets_its_texts_and_their_origin() -> None:
    made = edit_until_full(GOLD, number, method="m", settings=settings(), rng=np.random.default_rng(0))
    assert Counter(row.example.label for row in made.kept) == {"x": 5, "y": 5}
    assert {(row.origin.method, row.origin.parents, row.origin.written_label) for row in made.kept} == {
        ("m", ("x",), "x"),
        ("m", ("y",), "y"),
    }
    assert made.stopped == "Every class has its texts."


def test_texts_of_a_class_are_edited_in_turn() -> None:
    made = edit_until_full(GOLD, number, method="m", settings=settings(), rng=np.random.default_rng(0))
    starts = [row.example.text[0] for row in made.kept if row.example.label == "x"]
    assert starts == ["a", "d", "a", "d", "a"]


def test_exact_repeats_are_dropped_and_near_copies_kept() -> None:
    def shorten(words: Sequence[str], rng: Generator) -> list[str]:
        return list(words[: int(rng.integers(1, len(words) + 1))])

    made = edit_until_full(GOLD, shorten, method="m", settings=settings(), rng=np.random.default_rng(0))
    assert sorted(row.example.text for row in made.kept) == ["a", "a b", "d", "f"]
    assert {row.origin.reason for row in made.dropped} == {"duplicate"}
    assert made.stopped == "The rounds ran out; texts missing for x (2), y (4)."


def test_no_more_rounds_are_run_than_allowed() -> None:
    made = edit_until_full(GOLD, leave, method="m", settings=settings(max_rounds=3), rng=np.random.default_rng(0))
    assert made.kept == ()
    assert Counter(row.origin.round_index for row in made.dropped) == {0: 10, 1: 10, 2: 10}


def test_one_of_two_texts_is_edited() -> None:
    made = edit_until_full(PAIRS, number, method="m", settings=settings(), rng=np.random.default_rng(0))
    edited: Counter[int] = Counter()
    for row in made.kept:
        parent = PAIRS.of_class(row.example.label)[0]
        changed = [place for place in range(2) if row.example.texts[place] != parent.texts[place]]
        assert len(changed) == 1
        edited[changed[0]] += 1
    assert set(edited) == {0, 1}


def test_class_without_texts_is_named() -> None:
    with pytest.raises(SettingsError, match="there are none of y"):
        edit_until_full(GOLD.rows([0]), leave, method="m", settings=settings(), rng=np.random.default_rng(0))
