"""How much should a synthetic row weigh beside a gold one? Measured on training rows that no draw holds.

Give the folders of finished runs: python benchmarks/weight_sweep.py benchmarks/runs/trec6 benchmarks/runs/banking77
Their kept rows are used as they are, so no model is asked.
"""

import argparse
import warnings
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np

from crossfade.data import DataWarning, read_rows
from crossfade.evaluation.comparison import score_rows
from crossfade.parts import Parts, opened
from crossfade.recipe import read_recipe
from crossfade.tasks.classification import Doubt, hard_rows, synthetic_rows

WEIGHTS = (0.05, 0.1, 0.25, 0.5, 1.0)
USES = ("as written", *get_args(Doubt))
"""How labels enter: those the writer was asked for, or those decided on, doubtful ones treated in some way."""
HELD_OUT = 600


def accuracies(parts: Parts, folder: Path) -> list[list[float]]:
    """Return for one draw and each use the accuracy without written texts, then with them at each weight."""
    shots, split = map(int, folder.name.split("-shot-"))
    gold = parts.texts.draw(shots, split)
    drawn = {example.texts for example in gold}
    order = np.random.default_rng(7).permutation(len(parts.texts.pool))
    rest = [row for row in order.tolist() if parts.texts.pool.examples[row].texts not in drawn]
    held_out = parts.texts.pool.rows(rest[:HELD_OUT])
    base = parts.base_rows(gold)
    kept = read_rows(folder / "kept.jsonl")
    asked = hard_rows([row.example for row in kept], [row.origin.written_label for row in kept], gold.labels)
    uses = (asked, *(synthetic_rows(kept, gold.labels, doubt=doubt) for doubt in get_args(Doubt)))
    score = partial(score_rows, parts.new_student, test=held_out)
    without = score(base)
    return [[without, *(score(base + rows.weighing(weight)) for weight in WEIGHTS)] for rows in uses]


def main() -> None:
    """Print one line per run."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("runs", type=Path, nargs="+")
    arguments.add_argument("--out", type=Path, default=Path("benchmarks/results/weight_sweep.md"))
    given = arguments.parse_args()
    warnings.simplefilter("ignore", DataWarning)
    lines = [
        f"`python benchmarks/weight_sweep.py {' '.join(map(str, given.runs))}`",
        "",
        "Accuracy in percent on training rows that no draw holds, mean (sample standard deviation) over the draws.",
        "",
        "| run | labels | no written texts | " + " | ".join(f"weight {weight:g}" for weight in WEIGHTS) + " |",
        "| --- |" + " --- |" * (len(WEIGHTS) + 2),
    ]
    for run in given.runs:
        with opened(read_recipe(run / "recipe.toml"), progress=False) as parts:
            values = 100 * np.array([accuracies(parts, folder) for folder in sorted((run / "splits").iterdir())])
        for use, of_use in zip(USES, values.transpose(1, 2, 0), strict=True):
            cells = [f"{cell.mean():.1f} ({cell.std(ddof=1):.1f})" for cell in of_use]
            lines.append(f"| {run.name} | {use} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
