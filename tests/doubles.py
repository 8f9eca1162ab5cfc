"""Stand-ins that tests share: a local endpoint that behaves as told, an encoder of words, a judge that scores."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler
from types import TracebackType
from typing import Self

import numpy as np

from crossfade.roles import Encoder, Floats, Form, Reply, Request, Sampling

Body = dict[str, object]


@dataclass(frozen=True)
class Canned:
    """One HTTP answer."""

    body: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    encoding: str = "utf-8"
    delay: float = 0.0
    """Seconds before the answer begins."""
    drop: bool = False
    """Whether the connection closes without an answer."""


def completion(text: str, *, cached: int = 0) -> Canned:
    """Answer well, in a body that serves chat and plain completions alike."""
    choice = {"index": 0, "finish_reason": "stop", "text": text, "message": {"role": "assistant", "content": text}}
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    return Canned(
        json.dumps({"id": "1", "object": "x", "created": 0, "model": "m", "choices": [choice], "usage": usage})
    )


def refusal(status: int, message: str, **headers: str) -> Canned:
    """Answer with an error in the form of the OpenAI API; underscores in header names become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Canned(json.dumps({"error": {"message": message, "type": "error"}}), status, named)


def prompt_of(body: Body) -> str:
    """Return the prompt of a chat or completion body."""
    messages = body.get("messages")
    return str(messages[0]["content"]) if isinstance(messages, list) else str(body["prompt"])


class LocalServer:
    """A server on loopback that runs for as long as its `with` block."""

    def __init__(
        self, handler: type[BaseRequestHandler], server: type[ThreadingHTTPServer] = ThreadingHTTPServer
    ) -> None:
        self._server = server(("127.0.0.1", 0), handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class LocalEndpoint(LocalServer):
    """An OpenAI-compatible server on loopback; `behave` turns each request body into an answer."""

    def __init__(self, behave: Callable[[Body], Canned], *, models: Canned | None = None) -> None:
        self.behave = behave
        self.models = models or Canned(json.dumps({"object": "list", "data": [{"id": "small"}, {"id": "large"}]}))
        self.bodies: list[Body] = []
        self.paths: list[str] = []
        self.peak = 0
        self._open = 0
        self._lock = threading.Lock()
        super().__init__(self._handler())

    def respond(self, path: str, body: Body) -> Canned:
        """Record a request, wait as told, and return the answer."""
        with self._lock:
            self.paths.append(path)
            self.bodies.append(body)
            self._open += 1
            self.peak = max(self.peak, self._open)
        try:
            canned = self.behave(body)
            time.sleep(canned.delay)
            return canned
        finally:
            with self._lock:
                self._open -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                self._send(endpoint.respond(self.path, json.loads(self.rfile.read(length))))

            def do_GET(self) -> None:
                self._send(endpoint.models)

            def _send(self, canned: Canned) -> None:
                if canned.drop:
                    return
                content = canned.body.encode(canned.encoding)
                self.send_response(canned.status)
                self.send_header("Content-Type", canned.content_type)
                self.send_header("Content-Length", str(len(content)))
                for name, value in canned.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Keep the test output quiet."""

        return Handler


class FakeEncoder:
    """Embeds a text as the sum of its words' vectors, so that texts are alike when they share words."""

    name = "words"

    def encode(self, texts: Sequence[str]) -> Floats:
        sums = [np.sum([self._word(word) for word in text.lower().split()], axis=0) for text in texts]
        vectors: Floats = np.array(sums, dtype=np.float64).reshape(len(texts), 64)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def _word(self, word: str) -> Floats:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8])
        return np.random.default_rng(seed).standard_normal(64)


class FlatEncoder:
    """Finds every text the same, so that prototypes know nothing."""

    name = "flat"

    def encode(self, texts: Sequence[str]) -> Floats:
        return np.tile([1.0, 0.0], (len(texts), 1))


class NearestInverter:
    """Decodes a point to the nearest sentences of a list, with some noise unless it is greedy; remembers its calls."""

    name = "nearest"

    def __init__(self, sentences: Sequence[str], encoder: Encoder | None = None) -> None:
        self.sentences = list(sentences)
        self.encoder = encoder or FakeEncoder()
        self.vectors = self.encoder.encode(self.sentences)
        self.calls: list[tuple[Floats, Sampling, int, int]] = []

    def encode(self, texts: Sequence[str]) -> Floats:
        return self.encoder.encode(texts)

    def decode(self, points: Floats, *, sampling: Sampling, candidates: int = 1, seed: int = 0) -> list[list[str]]:
        self.calls.append((points, sampling, candidates, seed))
        noise = np.random.default_rng(seed).standard_normal((len(points), len(self.sentences)))
        near = points @ self.vectors.T + 0.1 * sampling.temperature * noise
        order = np.argsort(-near, axis=1, kind="stable")[:, :candidates]
        return [[self.sentences[place] for place in nearest] for nearest in order.tolist()]


def write_tiny_bert(folder: Path, words: Sequence[str], *, tokens: int) -> None:
    """Write a BERT of random weights, 16 wide, with a tokenizer that knows some words and cuts texts off."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizer(vocab=str(folder / "vocab.txt"), model_max_length=tokens).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=tokens,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)


class ScoringModel:
    """A judge that scores each choice of a request with a function, as open weights do."""

    def __init__(self, score: Callable[[Request, str], float], preferred_form: Form = "continue") -> None:
        self.score = score
        self.name = "scores"
        self.preferred_form: Form = preferred_form
        self.requests: list[Request] = []

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        for request in requests:
            self.requests.append(request)
            scores = tuple(self.score(request, choice) for choice in request.choices)
            yield Reply(request=request, text=request.choices[int(np.argmax(scores))], choice_logprobs=scores)
