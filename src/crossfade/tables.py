"""Turn results into the tables and sentences of the command line; every table fits 80 columns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby
from typing import TYPE_CHECKING, get_args, get_origin

import numpy as np
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table

from crossfade.evaluation.comparison import CLASS_TEXTS, GOLD_ONLY, ResultRow
from crossfade.evaluation.scores import measure_words
from crossfade.methods import METHODS
from crossfade.numerics.statistics import Interval, is_gain, paired_interval
from crossfade.settings import Settings

if TYPE_CHECKING:
    from crossfade.comparing import RunResult
    from crossfade.methods.logit_mixup import GuidedText
    from crossfade.planning import Plan
    from crossfade.selection.noise_report import LabelNoise

STAGES = {
    "asked": "asked",
    "written": "written",
    "failed": "failed",
    "unparsable": "un-\nparsable",
    "copy": "copy of\nparent",
    "missing": "lacks a\nstring",
    "noise": "noise",
    "intrusion": "intru-\nsion",
    "duplicate": "dupli-\ncate",
    "refusal": "refusal",
    "echo": "echo",
    "surplus": "surplus",
    "relabelled": "re-\nlabelled",
    "dropped": "dropped",
    "leak": "test\ncopy",
    "kept": "kept",
}
"""Stage of the loss table to its heading, in the order of the columns."""


def loss_table(losses: Mapping[str, Mapping[str, int]]) -> Table:
    """Tabulate what became of the texts, by the class that the writer was asked for."""
    # Few methods have these, and requests fail and texts are refused or repeat what they were shown rarely.
    rare = ("failed", "refusal", "echo", "copy", "missing", "noise", "intrusion", "leak")
    stages = [stage for stage in STAGES if stage not in rare or any(counts.get(stage) for counts in losses.values())]
    table = plain_table("class", *(STAGES[stage] for stage in stages), numbers_from=1)
    table.padding = (0, 1, 0, 0)
    for label, counts in losses.items():
        table.add_row(label, *(str(counts.get(stage, 0)) for stage in stages))
    table.add_section()
    totals = [sum(counts.get(stage, 0) for counts in losses.values()) for stage in stages]
    table.add_row("all", *map(str, totals))
    return table


def result_tables(rows: Sequence[ResultRow]) -> list[Table]:
    """Tabulate the comparison, one table for each number of real labels."""
    tables = []
    for (shots, student), lines in _by_shots(rows):
        splits = lines[0].splits
        labels = lines[0].counted
        given = f"{shots} real {labels}" if shots else "no real labels"
        table = plain_table(
            "rows",
            *map(measure_words, lines[0].measures),
            "gain over gold only",
            f"worth real\n{labels}",
            numbers_from=1,
        )
        table.title = f"{given}, {splits} {'split' if splits == 1 else 'splits'}, {student} student"
        placed = any(line.worth_per_class is not None for line in lines)
        for line in lines:
            worth = _worth(line) if placed else "-"
            gain = f"{100 * line.uplift.mean:+.1f} {_range(line.uplift)}" if line.uplift else "-"
            spread = f" ± {100 * line.std:.1f}" if line.splits > 1 else ""
            shared = [f"{100 * float(np.mean(line.beside)):.1f}%"] if line.beside else []
            table.add_row(line.rows, f"{100 * line.mean:.1f}%{spread}", *shared, gain, worth)
        tables.append(table)
    return tables


def text_table(texts: Mapping[str, Mapping[str, float | None]]) -> Table:
    """Tabulate what describes each method's texts."""
    shown = {
        "distinct_1": "distinct-1",
        "distinct_2": "distinct-2",
        "self_bleu": "self-BLEU",
        "vocabulary": "words",
        "distance_to_gold": "distance\nto gold",
        "coverage": "coverage",
        "density": "density",
    }
    table = plain_table("texts of", *shown.values(), numbers_from=1)
    for method, values in texts.items():
        cells = [values[name] for name in shown]
        table.add_row(
            method, *("-" if cell is None else f"{cell:,.0f}" if cell >= 10 else f"{cell:.2f}" for cell in cells)
        )
    return table


def _worth(line: ResultRow) -> str:
    """Write the worth in real labels with its interval."""
    middle = "above curve" if line.worth_per_class is None else f"{line.worth_per_class:.1f}"
    if line.worth is None:
        return middle
    low, high = ("above" if end is None else f"{end:.1f}" for end in (line.worth.low, line.worth.high))
    return f"{'under ' if line.worth.is_below else ''}{middle} ({low} to {high})"


