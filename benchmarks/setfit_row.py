"""SetFit itself on the draws of a recipe, for the row beside ours: what a user would pick instead.

    python benchmarks/setfit_row.py recipes/compare_trec6.toml --setfit PYTHON

PYTHON is the interpreter of an environment with `setfit` in it. Accuracies go to `setfit.json` in the run folder, where
table.py finds them, after every draw; a second start goes on behind the last one. SetFit's own defaults: 1 epoch, 20
iterations, batches of 16, on the packaged MiniLM.
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
    with opened(read_recipe(given.recipe, given.set), progress=False) as parts:
        out = parts.folder / "setfit.json"
        found: dict[str, list[float | None]] = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
        for shots, split in parts.texts.draws:
            measured_draws = found.setdefault(str(shots), [])
            if split < len(measured_draws):
                continue
            job = Job(
                train=rows_of(parts.texts.draw(shots, split)), test=rows_of(parts.texts.test), iterations=20, seed=split
            )
            measured_draws.append(measured("SetFit", job, given.setfit).accuracy)
            out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
