"""Does a killed run lose or repeat anything? A child process is killed at random moments until it has finished.

python benchmarks/door_kill.py. The child asks a local endpoint, which lives in this process and counts every request,
through the store; `kill -9` ends it again and again. Then its rows are compared with those of a run left in peace.
"""

import argparse
import hashlib
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from socketserver import BaseServer

from crossfade.models.chat import connect
from crossfade.models.pace import Pace
from crossfade.models.replies import ReplyStore
from crossfade.models.stored import StoredModel
from crossfade.roles import Request
from door_results import table, write

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.doubles import Body, Canned, LocalEndpoint, completion, prompt_of

CONCURRENCY = 8
# Killed children hang up in the middle of answers, which is no news.
BaseServer.handle_error = lambda *_: None  # type: ignore[method-assign]


class CountingEndpoint:
    """Answers slowly, always the same to the same prompt, and knows what is in the store when a prompt comes."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.committed: set[str] = set()
        """Prompts whose replies the store held at the last kill."""
        self.repeated: Counter[str] = Counter()
        """Prompts that came again although their reply was committed."""

    def behave(self, body: Body) -> Canned:
        """Answer one request."""
        prompt = prompt_of(body)
        with self._lock:
            self.asked[prompt] += 1
            if prompt in self.committed:
                self.repeated[prompt] += 1
            delay = self._dice.uniform(0.002, 0.03)
        answer = completion("answer " + hashlib.sha256(prompt.encode()).hexdigest())
        return Canned(answer.body, delay=delay)


def child(url: str, folder: Path, count: int) -> None:
    """Ask everything through the store, then write one row per request, in order."""
    model = connect(url, "small", "no-key", pace=Pace(CONCURRENCY))
    requests = [Request(prompt=f"Write text {index}.") for index in range(count)]
    with ReplyStore(folder / "replies.sqlite") as store:
        said = {reply.request.prompt: [reply.text, reply.error] for reply in StoredModel(model, store).answer(requests)}
    rows = [[request.prompt, *said[request.prompt]] for request in requests]
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")


def start(url: str, folder: Path, count: int) -> "subprocess.Popen[bytes]":
    """Start a child."""
    command = [sys.executable, __file__, "--child", str(folder), "--url", url, "--requests", str(count)]
    return subprocess.Popen(command)


def stored_prompts(folder: Path) -> set[str]:
    """Read the prompts whose replies a dead process has committed."""
    with tempfile.TemporaryDirectory() as copy:
        # Reading the files themselves would mend them, which is for the next child to do.
        for file in folder.glob("replies.sqlite*"):
            shutil.copy(file, copy)
        return _prompts(Path(copy) / "replies.sqlite")


def _prompts(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as file:
        if not file.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'replies'").fetchone()[0]:
            return set()
        return {prompt for (prompt,) in file.execute("SELECT prompt FROM replies")}


def run_with_kills(
    endpoint: CountingEndpoint, url: str, folder: Path, count: int, kills: int, seed: int
) -> Counter[str]:
    """Kill children at random moments, then let one finish; return what was seen."""
    dice = random.Random(seed)
    seen: Counter[str] = Counter()
    lost: set[str] = set()
    for _ in range(kills):
        running = start(url, folder, count)
        # Kill anywhere from the first import to the middle of the work: wait for so many requests, then a moment.
        target = endpoint.asked.total() + dice.randrange(0, int(1.6 * count / kills))
        while running.poll() is None and endpoint.asked.total() < target:
            threading.Event().wait(0.005)
        threading.Event().wait(dice.uniform(0, 0.05))
        seen["finished before its kill"] += running.poll() is not None
        running.kill()
        running.wait()
        now = stored_prompts(folder)
        lost |= endpoint.committed - now
        endpoint.committed |= now
        (folder / "rows.json").unlink(missing_ok=True)
    if start(url, folder, count).wait():
        raise SystemExit("the last child failed")
    seen["committed replies lost"] = len(lost | (endpoint.committed - stored_prompts(folder)))
    return seen


def rows_of(folder: Path) -> list[list[str | None]]:
    """Read what a child wrote at its end."""
    rows: list[list[str | None]] = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
    return rows


def main() -> None:
    """Run with and without kills and write the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--requests", type=int, default=2000)
    arguments.add_argument("--kills", type=int, default=50)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "door_kill.md")
    arguments.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments.add_argument("--url", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.child:
        child(given.url, given.child, given.requests)
        return
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent / "runs") as name:
        killed, peaceful = Path(name) / "killed", Path(name) / "peaceful"
        killed.mkdir()
        peaceful.mkdir()
        endpoint = CountingEndpoint(given.seed)
        with LocalEndpoint(endpoint.behave) as server:
            seen = run_with_kills(endpoint, server.url, killed, given.requests, given.kills, given.seed)
        undisturbed = CountingEndpoint(given.seed)
        with LocalEndpoint(undisturbed.behave) as server:
            # The address is part of a reply's key; the rows hold none of it.
            start(server.url, peaceful, given.requests).wait()
        same = rows_of(killed) == rows_of(peaceful)
        errors = sum(row[2] is not None for row in rows_of(killed))
    calls = endpoint.asked.total()
    rows = [
        ("kills with signal 9", given.kills),
        ("of them after the child had finished", seen["finished before its kill"]),
        ("requests", given.requests),
        ("requests with a row at the end", given.requests - errors),
        ("committed replies asked again", endpoint.repeated.total()),
        ("committed replies lost", seen["committed replies lost"]),
        ("calls that reached the endpoint", calls),
        ("calls repeated: under way, or arrived and not yet committed, at a kill", calls - len(endpoint.asked)),
        ("the same per kill", f"{(calls - len(endpoint.asked)) / given.kills:.1f}"),
        ("final rows equal to those of a run left in peace", "yes" if same else "NO"),
    ]
    write(
        given.out,
        f"door_kill.py --requests {given.requests} --kills {given.kills} --seed {given.seed}",
        table(("what", "count"), rows),
        "A reply counts as answered once it is committed, which is before anyone reads it. A request under way when "
        f"the process dies has to be asked again: at most those that are out ({CONCURRENCY}) and those that wait a few "
        "milliseconds for their commit.",
    )


if __name__ == "__main__":
    main()
