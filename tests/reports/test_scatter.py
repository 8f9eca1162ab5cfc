import dataclasses

from crossfade.data import Example, MixedExample
from crossfade.reports.scatter import COLUMNS, map_data, map_section
from tests.report_doubles import findings, gold_corpus, written_rows

GOLD = gold_corpus()
MADE = written_rows(GOLD, 40)


def test_every_text_has_a_place_and_what_is_known_of_it() -> None:
    data = map_data(findings(MADE, GOLD))
    assert {len(data[name]) for name in COLUMNS} == {len(GOLD) + 40}
    assert data["kind"].count(1) == len(MADE.kept)
    row = data["kind"].index(1)
    origin = MADE.kept[0].origin
    assert data["text"][row] == MADE.kept[0].example.text
    assert data["labels"][data["written"][row]] == origin.written_label
    assert [data["labels"][number] for number in data["parents"][row]] == list(origin.parents)
    assert (data["ratio"][row], data["confidence"][row]) == (origin.ratio, origin.confidence)
    lost = data["kind"].index(2)
    assert data["reasons"][data["reason"][lost]] == "dropped: no label is sure"


def test_points_between_texts_are_not_on_it() -> None:
    mixed = dataclasses.replace(MADE.kept[0], example=MixedExample(("not embedded",), "billing", ("b",), 0.5))
    made = dataclasses.replace(MADE, kept=(mixed,), dropped=())
    base = findings(MADE, GOLD)
    draw = dataclasses.replace(base.draws[0], made=made)
    assert map_data(dataclasses.replace(base, draws=(draw,)))["kind"] == [0] * len(GOLD)


def test_a_missing_gold_file_is_told() -> None:
    base = findings(MADE, GOLD)
    without = dataclasses.replace(base, draws=(dataclasses.replace(base.draws[0], gold=None),), gold_missing="No file.")
    section = map_section(without)
    assert section is not None
    assert section.lead.endswith("Your labelled texts are not on it: No file.")


def test_very_long_texts_are_cut() -> None:
    long = Example(("word " * 500,), "billing")
    made = dataclasses.replace(MADE, kept=(dataclasses.replace(MADE.kept[0], example=long),), dropped=())
    assert len(map_data(findings(made, GOLD))["text"][-1]) == 600
