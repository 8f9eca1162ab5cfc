from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doubles import FakeEncoder

from crossfade.data import Augmented, Corpus, Example
from crossfade.methods import eda
from crossfade.methods.eda import (
    EdaSettings,
    augment,
    delete_words,
    edit,
    insert_words,
    read_synonyms,
    replace_words,
    swap_words,
)
from crossfade.packaged import packaged_wordnet

SETS = """# A comment
CREATE TABLE english_synset (id varchar(10) NOT NULL, word TEXT);

INSERT INTO english_synset VALUES ('n#1',' car Automobile motor_car ',NULL,'a gloss; \\\\"it''s a car\\\\"');
INSERT INTO english_synset VALUES ('n#2',' car gondola ',NULL,'hangs');
INSERT INTO english_synset VALUES ('n#3',' lonely ',NULL,'none');
INSERT INTO english_synset VALUES ('v#4',' the thee ',NULL,'a stop word');
"""
SYNONYMS = {"car": ["auto", "wagon"], "big": ["large"], "the": ["thee"]}
GOLD = Corpus(
    (Example(("The big car, again and again",), "x"), Example(("who has seen a big house",), "y")),
    ("x", "y"),
)
words = st.lists(st.sampled_from(["car", "big", "the", "Car,", "house", "?"]), min_size=1, max_size=12)
seeds = st.integers(0, 999)


@pytest.fixture
def word_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "sets.sql"
    path.write_text(SETS, encoding="utf-8")
    monkeypatch.setattr(eda, "packaged_wordnet", lambda: path)
    return path


def run(gold: Corpus = GOLD, seed: int = 0) -> Augmented:
    return augment(
        gold, encoder=FakeEncoder(), settings=EdaSettings(texts_per_class=8), rng=np.random.default_rng(seed)
    )


def test_synonyms_are_the_other_words_of_all_sets_of_a_word(word_file: Path) -> None:
    assert read_synonyms(word_file) == {
        "car": ["automobile", "gondola", "motor car"],
        "automobile": ["car", "motor car"],
        "motor car": ["automobile", "car"],
        "gondola": ["car"],
        "the": ["thee"],
        "thee": ["the"],
    }


def test_replaced_words_keep_their_punctuation_and_are_replaced_wherever_they_stand() -> None:
    changed = replace_words(["The", "car,", "my", "car!"], 1, SYNONYMS, np.random.default_rng(0))
    assert changed in (["The", "auto,", "my", "auto!"], ["The", "wagon,", "my", "wagon!"])


@given(words, seeds)
def test_no_more_words_are_replaced_than_asked_for_and_no_stop_words(given_words: list[str], seed: int) -> None:
    changed = replace_words(given_words, 1, SYNONYMS, np.random.default_rng(seed))
    touched = {eda.bare(old) for old, new in zip(given_words, changed, strict=True) if old != new}
    assert len(touched) <= 1
    assert "the" not in touched
    assert bool(touched) == any(eda.bare(word) in ("car", "big") for word in given_words)


@given(words, st.integers(1, 3), seeds)
def test_inserted_words_are_synonyms_and_the_others_stay_in_order(
    given_words: list[str], count: int, seed: int
) -> None:
    changed = insert_words(given_words, count, SYNONYMS, np.random.default_rng(seed))
    added = Counter(changed) - Counter(given_words)
    assert added.total() == (count if any(eda.bare(word) in ("car", "big") for word in given_words) else 0)
    assert set(added) <= {"auto", "wagon", "large"}
    assert [word for word in changed if word not in added] == given_words


@given(words, seeds)
def test_a_swap_moves_two_words_and_loses_none(given_words: list[str], seed: int) -> None:
    numbered = [f"{word}{place}" for place, word in enumerate(given_words)]
    changed = swap_words(numbered, 1, np.random.default_rng(seed))
    assert sorted(changed) == sorted(numbered)
    moved = sum(old != new for old, new in zip(numbered, changed, strict=True))
    assert moved == (2 if len(numbered) > 1 else 0)


@given(words, st.floats(0, 1), seeds)
def test_deleting_keeps_the_order_and_at_least_one_word(given_words: list[str], share: float, seed: int) -> None:
    numbered = [f"{word}{place}" for place, word in enumerate(given_words)]
    kept = delete_words(numbered, share, np.random.default_rng(seed))
    assert kept
    assert kept == [word for word in numbered if word in kept]
    assert delete_words(numbered, 0.0, np.random.default_rng(seed)) == numbered


def test_share_says_how_many_words_change() -> None:
    numbered = [f"w{place}" for place in range(100)]
    deleted = [100 - len(delete_words(numbered, 0.1, np.random.default_rng(seed))) for seed in range(50)]
    assert 8 < np.mean(deleted) < 12
    changed = {
        len(edit(numbered, {f"w{place}": ["z"] for place in range(100)}, 0.1, np.random.default_rng(s)))
        for s in range(50)
    }
    assert 110 in changed


@pytest.mark.usefixtures("word_file")
def test_texts_are_made_of_their_class_and_the_same_rng_makes_the_same() -> None:
    made = run()
    assert Counter(row.example.label for row in made.kept) == {"x": 8, "y": 8}
    assert len({row.example.text for row in made.kept} | set(GOLD.texts)) == 18
    assert run() == made
    assert run(seed=1) != made


@pytest.mark.model
def test_packaged_wordnet_knows_everyday_words() -> None:
    synonyms = read_synonyms(packaged_wordnet())
    assert len(synonyms) > 90_000
    assert {"automobile", "motorcar"} <= set(synonyms["car"])
    assert "metropolis" in synonyms["city"]
