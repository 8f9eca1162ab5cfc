from pathlib import Path

import pytest

from crossfade.data import MixedExample, Synthetic
from crossfade.errors import DataError, SettingsError
from crossfade.reviewing import ReviewSession, row_key
from tests.reviewing.rows import LABELS, made, written


def session(folder: Path, *kept: Synthetic, dropped: tuple[Synthetic, ...] = ()) -> ReviewSession:
    return ReviewSession(folder, made(kept, dropped), LABELS)


def test_the_least_trusted_rows_come_first(tmp_path: Path) -> None:
    rows = (
        written("sure"),
        written("unsure", confidence=0.2),
        written("unknown", confidence=None),
        written("one against", confidence=0.9, label="dog", wanted="cat", votes={"judge": "dog"}),
        written("two against", confidence=0.9, label="dog", wanted="cat", votes={"judge": "dog", "students": "dog"}),
    )
    ordered = [row.row.example.text for row in session(tmp_path, *rows).rows.values()]
    assert ordered == ["unsure", "two against", "one against", "sure", "unknown"]


def test_rows_dropped_by_the_check_are_offered_and_duplicates_are_not(tmp_path: Path) -> None:
    dropped = (written("checked", reason="dropped: judge: dog"), written("twin", reason="duplicate"))
    found = session(tmp_path, written("kept"), dropped=dropped)
    assert {row.row.example.text: row.kinds for row in found.rows.values()} == {
        "checked": ("dropped by the check",),
        "kept": (),
    }


def test_kinds_say_in_few_words_what_the_reasons_say(tmp_path: Path) -> None:
    row = written("x", label="dog", wanted="cat", confidence=0.4, votes={"judge": "dog", "students": "dog"})
    (found,) = session(tmp_path, row).rows.values()
    assert found.kinds == ("relabelled by the check", "judge disagrees", "students disagree", "less than half sure")
    assert found.suggested == "dog"
    assert "the label is only 40% sure" in found.reasons


def test_a_text_that_stands_there_twice_is_one_row(tmp_path: Path) -> None:
    (found,) = session(tmp_path, written("x", confidence=0.8), written("x", confidence=0.3)).rows.values()
    assert found.row.origin.confidence == 0.3


def test_the_verdict_says_what_was_changed(tmp_path: Path) -> None:
    row = written("x")
    review, key = session(tmp_path, row), row_key(row.example)
    assert review.decide(key).verdict == "accept"
    assert review.decide(key, label="dog").verdict == "relabel"
    assert review.decide(key, label="cat").verdict == "accept"
    assert review.decide(key, texts=[" y "]).texts == ("y",)
    assert review.decide(key, drop=True).verdict == "drop"


def test_a_later_decision_keeps_what_it_does_not_name(tmp_path: Path) -> None:
    row = written("x")
    review, key = session(tmp_path, row), row_key(row.example)
    review.decide(key, label="dog")
    edited = review.decide(key, texts=["y"])
    assert (edited.verdict, edited.label) == ("edit", "dog")
    review.decide(key, drop=True)
    back = review.decide(key)
    assert (back.verdict, back.label, back.texts) == ("edit", "dog", ("y",))


def test_undo_returns_to_the_decision_before_and_skips_rows_that_are_gone(tmp_path: Path) -> None:
    old, row = written("old"), written("x")
    session(tmp_path, old).decide(row_key(old.example), drop=True)
    review, key = session(tmp_path, row), row_key(row.example)
    review.decide(key)
    assert [decision.verdict for decision in review.decisions.values()] == ["accept"]
    undone = review.undo()
    assert undone is not None
    assert undone.key == key
    assert review.decisions == {}
    assert review.undo() is None


@pytest.mark.parametrize("texts", [[], [" "], ["x", "y"]])
def test_texts_that_do_not_fit_the_row_are_refused(tmp_path: Path, texts: list[str]) -> None:
    row = written("x")
    review = session(tmp_path, row)
    with pytest.raises(DataError, match="empty or missing"):
        review.decide(row_key(row.example), texts=texts)
    assert review.decisions == {}


def test_unknown_rows_and_classes_are_refused(tmp_path: Path) -> None:
    row = written("x")
    review = session(tmp_path, row)
    with pytest.raises(DataError, match="There is no row"):
        review.decide("0" * 16)
    with pytest.raises(SettingsError, match="Did you mean 'dog'"):
        review.decide(row_key(row.example), label="dogs")


def test_points_between_embeddings_cannot_be_reviewed(tmp_path: Path) -> None:
    row = Synthetic(MixedExample(("a",), "cat", ("b",), 0.5), written("a").origin)
    with pytest.raises(DataError, match="nothing to read"):
        session(tmp_path, row)
