from collections import Counter

import pytest
from tests.doubles import FakeEncoder, ScoringModel

from crossfade.data import Augmented, Corpus, Example, Origin, Synthetic
from crossfade.models.scripted import ScriptedModel
from crossfade.roles import Student, TextModel
from crossfade.selection.checking import LabelSettings, check_labels

LABELS = ("card", "loan", "rate", "atm")
GOLD = Corpus(
    tuple(Example((f"{label} gold{number} text{number}",), label) for label in LABELS for number in range(3)), LABELS
)


def written(per_class: int = 6) -> Augmented:
    rows = [
        Synthetic(
            Example((f"alpha{number}{label} beta{number}{label}",), label), Origin(method="m", written_label=label)
        )
        for label in LABELS
        for number in range(per_class)
    ]
    losses = {label: {"asked": per_class, "accepted": per_class, "kept": per_class} for label in LABELS}
    return Augmented(tuple(rows), (), losses, "Every class has its texts.")


def no_student() -> Student:
    raise AssertionError("no student is needed")


def check(judge: TextModel, *, nearest: int = 5, check: str = "paper") -> Augmented:
    return check_labels(
        written(),
        GOLD,
        judges={"judge": judge},
        encoder=FakeEncoder(),
        settings=LabelSettings.checked({"check": check, "nearest": nearest}),
        new_student=no_student,
    )


def assert_judge_left(made: Augmented, left: int) -> None:
    assert len(made.kept) + left == sum(counts["accepted"] for counts in made.losses.values())
    assert sum(counts.get("dropped", 0) for counts in made.losses.values()) == left
    assert sum(counts["kept"] for counts in made.losses.values()) == len(made.kept)


def test_papers_relabelling_lets_the_judge_replace_every_label() -> None:
    judge = ScriptedModel(lambda request: "card" if "\n1. alpha0card " in request.prompt else "loan")
    made = check(judge, check="paper")
    assert Counter(row.example.label for row in made.kept) == {"loan": 23, "card": 1}
    assert all(row.origin.judged_label == row.example.label for row in made.kept)
    for label, counts in made.losses.items():
        of_class = [row for row in made.kept if row.origin.written_label == label]
        assert counts.get("relabelled", 0) == sum(row.example.label != label for row in of_class)
    assert {row.origin.confidence for row in made.kept} == {None}
    assert_judge_left(made, 0)


def test_answer_that_is_the_same_for_every_text_stays_that_answer() -> None:
    made = check(ScriptedModel(lambda _: "loan"), check="paper")
    assert {row.example.label for row in made.kept} == {"loan"}


def test_text_that_the_judge_gives_no_offered_class_is_dropped_with_that_reason() -> None:
    made = check(ScriptedModel(lambda _: "something else"), check="paper")
    assert made.kept == ()
    assert {row.origin.reason for row in made.dropped} == {"dropped: the judge named no class that it was offered"}
    assert_judge_left(made, 24)


def test_trusted_rows_carry_probabilities_confidence_and_votes() -> None:
    made = check(ScoringModel(lambda *_: 0.0), check="trust")
    assert set(made.sources) == {"prototypes", "judge"}
    for row in made.kept:
        assert set(row.probabilities) == set(LABELS)
        assert sum(row.probabilities.values()) == pytest.approx(1)
        assert row.origin.confidence == max(row.probabilities.values())
        assert row.example.label == max(row.probabilities, key=lambda label: row.probabilities[label])
        assert row.origin.votes["writer"] == row.origin.written_label


def test_judge_is_offered_the_nearest_classes_only() -> None:
    judge = ScriptedModel(lambda request: request.choices[0])
    seen = ScoringModel(lambda *_: 0.0, preferred_form="instruct")
    check(judge, check="paper", nearest=2)
    check(seen, check="paper", nearest=2)
    assert judge.asked == 24
    assert {len(request.choices) for request in seen.requests} == {2}
