"""How much faster does a transformer student train with products in bfloat16 than in float32?

    python benchmarks/student_speed.py

Both train the packaged encoder on the same made-up sentences in one run, in turns, so that other work on the machine
counts for both. Where the device does not multiply bfloat16 faster, Crossfade trains in float32, and this says so.
"""

import argparse
import statistics
import time
from unittest import mock

import numpy as np
import torch

from crossfade.data import AnnotatedExample, Mention
from crossfade.libraries import reads_bfloat16
from crossfade.students.token_classifier import TokenClassifier, TokenClassifierSettings

NAMES = ("Ada Byron", "Emmy Noether", "Alan Turing", "Grace Hopper")
FILLER = (
    "the",
    "talk",
    "went",
    "on",
    "about",
    "numbers",
    "until",
    "everyone",
    "in",
    "old",
    "halls",
    "had",
    "gone",
    "home",
)


def sentences(count: int, length: int) -> list[AnnotatedExample]:
    """Make sentences of some words with one name in each."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(count):
        before = " ".join(rng.choice(FILLER, length - 2).tolist())
        name = str(rng.choice(NAMES))
        rows.append(
            AnnotatedExample((f"{before} {name}",), "entities", (), (Mention(len(before) + 1, name, "person"),))
        )
    return rows


def seconds(rows: list[AnnotatedExample], epochs: int, fast: bool) -> float:
    """Return how long a student takes to train."""
    with mock.patch("crossfade.libraries.reads_bfloat16", return_value=fast):
        started = time.perf_counter()
        TokenClassifier(None, TokenClassifierSettings(epochs=epochs)).fit(rows, np.ones(len(rows)))
        return time.perf_counter() - started


def main() -> None:
    """Train in turns, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--times", type=int, default=5)
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not reads_bfloat16(device):
        print(f"the {device.type} does not multiply bfloat16 faster: students train in float32 here")
        return
    print("| words in a text | float32 / bfloat16, median | each |")
    print("| --- | --- | --- |")
    for length in (10, 40):
        rows = sentences(given.rows, length)
        seconds(rows, 1, True)
        ratios = [seconds(rows, given.epochs, False) / seconds(rows, given.epochs, True) for _ in range(given.times)]
        print(f"| {length} | {statistics.median(ratios):.2f} | {', '.join(f'{ratio:.2f}' for ratio in ratios)} |")


if __name__ == "__main__":
    main()
