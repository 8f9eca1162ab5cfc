"""An endpoint that misbehaves in every way that is known of real ones, and counts what it did."""

import json
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from tests.doubles import LocalServer, prompt_of

SHARES: Mapping[str, float] = {
    "429": 0.03,
    "429 with Retry-After": 0.02,
    "500": 0.02,
    "503": 0.02,
    "hang": 0.005,
    "reset": 0.02,
    "truncated": 0.02,
    "HTML page": 0.02,
    "no choices": 0.02,
    "content type": 0.02,
}
"""What share of the requests fails in which way."""
TOO_LONG = 0.02
"""The share of prompts that are refused for ever."""
SAME_ID = 0.3
"""The share of good answers with an id that others have, too."""
LONGEST_DELAY = 0.03
"""Seconds; delays make answers come out of order."""
RETRY_AFTER = "0.05"
LINGER_ZERO = struct.pack("ii", 1, 0)
"""Makes closing a socket reset its connection."""


def answer_to(prompt: str) -> str:
    """Return the one good answer to a prompt."""
    return f"Answer to <{prompt}>."


class MisbehavingEndpoint(LocalServer):
    """An OpenAI-compatible server on loopback that fails a share of its requests.

    How a request fares depends on the seed, its prompt and how many times it came before, never on the order of
    arrival. GET `<url>/counts` returns the counts as JSON, for when the server runs in a process of its own.

    Args:
        seed: Of the choices.
        shares: The share of requests that fails in each way of `SHARES`; the others are answered.
        hang: Seconds for which a hanging request is held; more than the client's timeout.
    """

    def __init__(self, seed: int, shares: Mapping[str, float] = SHARES, *, hang: float = 60.0) -> None:
        if unknown := shares.keys() - SHARES.keys():
            raise ValueError(f"unknown ways to fail: {unknown}; expected some of {list(SHARES)}")
        self.answered: Counter[str] = Counter()
        """Good answers by prompt, counted when they are sent."""
        self.failed: Counter[str] = Counter()
        """Bad ones by kind: those of `SHARES` and 'too long'."""
        self.asked: Counter[str] = Counter()
        """Requests by prompt."""
        self._seed = seed
        self._shares = shares
        self._hang = hang
        self._lock = threading.Lock()
        self._closing = threading.Event()
        super().__init__(self._handler(), _Server)

    @property
    def requests(self) -> int:
        """Requests that came, however they fared."""
        with self._lock:
            return self.asked.total()

    def is_too_long(self, prompt: str) -> bool:
        """Tell whether a prompt is refused for ever."""
        return self._dice("too long", prompt).random() < TOO_LONG

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        super().__exit__(kind, error, trace)

    def counts(self) -> dict[str, object]:
        """Return all counts, ready for JSON."""
        with self._lock:
            return {"requests": self.asked.total(), "answered": dict(self.answered), "failed": dict(self.failed)}

    def decide(self, prompt: str) -> tuple[str, random.Random]:
        """Count a request and choose how it fails, '' for a good answer; return the dice for the rest, too."""
        with self._lock:
            self.asked[prompt] += 1
            dice = self._dice(prompt, str(self.asked[prompt]))
            kinds = [*self._shares, ""]
            (kind,) = dice.choices(kinds, [*self._shares.values(), 1 - sum(self._shares.values())])
            if self.is_too_long(prompt):
                kind = "too long"
            if kind:
                self.failed[kind] += 1
            else:
                self.answered[prompt] += 1
        return kind, dice

    def wait(self, seconds: float) -> None:
        """Hold a request, but not beyond the end of the server."""
        self._closing.wait(seconds)

    def _dice(self, *parts: str) -> random.Random:
        return random.Random(json.dumps([self._seed, *parts]))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(_Handler):
            def do_POST(self) -> None:
                prompt = prompt_of(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                kind, dice = endpoint.decide(prompt)
                if kind == "hang":
                    endpoint.wait(endpoint._hang)
                    self.close_connection = True
                    return
                endpoint.wait(dice.uniform(0, LONGEST_DELAY))
                self.fare(kind, _good_body(prompt, dice))

            def do_GET(self) -> None:
                if self.path.endswith("/counts"):
                    self.send(json.dumps(endpoint.counts()))
                else:
                    self.send(json.dumps({"object": "list", "data": [{"id": "small"}]}))

        return Handler


class _Server(ThreadingHTTPServer):
    request_queue_size = 512

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep the output quiet: clients that hang up are part of the play."""


class _Handler(BaseHTTPRequestHandler):
    """Sends answers, good and bad."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # So that head and body leave together.

    def fare(self, kind: str, good: str) -> None:
        """Send an answer of this kind."""
        match kind:
            case "":
                self.send(good)
            case "429" | "429 with Retry-After":
                self.send(_error("too many requests"), 429, retry_after="" if kind == "429" else RETRY_AFTER)
            case "500" | "503":
                self.send(_error("the server has a bad day"), int(kind))
            case "too long":
                self.send(_error("the prompt does not fit the context"), 400)
            case "reset":
                self.send(good[: len(good) // 2], length=len(good))
                self.reset()
            case "truncated":
                self.send(good[: len(good) // 2])
            case "HTML page":
                self.send("<!doctype html><html>Bad gateway</html>", 502, kind="text/html")
            case "no choices":
                self.send(json.dumps({"id": "1", "choices": []}))
            case "content type":
                self.send(good, kind="text/plain")
            case _:
                raise AssertionError(kind)

    def send(
        self,
        body: str,
        status: int = 200,
        *,
        kind: str = "application/json",
        length: int | None = None,
        retry_after: str = "",
    ) -> None:
        """Send a body, which may be shorter than the length it is said to have."""
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def reset(self) -> None:
        """Break the connection off, without the usual goodbye."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test output quiet."""


def _good_body(prompt: str, dice: random.Random) -> str:
    text = answer_to(prompt)
    choice = {"index": 0, "finish_reason": "stop", "text": text, "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    name = "same" if dice.random() < SAME_ID else f"{dice.getrandbits(64):x}"
    return json.dumps({"id": name, "object": "x", "created": 0, "model": "m", "choices": [choice], "usage": usage})


def _error(message: str) -> str:
    return json.dumps({"error": {"message": message, "type": "error"}})
