"""Which prompt form and temperature suit the embedded writer? Measured on training rows only, never on a test set.

    python benchmarks/form_sweep.py ../shared/data --out benchmarks/results/form_sweep.md

A part of each training file is set aside as held-out rows; draws come from the rest. No label check: the question is
what the writer writes. Fidelity is measured by an oracle (a student trained on the rest), which no method sees.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np

import crossfade
from crossfade.data import Corpus, DataWarning, read_corpus
from crossfade.evaluation.comparison import CLASS_TEXTS, GOLD_ONLY

SETS = {
    "TREC6": ("trec6/train.jsonl", "text", "label", "questions", "recipes/trec6_descriptions.toml", 20),
    "Banking77": ("banking77/train.csv", "text", "category", "customer messages", None, 3),
}
VARIANTS = {
    "continue, mixed, temperature 1.0": {"temperature": 1.0},
    "continue, mixed, temperature 0.7": {"temperature": 0.7},
    "continue, one class, temperature 1.0": {"mixing": False, "temperature": 1.0},
    "continue, one class, temperature 0.7": {"mixing": False, "temperature": 0.7},
    "instruct, mixed, temperature 1.0": {"temperature": 1.0},
}
HELD_OUT = 1500


def set_aside(source: Path, text: str, label: str, folder: Path) -> tuple[Path, Path]:
    """Split a training file into a pool and held-out rows, the same way each time."""
    corpus = read_corpus(source, text=text, label=label)
    order = np.random.default_rng(7).permutation(len(corpus))
    held_out, pool = corpus.rows(order[:HELD_OUT].tolist()), corpus.rows(order[HELD_OUT:].tolist())
    folder.mkdir(parents=True, exist_ok=True)
    return _write(pool, folder / "pool.jsonl"), _write(held_out, folder / "held_out.jsonl")


def _write(corpus: Corpus, path: Path) -> Path:
    lines = [json.dumps({"text": example.text, "label": example.label}) for example in corpus]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def main() -> None:
    """Run every variant on every set and write the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--out", type=Path, default=Path("benchmarks/results/form_sweep.md"))
    arguments.add_argument("--work", type=Path, default=Path("benchmarks/runs/form_sweep"))
    arguments.add_argument("--splits", type=int, default=2)
    given = arguments.parse_args()
    warnings.simplefilter("ignore", DataWarning)
    lines = [
        f"`python benchmarks/form_sweep.py ../shared/data --out {given.out}`",
        "",
        f"{given.splits} draws of 2 texts per class from a part of the training rows, scored on other training rows;",
        "no label check. Mean (sample standard deviation) in percent. The oracle that measures fidelity is a student",
        "trained on the rest of the rows.",
        "",
        "| data | variant | fidelity | gold only | + class texts | + written | requests per 3 texts |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, (file, text, label, kind, descriptions, count) in SETS.items():
        pool, held_out = set_aside(given.data / file, text, label, given.work / name)
        for variant, settings in VARIANTS.items():
            result = crossfade.run(
                {
                    "name": variant.replace(",", "").replace(" ", "-"),
                    "folder": str(given.work / name),
                    "seed": 11,
                    "data": {"train": str(pool), "test": str(held_out), "kind": kind}
                    | ({"descriptions": descriptions} if descriptions else {}),
                    "writer": {"kind": "embedded", "form": variant.split(",")[0]},
                    "method": {"texts_per_class": count, **settings},
                    "labels": {"check": "none"},
                    "comparison": {"splits": given.splits, "curve": [], "oracle": True},
                }
            )
            accuracy = {row.rows: f"{100 * row.mean:.1f} ({100 * row.std:.1f})" for row in result.rows}
            written = result.rows[-1]
            fidelity = np.mean(written.fidelity)
            lines.append(
                f"| {name} | {variant} | {fidelity:.2f} | {accuracy[GOLD_ONLY]} | {accuracy[CLASS_TEXTS]} "
                f"| {accuracy[written.rows]} | {result.requests_per_three_texts:.2f} |"
            )
            print(lines[-1], flush=True)
            given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
