"""How much of llama.cpp's speed do we pass on, and what do shared prefixes bring? The packaged model, in this process.

python benchmarks/door_embedded.py. PromptMix requests from the demo texts; each comparison alternates within the run.
"""

import argparse
import json
import math
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path

import numpy as np

from crossfade import demo
from crossfade.data import read_corpus
from crossfade.methods.promptmix import PromptMixSettings, propose
from crossfade.methods.writing import open_ledger
from crossfade.models.embedded import EXTRA_BODY, EmbeddedModel
from crossfade.models.replies import ReplyStore
from crossfade.models.stored import StoredModel
from crossfade.models.wire import request_fields
from crossfade.roles import Form, Request
from crossfade.tasks.classification import draw_shots
from door_results import table, write

PARALLEL = 16


@dataclass(frozen=True)
class Pass:
    """One pass over all requests."""

    prompt_tokens: int
    cached_tokens: int
    answer_tokens: int
    seconds: float

    @property
    def speed(self) -> float:
        """Answer tokens per second."""
        return self.answer_tokens / self.seconds

    @property
    def work(self) -> float:
        """Prompt and answer tokens per second, reused ones included."""
        return (self.prompt_tokens + self.answer_tokens) / self.seconds


def promptmix_requests(form: Form, shots: int, count: int) -> list[Request]:
    """Return requests as PromptMix sends them, from a few demo texts per class."""
    gold = draw_shots(read_corpus(demo.POOL), shots, np.random.default_rng(3))
    settings = PromptMixSettings(texts_per_class=1, max_tokens=96 if form == "instruct" else None)
    wanted = settings.texts_in_request(form) * math.ceil(count / len(gold.labels))
    settings = settings.model_copy(update={"texts_per_class": wanted})
    assignments = propose(gold, open_ledger(gold, form, settings), form, settings, np.random.default_rng(1))
    return [assignment.request for assignment in assignments][:count]


def same_start(one: str, two: str) -> int:
    """Count the characters with which both begin."""
    return next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))


def shared_start(requests: Sequence[Request]) -> float:
    """Return the mean share of a prompt's characters that it has in common with the start of the one before it."""
    prompts = [request.full_prompt for request in requests]
    return statistics.mean(same_start(one, two) / len(two) for one, two in pairwise(prompts))


def ours(model: EmbeddedModel, requests: Sequence[Request]) -> Pass:
    """Ask as a run does: through a store on disk."""
    with (
        tempfile.TemporaryDirectory(dir=Path(__file__).parent / "runs") as folder,
        ReplyStore(Path(folder) / "replies.sqlite") as store,
    ):
        stored = StoredModel(model, store)
        started = time.perf_counter()
        errors = [reply.error for reply in stored.answer(requests) if reply.error is not None]
        seconds = time.perf_counter() - started
    if errors:
        raise SystemExit(errors[0])
    counts = stored.counts
    return Pass(counts.prompt_tokens, counts.cached_tokens, counts.answer_tokens, seconds)


def bare(model: EmbeddedModel, requests: Sequence[Request]) -> Pass:
    """Post the same bodies to the same server from plain threads, which only count tokens."""
    assert model._endpoint is not None
    host = model._endpoint.address.partition("/")[0]
    of_thread = threading.local()

    def post(request: Request) -> dict[str, int]:
        if not hasattr(of_thread, "connection"):
            of_thread.connection = HTTPConnection(host)
        seed = int(request.digest(model.name)[:8], 16) % 2**31
        body = {"model": model.file.name, **request_fields(request, "grammar"), "seed": seed, **EXTRA_BODY}
        if request.form == "instruct":
            path = "/v1/chat/completions"
            body["messages"] = [{"role": "user", "content": request.full_prompt}]
        else:
            path = "/v1/completions"
            body["prompt"] = request.full_prompt
        of_thread.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        usage = json.loads(of_thread.connection.getresponse().read())["usage"]
        cached = usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
        return {"prompt": usage["prompt_tokens"], "cached": cached, "answer": usage["completion_tokens"]}

    started = time.perf_counter()
    with ThreadPoolExecutor(PARALLEL) as pool:
        usages = list(pool.map(post, requests))
    seconds = time.perf_counter() - started
    prompt, cached, answer = (sum(usage[kind] for usage in usages) for kind in ("prompt", "cached", "answer"))
    return Pass(prompt, cached, answer, seconds)


