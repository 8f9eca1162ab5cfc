"""Train and score students, in several processes side by side, and never twice on the same rows."""

import hashlib
import json
import multiprocessing
import os
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from crossfade.data import AnnotatedExample, Corpus, Example, ReadingExample
from crossfade.errors import ParsingError
from crossfade.evaluation.comparison import Measured, measure_rows
from crossfade.models.encoder import SentenceEncoder
from crossfade.parts import Parts, trained_student
from crossfade.recipe import Recipe, StudentKind, TrainedKind
from crossfade.roles import Encoder
from crossfade.tasks.classification import TrainingRows

SCORES_NAME = "scores.jsonl"


class Scorer:
    """Scores of students on the test set, kept in a file of the run folder by what they were trained on.

    A score's key is a digest of the training rows, the student's settings, the encoder and the test set: a comparison
    goes on where it was stopped, and a changed setting never meets an old score.

    Args:
        parts: Makes the students.
        processes: How many train at the same time; 1 trains in this process. Students that ask a language model stay
            in this process, which holds the store.
    """

    def __init__(self, parts: Parts, processes: int) -> None:
        self._parts = parts
        self._file = parts.folder / SCORES_NAME
        recipe, test = parts.recipe, parts.texts.test
        self._futures = {key: _done(found) for key, found in _read_scores(self._file).items()}
        self._shared_digest = hashlib.sha256(
            repr([_identity(row) for row in test] + [parts.models.encoder.name]).encode()
        ).hexdigest()
        self._pool: ProcessPoolExecutor | None = None
        if processes > 1:
            # Forked processes would share the locks of threads that they do not have.
            self._pool = ProcessPoolExecutor(
                processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_open_worker,
                initargs=(recipe, test, processes),
            )

    def score(self, rows: TrainingRows, kind: StudentKind) -> "Future[Measured]":
        """Fit a fresh student on some rows and measure it on the test set, now or later."""
        key = self._key(rows, kind)
        if key not in self._futures:
            if self._pool is None or kind == "nearest":
                future = _done(measure_rows(lambda: self._parts.new_student(kind), rows, self._parts.texts.test))
            else:
                future = self._pool.submit(_score_in_worker, rows, kind)
            future.add_done_callback(lambda done: self._keep(key, done))
            self._futures[key] = future
        return self._futures[key]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _key(self, rows: TrainingRows, kind: StudentKind) -> str:
        settings = self._parts.recipe.student
        judge = (self._parts.models.judge.name, self._parts.models.judge.preferred_form) if kind == "nearest" else None
        digest = hashlib.sha256(self._shared_digest.encode())
        digest.update(repr((kind, settings.base, getattr(settings, kind).model_dump_json(), judge)).encode())
        digest.update(repr(rows.examples).encode())
        digest.update(rows.targets.tobytes() + rows.weights.tobytes())
        return digest.hexdigest()

    def _keep(self, key: str, done: "Future[Measured]") -> None:
        if done.cancelled() or done.exception() is not None:
            return
        found = done.result()
        known = {name: value for name, value in asdict(found).items() if value is not None}
        line = json.dumps({"key": key} | known)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def _identity(row: Example) -> object:
    """Return all that scores depend on."""
    return row if isinstance(row, ReadingExample | AnnotatedExample) else (row.texts, row.label)


def _read_scores(file: Path) -> dict[str, Measured]:
    """Read the scores of earlier starts; a last line that a kill cut short is taken out, to be scored again.

    Raises:
        ParsingError: A line is not in the form it must have.
    """
    if not file.is_file():
        return {}
    text = file.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.write_text(whole, encoding="utf-8")
    try:
        entries = [json.loads(line) for line in whole.splitlines()]
        return {
            entry["key"]: Measured(float(entry["score"]), entry["measure"], entry.get("beside")) for entry in entries
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ParsingError(
            f"'{file}' is not what comparisons write today: {error!r}.",
            hint="Delete it: students are trained again, and no model is asked twice for the same thing.",
        ) from error


def _done(found: Measured) -> "Future[Measured]":
    future: Future[Measured] = Future()
    future.set_result(found)
    return future


class _Worker:
    """What a process that trains students holds."""

    recipe: Recipe
    test: Corpus
    encoder: Encoder


def _open_worker(recipe: Recipe, test: Corpus, processes: int) -> None:
    _Worker.recipe, _Worker.test = recipe, test
    _Worker.encoder = SentenceEncoder(recipe.encoder)
    if hasattr(os, "nice"):
        # The process that writes and judges goes first: no draw waits for a student.
        os.nice(19)
    with suppress(ImportError):
        import torch

        # The processes share the cores.
        torch.set_num_threads(max(1, (multiprocessing.cpu_count()) // processes))


def _score_in_worker(rows: TrainingRows, kind: TrainedKind) -> Measured:
    return measure_rows(lambda: trained_student(_Worker.recipe, kind, _Worker.encoder), rows, _Worker.test)
