"""Does memory stay flat? A million scripted requests through the store, and what the process grows by.

python benchmarks/door_memory.py. Every reply is committed to disk before it is read.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from crossfade.models.replies import ReplyStore
from crossfade.models.scripted import ScriptedModel
from crossfade.models.stored import StoredModel
from crossfade.roles import Reply, Request
from door_results import table, write

MEBIBYTE = 2**20
STEPS = 10


class ReadyModel(ScriptedModel):
    """A script that says that its answers are at hand, as an endpoint does of answers that came together."""

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer in order."""
        return (replace(reply, more_ready=True) for reply in super().answer(requests))


def resident() -> float:
    """Return this process's resident memory, MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / MEBIBYTE


def peak() -> float:
    """Return the most it has been so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Ask, watch the memory and write the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--requests", type=int, default=1_000_000)
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "door_memory.md")
    given = arguments.parse_args()
    step = given.requests // STEPS
    requests = (Request(prefix="Write a text about travel plans. " * 3, prompt=f"{i}:") for i in range(given.requests))
    rows: list[tuple[str, str, str]] = []
    with (
        tempfile.TemporaryDirectory(dir=Path(__file__).parent / "runs") as folder,
        ReplyStore(Path(folder) / "replies.sqlite") as store,
    ):
        model = StoredModel(ReadyModel(lambda request: "A short answer to " + request.prompt), store)
        before, before_peak, started = resident(), peak(), time.perf_counter()
        for count, reply in enumerate(model.answer(requests), start=1):
            if reply.error is not None:
                raise SystemExit(reply.error)
            if count % step == 0:
                seconds = time.perf_counter() - started
                rows.append((f"{count:,}", f"{resident() - before:.1f}", f"{seconds:.0f}"))
                print(*rows[-1], flush=True)
        highest = peak() - before_peak
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) / MEBIBYTE
    if count != given.requests:
        raise SystemExit(f"{count} of {given.requests} requests answered")
    write(
        given.out,
        f"door_memory.py --requests {given.requests}",
        table(("replies", "MiB above start", "seconds"), rows),
        f"At its highest the process was {highest:.1f} MiB above its start ({before:.0f} MiB); the aim is under 400. "
        f"The store on disk took {size:,.0f} MiB. Every reply was committed before it was read, 64 to a commit, as "
        "happens with any model whose answers come together.",
    )


if __name__ == "__main__":
    main()