def in_turn(rounds: int, *ways: Callable[[], Pass]) -> list[tuple[Pass, ...]]:
    """Run several ways in turn, and return the passes of each way."""
    found = []
    for _ in range(rounds):
        found.append([way() for way in ways])
        print(*found[-1], flush=True)
    return list(zip(*found, strict=True))


def row(name: str, passes: Sequence[Pass]) -> tuple[str, ...]:
    """Write the mean over the passes of one way."""
    cached = sum(one.cached_tokens for one in passes) / max(1, sum(one.prompt_tokens for one in passes))
    speed = statistics.mean(one.speed for one in passes)
    work = statistics.mean(one.work for one in passes)
    seconds = ", ".join(f"{one.seconds:.1f}" for one in passes)
    return name, f"{speed:.0f}", f"{work:.0f}", f"{100 * cached:.0f} %", seconds


def ratios(ours: Sequence[Pass], theirs: Sequence[Pass], what: str) -> str:
    """Write the mean of the rounds' ratios, and the smallest and largest."""
    found = [getattr(one, what) / getattr(other, what) for one, other in zip(ours, theirs, strict=True)]
    return f"{statistics.mean(found):.3f} ({min(found):.3f} to {max(found):.3f})"


def main() -> None:
    """Compare, and write the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--requests", type=int, default=400)
    arguments.add_argument("--instructions", type=int, default=64)
    arguments.add_argument("--rounds", type=int, default=2)
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "door_embedded.md")
    given = arguments.parse_args()
    lists = promptmix_requests("continue", 2, given.requests)
    grouped = promptmix_requests("instruct", 10, given.instructions)
    mixed = [grouped[index] for index in np.random.default_rng(2).permutation(len(grouped))]
    with EmbeddedModel(parallel=PARALLEL) as model:
        ours(model, lists[:PARALLEL])
        door, threads = in_turn(given.rounds, lambda: ours(model, lists), lambda: bare(model, lists))
        shared, reordered, random = in_turn(
            given.rounds, lambda: ours(model, grouped), lambda: ours(model, mixed), lambda: bare(model, mixed)
        )
    write(
        given.out,
        f"door_embedded.py --requests {given.requests} --instructions {given.instructions} --rounds {given.rounds}",
        f"{given.requests} lists to continue (2 examples per class) and {given.instructions} instructions (10 examples "
        f"per class, {len({request.prefix for request in grouped})} prefixes), as PromptMix sends them, {PARALLEL} at "
        f"a time. An instruction begins with the same {100 * shared_start(grouped):.0f} % as the one before it, in "
        f"random order with {100 * shared_start(mixed):.0f} %; a list with {100 * shared_start(lists):.0f} %, since "
        "each shuffles its examples.",
        table(
            ("way", "answer tokens/s", "prompt and answer tokens/s", "prompt tokens reused", "seconds per pass"),
            [
                row("lists: Crossfade, replies stored", door),
                row("lists: bare threads", threads),
                row("instructions: Crossfade, in PromptMix's order", shared),
                row("instructions: Crossfade, given in random order", reordered),
                row("instructions: bare threads, random order", random),
            ],
        ),
        f"Answer tokens/s beside bare threads: {ratios(door, threads, 'speed')}; the aim is 0.95 or more.\n"
        f"Prompt and answer tokens/s beside random order: {ratios(shared, random, 'work')}; the aim is 1.5 or more.",
    )


if __name__ == "__main__":
    main()