def verdicts(rows: Sequence[ResultRow], own: str) -> list[str]:
    """Say for each number of real labels and student whether the recipe's own rows are ahead of both controls.

    They are ahead of a control when the 95 % interval of the gain, paired by split, lies above zero; one split has
    none.
    """
    sentences = []
    groups = _by_shots(rows)
    for (shots, student), lines in groups:
        augmented = next(line for line in lines if line.rows == own)
        gains = {line.rows: _gain(augmented, line) for line in lines if line.rows in (GOLD_ONLY, CLASS_TEXTS)}
        parts = [
            f"No gain over {control}: {100 * gain.mean:+.1f} points {_range(gain)}."
            for control, gain in gains.items()
            if not is_gain(gain)
        ]
        ahead = [
            f"of {control} by {100 * gain.mean:.1f} points {_range(gain)}"
            for control, gain in gains.items()
            if is_gain(gain)
        ]
        if ahead:
            parts.append(f"The augmented student is ahead {' and '.join(ahead)}.")
        if augmented.splits == 1:
            parts.append("One split shows no spread; a claim needs several.")
        about = f"{student}, {shots} {augmented.counted}: " if len(groups) > 1 else ""
        sentences.append(about + " ".join(parts))
    return sentences


def cost_line(result: "RunResult") -> str:
    """Say what the run asked of its models."""
    cost = result.cost
    reused = 100 * cost.cached_tokens / max(cost.prompt_tokens, 1)
    money = ", cost unknown" if cost.money is None else f", cost {cost.money:.4g} over all starts of this run"
    if cost.money == 0:
        money = ""
    return (
        f"{cost.requests:,} requests asked, {cost.from_store:,} answered from the store, {cost.failed:,} failed; "
        f"{cost.prompt_tokens:,} prompt tokens ({reused:.0f}% read before), {cost.answer_tokens:,} answer tokens"
        f"{money}; {result.requests_per_three_texts:.2f} writing requests for three texts; {cost.seconds:.0f} s."
    )


def fidelity_line(result: "RunResult") -> str:
    """Say what share of the labels the oracle confirms; empty when it was not asked."""
    shares = {
        (row.shots, row.rows): f"{row.rows} {100 * float(np.mean(row.fidelity)):.1f}%"
        for row in result.rows
        if row.fidelity
    }
    return f"Labels that the oracle confirms (measuring only): {'; '.join(shares.values())}." if shares else ""


def plan_table(plan: "Plan") -> Table:
    """Tabulate what writer and judge would be asked, expected and at most."""
    table = plain_table("", "writing", "at most", "judging", "at most", numbers_from=1)
    for heading, name in (("calls", "calls"), ("prompt tokens", "prompt_tokens"), ("answer tokens", "answer_tokens")):
        cells = [
            f"{getattr(calls, field):,}"
            for calls in (plan.writing, plan.judging)
            for field in (name, f"{name}_at_most")
        ]
        table.add_row(heading, *cells)
    sums = [money for calls in (plan.writing, plan.judging) for money in (calls.money, calls.money_at_most)]
    table.add_row("money", *("unknown" if money is None else f"{money:.4g}" for money in sums))
    return table


def plan_text(plan: "Plan") -> str:
    """Write one full example prompt of each kind."""
    return "\n".join(
        [
            "--- a writing prompt ---",
            plan.writing.example,
            "",
            "--- a judging prompt ---",
            plan.judging.example,
            "",
            "Nothing was sent.",
        ]
    )


def noise_table(report: "LabelNoise") -> Table:
    """Tabulate how many labels of each class are suspect, and for which class its texts are most often taken."""
    table = plain_table("written for", "rows", "suspect", "most often taken for", "", numbers_from=1)
    for column in table.columns[3:]:
        column.justify = "left"
    for cells in report.cells():
        table.add_row(*cells)
    return table


def ratio_table(report: "LabelNoise") -> Table:
    """Tabulate the share of changed labels by mixing ratio."""
    table = plain_table("share of the class asked for", "rows", "changed or dropped", numbers_from=1)
    for part in report.ratios:
        table.add_row(f"{part.low:.2f} to {part.high:.2f}", str(part.rows), f"{100 * part.changed:.0f}%")
    return table


def suspect_lines(report: "LabelNoise", most: int) -> Iterator[RenderableType]:
    """List the most suspect rows of each class with the suggested label and the reasons."""
    for of_class in report.classes:
        for row in of_class.suspects[:most]:
            sure = "" if row.confidence is None else f" ({row.confidence:.2f})"
            yield f"{row.written_label} -> {row.suggested_label}{sure}: {row.text}"
            yield Padding("; ".join(row.reasons), (0, 0, 0, 4))


