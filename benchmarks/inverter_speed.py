"""How near does stage 1 of an inverter come to the machine's bfloat16 peak?

    python benchmarks/inverter_speed.py ../shared/data/unlabelled/short_sentences.jsonl.gz

Both are measured in processor seconds of one thread, so that other work on the machine counts little; the peak is
measured anew beside every step, because a processor's pace changes.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from crossfade.inversion import InverterSettings
from crossfade.inverting import read_single_texts
from crossfade.models.inverter import InverterCard, SentenceInverter, open_encoder, open_reader
from crossfade.models.inverter_training import make_pairs
from crossfade.opening import cache_folder

SIZE = 2048
"""Rows and columns of the matrices that the peak is measured with."""
BATCH = InverterSettings().align.batch_size


@dataclass(frozen=True)
class Step:
    """One training step."""

    longest: int
    """Tokens of its longest sentence."""
    sentences_per_second: float
    share: float
    """Of the peak."""


def seconds(work: Callable[[], object], times: int = 1) -> float:
    """Return the processor seconds that a piece of work takes."""
    started = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - started) / times


def peak() -> float:
    """Return the operations a second of a large bfloat16 product."""
    matrix = torch.randn(SIZE, SIZE).bfloat16()
    return 2 * SIZE**3 / seconds(lambda: matrix @ matrix, times=3)


def operations(inverter: SentenceInverter, lengths: list[int]) -> float:
    """Count what a step must compute: forward, and back to the inputs of a frozen model; attention left out."""
    model = inverter.reader.model
    head = model.get_output_embeddings().weight.numel()
    body = sum(value.numel() for value in model.base_model.layers.parameters())
    adaptor = sum(value.numel() for value in inverter.adaptor.parameters())
    positions = len(lengths) * (inverter.card.soft_tokens - 1) + sum(lengths)
    return 4 * body * positions + 4 * head * sum(lengths) + 6 * adaptor * len(lengths)


def steps(inverter: SentenceInverter, texts: list[str], count: int) -> list[Step]:
    """Take training steps over sentences of all lengths, each step over sentences of about one."""
    vectors = inverter.encode(texts).astype(np.float32)
    pairs = make_pairs(texts, vectors, inverter, 64)
    order = np.argsort([len(row) for row in pairs.sentences], kind="stable")
    batches = np.array_split(order, len(order) // BATCH)
    taken = []
    for place in np.linspace(0, len(batches) - 1, count + 1).round().astype(int):
        rows = batches[place]
        sentences = [pairs.sentences[row] for row in rows]
        before = peak()
        soft = inverter.soft_tokens(vectors[rows])
        spent = seconds(partial(inverter.reader.learn, soft, sentences))
        pace = operations(inverter, [len(row) for row in sentences]) / spent
        best = max(before, peak())
        taken.append(Step(max(map(len, sentences)), len(rows) / spent, pace / best))
    # The first one also warms up.
    return taken[1:]


def main() -> None:
    """Measure and write the results."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("texts")
    arguments.add_argument("--steps", type=int, default=6)
    arguments.add_argument("--out", type=Path, default=Path("benchmarks/results/inverter_speed.md"))
    given = arguments.parse_args()
    torch.set_num_threads(1)
    card = InverterCard()
    inverter = SentenceInverter(card, open_encoder(None), open_reader(card, cache_folder()))
    texts = read_single_texts(given.texts)
    rows = np.random.default_rng(0).permutation(len(texts))[: 10 * BATCH]
    drawn = [texts[row] for row in rows]
    taken = steps(inverter, drawn, given.steps)
    lines = [
        f"`python benchmarks/inverter_speed.py {given.texts}`",
        "",
        f"One thread, processor seconds, {BATCH} sentences a step, drawn from {len(texts):,}.",
        "",
        "| tokens of the longest sentence | sentences/s | share of the bfloat16 peak |",
        "| --- | --- | --- |",
        *(f"| {step.longest} | {step.sentences_per_second:.1f} | {100 * step.share:.0f} % |" for step in taken),
        f"| mean | {np.mean([step.sentences_per_second for step in taken]):.1f} "
        f"| {100 * np.mean([step.share for step in taken]):.0f} % |",
    ]
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
