import dataclasses

import numpy as np
import pytest

from crossfade.evaluation.comparison import CLASS_TEXTS, GOLD_ONLY, Scored, summarise
from crossfade.numerics.statistics import WorthInterval
from crossfade.reports.blocks import Figure, Table
from crossfade.reports.findings import Findings
from crossfade.reports.gains import curve_section, gain_section, verdict
from tests.report_doubles import OWN, findings, gold_corpus, written_rows

GOLD = gold_corpus()
MEASURED = findings(written_rows(GOLD, 30), GOLD)


def measured(own: tuple[float, ...], gold: tuple[float, ...], words: tuple[float, ...]) -> Findings:
    scored = [Scored(GOLD_ONLY, gold), Scored(CLASS_TEXTS, words), Scored(OWN, own)]
    rows = summarise(scored, student="linear", shots=2, curve=None, rng=np.random.default_rng(0))
    return dataclasses.replace(MEASURED, rows=tuple(rows), curve=None)


@pytest.mark.parametrize(
    ("own", "gold", "words", "answer"),
    [
        ((0.8, 0.81, 0.79), (0.6, 0.6, 0.61), (0.7, 0.7, 0.69), "Yes."),
        ((0.7, 0.71, 0.69), (0.6, 0.6, 0.61), (0.7, 0.7, 0.7), "The writing did not: the classes' names"),
        ((0.6, 0.7, 0.5), (0.6, 0.6, 0.6), (0.6, 0.6, 0.6), "No gain that can be told from chance."),
        ((0.4, 0.41, 0.39), (0.6, 0.6, 0.61), (0.6, 0.6, 0.61), "No, it did harm."),
        ((0.8,), (0.6,), (0.6,), "Not known."),
    ],
)
def test_the_verdict_is_said_plainly(
    own: tuple[float, ...], gold: tuple[float, ...], words: tuple[float, ...], answer: str
) -> None:
    (sentence,) = verdict(measured(own, gold, words))
    assert sentence.startswith(answer)
    assert f"{100 * np.mean(own):.1f} %" in sentence


def test_a_gain_is_told_with_its_worth() -> None:
    (sentence,) = verdict(MEASURED)
    assert "It is worth 5.0 (" in sentence
    assert "real labels per class." in sentence


def test_each_student_has_its_own_sentence() -> None:
    other = [dataclasses.replace(line, student="contrastive") for line in MEASURED.rows]
    sentences = verdict(dataclasses.replace(MEASURED, rows=(*MEASURED.rows, *other)))
    assert [sentence.partition(":")[0] for sentence in sentences] == [
        "With 2 real labels per class, student linear",
        "With 2 real labels per class, student contrastive",
    ]
    assert "worth" not in sentences[1]


def test_the_gain_chart_holds_every_interval() -> None:
    section = gain_section(MEASURED)
    assert section is not None
    figure = section.blocks[0].as_json()  # type: ignore[union-attr]
    low, high = figure["layout"]["xaxis"]["range"]
    ends = [end for trace in figure["data"] for end in trace["x"]]
    assert low < min(ends) < max(ends) < high
    assert low < 0


def test_the_curve_shows_where_the_run_lands() -> None:
    section = curve_section(MEASURED)
    assert section is not None
    run = section.blocks[0].as_json()["data"][-1]  # type: ignore[union-attr]
    assert run["x"] == [2, pytest.approx(5.0, abs=0.1)]
    assert curve_section(dataclasses.replace(MEASURED, curve=None)) is None


def test_a_run_below_the_curve_is_not_put_on_it() -> None:
    below = WorthInterval(estimate=1.0, low=1.0, high=1.5, is_below=True)
    rows = [
        dataclasses.replace(line, worth_per_class=1.0, worth=below) if line.rows == MEASURED.own else line
        for line in MEASURED.rows
    ]
    found = dataclasses.replace(MEASURED, rows=tuple(rows))
    curve, gain = curve_section(found), gain_section(found)
    assert curve is not None
    assert gain is not None
    assert "less than 1 real labels per class do, where the curve starts" in curve.lead
    table = gain.blocks[1]
    assert isinstance(table, Table)
    assert any("fewer than 1.0 (1.0 to 1.5)" in cells for cells in table.rows)


def test_entities_are_told_by_strict_f1_with_the_lenient_score_beside_it() -> None:
    lines = [dataclasses.replace(line, measure="strict_f1", beside=(0.9, 0.8)) for line in MEASURED.rows]
    found = dataclasses.replace(MEASURED, rows=tuple(lines))
    gain, curve = gain_section(found), curve_section(found)
    assert gain is not None
    assert curve is not None
    figure, table = gain.blocks[:2]
    assert isinstance(figure, Figure)
    assert isinstance(table, Table)
    assert table.headings[1:3] == ("strict F1", "lenient score")
    assert all(cells[2] == "85.0" for cells in table.rows)
    assert figure.as_json()["layout"]["xaxis"]["title"]["text"] == "points of strict F1"
    (chart,) = curve.blocks
    assert isinstance(chart, Figure)
    assert chart.as_json()["layout"]["yaxis"]["title"]["text"] == "strict F1, %"
