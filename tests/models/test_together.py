"""Replies that come together are kept in one commit, before any of them is read."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from crossfade.errors import ModelError
from crossfade.models.chat import connect
from crossfade.models.pace import Pace
from crossfade.models.replies import ReplyStore
from crossfade.models.stored import MOST_TOGETHER, StoredModel
from crossfade.roles import Form, Reply, Request, Sampling
from tests.doubles import LocalEndpoint, completion


class Bursts:
    """Answers in bursts, and may break down after some replies."""

    name = "bursts"
    preferred_form: Form = "instruct"

    def __init__(self, burst: int, breaks_after: int | None = None) -> None:
        self.burst = burst
        self.breaks_after = breaks_after
        self.given = 0

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        for request in requests:
            if self.given == self.breaks_after:
                raise ModelError("The endpoint is down.", hint="Start it.")
            self.given += 1
            yield Reply(request=request, text="x", more_ready=self.given % self.burst != 0)


class CountingStore(ReplyStore):
    """Remembers how many replies each commit held."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.commits: list[int] = []

    def keep_all(self, replies: list[Reply], model: str) -> None:  # type: ignore[override]
        super().keep_all(replies, model)
        self.commits.append(len(replies))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CountingStore]:
    with CountingStore(tmp_path / "replies.sqlite") as opened:
        yield opened


def numbered(count: int) -> list[Request]:
    return [Request(prompt=str(index)) for index in range(count)]


def test_replies_at_hand_together_are_all_committed_before_the_first_is_read(store: CountingStore) -> None:
    model = Bursts(4)
    for read, _ in enumerate(StoredModel(model, store).answer(numbered(10)), start=1):
        kept = [request for request in numbered(10) if store.find(request, "bursts")]
        assert len(kept) == model.given >= read
    assert store.commits == [4, 4, 2]


def test_reply_with_nothing_at_hand_behind_it_is_read_before_the_next_is_asked(store: CountingStore) -> None:
    model = Bursts(1)
    for read, _ in enumerate(StoredModel(model, store).answer(numbered(5)), start=1):
        assert model.given == read


def test_endless_burst_is_committed_a_bounded_number_at_a_time(store: CountingStore) -> None:
    assert len(list(StoredModel(Bursts(10_000), store).answer(numbered(3 * MOST_TOGETHER)))) == 3 * MOST_TOGETHER
    assert store.commits == [MOST_TOGETHER] * 3


def test_burst_cut_off_by_an_error_is_kept_and_handed_on_first(store: CountingStore) -> None:
    replies: list[Reply] = []
    with pytest.raises(ModelError, match="is down"):
        replies.extend(StoredModel(Bursts(4, breaks_after=6), store).answer(numbered(10)))
    assert len([request for request in numbered(10) if store.find(request, "bursts")]) == 6
    assert store.commits == [4, 2]


def test_consumer_that_stops_inside_a_burst_leaves_all_of_it_committed(store: CountingStore) -> None:
    model = Bursts(4)
    replies = StoredModel(model, store).answer(numbered(10))
    assert isinstance(replies, Iterator)
    next(replies)
    replies.close()  # type: ignore[attr-defined]
    assert sum(store.find(request, "bursts") is not None for request in numbered(10)) == model.given


def test_keeping_together_is_all_or_nothing_and_leaves_the_store_usable(store: CountingStore) -> None:
    good, bad = (Reply(request=request, text=text) for request, text in zip(numbered(2), ("x", "\ud800"), strict=True))
    with pytest.raises(UnicodeEncodeError):
        store.keep_all([good, bad], "m")
    assert store.find(good.request, "m") is None
    store.keep_all([good], "m")
    assert store.find(good.request, "m") == replace(good, from_store=True)


def test_chat_model_says_which_replies_have_another_at_hand() -> None:
    with LocalEndpoint(lambda _: completion("x")) as endpoint:
        model = connect(endpoint.url, "small", "no-key", pace=Pace(4, adaptive=False))
        replies = list(model.answer(numbered(20)))
    assert len(replies) == 20
    assert not replies[-1].more_ready


def test_headers_that_describe_the_machine_are_left_out() -> None:
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.extend(name.lower() for name in self.headers)
            self.send_error(404)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test output quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with pytest.raises(ModelError):
                list(connect(f"http://127.0.0.1:{server.server_port}/v1", "m", "no-key").answer(numbered(1)))
        finally:
            server.shutdown()
            thread.join()
    assert "authorization" in seen
    assert not {"x-stainless-os", "x-stainless-arch", "x-stainless-runtime", "x-stainless-lang"} & set(seen)


def test_digest_follows_the_model_and_the_request_however_often_it_is_asked_for() -> None:
    request = Request(prompt="a")
    first, other = request.digest("m"), request.digest("n")
    assert first != other
    assert request.digest("m") == first
    assert replace(request, sample=1).digest("m") != first
    assert request == Request(prompt="a")


def test_sampling_is_written_as_its_fields_in_order() -> None:
    sampling = Sampling(temperature=0.5, stop=("\n",))
    assert list(sampling.as_json().items()) == list(asdict(sampling).items())
