"""Which label check makes a student better, and can its confidence be believed?

Give the folders of finished runs: python benchmarks/label_checks.py benchmarks/runs/trec6 benchmarks/runs/banking77
Their texts are used as written, and the judges' replies come from their stores; only replies that are missing are
asked for. The oracle, a student trained on the whole training file, measures fidelity and calibration and nothing else.
`--on pool` scores on training rows that no draw holds, to choose settings; `--on test` is for the final table.
"""

import argparse
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np

from crossfade.data import Augmented, Corpus, DataWarning, Example, read_rows
from crossfade.evaluation.comparison import score_rows
from crossfade.parts import Parts, opened
from crossfade.recipe import read_recipe
from crossfade.roles import Floats
from crossfade.selection.checking import Check, LabelSettings
from crossfade.tasks.classification import Doubt, gold_rows, synthetic_rows
from table import gain

HELD_OUT = 2000
BINS = 10


@dataclass(frozen=True)
class Measured:
    """What a check came to on one draw."""

    kept: int
    fidelity: float
    """Share of the kept labels that the oracle confirms."""
    sure: Floats
    """Confidence of each kept row; empty when the check gives none."""
    right: np.ndarray
    """Whether the oracle confirms each kept label."""
    accuracy: dict[tuple[str, float], float]
    """Use of doubtful labels and weight to the student's accuracy."""


def as_written(folder: Path, gold: Corpus) -> Augmented:
    """Read what a run wrote, every row with the label that was asked for."""
    rows = read_rows(folder / "kept.jsonl")
    rows += [row for row in read_rows(folder / "dropped.jsonl") if (row.origin.reason or "").startswith("dropped")]
    kept = tuple(
        replace(
            row,
            example=Example(row.example.texts, row.origin.written_label),
            origin=replace(row.origin, judged_label=None, confidence=None, votes={}, reason=None),
            probabilities={},
        )
        for row in rows
    )
    losses = {label: {"kept": sum(row.example.label == label for row in kept)} for label in gold.labels}
    return Augmented(kept, (), losses, "")


def scored_on(parts: Parts, gold: Corpus, on: str) -> Corpus:
    """Return the rows a student is scored on."""
    if on == "test":
        return parts.texts.test
    drawn = {example.texts for example in gold}
    order = np.random.default_rng(7).permutation(len(parts.texts.pool)).tolist()
    return parts.texts.pool.rows([row for row in order if parts.texts.pool.examples[row].texts not in drawn][:HELD_OUT])


def calibration_error(sure: Floats, right: np.ndarray) -> float:
    """Return the expected calibration error over ten equal bins of confidence (Naeini et al. 2015)."""
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = [(bins == each).mean() * abs(sure[bins == each].mean() - right[bins == each].mean()) for each in set(bins)]
    return float(np.sum(gaps))


def measure(parts: Parts, made: Augmented, gold: Corpus, test: Corpus, check: Check, weights: list[float]) -> Measured:
    """Check the labels of one draw, and train students on what is left."""
    checked = parts.check(made, gold, LabelSettings(check=check))
    examples = [row.example for row in checked.kept]
    right = np.array([true == row.label for true, row in zip(parts.oracle_labels(examples), examples, strict=True)])
    sure = np.array([row.origin.confidence for row in checked.kept if row.origin.confidence is not None])
    uses: tuple[Doubt, ...] = get_args(Doubt) if check == "trust" else ("weigh",) if check == "cleanlab" else ()
    rows = {use: synthetic_rows(checked.kept, gold.labels, doubt=use) for use in ("keep", *uses)}
    accuracy = {
        (use, weight): score_rows(parts.new_student, parts.base_rows(gold) + of_use.weighing(weight), test)
        for use, of_use in rows.items()
        for weight in weights
    }
    return Measured(len(checked.kept), float(right.mean()), sure, right, accuracy)


def cell(values: list[float]) -> str:
    """Write mean and sample standard deviation in percent."""
    return f"{100 * np.mean(values):.1f} ({100 * np.std(values, ddof=1):.1f})"


