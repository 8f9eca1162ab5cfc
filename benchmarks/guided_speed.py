"""How fast is guided writing, as a share of plain batched generation with the same model?

python benchmarks/guided_speed.py. A guided token costs as many tokens of the model as it has prompts. So the limit is
the speed of transformers' own `generate`, on as many prompts at a time as suit it best, over the number of prompts.
"""

import argparse
import statistics
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from crossfade import demo
from crossfade.data import read_corpus
from crossfade.methods.logit_mixup import LogitMixupSettings, order_by_nearness, propose
from crossfade.methods.writing import open_ledger
from crossfade.models.encoder import SentenceEncoder
from crossfade.models.steerable import OpenWeights
from crossfade.packaged import packaged_writer
from crossfade.roles import Request
from crossfade.tasks.classification import draw_shots
from door_results import table, write

BATCHES = (16, 32, 64, 128, 192)
TOKENS = 16
"""Tokens of each plain text; none ends early, so that no lane of the limit is wasted."""


def guided_requests(texts_per_class: int) -> list[Request]:
    """Propose guided texts from two of the demo's texts per class."""
    pool = read_corpus(demo.POOL, split="train")
    gold = draw_shots(pool, 2, np.random.default_rng(0))
    settings = LogitMixupSettings(texts_per_class=texts_per_class)
    nearest = order_by_nearness(gold, SentenceEncoder())
    book = open_ledger(gold, "continue", settings)
    made = propose(gold, book, "continue", settings, np.random.default_rng(0), nearest=nearest)
    return [assignment.request for assignment in made]


def guided_speed(weights: OpenWeights, requests: list[Request]) -> tuple[float, float]:
    """Return answer tokens a second, and prompts per answer token."""
    started = time.perf_counter()
    replies = list(weights.answer(requests))
    seconds = time.perf_counter() - started
    tokens = sum(reply.usage.answer_tokens for reply in replies)
    lanes = sum(reply.usage.answer_tokens * len(reply.choice_logprobs or ()) for reply in replies)
    return tokens / seconds, lanes / tokens


def plain_speed(model: Any, tokenizer: Any, prompts: list[str], batch: int) -> float:
    """Return tokens a second of `generate` on a batch of prompts, the time to read the prompts taken off."""
    short, long = (generation_seconds(model, tokenizer, prompts, batch, tokens) for tokens in (1, 1 + TOKENS))
    return batch * TOKENS / (long - short)


def generation_seconds(model: Any, tokenizer: Any, prompts: list[str], batch: int, tokens: int) -> float:
    """Return how long `generate` takes for so many tokens after each of a batch of prompts."""
    import torch

    tokenizer.padding_side = "left"
    tokenizer.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    chosen = [prompts[index % len(prompts)] for index in range(batch)]
    read = tokenizer(chosen, return_tensors="pt", padding=True).to(model.device)
    started = time.perf_counter()
    with torch.inference_mode():
        model.generate(
            **read,
            do_sample=True,
            temperature=1.0,
            top_p=0.95,
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            pad_token_id=tokenizer.pad_token_id,
        )
    return time.perf_counter() - started


def main() -> None:
    """Alternate guided and plain passes, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts-per-class", type=int, default=24)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "crossfade")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "guided_speed.md")
    given = parser.parse_args()
    weights = OpenWeights(packaged_writer(), cache=given.cache)
    requests = guided_requests(given.texts_per_class)
    prompts = [prompt for request in requests if request.guidance for prompt in request.guidance.prompts]
    list(weights.answer(islice(requests, 8)))
    rounds = []
    for _ in range(given.rounds):
        plain = {batch: plain_speed(weights._model, weights._tokenizer, prompts, batch) for batch in BATCHES}
        rounds.append((*guided_speed(weights, requests), plain))
    best = max(BATCHES, key=lambda batch: statistics.median(plain[batch] for *_, plain in rounds))
    lines = [
        [
            number,
            f"{guided:.0f}",
            f"{lanes:.1f}",
            *(f"{plain[batch]:.0f}" for batch in BATCHES),
            f"{guided * lanes / plain[best]:.2f}",
        ]
        for number, (guided, lanes, plain) in enumerate(rounds, start=1)
    ]
    shares = [guided * lanes / plain[best] for guided, lanes, plain in rounds]
    header = ["round", "guided tokens/s", "prompts", *(f"plain tokens/s, {batch} at a time" for batch in BATCHES)]
    write(
        given.out,
        f"guided_speed.py --rounds {given.rounds} --texts-per-class {given.texts_per_class}",
        f"{len(requests)} guided texts from two demo texts per class, the packaged model in bfloat16. The share is "
        f"guided tokens/s times prompts, over the plain speed at its best batch, {best}. Plain texts are all as long, "
        "so that no lane is wasted, and the time to read their prompts does not count; guided texts end where they "
        "end, and reading their prompts counts.",
        table([*header, "share"], lines),
        f"Median share {statistics.median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f}); the aim was 0.80.",
    )


if __name__ == "__main__":
    main()
