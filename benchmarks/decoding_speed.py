"""Would another backend decode soft tokens faster? Our loop beside the library's own, and what llama.cpp could reach.

    python benchmarks/decoding_speed.py ../shared/data/unlabelled/short_sentences.jsonl.gz

Everything in processor seconds with one thread, greedy, the same points: our loop, in which a row that has ended
leaves the batch; `generate` of transformers with a growing and with a static cache; nothing is compiled. llama.cpp's
server takes no soft tokens, so it writes on from prompts of about as many: the limit of what such a backend could
bring.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from crossfade.inverting import read_single_texts
from crossfade.models.embedded import EmbeddedModel
from crossfade.models.inverter import SentenceInverter
from crossfade.opening import open_inverter
from crossfade.roles import Request, Sampling
from door_results import table, write

LONGEST = 32
"""Tokens after which every backend stops."""


def seconds(work: Callable[[], object]) -> float:
    """Return the processor seconds that a piece of work takes."""
    started = time.process_time()
    work()
    return time.process_time() - started


def of_library(inverter: SentenceInverter, soft: torch.Tensor, cache: str) -> float:
    """Return the seconds that `generate` takes."""
    model, tokenizer = inverter.reader.model, inverter.reader.weights.tokenizer
    ends = inverter.reader.ends.nonzero()[:, 0].tolist()

    def generate() -> object:
        with torch.no_grad():
            return model.generate(
                inputs_embeds=soft,
                max_new_tokens=LONGEST,
                do_sample=False,
                eos_token_id=ends,
                pad_token_id=tokenizer.eos_token_id,
                attention_mask=torch.ones(soft.shape[:2], dtype=torch.long),
                cache_implementation=cache,
                disable_compile=True,
            )

    return seconds(generate)


def of_llama(model: EmbeddedModel, texts: Sequence[str], tokens: int) -> float:
    """Return the seconds in which llama.cpp writes so many tokens after the beginning of each text, if all run on."""
    sampling = Sampling(temperature=0, max_tokens=tokens)
    requests = [
        Request(prompt=" ".join(text.split()[:7]), form="continue", sampling=sampling, sample=place)
        for place, text in enumerate(texts)
    ]
    list(model.answer(requests[:1]))
    written = 0

    def answer() -> None:
        nonlocal written
        written = sum(reply.usage.answer_tokens for reply in model.answer(requests))

    spent = seconds(answer)
    return spent * tokens * len(texts) / written


def main() -> None:
    """Measure and write the results."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("texts")
    arguments.add_argument("--rows", type=int, default=64)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "decoding_speed.md")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    inverter = open_inverter()
    texts = read_single_texts(given.texts)
    drawn = [texts[row] for row in np.random.default_rng(0).permutation(len(texts))[: given.rows]]
    soft = inverter.soft_tokens(inverter.encode(drawn)).detach().to(inverter.reader.model.dtype)
    sampling = Sampling(temperature=0, max_tokens=LONGEST)
    written = inverter.reader.write(soft, sampling)
    tokens = round(float(np.mean([len(inverter.reader.tokens(text)) for text in written])))
    found: dict[str, list[float]] = {}
    with EmbeddedModel(threads=1) as model:
        for _ in range(given.rounds):
            ours = seconds(lambda: inverter.reader.write(soft, sampling))
            found.setdefault("our loop", []).append(ours)
            found.setdefault("`generate`, growing cache", []).append(of_library(inverter, soft, "dynamic"))
            found.setdefault("`generate`, static cache", []).append(of_library(inverter, soft, "static"))
            found.setdefault("llama.cpp, plain prompts", []).append(of_llama(model, drawn, tokens))
    lines = []
    for name, spent in found.items():
        pace = [given.rows / each for each in spent]
        shares = [ours / each for ours, each in zip(found["our loop"], spent, strict=True)]
        lines.append(
            [name, f"{np.median(pace):.1f}", f"{np.median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})"]
        )
    write(
        given.out,
        f"decoding_speed.py {given.texts} --rows {given.rows} --rounds {given.rounds}",
        f"{given.rows} points of the packaged inverter, greedy, at most {LONGEST} tokens, {tokens} in the mean; one "
        f"thread, processor seconds, {inverter.reader.model.dtype}; nothing is compiled. llama.cpp's server reads no "
        "soft tokens: what it would reach with prompts of about as many, its own 4-bit weights, and as many tokens "
        "written.",
        table(["backend", "texts/s", "times our loop, median (lowest to highest)"], lines),
    )


if __name__ == "__main__":
    main()
