"""Keep every reply on disk: the one door through which methods hear a language model.

`StoredModel` stands before any text model. A reply is committed before anyone reads it, so a run that is killed and
started again asks only what was never answered.
"""

import json
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from crossfade.errors import ModelError, ParsingError
from crossfade.roles import Form, Reply, Request, TextModel, Usage

VERSION = 2
"""The layout of the tables, kept in SQLite's `user_version`."""
MOST_HELD = 64
"""Stored replies held back while the inner model reads ahead; bounds memory."""

TABLES = """
CREATE TABLE replies (
    digest TEXT PRIMARY KEY, model TEXT NOT NULL, prompt TEXT NOT NULL, request TEXT NOT NULL, text TEXT NOT NULL,
    finish TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
    answer_tokens INTEGER NOT NULL, seconds REAL NOT NULL, choice_logprobs TEXT, created TEXT NOT NULL,
    token_logprobs TEXT
);
CREATE TABLE failures (
    id INTEGER PRIMARY KEY, digest TEXT NOT NULL, model TEXT NOT NULL, prompt TEXT NOT NULL, request TEXT NOT NULL,
    error TEXT NOT NULL, finish TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
    answer_tokens INTEGER NOT NULL, seconds REAL NOT NULL, created TEXT NOT NULL
);
"""


class ReplyStore:
    """Replies in one SQLite file, which belongs to one open store at a time.

    The lock is SQLite's own: it goes when the store is closed or its process dies, however it dies.

    Args:
        path: The file; made when it does not exist.

    Raises:
        ModelError: If another store has the file open, or it cannot be opened or written.
        ParsingError: If the file is not a reply store of this version.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        # A model may read its requests, and so look up replies, in a thread of its own.
        self._lock = threading.Lock()
        with self._reported():
            self._connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            with self._reported():
                self._open()
        except BaseException:
            self._connection.close()
            raise

    def find(self, request: Request, model: str) -> Reply | None:
        """Return the stored reply to a request that was put to this model, or None."""
        with self._lock, self._reported():
            row = self._connection.execute(
                "SELECT text, finish, prompt_tokens, cached_tokens, answer_tokens, seconds, choice_logprobs,"
                " token_logprobs FROM replies WHERE digest = ?",
                (request.digest(model),),
            ).fetchone()
        if row is None:
            return None
        text, finish, prompt_tokens, cached_tokens, answer_tokens, seconds, choice_logprobs, token_logprobs = row
        return Reply(
            request=request,
            text=text,
            finish=finish,
            usage=Usage(prompt_tokens=prompt_tokens, cached_tokens=cached_tokens, answer_tokens=answer_tokens),
            seconds=seconds,
            choice_logprobs=None if choice_logprobs is None else tuple(json.loads(choice_logprobs)),
            token_logprobs=None if token_logprobs is None else tuple(map(tuple, json.loads(token_logprobs))),
            from_store=True,
        )

    def keep(self, reply: Reply, model: str) -> None:
        """Commit a reply; one with an error goes to the table of failures and is never found.

        Raises:
            ModelError: If the file cannot be written.
        """
        request = reply.request
        row: dict[str, object] = {
            "digest": request.digest(model),
            "model": model,
            "prompt": request.full_prompt,
            "request": _describe(request),
            "finish": reply.finish,
            **asdict(reply.usage),
            "seconds": reply.seconds,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if reply.error is not None:
            self._insert("INSERT INTO failures", row | {"error": reply.error})
            return
        row["text"] = reply.text
        row["choice_logprobs"] = None if reply.choice_logprobs is None else json.dumps(reply.choice_logprobs)
        row["token_logprobs"] = None if reply.token_logprobs is None else json.dumps(reply.token_logprobs)
        self._insert("INSERT OR REPLACE INTO replies", row)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> None:
        """Check the version, take the file for this store alone, and make the tables of a new file."""
        run = self._connection.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        (version,) = run("PRAGMA user_version").fetchone()
        (tables,) = run("SELECT count(*) FROM sqlite_schema").fetchone()
        is_new = version == 0 and tables == 0
        if version != VERSION and not is_new:
            raise ParsingError(
                f"'{self._path}' is a SQLite file of version {version}; expected a reply store of version {VERSION}.",
                hint="Use the Crossfade that wrote it, or name another file.",
            )
        run("PRAGMA journal_mode = WAL")
        # Every commit reaches the disk: a reply costs far more than the wait.
        run("PRAGMA synchronous = FULL")
        run("BEGIN EXCLUSIVE")
        if is_new:
            for statement in TABLES.split(";"):
                run(statement)
            run(f"PRAGMA user_version = {VERSION}")
        run("COMMIT")

    def _insert(self, command: str, row: dict[str, object]) -> None:
        columns = ", ".join(row)
        marks = ", ".join("?" for _ in row)
        with self._lock, self._reported():
            self._connection.execute(f"{command} ({columns}) VALUES ({marks})", tuple(row.values()))

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Turn SQLite's errors into ours."""
        try:
            yield
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise ParsingError(
                    f"'{self._path}' is not a reply store.", hint="Name another file, or move this one away."
                ) from error
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise ModelError(
                    f"The reply store '{self._path}' is in use by another run.",
                    hint="Wait for that run to end, or stop it.",
                    retryable=True,
                ) from error
            raise ModelError(
                f"The reply store '{self._path}' cannot be used: {error}.",
                hint="Check that its folder exists, may be written, and has free space.",
            ) from error


