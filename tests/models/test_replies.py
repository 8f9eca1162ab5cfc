import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from crossfade.errors import ModelError, ParsingError
from crossfade.models.replies import VERSION, ReplyStore
from crossfade.models.scripted import ScriptedModel
from crossfade.models.stored import MOST_HELD, Counts, StoredModel
from crossfade.roles import Form, Reply, Request, Sampling, Usage

WORKER = """
import sys, time
from pathlib import Path
from crossfade.models.replies import ReplyStore
from crossfade.models.stored import StoredModel
from crossfade.models.scripted import ScriptedModel
from crossfade.roles import Request

folder, pause = Path(sys.argv[1]), float(sys.argv[2])

def note(file, digest):
    with (folder / file).open("a") as stream:
        stream.write(digest + "\\n")

def slow(request):
    note("asked", request.digest("scripted"))
    time.sleep(pause)
    return request.prompt

with ReplyStore(folder / "replies.sqlite") as store:
    for reply in StoredModel(ScriptedModel(slow), store).answer(Request(prompt=str(row)) for row in range(40)):
        note("answered", reply.request.digest("scripted"))
"""

"""The tables before token log-probabilities were kept."""


class ReadsAhead:
    """Answers side by side: reads `ahead` requests before its first reply; prompts that start with 'bad' fail."""

    name = "ahead"
    preferred_form: Form = "instruct"

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead
        self.asked: list[str] = []

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        under_way: list[Request] = []
        for request in requests:
            self.asked.append(request.prompt)
            under_way.append(request)
            if len(under_way) >= self.ahead:
                yield self._reply(under_way.pop(0))
        while under_way:
            yield self._reply(under_way.pop(0))

    def _reply(self, request: Request) -> Reply:
        usage = Usage(prompt_tokens=5, cached_tokens=2, answer_tokens=1)
        if request.prompt.startswith("bad"):
            return Reply(request=request, error="HTTP 400: too long", usage=usage, seconds=0.5)
        return Reply(request=request, text=request.prompt.upper(), finish="stop", usage=usage, seconds=0.5)


def prompts(*words: str) -> list[Request]:
    return [Request(prompt=word) for word in words]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReplyStore]:
    with ReplyStore(tmp_path / "replies.sqlite") as opened:
        yield opened


def test_reply_comes_back_whole_after_reopening(tmp_path: Path) -> None:
    request = Request(prefix="ü ", prompt="b", choices=("x", "y"), sampling=Sampling(stop=("\n",)), sample=3)
    usage = Usage(prompt_tokens=5, cached_tokens=2, answer_tokens=1)
    given = Reply(
        request=request,
        text="x\n'\0",
        finish="stop",
        usage=usage,
        seconds=0.25,
        choice_logprobs=(-0.125, -2.5),
        token_logprobs=(("x\n", -0.1), ("'\0", -2.5)),
    )
    with ReplyStore(tmp_path / "s") as store:
        store.keep(given, "m")
    with ReplyStore(tmp_path / "s") as store:
        found = store.find(request, "m")
        assert store.find(request, "another model") is None
    assert found == replace(given, from_store=True)


def test_stored_requests_are_not_asked_again(store: ReplyStore) -> None:
    inner = ScriptedModel(lambda request: request.prompt.upper())
    first = list(StoredModel(inner, store).answer(prompts("a", "b")))
    again = list(StoredModel(inner, store).answer(prompts("b", "a", "c")))
    assert [reply.from_store for reply in first] == [False, False]
    assert {reply.text: reply.from_store for reply in again} == {"A": True, "B": True, "C": False}
    assert inner.asked == 3


