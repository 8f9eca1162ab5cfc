"""What does asking cost us? Processor time per request against a server that answers at once, beside other clients.

python benchmarks/door_overhead.py --peers PYTHON, where PYTHON is an interpreter that has bespokelabs-curator (leave
it out to measure without it). Every client runs in a process of its own, in turn, several rounds.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from door_results import table, write

HERE = Path(__file__).parent
CONCURRENCY = 16
WARM_UP = 50
PROMPT = "Write two short questions about travel plans, one in each line. Mix in some weather. Draft number {}:\n" * 3


def prompts(first: int, count: int) -> list[str]:
    """Return prompts that all differ."""
    return [PROMPT.format(index, index, index) for index in range(first, first + count)]


def ours(url: str, texts: Sequence[str], *, stored: bool) -> int:
    """Ask through Crossfade, paced; with `stored`, each reply is committed to disk before it is read."""
    from crossfade.models.chat import connect
    from crossfade.models.pace import Pace
    from crossfade.models.replies import ReplyStore
    from crossfade.models.stored import StoredModel
    from crossfade.roles import Request, Sampling

    model = connect(url, "m", "no-key", pace=Pace(CONCURRENCY))
    sampling = Sampling(temperature=0.7, max_tokens=64)
    requests = (Request(prompt=text, sampling=sampling) for text in texts)
    if not stored:
        return sum(reply.error is None for reply in model.answer(requests))
    with (
        tempfile.TemporaryDirectory(dir=Path(__file__).parent / "runs") as folder,
        ReplyStore(Path(folder) / "replies.sqlite") as store,
    ):
        return sum(reply.error is None for reply in StoredModel(model, store).answer(requests))


def plain_asyncio(url: str, texts: Sequence[str]) -> int:
    """Ask as most scripts do: the official client, a semaphore and `gather`; nothing is kept."""
    import openai

    async def ask_all() -> int:
        places = asyncio.Semaphore(CONCURRENCY)
        async with openai.AsyncOpenAI(base_url=url, api_key="no-key", max_retries=0) as client:

            async def ask(text: str) -> bool:
                async with places:
                    answer = await client.chat.completions.create(
                        model="m", messages=[{"role": "user", "content": text}], temperature=0.7, max_tokens=64
                    )
                return answer.choices[0].message.content is not None

            return sum(await asyncio.gather(*map(ask, texts)))

    return asyncio.run(ask_all())


def curator(url: str, texts: Sequence[str]) -> int:
    """Ask through bespokelabs-curator, with its cache on disk, as ours keeps replies."""
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent / "runs") as folder:
        os.environ.update(
            CURATOR_CACHE_DIR=folder, TELEMETRY_ENABLED="0", CURATOR_DISABLE_RICH_DISPLAY="1", OPENAI_API_KEY="no-key"
        )
        import tiktoken  # type: ignore[import-not-found]
        from bespokelabs import curator as library  # type: ignore[import-not-found]

        # Its token counter downloads a vocabulary when first used; one of single bytes, made here, costs it less.
        single = {bytes([value]): value for value in range(256)}
        tokens = tiktoken.Encoding("bytes", pat_str=r"\S+|\s+", mergeable_ranks=single, special_tokens={})
        tiktoken.get_encoding = tiktoken.encoding_for_model = lambda _: tokens
        model = library.LLM(
            model_name="m",
            backend="openai",
            generation_params={"temperature": 0.7, "max_tokens": 64},
            backend_params={
                "base_url": url,
                "max_requests_per_minute": 10**8,
                "max_tokens_per_minute": 10**10,
                "max_concurrent_requests": CONCURRENCY,
            },
        )
        answered = model(list(texts))
        return len(getattr(answered, "dataset", answered))


CLIENTS: dict[str, Callable[[str, Sequence[str]], int]] = {
    "Crossfade, replies stored": lambda url, texts: ours(url, texts, stored=True),
    "Crossfade, nothing stored": lambda url, texts: ours(url, texts, stored=False),
    "openai with asyncio": plain_asyncio,
    "bespokelabs-curator": curator,
}
PEERS = ("bespokelabs-curator",)


def measure(client: str, url: str, count: int) -> None:
    """Run one client in this process and print processor and wall seconds."""
    ask = CLIENTS[client]
    ask(url, prompts(0, WARM_UP))
    texts = prompts(WARM_UP, count)
    cpu, wall = time.process_time(), time.perf_counter()
    answered = ask(url, texts)
    spent = [time.process_time() - cpu, time.perf_counter() - wall]
    if answered != count:
        raise SystemExit(f"{client}: {answered} of {count} answered")
    print(json.dumps(spent))


def run_client(client: str, python: str, url: str, count: int) -> tuple[float, float] | str:
    """Measure in a process of its own: (milliseconds of CPU per request, requests per second), or why not."""
    command = [python, str(Path(__file__)), "--measure", client, "--url", url, "--requests", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr.strip().splitlines()[-1][:300]
    cpu, wall = json.loads(done.stdout.strip().splitlines()[-1])
    return 1000 * cpu / count, count / wall


def compare(seen: dict[str, list[tuple[float, float]]], reasons: dict[str, str]) -> list[tuple[str, ...]]:
    """Write the middle of the rounds, with the smallest and largest."""
    rows: list[tuple[str, ...]] = []
    base = statistics.median(cpu for cpu, _ in seen["Crossfade, replies stored"])
    for client, rounds in seen.items():
        cpus, rates = ([one[part] for one in rounds] for part in (0, 1))
        middle = statistics.median(cpus)
        cpu = f"{middle:.2f} ({min(cpus):.2f} to {max(cpus):.2f})"
        rate = f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
        rows.append((client, cpu, rate, f"{middle / base:.2f}"))
    return rows + [(client, f"not measured: {reason}", "", "") for client, reason in reasons.items()]


def main() -> None:
    """Measure every client in turn and write the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--requests", type=int, default=3000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--peers", help="an interpreter that has bespokelabs-curator")
    arguments.add_argument("--out", type=Path, default=HERE / "results" / "door_overhead.md")
    arguments.add_argument("--measure", choices=CLIENTS, help=argparse.SUPPRESS)
    arguments.add_argument("--url", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.measure:
        measure(given.measure, given.url, given.requests)
        return
    seen: dict[str, list[tuple[float, float]]] = {}
    reasons: dict[str, str] = {}
    with subprocess.Popen([sys.executable, str(HERE / "door_server.py")], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        try:
            for _ in range(given.rounds):
                for client in CLIENTS:
                    python = given.peers if client in PEERS else sys.executable
                    if python is None or client in reasons:
                        continue
                    found = run_client(client, python, url, given.requests)
                    print(client, found, flush=True)
                    if isinstance(found, str):
                        reasons[client] = found
                    else:
                        seen.setdefault(client, []).append(found)
        finally:
            server.terminate()
    peers = " --peers PYTHON" if given.peers else ""
    write(
        given.out,
        f"door_overhead.py --requests {given.requests} --rounds {given.rounds}{peers}",
        f"The same {given.requests:,} requests, {CONCURRENCY} at a time, to one server that answers at once; each "
        f"client in a process of its own, {given.rounds} rounds in turn; median (smallest to largest). CPU is the "
        "client process's own.",
        table(("client", "CPU per request, ms", "requests/s", "CPU beside ours stored"), compare(seen, reasons)),
    )


if __name__ == "__main__":
    main()
