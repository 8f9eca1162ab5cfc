import copy

import pytest

from crossfade.data import Corpus, Example, MixedExample, Origin, Synthetic, readable
from crossfade.errors import DataError

CARD = Example(("my card is lost",), "lost_card")
LOAN = Example(("a loan please",), "loan")
CORPUS = Corpus((CARD, LOAN, CARD), ("lost_card", "loan"), {"loan": "borrowing money"})


@pytest.mark.parametrize("texts", [(), ("a", "b", "c")])
def test_example_has_one_text_or_two(texts: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=f"has {len(texts)} texts"):
        Example(texts, "label")


def test_pair_reads_as_one_text() -> None:
    assert Example(("it rains", "it is wet"), "yes").text == "it rains | it is wet"


def test_mixed_example_is_an_example_that_differs_from_its_first_parent() -> None:
    mix = MixedExample(CARD.texts, CARD.label, LOAN.texts, 1.0)
    assert isinstance(mix, Example)
    assert mix != CARD
    assert mix == MixedExample(CARD.texts, CARD.label, LOAN.texts, 1.0) == copy.deepcopy(mix)
    assert mix != MixedExample(CARD.texts, CARD.label, LOAN.texts, 0.5)
    assert len({mix, CARD, copy.copy(mix)}) == 2
    assert not hasattr(mix, "__dict__")


@pytest.mark.parametrize(
    ("texts", "other", "ratio"), [(("a", "b", "c"), ("a",), 0.5), (("a",), ("a", "b"), 0.5), (("a",), ("b",), 1.5)]
)
def test_mixed_example_has_as_many_texts_on_either_side_and_a_share(
    texts: tuple[str, ...], other: tuple[str, ...], ratio: float
) -> None:
    with pytest.raises(DataError, match="example has"):
        MixedExample(texts, "label", other, ratio)


def test_corpus_refuses_labels_and_descriptions_outside_its_label_set() -> None:
    with pytest.raises(DataError, match="'loan'"):
        Corpus((CARD, LOAN), ("lost_card",))
    with pytest.raises(DataError, match="Descriptions are given for"):
        Corpus((CARD,), ("lost_card",), {"loan": "borrowing money"})


def test_corpus_gives_rows_in_their_order() -> None:
    assert len(CORPUS) == 3
    assert list(CORPUS) == [CARD, LOAN, CARD]
    assert CORPUS.texts == ["my card is lost", "a loan please", "my card is lost"]
    assert CORPUS.example_labels == ["lost_card", "loan", "lost_card"]
    assert CORPUS.of_class("lost_card") == [CARD, CARD]


def test_chosen_rows_keep_labels_and_descriptions() -> None:
    chosen = CORPUS.rows([1, 0])
    assert chosen == Corpus((LOAN, CARD), CORPUS.labels, CORPUS.descriptions)


def test_class_without_description_is_described_by_its_name() -> None:
    assert CORPUS.describe("loan") == "borrowing money"
    assert CORPUS.describe("lost_card") == "lost card"
    assert readable("top-up_failed") == "top up failed"


def test_weight_is_the_confidence_or_one() -> None:
    assert Synthetic(CARD, Origin(method="test")).weight == 1.0
    assert Synthetic(CARD, Origin(method="test", confidence=0.25)).weight == 0.25
