import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Corpus, Example
from crossfade.errors import DataError
from crossfade.tasks.shapes import TASKS
from crossfade.tasks.splitting import split_gold

PAIRS = st.lists(st.tuples(st.sampled_from("ABCDEFGH"), st.text("xyz", min_size=1, max_size=3)), min_size=1)


def corpus(pairs: list[tuple[str, str]]) -> Corpus:
    return Corpus(tuple(Example(pair, "yes") for pair in pairs), ("no", "yes"))


@given(PAIRS, st.integers(0, 99))
def test_no_context_stands_in_two_parts_and_no_row_is_lost(pairs: list[tuple[str, str]], seed: int) -> None:
    if len({context for context, _ in pairs}) < 3:
        return
    split = split_gold(corpus(pairs), TASKS["pair"], development=0.3, test=0.3, rng=np.random.default_rng(seed))
    parts = [split.errors, split.development, split.test]
    contexts = [{example.texts[0] for example in part} for part in parts]
    assert all(contexts)
    assert sum(map(len, contexts)) == len(set.union(*contexts))
    assert sorted(example.texts for part in parts for example in part) == sorted(pairs)


def test_copies_of_a_single_text_stay_together() -> None:
    gold = Corpus(tuple(Example((text,), "a") for text in ("One", "one ", "two", "TWO", "three")), ("a", "b"))
    for seed in range(10):
        split = split_gold(gold, TASKS["text"], development=0.5, rng=np.random.default_rng(seed))
        errors, development = (
            {example.text.strip().lower() for example in part} for part in (split.errors, split.development)
        )
        assert not errors & development


def test_the_same_generator_gives_the_same_split() -> None:
    gold = corpus([(str(number), "x") for number in range(20)])
    first, again = (
        split_gold(gold, TASKS["pair"], development=0.2, test=0.2, rng=np.random.default_rng(3)) for _ in range(2)
    )
    assert first == again
    assert [len(part) for part in (first.errors, first.development, first.test)] == [12, 4, 4]


def test_shares_of_zero_leave_a_part_empty_and_one_context_cannot_be_split() -> None:
    gold = corpus([("A", "x"), ("A", "y")])
    split = split_gold(gold, TASKS["pair"], development=0, rng=np.random.default_rng(0))
    assert (len(split.errors), len(split.development), len(split.test)) == (2, 0, 0)
    with pytest.raises(DataError, match="1 different contexts"):
        split_gold(gold, TASKS["pair"], development=0.2, rng=np.random.default_rng(0))
