import pytest

from crossfade.data import AnnotatedExample, Example, Mention, ReadingExample, Synthetic
from crossfade.errors import DataError
from crossfade.reviewing import Decision, Verdict, apply_decisions, row_key
from crossfade.reviewing.applying import DROPPED
from tests.reviewing.rows import LABELS, made, written


def about(row: Synthetic, verdict: Verdict, label: str = "cat", texts: tuple[str, ...] | None = None) -> Decision:
    return Decision(key=row_key(row.example), verdict=verdict, label=label, texts=texts or row.example.texts)


def by_key(*decisions: Decision) -> dict[str, Decision]:
    return {decision.key: decision for decision in decisions}


def test_without_decisions_rows_are_as_they_were() -> None:
    rows = made([written("a cat")], [written("a dog", reason="duplicate")])
    reviewed = apply_decisions(rows, {}, LABELS)
    assert reviewed.rows == rows
    assert (reviewed.total, reviewed.unmatched, reviewed.sentence) == (0, 0, "")


def test_a_dropped_row_goes_out_with_its_reason() -> None:
    row = written("a cat")
    reviewed = apply_decisions(made([row]), by_key(about(row, "drop")), LABELS)
    assert reviewed.rows.kept == ()
    (out,) = reviewed.rows.dropped
    assert (out.origin.reason, out.origin.reviewed) == (DROPPED, "drop")


@pytest.mark.parametrize(("verdict", "label"), [("accept", "cat"), ("relabel", "dog")])
def test_the_label_of_a_person_is_certain(verdict: Verdict, label: str) -> None:
    row = written("a cat", confidence=0.3)
    (kept,) = apply_decisions(made([row]), by_key(about(row, verdict, label)), LABELS).rows.kept
    assert kept.example == Example(("a cat",), label)
    assert (kept.origin.confidence, kept.weight, kept.probabilities) == (1.0, 1.0, {})
    assert kept.origin.original_texts == ()


def test_an_edited_row_keeps_its_origin_with_the_written_text_beside_it() -> None:
    row = written("a cta")
    (kept,) = apply_decisions(made([row]), by_key(about(row, "edit", "dog", ("a dog",))), LABELS).rows.kept
    assert kept.example == Example(("a dog",), "dog")
    assert kept.origin.original_texts == ("a cta",)
    assert (kept.origin.method, kept.origin.ratio, kept.origin.reviewed) == ("promptmix", 0.7, "edit")


def test_a_person_brings_back_what_the_check_dropped_but_not_a_duplicate() -> None:
    checked = written("a cat", reason="dropped: judge: dog")
    twin = written("a cat", reason="duplicate")
    reviewed = apply_decisions(made([], [checked, twin]), by_key(about(checked, "accept")), LABELS)
    assert [row.origin.reason for row in reviewed.rows.kept] == [None]
    assert reviewed.rows.dropped == (twin,)
    assert reviewed.total == 1


def test_a_label_that_the_check_changed_since_gives_way_to_the_person() -> None:
    decision = about(written("a cat", label="cat"), "accept", "cat")
    (kept,) = apply_decisions(made([written("a cat", label="dog")]), by_key(decision), LABELS).rows.kept
    assert kept.example.label == "cat"


def test_decisions_that_match_no_row_or_no_class_are_counted() -> None:
    row, other = written("a cat"), written("a dog")
    gone = about(written("gone"), "drop")
    renamed = about(other, "relabel", "wolf")
    reviewed = apply_decisions(made([row, other]), by_key(gone, renamed, about(row, "accept")), LABELS)
    assert (reviewed.total, reviewed.unmatched) == (1, 2)
    assert reviewed.rows.kept[1] == other
    assert reviewed.sentence == (
        "Reviewed rows: 1 (1 accepted, 0 relabelled, 0 edited, 0 dropped); 2 decisions match no row any more."
    )
    assert reviewed.as_json() == {
        "reviewed": 1, "accepted": 1, "relabelled": 0, "edited": 0, "dropped": 0, "unmatched": 2
    }  # fmt: skip


def test_a_reading_row_cannot_lose_its_answer() -> None:
    example = ReadingExample(("one two", "what?"), "answerable", "two", 4)
    row = Synthetic(example, written("x").origin)
    with pytest.raises(DataError, match="does not stand in the context"):
        apply_decisions(made([row]), by_key(about(row, "edit", "answerable", ("one three", "what?"))), ("answerable",))


def test_the_mentions_of_an_edited_row_are_found_anew_and_must_stand() -> None:
    mentions = (Mention(0, "Ann", "person"),)
    row = Synthetic(AnnotatedExample(("Ann slept",), "entities", (), mentions), written("x").origin)
    decision = about(row, "edit", "entities", ("Now Ann slept",))
    (kept,) = apply_decisions(made([row]), by_key(decision), ("entities",)).rows.kept
    assert kept.example == AnnotatedExample(("Now Ann slept",), "entities", (), (Mention(4, "Ann", "person"),))
    with pytest.raises(DataError, match="does not hold all"):
        apply_decisions(made([row]), by_key(about(row, "edit", "entities", ("He slept",))), ("entities",))
