from collections.abc import Sequence
from typing import ClassVar, get_args

import numpy as np
import pytest
from tests.doubles import FakeEncoder

from crossfade.data import Augmented, Corpus, Example, Origin, Synthetic
from crossfade.roles import Floats
from crossfade.selection.between import CheckBetween
from crossfade.selection.checking import LabelSettings, check_labels, judgements
from crossfade.tasks.classification import synthetic_rows

LABELS = ("card", "loan", "rate")
GOLD = Corpus(tuple(Example((f"{label} gold{number}",), label) for label in LABELS for number in range(2)), LABELS)


class Judge:
    """Gives 0.8 to the class that a text begins with."""

    fitted: ClassVar[list[list[str]]] = []

    def fit(self, examples: Sequence[Example], targets: Floats, weights: Floats, labels: Sequence[str]) -> "Judge":
        self.labels = tuple(labels)
        self.fitted.append([example.text for example in examples])
        return self

    def predict_probabilities(self, examples: Sequence[Example]) -> Floats:
        rows = np.full((len(examples), len(self.labels)), 0.1)
        for row, example in enumerate(examples):
            rows[row, self.labels.index(example.text.split()[0])] = 0.8
        return rows

    def save(self, folder: object) -> None:
        raise AssertionError("nothing saves it")


def mixed(text: str, first: str, second: str, ratio: float) -> Synthetic:
    origin = Origin(method="m", parents=(first, second), ratio=ratio, written_label=first)
    return Synthetic(Example((text,), first), origin, {first: ratio, second: 1 - ratio})


ROWS = (
    mixed("card new", "card", "loan", 0.75),
    mixed("loan new", "card", "loan", 0.75),
    mixed("rate new", "card", "loan", 0.75),
)


def check(name: str, rows: tuple[Synthetic, ...] = ROWS, gold: Corpus = GOLD) -> Augmented:
    counts = {label: {"kept": sum(row.origin.written_label == label for row in rows)} for label in LABELS}
    return check_labels(
        Augmented(rows, (), counts, ""),
        gold,
        judges={},
        encoder=FakeEncoder(),
        settings=LabelSettings.checked({"check": name}),
        new_student=Judge,
    )


def taught(made: Augmented) -> list[list[float]]:
    targets = synthetic_rows(made.kept, LABELS, doubt="soften").targets
    return [[round(float(share), 6) for share in row] for row in targets]


def test_student_replaces_every_label() -> None:
    made = check("student")
    assert [row.example.label for row in made.kept] == ["card", "loan", "rate"]
    assert taught(made) == np.eye(3).tolist()
    assert made.losses["card"]["relabelled"] == 2


def test_students_probabilities_replace_the_mixed_label() -> None:
    made = check("student_soft")
    assert [row.example.label for row in made.kept] == ["card", "loan", "rate"]
    assert taught(made) == [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]


def test_average_is_half_the_mixed_label_and_half_the_students() -> None:
    made = check("average")
    assert taught(made) == [[0.775, 0.175, 0.05], [0.425, 0.525, 0.05], [0.425, 0.175, 0.4]]
    assert [row.example.label for row in made.kept] == ["card", "loan", "card"]


def test_text_of_a_third_class_is_dropped_and_the_others_keep_their_mixed_label() -> None:
    made = check("between")
    assert [row.example.text for row in made.kept] == ["card new", "loan new"]
    assert {row.example.label for row in made.kept} == {"card"}
    assert taught(made) == [[0.75, 0.25, 0.0]] * 2
    (gone,) = made.dropped
    assert gone.origin.reason == "dropped: student: rate, which is none of the classes mixed"
    assert made.losses["card"] == {"kept": 2, "relabelled": 0, "dropped": 1}


def test_text_of_one_class_is_between_only_in_that_class() -> None:
    rows = tuple(Synthetic(row.example, Origin(method="m", parents=("card",), written_label="card")) for row in ROWS)
    assert [row.example.text for row in check("between", rows).kept] == ["card new"]


@pytest.mark.parametrize("name", get_args(CheckBetween))
def test_student_sees_gold_alone_is_scored_on_it_and_asks_no_judge(name: str) -> None:
    Judge.fitted.clear()
    made = check(name)
    assert made.sources == {"student": {"accuracy": 1.0, "sharpness": 1.0, "texts": 6}}
    known = {*GOLD.texts, *LABELS}
    assert all(set(texts) <= known for texts in Judge.fitted)
    assert judgements(LabelSettings.checked({"check": name}).check, written=10, gold=5) == 0
    assert all(row.origin.votes["writer"] == "card" for row in made.kept)


def test_without_gold_texts_the_student_goes_by_the_class_names_and_has_no_score() -> None:
    made = check("student", gold=Corpus((), LABELS))
    assert [row.example.label for row in made.kept] == ["card", "loan", "rate"]
    assert made.sources == {}


@pytest.mark.parametrize("name", ["agreement", "cleanlab"])
def test_checks_that_keep_a_label_keep_its_mix(name: str) -> None:
    rows = tuple(
        mixed(f"{first} new{number}", first, second, 0.75)
        for first in LABELS
        for second in LABELS
        if first != second
        for number in range(3)
    )
    made = check(name, rows)
    assert made.kept
    assert {round(max(row.probabilities.values()), 6) for row in made.kept} == {0.75}
