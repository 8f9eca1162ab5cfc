import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Corpus, Example
from crossfade.errors import DataError, DependencyError
from crossfade.evaluation import diversity
from crossfade.evaluation.diversity import Diversity, describe_texts, self_bleu, words_of
from tests.doubles import FakeEncoder

GOLD = Corpus((Example(("my card is lost",), "card"), Example(("lend me money",), "loan")), ("card", "loan"))
WRITTEN = ["where is my card", "my card is gone", "a loan for a house", "lend me a house"]


def describe(texts: Sequence[str], gold: Corpus = GOLD, pool: Sequence[str] = ()) -> Diversity:
    return describe_texts(texts, gold=gold, encoder=FakeEncoder(), rng=np.random.default_rng(0), pool=pool)


def bleu(*texts: str) -> float | None:
    return self_bleu([words_of(text) for text in texts], np.random.default_rng(0))


def test_words_are_counted_without_case_and_marks() -> None:
    assert words_of("Where's  my CARD, (the 'blue' one)? --") == ["where's", "my", "card", "the", "blue", "one"]
    found = describe(["My card!", "my, loan"])
    assert (found.rows, found.vocabulary, found.mean_length) == (2, 3, 2)
    assert (found.distinct_1, found.distinct_2, found.distinct_3) == (3 / 4, 1, None)


def test_everything_is_a_plain_value() -> None:
    found = asdict(describe(WRITTEN))
    assert json.loads(json.dumps(found)) == found


def test_gold_texts_themselves_are_at_no_distance_and_cover_gold() -> None:
    found = describe(GOLD.texts)
    assert found.distance_to_gold == pytest.approx(0, abs=1e-9)
    assert found.coverage == 1
    far = describe(["nothing of the kind"]).distance_to_gold
    assert far is not None
    assert far > 0.3


def test_pool_texts_are_covered_instead_of_gold_but_gold_among_them_does_not_count() -> None:
    held_out = ["top up a phone", "top up a phone today"]
    pool = [*GOLD.texts, *held_out]
    assert describe(GOLD.texts, pool=pool).coverage == 0
    assert describe(held_out[:1], pool=pool).coverage == 1
    assert describe(GOLD.texts, pool=GOLD.texts) == describe(GOLD.texts)


def test_without_real_texts_there_is_nothing_to_be_near_to() -> None:
    found = describe(WRITTEN, gold=Corpus((), GOLD.labels))
    assert (found.distance_to_gold, found.coverage, found.density) == (None, None, None)
    assert describe(WRITTEN, gold=GOLD.rows([0])).coverage is None


def test_equal_texts_have_self_bleu_one_and_texts_without_common_words_zero() -> None:
    assert bleu("please find my lost card", "Please find my lost card!") == pytest.approx(1)
    assert bleu("one", "one") == pytest.approx(1)
    assert bleu("please find my lost card", "who would lend us money") == 0
    assert bleu("please find my lost card") is None


def test_self_bleu_is_what_sacrebleu_says_of_each_text_against_the_others() -> None:
    # By hand: 3 of 4 words, 2 of 3 pairs, 1 of 2 triples and, smoothed, half of 1 quadruple; equal lengths.
    expected = (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25
    assert bleu("where is my card", "where is my loan") == pytest.approx(expected)


def test_text_of_nothing_but_marks_has_no_words_and_does_no_harm() -> None:
    found = describe_texts(
        ["?!", "my card"], gold=Corpus((), GOLD.labels), encoder=FakeEncoder(), rng=np.random.default_rng(0)
    )
    assert (found.mean_length, found.self_bleu) == (1, 0)


def test_sample_for_self_bleu_depends_on_the_generator_and_not_on_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diversity, "SELF_BLEU_SAMPLE", 2)
    first, other = bleu(*WRITTEN), bleu(*WRITTEN[::-1])
    assert first == other
    rows = [words_of(text) for text in WRITTEN]
    assert len({self_bleu(rows, np.random.default_rng(seed)) for seed in range(8)}) > 1


@given(st.lists(st.text("ab .", min_size=1).map(lambda text: text + " c"), min_size=2, max_size=6))
def test_no_measure_leaves_its_range_or_heeds_the_order(texts: list[str]) -> None:
    found = describe(texts)
    for share in (found.distinct_1, found.distinct_2, found.distinct_3, found.self_bleu, found.coverage):
        assert share is None or 0 <= share <= 1
    assert found.distance_to_gold is not None
    assert 0 <= found.distance_to_gold <= 2
    turned = asdict(describe(texts[::-1]))
    assert turned == pytest.approx(asdict(found))


def test_fidelity_is_the_share_of_labels_that_the_oracle_confirms() -> None:
    found = describe_texts(
        WRITTEN,
        gold=GOLD,
        encoder=FakeEncoder(),
        rng=np.random.default_rng(0),
        labels=["card", "card", "loan", "card"],
        oracle_labels=["card", "card", "loan", "loan"],
    )
    assert found.fidelity == 0.75
    assert describe(WRITTEN).fidelity is None


def test_nothing_to_describe_and_half_an_oracle_are_refused() -> None:
    with pytest.raises(DataError, match="0 texts"):
        describe([])
    with pytest.raises(DataError, match="both or neither"):
        describe_texts(
            WRITTEN, gold=GOLD, encoder=FakeEncoder(), rng=np.random.default_rng(0), labels=["card"] * len(WRITTEN)
        )


def test_missing_sacrebleu_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(DependencyError, match=r"crossfade\[diversity\]"):
        describe(WRITTEN)
