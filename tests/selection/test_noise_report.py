import json
from dataclasses import replace

import pytest

from crossfade.data import Augmented, Corpus, Example, Origin, Synthetic
from crossfade.selection.noise_report import label_noise

LABELS = ("card", "loan")
GOLD = Corpus(tuple(Example((f"card {row}",), "card") for row in range(5)), LABELS)


def row(
    text: str,
    written: str,
    decided: str,
    *,
    votes: dict[str, str] | None = None,
    confidence: float | None = 0.9,
    ratio: float | None = None,
    reason: str | None = None,
) -> Synthetic:
    said = {"writer": written} | (votes or {})
    origin = Origin(method="m", written_label=written, votes=said, confidence=confidence, ratio=ratio, reason=reason)
    return Synthetic(Example((text,), decided), origin)


AGREED = row("agreed", "card", "card", votes={"judge": "card", "students": "card"}, ratio=0.95)
CHANGED = row("changed", "card", "loan", votes={"judge": "loan", "students": "card"}, ratio=0.75)
UNSURE = row("unsure", "card", "card", votes={"judge": "loan", "students": "card"}, confidence=0.4, ratio=0.9)
DROPPED = row("gone", "loan", "loan", votes={"judge": "card"}, reason="dropped: judge: card", ratio=1.0)
REPEATED = row("again", "loan", "loan", reason="duplicate")


def made(*rows: Synthetic) -> Augmented:
    lost = tuple(item for item in rows if item.origin.reason)
    return Augmented(tuple(item for item in rows if not item.origin.reason), lost, {}, "")


def test_each_class_lists_its_suspects_with_suggestion_and_reasons() -> None:
    report = label_noise(made(AGREED, UNSURE, CHANGED), GOLD)
    card, loan = report.classes
    assert (card.rows, loan.rows) == (3, 0)
    changed, unsure = card.suspects
    assert (changed.text, changed.suggested_label, changed.reasons) == ("changed", "loan", ("judge: loan",))
    assert (unsure.text, unsure.suggested_label) == ("unsure", "card")
    assert unsure.reasons == ("judge: loan", "the label is only 40% sure")


def test_dropped_rows_are_suspects_and_rows_lost_before_the_check_are_not() -> None:
    loan = label_noise(made(DROPPED, REPEATED), GOLD).classes[1]
    assert loan.rows == 1
    (gone,) = loan.suspects
    assert gone.suggested_label == "card"
    assert gone.reasons == ("judge: card", "dropped: judge: card")


def test_kept_label_that_most_other_votes_contradict_is_suspect() -> None:
    against = row("against", "card", "card", votes={"judge": "loan", "students": "loan", "prototypes": "card"})
    (suspect,) = label_noise(made(against), GOLD).classes[0].suspects
    assert suspect.suggested_label == "loan"
    assert suspect.reasons == ("judge: loan", "students: loan")


def test_confusion_counts_every_checked_row_once() -> None:
    report = label_noise(made(AGREED, CHANGED, UNSURE, DROPPED, REPEATED), GOLD)
    assert report.confusion == {"card": {"card": 2, "loan": 1}, "loan": {"card": 1}}


def test_share_changed_is_told_by_mixing_ratio() -> None:
    report = label_noise(made(AGREED, CHANGED, UNSURE, DROPPED), GOLD)
    assert [(part.low, part.high, part.rows) for part in report.ratios] == [(0.7, 0.8, 1), (0.9, 1.0, 3)]
    assert [part.changed for part in report.ratios] == pytest.approx([1.0, 1 / 3])


def test_rows_that_were_not_mixed_have_no_ratios() -> None:
    assert label_noise(made(replace(AGREED, origin=replace(AGREED.origin, ratio=None))), GOLD).ratios == ()


def test_class_with_too_few_gold_texts_is_warned_of() -> None:
    card, loan = label_noise(made(AGREED), GOLD).classes
    assert card.warning == ""
    assert loan.warning == "only 0 gold texts: too few to say"


def test_rows_without_a_check_are_not_suspect() -> None:
    plain = row("plain", "card", "card", confidence=None)
    assert label_noise(made(plain), GOLD).classes[0].suspects == ()


def test_report_becomes_json_and_cells() -> None:
    report = label_noise(made(AGREED, CHANGED, DROPPED), GOLD)
    values = json.loads(json.dumps(report.as_json()))
    assert values["classes"][0]["suspects"][0]["text"] == "changed"
    assert report.cells() == [
        ("card", "2", "1", "loan (1)", ""),
        ("loan", "1", "1", "card (1)", "only 0 gold texts: too few to say"),
    ]
