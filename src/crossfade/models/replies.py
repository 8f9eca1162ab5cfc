"""Keep every raw reply on disk, in one SQLite file per run folder."""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from crossfade.errors import ModelError, ParsingError
from crossfade.roles import Reply, Request, Sampling, Usage

VERSION = 3
"""The layout of the tables, kept in SQLite's `user_version`."""
TABLES = """
CREATE TABLE replies (
    digest TEXT PRIMARY KEY, model TEXT NOT NULL, prompt TEXT NOT NULL, request TEXT NOT NULL, text TEXT NOT NULL,
    finish TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
    answer_tokens INTEGER NOT NULL, seconds REAL NOT NULL, status INTEGER NOT NULL, provider_id TEXT NOT NULL,
    choice_logprobs TEXT, token_logprobs TEXT, created TEXT NOT NULL
);
CREATE TABLE failures (
    id INTEGER PRIMARY KEY, digest TEXT NOT NULL, model TEXT NOT NULL, prompt TEXT NOT NULL, request TEXT NOT NULL,
    error TEXT NOT NULL, ask_again INTEGER NOT NULL, finish TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL, answer_tokens INTEGER NOT NULL, seconds REAL NOT NULL, status INTEGER NOT NULL,
    provider_id TEXT NOT NULL, created TEXT NOT NULL
);
"""
KEEP_REPLY = """
INSERT OR REPLACE INTO replies VALUES (
    :digest, :model, :prompt, :request, :text, :finish, :prompt_tokens, :cached_tokens, :answer_tokens, :seconds,
    :status, :provider_id, :choice_logprobs, :token_logprobs, :created
)
"""
KEEP_FAILURE = """
INSERT INTO failures VALUES (
    NULL, :digest, :model, :prompt, :request, :error, :ask_again, :finish, :prompt_tokens, :cached_tokens,
    :answer_tokens, :seconds, :status, :provider_id, :created
)
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
                "SELECT text, finish, prompt_tokens, cached_tokens, answer_tokens, seconds, status, provider_id,"
                " choice_logprobs, token_logprobs FROM replies WHERE digest = ?",
                (request.digest(model),),
            ).fetchone()
        if row is None:
            return None
        text, finish, prompt_tokens, cached_tokens, answer_tokens, seconds, status, provider_id = row[:8]
        choice_logprobs, token_logprobs = row[8:]
        return Reply(
            request=request,
            text=text,
            finish=finish,
            usage=Usage(prompt_tokens=prompt_tokens, cached_tokens=cached_tokens, answer_tokens=answer_tokens),
            seconds=seconds,
            status=status,
            provider_id=provider_id,
            choice_logprobs=None if choice_logprobs is None else tuple(json.loads(choice_logprobs)),
            token_logprobs=None if token_logprobs is None else tuple(map(tuple, json.loads(token_logprobs))),
            from_store=True,
        )

    def keep(self, reply: Reply, model: str) -> None:
        """Commit a reply; one with an error goes to the table of failures and is never found.

        Raises:
            ModelError: If the file cannot be written.
        """
        self.keep_all([reply], model)

    def keep_all(self, replies: Sequence[Reply], model: str) -> None:
        """Commit replies together, which waits for the disk only once; all of them are kept, or none.

        Raises:
            ModelError: If the file cannot be written.
        """
        rows = [_row(reply, model) for reply in replies]
        run = self._connection.execute
        with self._lock, self._reported():
            run("BEGIN IMMEDIATE")
            try:
                for row in rows:
                    run(KEEP_FAILURE if "error" in row else KEEP_REPLY, row)
                run("COMMIT")
            finally:
                if self._connection.in_transaction:
                    run("ROLLBACK")

    def calls(self) -> Iterator[tuple[str, Reply]]:
        """Yield every call of this and earlier processes as (model, reply) with its usage, without texts."""
        commands = (
            "SELECT model, '', 0, prompt_tokens, cached_tokens, answer_tokens, '', 0 FROM replies",
            "SELECT model, error, ask_again, prompt_tokens, cached_tokens, answer_tokens, prompt,"
            " json_extract(request, '$.sampling.max_tokens') FROM failures",
        )
        for command in commands:
            for model, error, ask_again, prompt_tokens, cached_tokens, answer_tokens, prompt, longest in self._rows(
                command
            ):
                request = Request(prompt=prompt, sampling=Sampling(max_tokens=longest))
                usage = Usage(prompt_tokens=prompt_tokens, cached_tokens=cached_tokens, answer_tokens=answer_tokens)
                yield model, Reply(request=request, error=error or None, ask_again=bool(ask_again), usage=usage)

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

    def _rows(self, command: str) -> Iterator[tuple[Any, ...]]:
        """Read rows a thousand at a time, since there may be millions."""
        with self._lock, self._reported():
            cursor = self._connection.execute(command)
        while True:
            with self._lock, self._reported():
                rows = cursor.fetchmany(1000)
            if not rows:
                return
            yield from rows

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


def _row(reply: Reply, model: str) -> dict[str, object]:
    """Write a reply as a row of its table, by column."""
    row: dict[str, object] = {
        "digest": reply.request.digest(model),
        "model": model,
        "prompt": reply.request.full_prompt,
        "request": _describe(reply.request),
        "finish": reply.finish,
        "prompt_tokens": reply.usage.prompt_tokens,
        "cached_tokens": reply.usage.cached_tokens,
        "answer_tokens": reply.usage.answer_tokens,
        "seconds": reply.seconds,
        "status": reply.status,
        "provider_id": reply.provider_id,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if reply.error is not None:
        return row | {"error": reply.error, "ask_again": reply.ask_again}
    return row | {
        "text": reply.text,
        "choice_logprobs": None if reply.choice_logprobs is None else json.dumps(reply.choice_logprobs),
        "token_logprobs": None if reply.token_logprobs is None else json.dumps(reply.token_logprobs),
    }


def _describe(request: Request) -> str:
    """Write everything but the prompt as JSON."""
    described: dict[str, object] = {"form": request.form, "sampling": request.sampling.as_json()}
    if request.guidance is not None:
        described["guidance"] = request.guidance.as_json()
    return json.dumps(described | {"choices": request.choices, "lines": request.lines, "sample": request.sample})
