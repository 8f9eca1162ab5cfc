import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from crossfade.errors import BudgetError, ModelError
from crossfade.models.budget import UNKNOWN, Budget, Limits, Prices, Spent, cost_of
from crossfade.models.chat import ChatModel
from crossfade.models.endpoint import Endpoint
from crossfade.models.pace import Pace
from crossfade.models.replies import ReplyStore
from crossfade.models.scripted import ScriptedModel
from crossfade.models.stored import MOST_CALLS, MOST_HELD, Counts, StoredModel
from crossfade.roles import Form, Reply, Request, Usage
from tests.doubles import Body, Canned, LocalEndpoint, completion, prompt_of

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


class ReadsAhead:
    """Answers side by side: reads `ahead` requests before its first reply.

    Prompts that start with 'bad' fail, and those that start with 'broken' break as many times as the next digit says.
    """

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
        if request.prompt.startswith("broken") and self.asked.count(request.prompt) <= int(request.prompt[6]):
            return Reply(request=request, error="HTTP 200: cut short", usage=usage, seconds=0.5, ask_again=True)
        if request.prompt.startswith("bad"):
            return Reply(request=request, error="HTTP 400: too long", usage=usage, seconds=0.5)
        return Reply(request=request, text=request.prompt.upper(), finish="stop", usage=usage, seconds=0.5)


def prompts(*words: str) -> list[Request]:
    return [Request(prompt=word) for word in words]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReplyStore]:
    with ReplyStore(tmp_path / "replies.sqlite") as opened:
        yield opened


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


def failures(path: Path) -> list[str]:
    """Return the prompts in the table of failures, once the store is closed."""
    with closing(sqlite3.connect(path)) as file:
        return [prompt for (prompt,) in file.execute("SELECT prompt FROM failures ORDER BY id")]


@pytest.mark.parametrize("ahead", [1, 3, 20])
def test_broken_answer_is_asked_for_again(tmp_path: Path, ahead: int) -> None:
    inner, budget = ReadsAhead(ahead), Budget()
    with ReplyStore(tmp_path / "s") as store:
        model = StoredModel(inner, store, budget=budget)
        replies = list(model.answer(prompts("a", "broken2", "b", "broken1", "c")))
    assert sorted(reply.text for reply in replies) == ["A", "B", "BROKEN1", "BROKEN2", "C"]
    assert Counter(inner.asked) == {"a": 1, "b": 1, "c": 1, "broken1": 2, "broken2": 3}
    assert Counter(failures(tmp_path / "s")) == {"broken1": 1, "broken2": 2}
    assert (model.counts.asked, model.counts.failed, model.counts.under_way) == (8, 3, 0)
    assert budget.spent == Spent(8, 8 * 6, 0.0)


@pytest.mark.parametrize("ahead", [1, 3])
def test_answer_that_stays_broken_is_a_reply_that_says_so_and_every_call_is_paid(tmp_path: Path, ahead: int) -> None:
    inner, budget = ReadsAhead(ahead), Budget()
    with ReplyStore(tmp_path / "s") as store:
        prices = Prices(prompt=1.0, answer=1.0)
        replies = list(StoredModel(inner, store, budget=budget, prices=prices).answer(prompts("broken9", "a")))
        earlier = list(store.calls())
    (lost,) = [reply for reply in replies if reply.error]
    assert (lost.error, lost.request.prompt, len(replies)) == ("HTTP 200: cut short", "broken9", 2)
    assert inner.asked.count("broken9") == MOST_CALLS == 3
    assert failures(tmp_path / "s") == ["broken9"] * MOST_CALLS
    assert budget.spent.requests == MOST_CALLS + 1 == len(earlier)
    assert budget.spent.cost == pytest.approx((MOST_CALLS + 1) * 6 / 1e6)


@pytest.mark.parametrize(("prompt", "said"), [("broken2", "BROKEN2"), ("broken9", "")])
@pytest.mark.parametrize("ahead", [1, 2, 20])
def test_twin_waits_for_the_request_that_is_asked_again(store: ReplyStore, ahead: int, prompt: str, said: str) -> None:
    inner = ReadsAhead(ahead)
    replies = list(StoredModel(inner, store).answer(prompts(prompt, prompt, "a", prompt, "b", prompt)))
    assert inner.asked.count(prompt) == 3
    twins = [reply for reply in replies if reply.request.prompt == prompt]
    assert [reply.text for reply in twins] == [said] * 4
    assert sum(not reply.from_store for reply in twins) == 1
    assert len(replies) == 6


def test_twins_do_not_keep_the_model_from_reading_ahead_once_they_are_answered(store: ReplyStore) -> None:
    class Counted(ReadsAhead):
        stretches = 0

        def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
            self.stretches += 1
            return super().answer(requests)

    inner = Counted(4)
    words = [word for row in range(3 * MOST_HELD) for word in (f"w{row}", f"w{row}")]
    assert len(list(StoredModel(inner, store).answer(prompts(*words)))) == len(words)
    assert inner.stretches == 1


def test_many_twins_of_a_broken_answer_do_not_block(store: ReplyStore) -> None:
    inner = ReadsAhead(4)
    words = [word for row in range(3 * MOST_HELD) for word in ("broken2", f"w{row}")]
    replies = list(StoredModel(inner, store).answer(prompts(*words)))
    assert Counter(reply.request.prompt for reply in replies) == Counter(words)
    assert inner.asked.count("broken2") == 3
    assert not [reply for reply in replies if reply.error]


