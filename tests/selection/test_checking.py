import sys
from collections import Counter
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from tests.doubles import FakeEncoder, ScoringModel

from crossfade.data import Augmented, Corpus, Example, Origin, Synthetic
from crossfade.errors import DependencyError, SettingsError
from crossfade.models.scripted import ScriptedModel
from crossfade.roles import Request, Student, TextModel
from crossfade.selection.checking import Check, LabelSettings, check_labels
from crossfade.selection.relabelling import ChoiceJudge
from crossfade.students.linear import LinearStudent

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


def linear() -> LinearStudent:
    return LinearStudent(FakeEncoder())


def check(judge: TextModel, *, nearest: int = 5, check: str = "paper") -> Augmented:
    return check_labels(
        written(),
        GOLD,
        judges={"judge": ChoiceJudge(judge, nearest)},
        encoder=FakeEncoder(),
        settings=LabelSettings.checked({"check": check}),
        new_student=linear if check in ("cleanlab", "trust") else no_student,
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


def test_trusted_rows_carry_soft_labels_confidence_and_votes() -> None:
    made = check(ScoringModel(lambda *_: 0.0), check="trust")
    assert set(made.sources) == {"prototypes", "students", "judge"}
    for row in made.kept:
        assert set(row.probabilities) == set(LABELS)
        assert sum(row.probabilities.values()) == pytest.approx(1)
        assert row.origin.confidence is not None
        assert 1 / len(LABELS) < row.origin.confidence < 1
        assert set(row.origin.votes) == {"writer", "prototypes", "students", "judge"}
        assert row.origin.votes["writer"] == row.origin.written_label
    assert_judge_left(made, 0)


def test_second_judge_votes_beside_the_first() -> None:
    judges = {name: ChoiceJudge(ScoringModel(lambda *_: 0.0), 5) for name in ("judge", "second_judge")}
    made = check_labels(
        written(), GOLD, judges=judges, encoder=FakeEncoder(), settings=LabelSettings(), new_student=linear
    )
    assert set(made.sources) == {"prototypes", "students", "judge", "second_judge"}
    assert all("second_judge" in row.origin.votes for row in made.kept)


def test_papers_relabelling_refuses_several_judges() -> None:
    judges = {name: ChoiceJudge(ScoringModel(lambda *_: 0.0), 5) for name in ("judge", "second_judge")}
    with pytest.raises(SettingsError, match="has 2 judges; expected one"):
        check_labels(
            written(),
            GOLD,
            judges=judges,
            encoder=FakeEncoder(),
            settings=LabelSettings(check="paper"),
            new_student=no_student,
        )


def test_no_check_leaves_everything_as_it_was() -> None:
    assert check(ScriptedModel({}), check="none") == written()


def test_agreement_keeps_what_judge_and_prototypes_bear_out_and_says_who_does_not() -> None:
    named = written_by_name()
    judge = ScriptedModel(lambda request: "loan" if "card written0" in request.prompt else _name_in(request))
    made = check_labels(
        named,
        GOLD,
        judges={"judge": ChoiceJudge(judge, 5)},
        encoder=FakeEncoder(),
        settings=LabelSettings(check="agreement"),
        new_student=no_student,
    )
    (lost,) = made.dropped
    assert lost.example.text == "card written0"
    assert lost.origin.reason == "dropped: judge: loan"
    assert all(row.example.label == row.origin.written_label for row in made.kept)
    assert made.losses["card"]["dropped"] == 1
    assert_judge_left(made, 1)


def test_cleanlab_drops_the_texts_of_another_class() -> None:
    named = written_by_name()
    stray = Synthetic(Example(("loan stray",), "card"), Origin(method="m", written_label="card"))
    losses = {label: dict(counts) for label, counts in named.losses.items()}
    losses["card"]["kept"] += 1
    losses["card"]["accepted"] += 1
    made = check_labels(
        Augmented((*named.kept, stray), (), losses, ""),
        GOLD,
        judges={},
        encoder=FakeEncoder(),
        settings=LabelSettings(check="cleanlab"),
        new_student=linear,
    )
    (lost,) = made.dropped
    assert lost.example.text == "loan stray"
    assert lost.origin.reason == "dropped: cleanlab finds a label issue; students: loan"
    assert all(row.origin.confidence is not None and row.origin.confidence > 0.25 for row in made.kept)
    assert_judge_left(made, 1)


@pytest.mark.parametrize("labels", [LABELS, LABELS[:1]])
def test_sungen_keeps_the_mixed_label(labels: tuple[str, ...]) -> None:
    mixed = {label: {label: 0.75, LABELS[index - 1]: 0.25} for index, label in enumerate(LABELS)}
    rows = tuple(
        replace(row, probabilities=mixed[row.example.label])
        for row in written_by_name().kept
        if row.example.label in labels
    )
    made = check_labels(
        Augmented(rows, (), written_by_name().losses, ""),
        GOLD,
        judges={},
        encoder=FakeEncoder(),
        settings=LabelSettings(check="sungen"),
        new_student=no_student,
    )
    assert made.kept
    for row in made.kept:
        told = {label: share for label, share in row.probabilities.items() if share}
        assert told == mixed[row.example.label]


def test_missing_cleanlab_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(DependencyError, match=r"'cleanlab'.*crossfade\[cleanlab\]"):
        check(ScriptedModel({}), check="cleanlab")


@pytest.mark.parametrize("name", get_args(Check))
def test_every_check_permutes_with_its_rows(name: Check) -> None:
    named = written_by_name()
    order = np.random.default_rng(0).permutation(len(named.kept)).tolist()
    shuffled = Augmented(tuple(named.kept[row] for row in order), (), named.losses, "")
    results = [
        check_labels(
            rows,
            GOLD,
            judges={"judge": ChoiceJudge(ScriptedModel(_name_in), 5)},
            encoder=FakeEncoder(),
            settings=LabelSettings(check=name),
            new_student=linear,
        )
        for rows in (named, shuffled)
    ]
    plain, other = ({row.example.text: row for row in made.kept} for made in results)
    assert set(plain) == set(other)
    for text, row in plain.items():
        assert row.example == other[text].example
        assert row.origin.confidence == pytest.approx(other[text].origin.confidence, abs=1e-4)
    assert results[0].losses == results[1].losses


def written_by_name() -> Augmented:
    """Return texts that hold the name of their class."""
    rows = tuple(
        Synthetic(Example((f"{label} written{number}",), label), Origin(method="m", written_label=label))
        for label in LABELS
        for number in range(6)
    )
    return Augmented(rows, (), {label: {"asked": 6, "accepted": 6, "kept": 6} for label in LABELS}, "")


def _name_in(request: Request) -> str:
    asked = request.prompt.splitlines()
    return next(label for label in LABELS for line in asked if f"{label} written" in line or f"{label} gold" in line)


def test_judge_is_offered_the_nearest_classes_only() -> None:
    judge = ScriptedModel(lambda request: request.choices[0])
    seen = ScoringModel(lambda *_: 0.0, preferred_form="instruct")
    check(judge, check="paper", nearest=2)
    check(seen, check="paper", nearest=2)
    assert judge.asked == 24
    assert {len(request.choices) for request in seen.requests} == {2}
