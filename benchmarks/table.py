"""Write the result of a run (its folder, `--command`, `--out`) as a Markdown table with commit and machine.

For example: python benchmarks/table.py runs/trec6 --command "crossfade run recipes/trec6.toml" --out trec6.md
"""

import argparse
import json
import os
import platform
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np


def percent(values: list[float]) -> str:
    """Write mean and sample standard deviation of shares as percentages."""
    spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{100 * np.mean(values):.1f} ({100 * spread:.1f})"


def gain(of: list[float], over: list[float]) -> str:
    """Write the mean paired difference in points, with its 95 % bootstrap interval."""
    differences = 100 * np.subtract(of, over)
    means = np.random.default_rng(0).choice(differences, size=(10_000, len(differences))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{differences.mean():+.1f} [{low:+.1f}, {high:+.1f}]"


def spent(store: Path) -> str:
    """Say what every model call of a run cost, over all times that it was started."""
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


def table(result: dict[str, Any], curve: dict[str, Any], spent: str) -> list[str]:
    """Return the lines of the comparison, of the cost, and of the curve of real labels."""
    rows = {row["rows"]: row for row in result["results"]}
    values = {name: row["accuracy"]["values"] for name, row in rows.items()}
    control = values["gold + class texts"]
    lines = [
        "| rows | accuracy | gain over gold only | gain over gold + class texts | worth real labels per class "
        "| labels the oracle confirms |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in rows.items():
        over_gold = gain(values[name], values["gold only"]) if name != "gold only" else "-"
        over_control = gain(values[name], control) if row["kept"] else "-"
        worth = "above the curve" if row["worth_per_class"] is None else f"{row['worth_per_class']:.1f}"
        confirmed = percent(row["fidelity"]) if row["fidelity"] else "-"
        lines.append(f"| {name} | {percent(values[name])} | {over_gold} | {over_control} | {worth} | {confirmed} |")
    lines += [
        "",
        f"{spent} {result['requests_per_three_texts']:.2f} writing requests for three texts that any check sees.",
        "",
        "The same student on real labels alone, over the same draws:",
        "",
        "| real labels per class | " + " | ".join(str(count) for count in curve["shots"]) + " |",
        "| --- |" + " --- |" * len(curve["shots"]),
        "| accuracy | " + " | ".join(percent(values) for values in curve["values"]) + " |",
    ]
    return lines


def main() -> None:
    """Read a run folder and write its table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("run", type=Path)
    arguments.add_argument("--command", required=True)
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()
    result = json.loads((given.run / "comparison.json").read_text(encoding="utf-8"))
    curve = json.loads((given.run / "curve.json").read_text(encoding="utf-8"))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    first = result["results"][0]
    lines = [
        f"# {given.run.name}",
        "",
        f"`{given.command}`",
        "",
        f"{first['shots']} real labels per class, {first['splits']} draws, the whole test set, student "
        f"`{first['student']}`. Mean (sample standard deviation) in percent; intervals are paired bootstraps over the "
        "draws, which with so few draws are narrow. The oracle is a student trained on the whole training file and is "
        "used for measuring only.",
        "",
        *table(result, curve, spent(given.run / "replies.sqlite")),
        "",
        f"Table written at commit {commit.stdout.strip()}, {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()}; the machine was shared, so read seconds loosely.",
    ]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
