from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.doubles import FakeEncoder

from crossfade.data import Corpus, Example
from crossfade.methods.aeda import MARKS, AedaSettings, augment, insert_marks

GOLD = Corpus((Example(("where is my card now",), "x"), Example(("i want a loan today",), "y")), ("x", "y"))


@given(st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=30), st.integers(0, 999))
def test_marks_are_added_up_to_the_share_and_no_word_is_touched(words: list[str], seed: int) -> None:
    changed = insert_marks(words, 0.3, np.random.default_rng(seed))
    marks = [word for word in changed if word in MARKS]
    assert [word for word in changed if word not in MARKS] == words
    assert 1 <= len(marks) <= 0.3 * len(words) + 1


def test_as_many_marks_as_the_share_allows_are_reached() -> None:
    counts = Counter(len(insert_marks(["a"] * 10, 0.3, np.random.default_rng(seed))) - 10 for seed in range(200))
    assert set(counts) == {1, 2, 3, 4}
    assert min(counts.values()) > 25


def test_texts_are_made_of_their_class_and_the_same_rng_makes_the_same() -> None:
    first, second, other = (
        augment(GOLD, encoder=FakeEncoder(), settings=AedaSettings(texts_per_class=9), rng=np.random.default_rng(seed))
        for seed in (0, 0, 1)
    )
    assert Counter((row.example.label, row.origin.method) for row in first.kept) == {("x", "aeda"): 9, ("y", "aeda"): 9}
    assert first == second != other
