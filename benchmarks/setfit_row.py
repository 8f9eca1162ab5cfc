"""SetFit itself on the draws of a recipe, for the row beside ours: what a user would pick instead.

    python benchmarks/setfit_row.py recipes/compare_trec6.toml --setfit PYTHON

PYTHON is the interpreter of an environment with `setfit` in it. Accuracies go to `setfit.json` in the run folder, where
table.py finds them. SetFit's own defaults: 1 epoch, 20 iterations, batches of 16, on the packaged MiniLM.
"""

import argparse
import json
import warnings
from pathlib import Path

from contrastive_growth import Job, measured
from crossfade.data import Corpus, DataWarning
from crossfade.parts import opened
from crossfade.recipe import read_recipe


def rows_of(corpus: Corpus) -> list[tuple[str, str]]:
    """Return texts and labels."""
    return [(example.text, example.label) for example in corpus]


def main() -> None:
    """Fit SetFit on every draw and write its accuracies by number of shots."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("recipe", type=Path)
    arguments.add_argument("--setfit", required=True, help="an interpreter that has setfit")
    arguments.add_argument("--set", action="append", default=[], help="override a key of the recipe")
    given = arguments.parse_args()
    warnings.simplefilter("ignore", DataWarning)
    found: dict[int, list[float | None]] = {}
    with opened(read_recipe(given.recipe, given.set), progress=False) as parts:
        for shots, split in parts.texts.draws:
            job = Job(
                train=rows_of(parts.texts.draw(shots, split)), test=rows_of(parts.texts.test), iterations=20, seed=split
            )
            found.setdefault(shots, []).append(measured("SetFit", job, given.setfit).accuracy)
        (parts.folder / "setfit.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
