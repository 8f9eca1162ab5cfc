import dataclasses

from crossfade.data import Augmented, Example, MixedExample, Origin, ReadingExample, Synthetic
from crossfade.reports.blocks import Samples, Table
from crossfade.reports.writing import cost, cost_section, duration, loss_section, sample_section, written_text
from tests.report_doubles import findings, gold_corpus, written_rows

GOLD = gold_corpus()
FOUND = findings(written_rows(GOLD, 200), GOLD)


def test_losses_add_up_and_reasons_have_an_example() -> None:
    section = loss_section(FOUND)
    assert section is not None
    losses, reasons = section.blocks[:2]
    assert isinstance(losses, Table)
    assert isinstance(reasons, Table)
    assert losses.rows[-1][0] == "all"
    assert losses.rows[-1][-1] == str(len(FOUND.kept))
    assert reasons.rows[0][:2] == ("dropped: no label is sure", str(len(FOUND.dropped)))
    assert reasons.rows[0][2] in {row.example.text for row in FOUND.dropped}


def test_cost_is_told_and_unknown_prices_stay_unknown() -> None:
    assert cost(FOUND).startswith("480 answered requests, 146,912 tokens; 1.25 in the currency")
    unknown = dataclasses.replace(FOUND, models=(dataclasses.replace(FOUND.models[0], money=None),))
    assert "money unknown" in cost(unknown)
    assert cost(dataclasses.replace(FOUND, models=(), seconds=None)) == "No model was asked."
    assert cost_section(dataclasses.replace(FOUND, models=())) is None


def test_samples_are_twenty_of_each_class_and_the_same_again() -> None:
    section = sample_section(FOUND)
    assert section is not None
    shown = [block for block in section.blocks if isinstance(block, Samples)]
    assert [len(block.rows) for block in shown] == [20, 20, 20]
    assert section == sample_section(FOUND)


def test_every_kind_of_example_can_be_read() -> None:
    origin = Origin(method="m")
    assert written_text(Synthetic(Example(("a", "b"), "x"), origin)) == "a | b"
    assert written_text(Synthetic(MixedExample(("a",), "x", ("b",), 0.5), origin)) == "a  +  b"
    assert written_text(Synthetic(ReadingExample(("a cat", "who?"), "x", "cat", 2), origin)) == "a cat | who?  →  cat"


def test_no_rows_no_samples() -> None:
    draw = dataclasses.replace(FOUND.draws[0], made=Augmented((), (), {}, "Nothing."))
    empty = dataclasses.replace(FOUND, draws=(draw,))
    assert sample_section(empty) is None
    assert loss_section(empty) is None


def test_durations_are_said_as_people_do() -> None:
    assert [duration(seconds) for seconds in (3.2, 158, 9000)] == ["3 s", "3 min", "2.5 h"]