def test_reply_is_on_disk_before_it_is_yielded(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with ReplyStore(path) as store:
        replies = StoredModel(ScriptedModel(lambda _: "x"), store).answer(prompts("a", "b"))
        next(replies)
        for suffix in ("", "-wal"):
            Path(f"{tmp_path}/copy{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    with closing(sqlite3.connect(tmp_path / "copy")) as copy:
        assert copy.execute("SELECT prompt FROM replies").fetchall() == [("a",)]


def test_different_draws_of_one_prompt_are_kept_apart(store: ReplyStore) -> None:
    inner = ScriptedModel(lambda request: str(request.sample))
    requests = [Request(prompt="a", sample=draw) for draw in range(3)]
    assert [reply.text for reply in StoredModel(inner, store).answer(requests)] == ["0", "1", "2"]


@pytest.mark.parametrize("ahead", [1, 2, 10])
def test_identical_requests_in_one_stream_are_asked_once_and_all_answered(store: ReplyStore, ahead: int) -> None:
    inner = ReadsAhead(ahead)
    model = StoredModel(inner, store)
    replies = list(model.answer(prompts("a", "a", "b", "a", "bad", "bad", "b")))
    assert inner.asked == ["a", "b", "bad"]
    assert sorted(reply.request.prompt for reply in replies) == ["a", "a", "a", "b", "b", "bad", "bad"]
    assert all((reply.error is None) == (reply.request.prompt != "bad") for reply in replies)
    assert sum(not reply.from_store for reply in replies) == 3


def test_failure_is_written_down_and_asked_again_next_time(tmp_path: Path) -> None:
    inner = ReadsAhead(1)
    for _ in range(2):
        with ReplyStore(tmp_path / "s") as store:
            (reply,) = StoredModel(inner, store).answer(prompts("bad"))
        assert reply.error == "HTTP 400: too long"
    assert inner.asked == ["bad", "bad"]
    with closing(sqlite3.connect(tmp_path / "s")) as file:
        assert file.execute("SELECT error, prompt_tokens FROM failures").fetchall() == [("HTTP 400: too long", 5)] * 2
        assert file.execute("SELECT count(*) FROM replies").fetchall() == [(0,)]


def test_counts_add_up_what_the_model_did(store: ReplyStore) -> None:
    model = StoredModel(ReadsAhead(2), store)
    list(model.answer(prompts("a", "bad", "a", "b")))
    list(model.answer(prompts("a")))
    assert model.counts == Counts(
        asked=3, from_store=2, failed=1, prompt_tokens=15, cached_tokens=6, answer_tokens=3, seconds=1.5
    )


@pytest.mark.parametrize("stored", [0, 500])
def test_endless_stream_is_read_only_a_little_ahead(store: ReplyStore, stored: int) -> None:
    inner = ReadsAhead(4)
    list(StoredModel(inner, store).answer(Request(prompt=str(row)) for row in range(1, stored, 2)))
    read: list[int] = []

    def endless() -> Iterator[Request]:
        while True:
            yield Request(prompt=str(len(read)))
            read.append(len(read))

    replies = StoredModel(inner, store).answer(endless())
    for received in range(1, 400):
        next(replies)
        assert len(read) <= received + MOST_HELD + 4


def test_model_is_left_alone_while_every_reply_is_stored(store: ReplyStore) -> None:
    class Untouchable(ReadsAhead):
        def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
            raise AssertionError("the inner model was started")

    list(StoredModel(ReadsAhead(1), store).answer(prompts("a", "b")))
    replies = list(StoredModel(Untouchable(1), store).answer(prompts("a", "b")))
    assert [reply.text for reply in replies] == ["A", "B"]


def test_answers_under_way_are_kept_when_the_consumer_stops(store: ReplyStore) -> None:
    inner = ReadsAhead(4)
    model = StoredModel(inner, store)
    replies = model.answer(prompts(*"abcdefgh"))
    assert next(replies).text == "A"
    replies.close()  # type: ignore[attr-defined]
    assert inner.asked == list("abcd")
    assert all(store.find(request, "ahead") for request in prompts(*"abcd"))
    assert model.counts.asked == 4


def test_model_that_cannot_answer_stops_the_stream_and_keeps_what_came_before(store: ReplyStore) -> None:
    class Dying(ReadsAhead):
        def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
            yield next(super().answer(requests))
            raise ModelError("The server is gone.")

    with pytest.raises(ModelError, match="server is gone"):
        list(StoredModel(Dying(1), store).answer(prompts("a", "b")))
    assert store.find(Request(prompt="a"), "ahead") is not None


def test_second_store_on_the_same_file_is_refused(tmp_path: Path, store: ReplyStore) -> None:
    with pytest.raises(ModelError, match="in use by another run"):
        ReplyStore(tmp_path / "replies.sqlite")
    store.keep(Reply(request=Request(prompt="a"), text="still works"), "m")


def test_store_is_free_again_after_closing(tmp_path: Path) -> None:
    for _ in range(2):
        ReplyStore(tmp_path / "s").close()


def test_other_versions_are_refused_and_left_as_they_are(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "s")) as file:
        file.execute("CREATE TABLE replies (x)")
        file.execute("PRAGMA user_version = 7")
    before = (tmp_path / "s").read_bytes()
    with pytest.raises(ParsingError, match=f"version 7; expected a reply store of version {VERSION}"):
        ReplyStore(tmp_path / "s")
    assert (tmp_path / "s").read_bytes() == before


def test_foreign_sqlite_file_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "s")) as file:
        file.execute("CREATE TABLE songs (x)")
    with pytest.raises(ParsingError, match="version 0; expected"):
        ReplyStore(tmp_path / "s")


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("label,text\n" * 200)
    with pytest.raises(ParsingError, match="is not a reply store"):
        ReplyStore(tmp_path / "s")


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere.*cannot be used.*folder exists"):
        ReplyStore(tmp_path / "nowhere" / "s")


def start_worker(folder: Path, pause: float) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", WORKER, str(folder), str(pause)], env=environment)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def test_run_killed_midway_never_asks_again_what_was_answered(tmp_path: Path) -> None:
    worker = start_worker(tmp_path, pause=0.05)
    deadline = time.monotonic() + 60
    while len(lines(tmp_path / "answered")) < 5:
        assert worker.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(ModelError, match="in use by another run"):
        ReplyStore(tmp_path / "replies.sqlite")
    worker.send_signal(signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL
    answered, asked = set(lines(tmp_path / "answered")), lines(tmp_path / "asked")
    assert 5 <= len(answered) < 40

    assert start_worker(tmp_path, pause=0).wait(timeout=60) == 0
    asked_later = lines(tmp_path / "asked")[len(asked) :]
    assert not answered & set(asked_later)
    assert len(set(asked) | set(asked_later)) == 40
    assert len(asked) + len(asked_later) <= 41