@pytest.mark.parametrize("ahead", [1, 4, 50])
@pytest.mark.parametrize("most", [0, 1, 7, 12])
def test_budget_stops_after_exactly_so_many_calls_and_the_run_goes_on_when_it_is_raised(
    tmp_path: Path, ahead: int, most: int
) -> None:
    words = [f"w{row}" for row in range(9)] + ["broken1", "w0", "broken2", "z"]
    needed = 9 + 2 + 3 + 1
    inner = ReadsAhead(ahead)
    yielded: list[str] = []
    with ReplyStore(tmp_path / "s") as store:
        model = StoredModel(inner, store, budget=Budget(Limits(requests=most)))
        with pytest.raises(BudgetError, match=rf"max_requests = {most} \({most} spent\)"):
            yielded.extend(reply.request.prompt for reply in model.answer(prompts(*words)))
        assert len(inner.asked) == most
        assert model.counts.under_way == 0
        answered = {word for word in words if store.find(Request(prompt=word), "ahead")}
    assert set(yielded) == answered
    assert len(answered) + len(failures(tmp_path / "s")) == most

    before = len(inner.asked)
    with ReplyStore(tmp_path / "s") as store:
        budget = Budget(Limits(requests=needed))
        for _, reply in store.calls():
            budget.add(cost_of(reply, UNKNOWN))
        replies = list(StoredModel(inner, store, budget=budget).answer(prompts(*words)))
    assert Counter(reply.request.prompt for reply in replies) == Counter(words)
    assert not answered & set(inner.asked[before:])
    assert len(inner.asked) == needed == budget.spent.requests


def test_replies_that_are_stored_need_no_budget(store: ReplyStore) -> None:
    list(StoredModel(ReadsAhead(1), store).answer(prompts("a", "b")))
    model = StoredModel(ReadsAhead(1), store, budget=Budget(Limits(requests=0, tokens=0)))
    assert [reply.text for reply in model.answer(prompts("b", "a"))] == ["B", "A"]


def test_requests_that_were_refused_leave_room_in_the_budget(store: ReplyStore) -> None:
    class Refuses(ReadsAhead):
        def _reply(self, request: Request) -> Reply:
            if request.prompt.startswith("bad"):
                return Reply(request=request, error="HTTP 400: too long")
            return super()._reply(request)

    model = StoredModel(Refuses(4), store, budget=Budget(Limits(requests=3)))
    replies = list(model.answer(prompts("a", "bad", "b", "bad too", "c")))
    assert sorted(reply.text for reply in replies) == ["", "", "A", "B", "C"]


def test_models_that_share_a_budget_spend_it_together(store: ReplyStore) -> None:
    budget = Budget(Limits(requests=3))
    writer, judge = ReadsAhead(1), ScriptedModel(lambda _: "yes")
    list(StoredModel(writer, store, budget=budget).answer(prompts("a", "b")))
    with pytest.raises(BudgetError):
        list(StoredModel(judge, store, budget=budget).answer(prompts("a", "b")))
    assert (len(writer.asked), judge.asked) == (2, 1)


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, GeneratorExit])
def test_interruption_at_the_consumer_keeps_all_answers_under_way(
    store: ReplyStore, trouble: type[BaseException]
) -> None:
    inner = ReadsAhead(4)
    model = StoredModel(inner, store)
    replies = model.answer(prompts(*"abcdefgh"))
    next(replies)
    with pytest.raises(trouble):
        replies.throw(trouble())  # type: ignore[attr-defined]
    assert inner.asked == list("abcd")
    assert all(store.find(request, "ahead") for request in prompts(*"abcd"))
    assert (model.counts.asked, model.counts.under_way) == (4, 0)


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, ValueError])
def test_trouble_at_the_source_of_requests_keeps_all_answers_under_way(
    store: ReplyStore, trouble: type[BaseException]
) -> None:
    all_there = threading.Event()

    def behave(body: Body) -> Canned:
        if len(endpoint.bodies) == 4:
            all_there.set()
        # Nobody is answered before the source has failed.
        assert failed.wait(60)
        return completion(prompt_of(body).upper())

    def source() -> Iterator[Request]:
        yield from prompts(*"abcd")
        assert all_there.wait(60)
        failed.set()
        raise trouble("stop")

    failed = threading.Event()
    yielded: list[str] = []
    with (
        LocalEndpoint(behave) as endpoint,
        Endpoint(endpoint.url, "any") as address,
    ):
        chat = ChatModel(address, model="small", pace=Pace(4, adaptive=False))
        model = StoredModel(chat, store)
        with pytest.raises(trouble, match="stop"):
            yielded.extend(reply.text for reply in model.answer(source()))
        assert sorted(yielded) == list("ABCD")
        assert all(store.find(request, chat.name) for request in prompts(*"abcd"))
        assert len(endpoint.bodies) == 4


def test_replies_that_are_at_hand_together_are_committed_together(
    store: ReplyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bursts(ReadsAhead):
        def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
            arrived = list(requests)
            for row, request in enumerate(arrived):
                yield Reply(request=request, text="x", more_ready=row % 10 != 9 and row + 1 < len(arrived))

    sizes: list[int] = []
    keep_all = store.keep_all

    def noted(replies: Sequence[Reply], model: str) -> None:
        sizes.append(len(replies))
        keep_all(replies, model)

    monkeypatch.setattr(store, "keep_all", noted)
    replies = list(StoredModel(Bursts(1), store).answer(prompts(*map(str, range(25)))))
    assert (len(replies), sizes) == (25, [10, 10, 5])
