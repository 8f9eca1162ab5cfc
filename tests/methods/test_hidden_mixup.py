from collections import Counter
from typing import Any

import numpy as np
import pytest
from tests.doubles import FakeEncoder

from crossfade.data import Augmented, Corpus, Example, MixedExample
from crossfade.errors import SettingsError
from crossfade.methods.hidden_mixup import HiddenMixupSettings, augment
from crossfade.students.linear import LinearStudent
from crossfade.tasks.classification import synthetic_rows

LABELS = ("card", "loan", "rate")
GOLD = Corpus(
    tuple(Example((f"{label} gold{number}",), label) for label in LABELS for number in range(3)),
    LABELS,
)


def run(gold: Corpus = GOLD, seed: int = 0, **values: Any) -> Augmented:
    return augment(
        gold,
        encoder=FakeEncoder(),
        settings=HiddenMixupSettings.checked({"texts_per_class": 40, **values}),
        rng=np.random.default_rng(seed),
    )


def test_every_class_has_the_larger_share_in_as_many_rows_as_asked_for() -> None:
    made = run()
    assert Counter(row.example.label for row in made.kept) == dict.fromkeys(LABELS, 40)
    assert made.dropped == ()
    by_text = dict(zip(GOLD.texts, GOLD.example_labels, strict=True))
    for row in made.kept:
        assert isinstance(row.example, MixedExample)
        assert 0.5 <= row.example.ratio <= 1
        assert row.origin.ratio == row.example.ratio
        parents = by_text[row.example.texts[0]], by_text[row.example.other[0]]
        assert row.origin.parents == parents
        assert row.example.label == parents[0]


def test_labels_are_mixed_in_the_same_ratio() -> None:
    for row in run().kept:
        assert isinstance(row.example, MixedExample)
        first, second = row.origin.parents
        expected = {first: 1.0} if first == second else {first: row.example.ratio, second: 1 - row.example.ratio}
        assert row.probabilities == expected


def test_a_text_is_never_mixed_with_itself() -> None:
    assert all(isinstance(row.example, MixedExample) and row.example.texts != row.example.other for row in run().kept)


@pytest.mark.parametrize("same_class", [True, False])
def test_pairs_of_one_class_are_drawn_when_allowed(same_class: bool) -> None:
    made = run(same_class=same_class)
    assert any(len(set(row.origin.parents)) == 1 for row in made.kept) == same_class


def test_small_alpha_stays_near_the_texts() -> None:
    means = [
        np.mean([row.origin.ratio for row in run(alpha=alpha, texts_per_class=200).kept]) for alpha in (0.1, 1.0, 10.0)
    ]
    assert means[0] > 0.9
    assert means[1] == pytest.approx(0.75, abs=0.03)
    assert means[2] < 0.65


def test_same_rng_gives_the_same_rows() -> None:
    assert run() == run() != run(seed=1)


def test_pairs_of_texts_are_mixed_side_by_side() -> None:
    pairs = Corpus((Example(("it rains", "it is wet"), "yes"), Example(("it snows", "hot"), "no")), ("yes", "no"))
    for row in run(pairs).kept:
        assert isinstance(row.example, MixedExample)
        assert {row.example.texts, row.example.other} == {("it rains", "it is wet"), ("it snows", "hot")}


@pytest.mark.parametrize(("rows", "same_class"), [([0], True), ([0, 1], False)])
def test_nothing_to_mix_with_is_refused(rows: list[int], same_class: bool) -> None:
    gold = Corpus(tuple(GOLD.examples[row] for row in rows), ("card",))
    with pytest.raises(SettingsError, match="no other text to mix"):
        run(gold, same_class=same_class)


def test_linear_student_learns_from_mixed_rows() -> None:
    rows = synthetic_rows(run().kept, LABELS, doubt="soften")
    student = LinearStudent(FakeEncoder()).fit(rows.examples, rows.targets, rows.weights, LABELS)
    named = student.predict_probabilities(GOLD.examples).argmax(axis=1)
    assert [LABELS[column] for column in named] == GOLD.example_labels
