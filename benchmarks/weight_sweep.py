"""How much should a synthetic row weigh beside a gold one? Measured on training rows that no draw holds.

Give the folders of finished runs: python benchmarks/weight_sweep.py benchmarks/runs/trec6 benchmarks/runs/banking77
Their kept rows are used as they are, so no model is asked.
"""

import argparse
import warnings
from functools import partial
from pathlib import Path

import numpy as np

from crossfade.data import DataWarning, read_rows
from crossfade.evaluation.comparison import score_rows
from crossfade.parts import Parts, opened
from crossfade.recipe import read_recipe
from crossfade.tasks.classification import synthetic_rows

WEIGHTS = (0.1, 0.25, 0.5, 1.0)
HELD_OUT = 800


def accuracies(parts: Parts, folder: Path) -> list[float]:
    """Return the accuracy without written texts, then with them at each weight, for one draw."""
    shots, split = map(int, folder.name.split("-shot-"))
    gold = parts.draw(shots, split)
    drawn = {example.texts for example in gold}
    order = np.random.default_rng(7).permutation(len(parts.pool))
    rest = [row for row in order.tolist() if parts.pool.examples[row].texts not in drawn]
    held_out = parts.pool.rows(rest[:HELD_OUT])
    base = parts.base_rows(gold)
    written = synthetic_rows(read_rows(folder / "kept.jsonl"), gold.labels, soft=True, weighted=True)
    score = partial(score_rows, parts.new_student, test=held_out)
    return [score(base), *(score(base + written.weighing(weight)) for weight in WEIGHTS)]


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
        "| run | no written texts | " + " | ".join(f"weight {weight:g}" for weight in WEIGHTS) + " |",
        "| --- |" + " --- |" * (len(WEIGHTS) + 1),
    ]
    for run in given.runs:
        with opened(read_recipe(run / "recipe.toml"), progress=False) as parts:
            values = 100 * np.array([accuracies(parts, folder) for folder in sorted((run / "splits").iterdir())])
        cells = [f"{column.mean():.1f} ({column.std(ddof=1):.1f})" for column in values.T]
        lines.append(f"| {run.name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