def lines_of(name: str, check: str, draws: list[Measured], weights: list[float]) -> list[str]:
    """Return the lines of one check."""
    kept = f"{np.mean([draw.kept for draw in draws]):.0f}"
    sure, right = (np.concatenate([getattr(draw, field) for draw in draws]) for field in ("sure", "right"))
    error = f"{calibration_error(sure, right):.3f}" if len(sure) else "-"
    lines = []
    for use in dict.fromkeys(use for use, _ in draws[0].accuracy):
        cells = [cell([draw.accuracy[use, weight] for draw in draws]) for weight in weights]
        fidelity = cell([draw.fidelity for draw in draws])
        lines.append(f"| {name} | {check} | {use} | {kept} | {fidelity} | {error} | {' | '.join(cells)} |")
    return lines


def gains(name: str, found: dict[str, list[Measured]], weights: list[float]) -> list[str]:
    """Return how far trust with soft labels is ahead of every other check with hard ones, paired by draw."""
    lines = []
    for check in (check for check in found if check != "trust"):
        cells = []
        for weight in weights:
            ours = [draw.accuracy["soften", weight] for draw in found["trust"]]
            theirs = [draw.accuracy["keep", weight] for draw in found[check]]
            cells.append(gain(ours, theirs))
        lines.append(f"| {name} | {check} | {' | '.join(cells)} |")
    return lines


def reliability(name: str, draws: list[Measured]) -> list[str]:
    """Return how often labels of each confidence are right, over all draws."""
    sure, right = (np.concatenate([getattr(draw, field) for draw in draws]) for field in ("sure", "right"))
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    return [
        f"| {name} | {low / BINS:.1f} to {(low + 1) / BINS:.1f} | {(bins == low).sum()} "
        f"| {100 * sure[bins == low].mean():.0f} | {100 * right[bins == low].mean():.0f} |"
        for low in sorted(set(bins.tolist()))
    ]


def main() -> None:
    """Print one line per run, check and use."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("runs", type=Path, nargs="+")
    arguments.add_argument("--on", choices=("pool", "test"), default="pool")
    arguments.add_argument("--weights", type=float, nargs="+", default=[0.1, 0.3])
    arguments.add_argument("--out", type=Path)
    given = arguments.parse_args()
    warnings.simplefilter("ignore", DataWarning)
    head = " | ".join(f"weight {weight:g}" for weight in given.weights)
    table = [
        f"| run | check | doubt | kept | oracle confirms | calibration error | {head} |",
        "| --- |" + " --- |" * (5 + len(given.weights)),
    ]
    ahead = [f"| run | trust, softened, over | {head} |", "| --- | --- |" + " --- |" * len(given.weights)]
    trusted = ["| run | confidence | rows | mean confidence | oracle confirms |", "| --- |" + " --- |" * 4]
    for run in given.runs:
        # The folder that is given holds the replies, wherever the run was made.
        recipe = read_recipe(run / "recipe.toml", [f'folder="{run.parent}"', f'name="{run.name}"'])
        with opened(recipe, progress=False) as parts:
            draws = []
            for folder in sorted((run / "splits").iterdir()):
                gold = parts.texts.draw(*map(int, folder.name.split("-shot-")))
                draws.append((gold, as_written(folder, gold), scored_on(parts, gold, given.on)))
            for rows, of_draw in (("gold", gold_rows), ("gold + class texts", parts.base_rows)):
                scores = [score_rows(parts.new_student, of_draw(gold), test) for gold, _, test in draws]
                table.append(
                    f"| {run.name} | {rows} | - | - | - | - | {' | '.join([cell(scores)] * len(given.weights))} |"
                )
            found: dict[str, list[Measured]] = {}
            for check in get_args(Check):
                found[check] = [measure(parts, made, gold, test, check, given.weights) for gold, made, test in draws]
                table += lines_of(run.name, check, found[check], given.weights)
                print(table[-1], flush=True)
            ahead += gains(run.name, found, given.weights)
            trusted += reliability(run.name, found["trust"])
    options = f"--on {given.on} --weights {' '.join(f'{weight:g}' for weight in given.weights)}"
    text = "\n".join(
        [
            f"`python benchmarks/label_checks.py {' '.join(map(str, given.runs))} {options}`",
            "",
            *table,
            "",
            *ahead,
            "",
            *trusted,
            "",
        ]
    )
    print(text)
    if given.out:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
