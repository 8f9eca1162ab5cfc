from dataclasses import replace

from crossfade import tables
from crossfade.evaluation.comparison import CLASS_TEXTS, GOLD_ONLY, ResultRow, row_name
from crossfade.numerics.statistics import Interval, WorthInterval
from crossfade.recipe import Recipe
from crossfade.tables import loss_table, result_tables, setting_lines, verdicts
from tests.screens import drawn

WRITTEN = row_name("promptmix", "none")
CHECKED = row_name("promptmix", "trust")


def row(rows: str, *values: float, shots: int = 2, worth: float | None = 2.0, gain: float = 0.0) -> ResultRow:
    uplift = None if rows == GOLD_ONLY else Interval(mean=gain, low=gain - 0.01, high=gain + 0.01)
    return ResultRow(
        rows=rows,
        student="linear",
        shots=shots,
        splits=len(values),
        values=values,
        uplift=uplift,
        worth_per_class=worth,
    )


def test_the_result_table_shows_mean_spread_gain_and_worth() -> None:
    (table,) = result_tables([row(GOLD_ONLY, 0.5, 0.6), row(CHECKED, 0.7, 0.8, gain=0.2, worth=6.25)])
    lines = drawn(table).splitlines()
    assert lines[0].strip() == "2 real labels per class, 2 splits, linear student"
    assert lines[-2].split() == ["gold", "only", "55.0%", "±", "7.1", "-", "2.0"]
    assert lines[-1].split() == [
        "+",
        "promptmix,",
        "trust",
        "75.0%",
        "±",
        "7.1",
        "+20.0",
        "(+19.0",
        "to",
        "+21.0)",
        "6.2",
    ]


def test_a_worth_above_the_curve_is_said() -> None:
    (table,) = result_tables([row(GOLD_ONLY, 0.5), row(CHECKED, 0.9, worth=None)])
    assert drawn(table).rstrip().endswith("above curve")


def test_a_worth_below_the_curve_is_said() -> None:
    worth = WorthInterval(estimate=2.0, low=2.0, high=2.5, is_below=True)
    below = replace(row(CHECKED, 0.4, worth=2.0), worth=worth)
    (table,) = result_tables([row(GOLD_ONLY, 0.5), below])
    assert "under 2.0" in drawn(table)


def test_without_a_curve_no_worth_is_claimed() -> None:
    (table,) = result_tables([row(GOLD_ONLY, 0.5, worth=None), row(CHECKED, 0.9, worth=None)])
    assert "above curve" not in drawn(table)


def test_each_number_of_shots_has_its_own_table_and_verdict() -> None:
    rows = [row(GOLD_ONLY, 0.5, 0.5), row(CHECKED, 0.6, 0.6), row(CLASS_TEXTS, 0.3, 0.3, shots=0)]
    rows.append(row(CHECKED, 0.4, 0.4, shots=0))
    assert [drawn(table).split(",")[0] for table in result_tables(rows)] == [
        "2 real labels per class",
        "no real labels",
    ]
    assert verdicts(rows, CHECKED) == [
        "linear, 2 labels per class: The augmented student is ahead of gold only by 10.0 points (+10.0 to +10.0).",
        "linear, 0 labels per class: The augmented student is ahead of gold + class texts by 10.0 points (+10.0 to "
        "+10.0).",
    ]


def test_the_verdict_names_both_controls_when_ahead_of_both() -> None:
    (verdict,) = verdicts([row(GOLD_ONLY, 0.5, 0.5), row(CLASS_TEXTS, 0.64, 0.66), row(CHECKED, 0.8, 0.8)], CHECKED)
    assert verdict == (
        "The augmented student is ahead of gold only by 30.0 points (+30.0 to +30.0) and of gold + class texts by "
        "15.0 points (+2.3 to +27.7)."
    )


def test_a_control_that_is_not_beaten_is_said_first_and_plainly() -> None:
    (verdict,) = verdicts([row(GOLD_ONLY, 0.5, 0.5), row(CLASS_TEXTS, 0.8, 0.8), row(CHECKED, 0.7, 0.7)], CHECKED)
    assert verdict == (
        "No gain over gold + class texts: -10.0 points (-10.0 to -10.0). The augmented student is ahead of gold only "
        "by 20.0 points (+20.0 to +20.0)."
    )


def test_an_interval_that_includes_zero_is_no_gain() -> None:
    (verdict,) = verdicts([row(GOLD_ONLY, 0.5, 0.6), row(CHECKED, 0.7, 0.59)], CHECKED)
    assert verdict.startswith("No gain over gold only: +9.5 points (-123.9 to +142.9).")
    assert "ahead" not in verdict


def test_the_verdict_is_on_the_recipes_own_rows() -> None:
    (verdict,) = verdicts([row(GOLD_ONLY, 0.5, 0.5), row(CHECKED, 0.4, 0.4), row(WRITTEN, 0.9, 0.9)], CHECKED)
    assert verdict.startswith("No gain over gold only: -10.0 points")


def test_one_split_is_called_too_few() -> None:
    (verdict,) = verdicts([row(GOLD_ONLY, 0.5), row(CHECKED, 0.7)], CHECKED)
    assert verdict == (
        "No gain over gold only: +20.0 points (one split). One split shows no spread; a claim needs several."
    )


def test_the_loss_table_fits_80_columns_and_adds_up() -> None:
    counts = {"asked": 1000, "written": 2000, "unparsable": 300, "duplicate": 400, "surplus": 300, "kept": 1000}
    shown = drawn(loss_table({"beneficiary_not_allowed": counts, "card[bold]": {**counts, "failed": 1}}))
    lines = shown.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert "card[bold]" in shown
    assert lines[-1].split() == ["all", "2000", "4000", "1", "600", "800", "600", "0", "0", "2000"]


def test_failures_have_a_column_only_where_there_are_some() -> None:
    assert "failed" not in drawn(loss_table({"a": {"asked": 1}}))


def test_every_setting_of_a_recipe_has_type_default_and_meaning() -> None:
    lines = {line.key: line for line in setting_lines(Recipe)}
    assert all(line.meaning and line.values for line in lines.values())
    assert lines["name"].default == "needed"
    assert lines["judge.kind"].default == '"likelihood"'
    assert lines["method.temperature"].values == "number, >= 0, <= 2"
    assert lines["data.text"].values == "string or list of strings"
    assert lines["data.text"].default == "-"
    assert lines["comparison.methods"].values == "list of table"
    assert lines["student.linear.strength"].default == "10.0"


def test_the_settings_of_a_method_are_found() -> None:
    assert tables.method_settings("promptmix").__name__ == "PromptMixSettings"
