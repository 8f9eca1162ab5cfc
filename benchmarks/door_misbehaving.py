"""What becomes of 10,000 requests to an endpoint that misbehaves in every known way? Counted at both ends.

python benchmarks/door_misbehaving.py. The endpoint of tests/misbehaving.py runs in a process of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from crossfade.models.chat import connect
from crossfade.models.pace import Pace
from crossfade.models.replies import ReplyStore
from crossfade.models.stored import StoredModel
from crossfade.roles import Reply, Request
from door_results import table, write

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.misbehaving import MisbehavingEndpoint, answer_to

TIMEOUT = 5.0
"""Seconds after which the client gives a request up; the endpoint hangs for longer."""


@dataclass(frozen=True)
class Served:
    """What the endpoint counted."""

    requests: int
    answered: dict[str, int]
    """Good answers by prompt."""
    failed: dict[str, int]
    """Bad ones by kind."""

    @property
    def repeats(self) -> int:
        """Good answers to a prompt beyond its first."""
        return sum(count - 1 for count in self.answered.values())


def serve(seed: int) -> None:
    """Run the endpoint until standard input closes."""
    with MisbehavingEndpoint(seed, hang=3 * TIMEOUT) as endpoint:
        print(endpoint.url, flush=True)
        sys.stdin.read()


def ask(url: str, count: int) -> list[Reply]:
    """Put every request through the store, as many at a time as help."""
    model = connect(url, "small", "no-key", pace=Pace(64), timeout=TIMEOUT)
    with (
        tempfile.TemporaryDirectory(dir=Path(__file__).parent / "runs") as folder,
        ReplyStore(Path(folder) / "replies.sqlite") as store,
    ):
        requests = (Request(prompt=f"Write text {index}.") for index in range(count))
        return list(StoredModel(model, store).answer(requests))


def compare(replies: list[Reply], served: Served, count: int) -> list[tuple[str, object]]:
    """Compare both ends."""
    by_prompt = Counter(reply.request.prompt for reply in replies)
    good = [reply for reply in replies if reply.error is None]
    errors = Counter(reply.error.split(":")[0] for reply in replies if reply.error is not None)
    too_long = errors["HTTP 400"]
    wasted = served.repeats + served.failed.get("too long", 0) - too_long
    return [
        ("requests", count),
        ("requests with exactly one reply", sum(number == 1 for number in by_prompt.values())),
        ("replies that hold the right answer", sum(reply.text == answer_to(reply.request.prompt) for reply in good)),
        ("replies that hold a wrong one", sum(reply.text != answer_to(reply.request.prompt) for reply in good)),
        ("replies that say the prompt is too long", too_long),
        ("replies that say that three answers came broken, or every attempt failed", errors.total() - too_long),
        ("calls that reached the endpoint", served.requests),
        *((f"calls that it failed: {kind}", number) for kind, number in sorted(served.failed.items())),
        ("calls that it answered well", sum(served.answered.values())),
        ("prompts asked again although a good answer had been sent", served.repeats),
        ("good answers that no reply holds", len(served.answered.keys() - {reply.request.prompt for reply in good})),
        ("wasted calls beyond those it failed", f"{wasted} ({100 * wasted / count:.2f} %; the aim is at most 2 %)"),
    ]


def main() -> None:
    """Ask, count and write the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--requests", type=int, default=10_000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "door_misbehaving.md")
    arguments.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.serve:
        serve(given.seed)
        return
    command = [sys.executable, __file__, "--serve", "--seed", str(given.seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        started = time.perf_counter()
        replies = ask(url, given.requests)
        seconds = time.perf_counter() - started
        with urlopen(f"{url}/counts") as counts:
            served = Served(**json.load(counts))
        server.stdin.close()
    write(
        given.out,
        f"door_misbehaving.py --requests {given.requests} --seed {given.seed}",
        table(("what", "count"), compare(replies, served, given.requests)),
        f"It took {seconds:.0f} seconds; good answers also come out of order, and three in ten share their id with "
        "others. A request whose answer arrives broken is asked up to three times, one that is refused up to eight.",
    )


if __name__ == "__main__":
    main()
