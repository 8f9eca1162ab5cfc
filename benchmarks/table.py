"""Write the result of a run (its folder, `--command`, `--out`) as a Markdown table with commit and machine.

For example: python benchmarks/table.py runs/trec6 --command "crossfade run recipes/trec6.toml" --out trec6.md
"""

import argparse
import json
import os
import platform
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from crossfade.evaluation.comparison import CLASS_TEXTS, GOLD_ONLY
from crossfade.evaluation.scores import counted, measure_words
from crossfade.numerics.statistics import paired_interval


def percent(values: Sequence[float]) -> str:
    """Write mean and sample standard deviation of shares as percentages; a dash where nothing was measured."""
    if np.isnan(values).all():
        return "-"
    if len(values) == 1:
        return f"{100 * values[0]:.1f}"
    return f"{100 * np.mean(values):.1f} ({100 * np.std(values, ddof=1):.1f})"


def gain(of: Sequence[float], over: Sequence[float]) -> str:
    """Write the mean paired difference in points, with its 95 % interval."""
    found = paired_interval([100 * (one - other) for one, other in zip(of, over, strict=True)])
    return f"{found.mean:+.1f}" if found.low is None else f"{found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}]"


def spent(store: Path, cost: dict[str, Any]) -> str:
    """Say what every model call of a run cost, over all times that it was started; without a store, of the last one."""
    if not store.is_file():
        return (
            f"{cost['requests']:,} calls answered, {cost['failed']:,} failed, {cost['from_store']:,} more from another "
            f"run's store; {cost['prompt_tokens']:,} prompt tokens, {cost['cached_tokens']:,} of them reused; "
            f"{cost['answer_tokens']:,} answer tokens; {cost['seconds']:.0f} s in all."
        )
    with closing(sqlite3.connect(store)) as replies:
        calls, prompt, cached, answer, first, last = replies.execute(
            "SELECT count(*), sum(prompt_tokens), sum(cached_tokens), sum(answer_tokens), min(created), max(created)"
            " FROM replies"
        ).fetchone()
        (failed,) = replies.execute("SELECT count(*) FROM failures").fetchone()
    seconds = (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
    return (
        f"{calls:,} calls answered, {failed:,} failed; {prompt:,} prompt tokens, {cached:,} of them reused; "
        f"{answer:,} answer tokens; {seconds:.0f} s from the first reply to the last, training between them included."
    )


def table(rows: list[dict[str, Any]], setfit: list[float]) -> list[str]:
    """Return the lines of one student and number of shots, SetFit's beside them for the draws that it was fitted on."""
    values = {row["rows"]: row["score"]["values"] for row in rows}
    if setfit:
        draws = len(values[GOLD_ONLY])
        name = "SetFit itself, gold only" if len(setfit) == draws else f"SetFit itself, the first {len(setfit)} draws"
        rows = [*rows, {"rows": name, "kept": [], "fidelity": [], "worth": None}]
        values[name] = setfit
    measure, beside = rows[0]["measure"], list(rows[0].get("beside", {}))
    bases = [base for base in (GOLD_ONLY, CLASS_TEXTS) if base in values]
    heads = ["rows", *map(measure_words, [measure, *beside]), *(f"gain over {base}" for base in bases)]
    heads += [f"worth, real {labels_of(rows)}", "synthetic rows"]
    # Texts with several attributes have no one label that an oracle could confirm.
    heads += ["labels the oracle confirms"] if measure == "accuracy" else []
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for row in rows:
        of_row = values[row["rows"]]
        gains = [
            # SetFit may stand there for the first draws alone.
            gain(of_row, values[base][: len(of_row)]) if row["rows"] != base and len(of_row) > 1 else "-"
            for base in bases
        ]
        kept = f"{np.mean(row['kept']):.0f}" if row["kept"] else "-"
        cells = [
            row["rows"],
            percent(of_row),
            *(percent(row["beside"][name]) for name in beside),
            *gains,
            worth(row),
            kept,
        ]
        if measure == "accuracy":
            cells.append(percent(row["fidelity"]) if row["fidelity"] else "-")
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", *between_checks(values), *over_setfit(values, setfit)]


def labels_of(rows: Sequence[dict[str, Any]]) -> str:
    """Return what the number of real labels counts."""
    return counted(classes=rows[0]["measure"] == "accuracy")


def worth(row: dict[str, Any]) -> str:
    """Write what a row is worth in real labels, with its interval."""
    if row["worth"] is None:
        return "-"
    middle, low, high = (
        "above the curve" if row["worth"][end] is None else f"{row['worth'][end]:.1f}"
        for end in ("estimate", "low", "high")
    )
    return f"{'under ' if row['worth']['is_below'] else ''}{middle} [{low}, {high}]"


def between_checks(values: dict[str, list[float]]) -> list[str]:
    """Set the label checks of each method against each other."""
    lines = []
    for name, trusted in values.items():
        method, comma, check = name.partition(", ")
        if comma and check == "trust":
            others = [other for other in values if other.partition(", ")[0] == method and other != name]
            gains = [
                f"over {other.partition(', ')[2] or 'no check'} {gain(trusted, values[other])}" for other in others
            ]
            lines.append(f"Label trust, {method.removeprefix('+ ')}: {'; '.join(gains)}.")
    return [*lines, ""] if lines else []


def over_setfit(values: dict[str, list[float]], setfit: list[float]) -> list[str]:
    """Set the rows under label trust, and those without a check, against SetFit itself on the same gold texts."""
    if not setfit:
        return []
    shown = [
        name
        for name in values
        if name == CLASS_TEXTS or (name.startswith("+") and name.partition(", ")[2] in ("", "trust"))
    ]
    gains = "; ".join(f"{name.removeprefix('+ ')} {gain(values[name][: len(setfit)], setfit)}" for name in shown)
    return [f"Over SetFit itself: {gains}.", ""]


def over_row(values: dict[str, list[float]], name: str) -> list[str]:
    """Set every written row against one of them, or against so many real labels."""
    gains = "; ".join(
        f"{row.removeprefix('+ ')} {gain(of_row, values[name])}"
        for row, of_row in values.items()
        if row.startswith("+") and row != name
    )
    return [f"Over {name.removeprefix('+ ')}: {gains}.", ""]


def texts_table(texts: dict[str, dict[str, float | None]]) -> list[str]:
    """Return what describes each method's texts."""
    names = [
        "distinct_1",
        "distinct_2",
        "distinct_3",
        "self_bleu",
        "vocabulary",
        "distance_to_gold",
        "coverage",
        "density",
    ]
    lines = [
        "| texts of | " + " | ".join(name.replace("_", " ") for name in names) + " |",
        "| --- |" + " --- |" * len(names),
    ]
    for method, found in texts.items():
        cells = ["-" if found[name] is None else f"{found[name]:.3g}" for name in names]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return [*lines, ""]


def curve_table(curve: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the learning curve of real labels; the rows say what is counted and measured."""
    return [
        "The recipe's student on real labels alone, over the same draws:",
        "",
        f"| real {labels_of(rows)} | " + " | ".join(str(count) for count in curve["shots"]) + " |",
        "| --- |" + " --- |" * len(curve["shots"]),
        f"| {measure_words(rows[0]['measure'])} | " + " | ".join(percent(values) for values in curve["values"]) + " |",
        "",
    ]


def main() -> None:
    """Read a run folder and write its table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("run", type=Path)
    arguments.add_argument("--command", required=True)
    arguments.add_argument("--out", type=Path, required=True)
    here = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    arguments.add_argument("--machine", default=here, help="where the run was made; this one if left out")
    arguments.add_argument("--append", action="store_true", help="put it below what the page holds already")
    arguments.add_argument(
        "--over",
        action="append",
        default=[],
        help="a row, or 'N real labels', that the first student's others are set against",
    )
    given = arguments.parse_args()
    result = json.loads((given.run / "comparison.json").read_text(encoding="utf-8"))
    curve = json.loads((given.run / "curve.json").read_text(encoding="utf-8"))
    setfit_file = given.run / "setfit.json"
    setfit = json.loads(setfit_file.read_text(encoding="utf-8")) if setfit_file.is_file() else {}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    note = "Whole test set. Mean (sample standard deviation) in percent; intervals are 95 %, paired over the draws."
    if any(row["fidelity"] for row in result["results"]):
        note += " The oracle is a student trained on the whole training file, for measuring only."
    lines = [f"# {given.run.name}", "", f"`{given.command}`", "", note, ""]
    keys = dict.fromkeys((row["student"], row["shots"]) for row in result["results"])
    for student, shots in keys:
        rows = [row for row in result["results"] if (row["student"], row["shots"]) == (student, shots)]
        lines += [f"## {shots} real {labels_of(rows)}, {rows[0]['splits']} draws, student `{student}`", ""]
        lines += table(rows, setfit.get(str(shots), []))
    values = {
        row["rows"]: row["score"]["values"]
        for row in result["results"]
        if (row["student"], row["shots"]) == next(iter(keys))
    }
    values |= {
        f"{count} real labels": of_count for count, of_count in zip(curve["shots"], curve["values"], strict=True)
    }
    for name in given.over:
        lines += over_row({row: found for row, found in values.items() if len(found) == len(values[name])}, name)
    lines += curve_table(curve, result["results"]) + (texts_table(result["texts"]) if result["texts"] else [])
    lines += [
        f"{spent(given.run / 'replies.sqlite', result['cost'])} {result['requests_per_three_texts']:.2f} writing "
        "requests of the recipe's method for three texts that any check sees.",
        "",
        f"Table written at commit {commit.stdout.strip()}, {datetime.now(UTC):%Y-%m-%d}, {given.machine}; "
        "the machine was shared, so read seconds loosely.",
    ]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    page = "\n".join(lines) + "\n"
    if given.append:
        page = "\n".join([given.out.read_text(encoding="utf-8"), *lines[2:]]) + "\n"
    given.out.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