def between_table(rows: Iterable["GuidedText"], first: str) -> Table:
    """Tabulate texts written between two classes, one ratio's under each other."""
    table = plain_table("ratio", f"nats for {first}", "text", numbers_from=3)
    for row in rows:
        table.add_row(f"{row.ratio:.2f}", f"{row.log_odds:+.1f}", row.text or "(nothing readable)")
    return table


def method_table() -> Table:
    """Tabulate the methods with their papers and needs."""
    table = plain_table("method", "what it does", "needs", "paper", numbers_from=4)
    for name, note in METHODS.items():
        table.add_row(name, note.does, note.needs, note.paper)
    return table


def method_settings(name: str) -> type[Settings]:
    """Return the one settings class that a method's file defines."""
    module = import_module(METHODS[name].module)
    classes = (value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Settings))
    return next(
        found for found in classes if "name" in found.model_fields and found.model_fields["name"].default == name
    )


@dataclass(frozen=True, slots=True)
class SettingLine:
    """One key of some settings."""

    key: str
    """Dotted, as it stands after `--set`."""
    default: str
    """As it stands in TOML; 'needed' when there is none."""
    values: str
    """Type and range."""
    meaning: str


def setting_lines(settings: type[BaseModel], prefix: str = "") -> list[SettingLine]:
    """List every key of some settings, those of inner tables after their own."""
    lines: list[SettingLine] = []
    tables: list[SettingLine] = []
    for name, field in settings.model_fields.items():
        key = f"{prefix}{name}"
        table = field.annotation
        if isinstance(field.default, Settings):
            # One of several kinds, or none at all: the default's is shown.
            table = type(field.default)
        if isinstance(table, type) and issubclass(table, Settings):
            chosen = field.default if isinstance(field.default, Settings) else None
            inner = setting_lines(table, f"{key}.")
            tables += [_with_default(line, key, chosen) for line in inner]
        else:
            meaning = " ".join((field.description or "").split())
            lines.append(SettingLine(key, _default(field), _values(field), meaning))
    return lines + tables


def setting_list(lines: Iterable[SettingLine]) -> Iterator[RenderableType]:
    """List settings with their defaults, each above its meaning."""
    for line in lines:
        yield f"{line.key} = {line.default}  ({line.values})"
        yield Padding(line.meaning, (0, 0, 0, 4))


def _with_default(line: SettingLine, key: str, chosen: Settings | None) -> SettingLine:
    """Show the value that an outer table's default sets, such as the kind of the judge."""
    name = line.key.removeprefix(f"{key}.")
    if chosen is None or name not in chosen.model_fields_set:
        return line
    return SettingLine(line.key, _toml(getattr(chosen, name)), line.values, line.meaning)


def _default(field: FieldInfo) -> str:
    return "needed" if field.is_required() else _toml(field.default)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "-"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _values(field: FieldInfo) -> str:
    """Write a field's type and range in words."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    limits = [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in signs.items()
        if hasattr(limit, name)
    ]
    return ", ".join([_type_words(field.annotation), *limits])


def _type_words(annotation: object) -> str:
    names: dict[object, str] = {
        str: "string",
        int: "integer",
        float: "number",
        bool: "true, false",
        list[int]: "list of integers",
        list[float]: "list of numbers",
        list[str]: "list of strings",
        dict[str, str]: "table of strings",
    }
    if annotation in names:
        return names[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return "table"
    if get_origin(annotation) is tuple:
        return _type_words(list[get_args(annotation)[0]])  # type: ignore[misc]
    if get_origin(annotation) is list:
        return f"list of {_type_words(get_args(annotation)[0])}"
    words = (
        f'"{part}"' if isinstance(part, str) else _type_words(part)
        for part in get_args(annotation)
        if part is not type(None)
    )
    # Tables of several kinds are one word; what tells the kinds apart is none.
    return " or ".join(filter(None, dict.fromkeys(words)))


def _by_shots(rows: Sequence[ResultRow]) -> list[tuple[tuple[int, str], list[ResultRow]]]:
    groups = groupby(rows, key=lambda row: (row.shots, row.student))
    return [(key, list(lines)) for key, lines in groups]


def _gain(row: ResultRow, control: ResultRow) -> Interval:
    return paired_interval(np.subtract(row.values, control.values).tolist())


def _range(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return "(one split)"
    return f"({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"


def plain_table(*headings: str, numbers_from: int) -> Table:
    """Make a table without frame; columns from `numbers_from` on are set right."""
    table = Table(box=None, pad_edge=False, title_justify="left", title_style="bold", header_style="bold")
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="right" if position >= numbers_from else "left", overflow="fold")
    return table