def _describe(request: Request) -> str:
    """Write everything but the prompt as JSON."""
    described = asdict(request)
    return json.dumps({key: described[key] for key in ("form", "sampling", "choices", "lines", "sample")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a stored model has done since it was made."""

    asked: int = 0
    """Replies that came from the model, failures included."""
    from_store: int = 0
    """Replies that cost nothing: stored before, or identical to one asked in the same stream."""
    failed: int = 0
    """Replies of the model with an error."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0
    """Sum over the model's replies; larger than the time passed when requests run side by side."""


class StoredModel:
    """A text model that is never asked twice: stored replies first, new ones committed before they are yielded.

    Args:
        model: Answers what the store does not hold.
        store: Holds the replies; may be shared by several models.
    """

    def __init__(self, model: TextModel, store: ReplyStore) -> None:
        self._model = model
        self._store = store
        self._counts = Counts()

    @property
    def name(self) -> str:
        """The name of the inner model."""
        return self._model.name

    @property
    def preferred_form(self) -> Form:
        """The form of the inner model."""
        return self._model.preferred_form

    @property
    def counts(self) -> Counts:
        """What was asked and paid for so far."""
        return self._counts

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Yield a reply to every request, in any order; identical requests are asked once, failed ones too.

        When the consumer stops early, answers under way are still awaited and kept, since they are paid for. The inner
        model is not touched (so need not load) while every reply is stored.
        """
        source = iter(requests)
        failed: dict[str, Reply] = {}
        for request in source:
            known = self._known(request, failed)
            if known is None:
                yield from self._ask(
                    _Stretch(request, source, lambda later: self._known(later, failed), self.name), failed
                )
            else:
                yield self._count(known)

    def _known(self, request: Request, failed: dict[str, Reply]) -> Reply | None:
        """Look a request up in the store, then among this stream's failures."""
        stored = self._store.find(request, self.name)
        if stored is None and (failure := failed.get(request.digest(self.name))):
            return replace(failure, request=request, from_store=True)
        return stored

    def _ask(self, stretch: "_Stretch", failed: dict[str, Reply]) -> Iterator[Reply]:
        """Let the inner model answer one stretch of the stream, with the stored replies in between."""
        replies = self._model.answer(stretch.requests())
        try:
            for reply in replies:
                self._keep(reply, failed)
                stretch.settle(reply)
                yield self._count(reply)
                while stretch.waiting:
                    yield self._count(stretch.waiting.popleft())
        except GeneratorExit:
            stretch.stopped = True
            with suppress(ModelError):
                for reply in replies:
                    self._keep(reply, failed)
                    self._count(reply)
            raise
        while stretch.waiting:
            yield self._count(stretch.waiting.popleft())

    def _keep(self, reply: Reply, failed: dict[str, Reply]) -> None:
        self._store.keep(reply, self.name)
        if reply.error is not None:
            failed[reply.request.digest(self.name)] = reply

    def _count(self, reply: Reply) -> Reply:
        """Add a reply to the counts and hand it on."""
        counts = self._counts
        if reply.from_store:
            self._counts = replace(counts, from_store=counts.from_store + 1)
            return reply
        self._counts = replace(
            counts,
            asked=counts.asked + 1,
            failed=counts.failed + (reply.error is not None),
            prompt_tokens=counts.prompt_tokens + reply.usage.prompt_tokens,
            cached_tokens=counts.cached_tokens + reply.usage.cached_tokens,
            answer_tokens=counts.answer_tokens + reply.usage.answer_tokens,
            seconds=counts.seconds + reply.seconds,
        )
        return reply


class _Stretch:
    """The requests that the inner model reads in one go, and the replies that need no asking beside them.

    The inner model reads ahead, so stored replies pile up while it does. At `MOST_HELD` of them the stretch ends, the
    inner model finishes what it has, and the stream goes on with the next stretch.
    """

    def __init__(
        self, first: Request, source: Iterator[Request], known: Callable[[Request], Reply | None], model: str
    ) -> None:
        self._first = first
        self._source = source
        self._known = known
        self._model = model
        self._twins: dict[str, list[Request]] = {}
        self._held_twins = 0
        self.waiting: deque[Reply] = deque()
        self.stopped = False

    def requests(self) -> Iterator[Request]:
        """Yield what must be asked, each digest once."""
        self._twins[self._first.digest(self._model)] = []
        yield self._first
        while not self.stopped and len(self.waiting) + self._held_twins < MOST_HELD:
            request = next(self._source, None)
            if request is None:
                return
            digest = request.digest(self._model)
            if digest in self._twins:
                self._twins[digest].append(request)
                self._held_twins += 1
            elif (reply := self._known(request)) is not None:
                self.waiting.append(reply)
            else:
                self._twins[digest] = []
                yield request

    def settle(self, reply: Reply) -> None:
        """Let a reply of the inner model also answer the identical requests that wait for it."""
        twins = self._twins.pop(reply.request.digest(self._model), [])
        self._held_twins -= len(twins)
        self.waiting.extend(replace(reply, request=twin, from_store=True) for twin in twins)
