import json
import re
import socket
import struct
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from crossfade.errors import ModelError
from crossfade.models import chat, pace
from crossfade.models.chat import MOST_ATTEMPTS, ChatModel, connect
from crossfade.models.endpoint import Answer, Endpoint, NoAnswer
from crossfade.models.pace import Pace
from crossfade.models.refusals import LONGEST_RETRY_AFTER
from crossfade.models.turns import Slots
from crossfade.models.wire import ClosedChoice
from crossfade.roles import Form, Reply, Request, Sampling, Usage
from tests.doubles import Body, Canned, LocalEndpoint, completion, prompt_of, refusal

KEY = "sk-very-secret-123456"


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "LONGEST_REST", 0.01)


@contextmanager
def model_at(
    endpoint: LocalEndpoint,
    *,
    timeout: float = 10.0,
    concurrency: int = 2,
    closed_choice: ClosedChoice = "plain",
) -> Iterator[ChatModel]:
    with Endpoint(endpoint.url, KEY, timeout=timeout) as address:
        paced = Pace(concurrency, adaptive=False)
        yield ChatModel(address, model="small", pace=paced, closed_choice=closed_choice)


def ask(behave: Callable[[Body], Canned], *requests: Request, closed_choice: ClosedChoice = "plain") -> list[Reply]:
    with LocalEndpoint(behave) as endpoint, model_at(endpoint, closed_choice=closed_choice) as model:
        return list(model.answer(requests))


def words(count: int) -> list[Request]:
    return [Request(prompt=str(index)) for index in range(count)]


def test_instruct_request_is_one_user_message_with_its_sampling() -> None:
    sampling = Sampling(temperature=0.5, top_p=0.9, max_tokens=12, stop=("\n",))
    with LocalEndpoint(lambda _: completion("yes")) as endpoint, model_at(endpoint) as model:
        (reply,) = model.answer([Request(prefix="Say ", prompt="yes.", sampling=sampling)])
    (body,) = endpoint.bodies
    assert endpoint.paths == ["/v1/chat/completions"]
    assert body["messages"] == [{"role": "user", "content": "Say yes."}]
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["stop"]) == (0.5, 0.9, 12, ["\n"])
    assert (reply.text, reply.finish, reply.error) == ("yes", "stop", None)


def test_continue_request_is_a_plain_completion() -> None:
    with LocalEndpoint(lambda _: completion(" upon a time")) as endpoint, model_at(endpoint) as model:
        (reply,) = model.answer([Request(prompt="Once", form="continue")])
    assert endpoint.paths == ["/v1/completions"]
    assert endpoint.bodies[0]["prompt"] == "Once"
    assert reply.text == " upon a time"


def test_turns_add_their_fields_and_decide_the_order() -> None:
    slots = Slots(1)
    order = [Request(prefix=prefix, prompt=str(number)) for number in range(2) for prefix in "ab"]
    with LocalEndpoint(lambda _: completion("x")) as endpoint, model_at(endpoint, concurrency=1) as model:
        replies = list(model.answer(order, slots))
    assert [prompt_of(body) for body in endpoint.bodies] == ["a0", "a1", "b0", "b1"]
    assert {body["id_slot"] for body in endpoint.bodies} == {0}
    assert len(replies) == 4


def test_seed_follows_the_digest() -> None:
    first, second = Request(prompt="a"), Request(prompt="a", sample=1)
    with LocalEndpoint(lambda _: completion("x")) as endpoint, model_at(endpoint, concurrency=1) as model:
        list(model.answer([first, second, first]))
        expected = [int(request.digest(model.name)[:8], 16) % 2**31 for request in (first, second, first)]
    assert [body["seed"] for body in endpoint.bodies] == expected
    assert expected[0] != expected[1]


def test_usage_and_time_are_the_endpoints() -> None:
    (reply,) = ask(lambda _: completion("x", cached=4), Request(prompt="a"))
    assert reply.usage == Usage(prompt_tokens=7, cached_tokens=4, answer_tokens=3)
    assert reply.seconds > 0


def test_every_request_is_answered_once_and_no_more_than_concurrency_at_a_time() -> None:
    def slowly(body: Body) -> Canned:
        return Canned(completion(prompt_of(body)).body, delay=0.02)

    with LocalEndpoint(slowly) as endpoint, model_at(endpoint, concurrency=3) as model:
        replies = list(model.answer(words(20)))
    assert sorted(reply.text for reply in replies) == sorted(str(index) for index in range(20))
    assert all(reply.text == reply.request.prompt for reply in replies)
    assert endpoint.peak == 3


def test_at_most_twice_concurrency_requests_are_read_ahead() -> None:
    read: list[int] = []

    def endless() -> Iterator[Request]:
        while True:
            read.append(len(read))
            yield Request(prompt=str(len(read)))

    with LocalEndpoint(lambda _: completion("x")) as endpoint, model_at(endpoint, concurrency=2) as model:
        replies = model.answer(endless())
        assert isinstance(replies, Iterator)
        for received in range(1, 6):
            next(replies)
            assert len(read) <= received + 3
        replies.close()  # type: ignore[attr-defined]


def test_no_request_means_no_connection() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        model = connect(f"http://127.0.0.1:{free.getsockname()[1]}/v1", "small", KEY)
        assert list(model.answer([])) == []


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (refusal(400, "the prompt has 9000 tokens, the context 4096"), "HTTP 400: the prompt has 9000 tokens"),
        (refusal(422, "temperature is out of range"), "HTTP 422: temperature is out of range"),
        (Canned(json.dumps({"choices": []})), "HTTP 200: the answer holds no choices"),
        (Canned(completion("good").body[:40]), "HTTP 200: the JSON is cut short"),
        (
            Canned(json.dumps({"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]})),
            "no text",
        ),
        (Canned("<!doctype html><html>Bad gateway</html>", 502, content_type="text/html"), "HTTP 502: .* HTML page"),
        (Canned("<html>Welcome</html>", content_type="text/html"), "HTTP 200: expected JSON, .*'text/html'"),
        (Canned(completion("good").body, content_type="text/plain"), "HTTP 200: expected JSON, .*'text/plain'"),
        (Canned('{"choices": [{"text": "café"}]}', encoding="latin-1"), "HTTP 200: the JSON is cut short"),
        (Canned('{"error": "no café"}', 400, encoding="latin-1"), "HTTP 400: no caf\N{REPLACEMENT CHARACTER}"),
        (refusal(429, "slow down"), "HTTP 429: slow down"),
        (Canned("", drop=True), "No HTTP status: the connection broke"),
    ],
)
def test_one_bad_row_is_a_reply_that_says_so_and_the_others_are_answered(bad: Canned, says: str) -> None:
    replies = ask(lambda body: bad if prompt_of(body) == "1" else completion("good"), *words(4))
    (failed,) = [reply for reply in replies if reply.error]
    assert failed.request.prompt == "1"
    assert failed.text == ""
    assert failed.error is not None
    assert re.search(says, failed.error), failed.error
    assert [reply.text for reply in replies if not reply.error] == ["good"] * 3


def test_slow_row_is_a_reply_that_says_so() -> None:
    slow = Canned("{}", delay=0.6)
    with (
        LocalEndpoint(lambda body: slow if prompt_of(body) == "0" else completion("x")) as endpoint,
        model_at(endpoint, timeout=0.2) as model,
    ):
        replies = {reply.request.prompt: reply for reply in model.answer(words(2))}
    assert replies["0"].error == "No HTTP status: no answer in time."
    assert replies["1"].text == "x"


class Rests(Pace):
    """Notes how long the endpoint asked to wait, and does not wait."""

    def __init__(self) -> None:
        super().__init__(1, adaptive=False)
        self.asked: list[float | None] = []
        self.too_many: list[bool] = []

    def failed(self, ticket: pace.Ticket, *, retry_after: float | None = None, too_many: bool = False) -> bool:
        self.asked.append(retry_after)
        self.too_many.append(too_many)
        return super().failed(ticket, too_many=too_many)


def ask_one(*refusals: Canned) -> tuple[Reply, Rests, int]:
    """Ask an endpoint that refuses so often before it answers; return the reply, the pace and the calls."""
    answers = iter(refusals)
    rests = Rests()
    with (
        LocalEndpoint(lambda _: next(answers, completion("at last"))) as endpoint,
        Endpoint(endpoint.url, KEY) as address,
    ):
        (reply,) = ChatModel(address, model="small", pace=rests).answer([Request(prompt="a")])
    return reply, rests, len(endpoint.bodies)


def test_refusals_that_pass_are_waited_out() -> None:
    reply, rests, calls = ask_one(
        refusal(429, "slow"), refusal(500, "oh"), refusal(503, "busy"), refusal(529, "overloaded"), refusal(408, "slow")
    )
    assert (reply.text, reply.error, reply.status, calls) == ("at last", None, 200, 6)
    assert rests.too_many == [True, False, False, False, False]
    assert rests.asked == [None] * 5


def test_request_that_is_refused_to_the_end_is_a_reply_that_says_so() -> None:
    reply, _, calls = ask_one(*[refusal(503, "busy")] * (MOST_ATTEMPTS + 5))
    assert (reply.error, reply.status, calls) == ("HTTP 503: busy", 503, MOST_ATTEMPTS)
    assert not reply.ask_again


def test_retry_after_is_read_in_seconds_in_milliseconds_and_as_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=300), usegmt=True)
    reply, rests, calls = ask_one(
        refusal(429, "slow", Retry_After="7"),
        refusal(503, "slow", Retry_After="0.5"),
        refusal(429, "slow", retry_after_ms="250", Retry_After="1"),
        refusal(429, "slow", Retry_After=date),
        refusal(429, "slow", Retry_After=past),
        refusal(429, "slow", Retry_After="soon"),
    )
    assert (reply.text, calls) == ("at last", 7)
    assert rests.asked[:3] == [7.0, 0.5, 0.25]
    assert rests.asked[3] is not None
    assert 100 < rests.asked[3] <= 300
    assert rests.asked[4:] == [0.0, None]


def test_retry_after_holds_back_all_requests() -> None:
    with (
        LocalEndpoint(lambda _: refusal(429, "slow", Retry_After="500")) as endpoint,
        Endpoint(endpoint.url, KEY) as address,
    ):
        paced = Pace(1, adaptive=False)
        replies = ChatModel(address, model="small", pace=paced).answer(stop_when(lambda: paced._paused_until > 0))
        with pytest.raises(RuntimeError, match="enough"):
            list(replies)
    assert len(endpoint.bodies) == 1


def stop_when(happened: Callable[[], bool]) -> Iterator[Request]:
    """Yield two requests, and fail once something has happened."""
    yield from words(1)
    for _ in range(6000):
        if happened():
            raise RuntimeError("enough")
        threading.Event().wait(0.01)


def test_retry_after_of_hours_stops_the_run_with_one_sentence() -> None:
    seconds = str(int(LONGEST_RETRY_AFTER) + 1)
    with (
        LocalEndpoint(lambda _: refusal(429, "slow", Retry_After=seconds)) as endpoint,
        model_at(endpoint) as model,
        pytest.raises(ModelError, match=f"wants no request for {seconds} seconds") as caught,
    ):
        list(model.answer(words(20)))
    assert caught.value.retryable
    assert "continues" in caught.value.hint
    assert len(endpoint.bodies) <= 2


@pytest.mark.parametrize(
    "empty",
    [
        Canned(json.dumps({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}), 429),
        Canned(json.dumps({"error": {"message": "You exceeded your quota", "type": "insufficient_quota"}}), 429),
        refusal(402, "You exceeded your quota"),
    ],
)
def test_empty_account_stops_the_run_at_once(empty: Canned) -> None:
    with (
        LocalEndpoint(lambda _: empty) as endpoint,
        model_at(endpoint) as model,
        pytest.raises(ModelError, match=r"no credit left .*You exceeded your quota") as caught,
    ):
        list(model.answer(words(20)))
    assert "Top it up" in caught.value.hint
    assert len(endpoint.bodies) <= 2


def test_redirection_stops_the_run_and_says_where_to() -> None:
    moved = Canned("", 308, headers={"Location": "https://elsewhere.example/v1/chat/completions"})
    with pytest.raises(ModelError, match=r"sends requests on to https://elsewhere\.example/v1/") as caught:
        ask(lambda _: moved, *words(3))
    assert "make it the base_url" in caught.value.hint


def test_reply_carries_status_and_the_providers_id() -> None:
    body = completion("x").body
    (named,) = ask(lambda _: Canned(body, headers={"x-request-id": "req-7"}), Request(prompt="a"))
    assert (named.status, named.provider_id) == (200, "req-7")
    (unnamed,) = ask(lambda _: Canned(body), Request(prompt="a"))
    assert (unnamed.status, unnamed.provider_id) == (200, "1")
    (refused,) = ask(lambda _: refusal(400, "no", x_request_id="req-8"), Request(prompt="a"))
    assert (refused.status, refused.provider_id) == (400, "req-8")
    (broken,) = ask(lambda _: Canned(body[:40], headers={"x-request-id": "req-9"}), Request(prompt="a"))
    assert (broken.status, broken.provider_id, broken.ask_again) == (200, "req-9", True)


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        (Canned(completion("good").body[:60]), 200),
        (Canned(json.dumps({"choices": []})), 200),
        (Canned("<html>Welcome</html>", content_type="text/html"), 200),
        (Canned("", drop=True), 0),
    ],
)
def test_answer_that_arrives_broken_may_be_asked_for_again_but_not_here(broken: Canned, status: int) -> None:
    with LocalEndpoint(lambda _: broken) as endpoint, model_at(endpoint) as model:
        (reply,) = model.answer(words(1))
    assert (reply.ask_again, reply.status, reply.text) == (True, status, "")
    assert len(endpoint.bodies) == 1


@contextmanager
def resetting_server() -> Iterator[str]:
    """Answer model listings, and reset the connection in the middle of every other answer."""
    listing = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"data":[]}'
    half = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"id": "1", "cho'

    def serve() -> None:
        while True:
            connection, _ = server.accept()
            with connection:
                asked = connection.recv(65536)
                if not asked:
                    return
                if asked.startswith(b"GET"):
                    connection.sendall(listing)
                    asked = connection.recv(65536)
                if asked:
                    connection.sendall(half)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1"
        # A connection that says nothing ends the server.
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join(timeout=60)


def test_connection_that_breaks_in_mid_body_may_be_asked_for_again() -> None:
    with resetting_server() as url, Endpoint(url, KEY) as address:
        (reply,) = ChatModel(address, model="small", pace=Pace(1)).answer(words(1))
    assert reply.error is not None
    assert reply.error.startswith("No HTTP status: the connection broke (")
    assert reply.ask_again


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, ValueError])
def test_trouble_at_the_source_is_raised_after_the_answers_under_way(trouble: type[BaseException]) -> None:
    all_there, failed = threading.Event(), threading.Event()

    def behave(body: Body) -> Canned:
        if len(endpoint.bodies) == 3:
            all_there.set()
        assert failed.wait(60)
        return completion(prompt_of(body))

    def source() -> Iterator[Request]:
        yield from words(3)
        assert all_there.wait(60)
        failed.set()
        raise trouble("no more")

    yielded: list[str] = []
    with LocalEndpoint(behave) as endpoint, model_at(endpoint, concurrency=3) as model:
        with pytest.raises(trouble, match="no more"):
            yielded.extend(reply.text for reply in model.answer(source()))
        assert sorted(yielded) == ["0", "1", "2"]


class Noticing(Pace):
    """Tells when a stream stops."""

    def __init__(self, most: int) -> None:
        super().__init__(most, adaptive=False)
        self.stopping = threading.Event()

    def wake(self) -> None:
        super().wake()
        self.stopping.set()


def test_requests_that_wait_for_a_place_are_not_sent_once_the_source_has_failed() -> None:
    paced = Noticing(2)

    def behave(body: Body) -> Canned:
        assert paced.stopping.wait(60)
        return completion(prompt_of(body))

    def source() -> Iterator[Request]:
        yield from words(3)
        raise ValueError("no more")

    replies: list[Reply] = []
    with (
        LocalEndpoint(behave) as endpoint,
        Endpoint(endpoint.url, KEY) as address,
    ):
        with pytest.raises(ValueError, match="no more"):
            replies.extend(ChatModel(address, model="small", pace=paced).answer(source()))
        assert len(replies) == len(endpoint.bodies) <= 2


def test_refused_key_at_the_model_listing_stops_before_any_paid_call() -> None:
    read: list[str] = []

    def source() -> Iterator[Request]:
        for request in words(50):
            read.append(request.prompt)
            yield request

    with (
        LocalEndpoint(lambda _: completion("x"), models=refusal(401, f"bad key {KEY}")) as endpoint,
        model_at(endpoint) as model,
        pytest.raises(ModelError, match=r"refused the key \(HTTP 401\)") as caught,
    ):
        list(model.answer(source()))
    assert endpoint.bodies == []
    assert len(read) == 1
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("models", [refusal(404, "no listing"), refusal(500, "oh"), Canned("<html></html>")])
def test_endpoint_without_a_listing_is_asked_all_the_same(models: Canned) -> None:
    with LocalEndpoint(lambda _: completion("x"), models=models) as endpoint, model_at(endpoint) as model:
        assert [reply.text for reply in model.answer(words(2))] == ["x", "x"]


@pytest.mark.parametrize("status", [401, 403])
def test_refused_key_stops_the_run_and_stays_secret(status: int) -> None:
    with pytest.raises(ModelError, match="refused the key") as caught:
        ask(lambda _: refusal(status, f"Incorrect API key provided: {KEY}"), *words(5))
    assert "Set a key" in caught.value.hint
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_key_in_an_endpoints_words_never_reaches_a_reply() -> None:
    (reply,) = ask(lambda _: refusal(400, f"header was 'Bearer {KEY}'"), Request(prompt="a"))
    assert reply.error == "HTTP 400: header was 'Bearer [key]'"
    assert KEY not in repr(reply)


def test_unknown_model_stops_the_run_and_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="does not know the model 'small'") as caught:
        ask(lambda _: refusal(404, "no such model"), *words(3))
    assert caught.value.hint == "It offers: small, large."


def test_unknown_model_without_a_listing_says_what_to_check() -> None:
    page = Canned("<html></html>", content_type="text/html")
    with (
        LocalEndpoint(lambda _: refusal(404, "no"), models=page) as endpoint,
        model_at(endpoint) as model,
        pytest.raises(ModelError, match="/v1"),
    ):
        list(model.answer(words(1)))


def test_nothing_listening_stops_the_run_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    model = connect(url, "small", KEY)
    with pytest.raises(ModelError, match=r"Nothing answers at 127.0.0.1:.*Start the server") as caught:
        list(model.answer(words(3)))
    assert caught.value.retryable
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_endpoint_that_keeps_failing_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "GIVE_UP_SECONDS", 0)
    replies: list[Reply] = []
    with (
        LocalEndpoint(lambda _: refusal(500, "out of memory")) as endpoint,
        model_at(endpoint) as model,
        pytest.raises(ModelError, match="only fails, 20 times in a row and more: HTTP 500: out of memory") as caught,
    ):
        replies.extend(model.answer(words(50)))
    assert caught.value.retryable
    assert {reply.error for reply in replies} == {"HTTP 500: out of memory"}
    # Some may start before the verdict is known; asking all to the end would be 400 calls.
    assert pace.GIVE_UP_AFTER <= len(endpoint.bodies) <= 2 * pace.GIVE_UP_AFTER


def test_endpoint_that_is_gone_for_a_moment_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = NoAnswer("unreachable", "Connection refused")
    outcomes: list[NoAnswer | None] = [None, refused, refused, None]
    send = Endpoint.post

    def post(address: Endpoint, path: str, body: Body) -> Answer | NoAnswer:
        return outcomes.pop(0) or send(address, path, body)

    monkeypatch.setattr(Endpoint, "post", post)
    answers = iter([completion("first"), completion("back")])
    with (
        LocalEndpoint(lambda _: next(answers)) as endpoint,
        model_at(endpoint, concurrency=1) as model,
    ):
        assert [reply.text for reply in model.answer(words(2))] == ["first", "back"]


def test_bad_rows_never_stop_the_run_however_many() -> None:
    replies = ask(lambda _: refusal(400, "too long"), *words(12))
    assert len(replies) == 12


@pytest.mark.parametrize("form", ["instruct", "continue"])
def test_grammar_is_sent_for_a_closed_choice(form: Form) -> None:
    request = Request(prompt="a", form=form, choices=('say "hi"', "b\nc"))
    with LocalEndpoint(lambda _: completion(" b\nc")) as endpoint, model_at(endpoint, closed_choice="grammar") as model:
        (reply,) = model.answer([request])
    choices = r'"say \"hi\"" | "b\nc"'
    expected = f"root ::= {choices}" if form == "instruct" else f'root ::= " "? ({choices})'
    assert endpoint.bodies[0]["grammar"] == expected
    assert (reply.text, reply.chosen) == (" b\nc", "b\nc")


def test_grammar_is_sent_for_a_list_of_so_many_lines() -> None:
    request = Request(prompt="Cats:\n-", form="continue", lines=3)
    with LocalEndpoint(lambda _: completion(" a\n- b\n- c\n")) as endpoint:
        with model_at(endpoint, closed_choice="grammar") as model:
            list(model.answer([request]))
        with model_at(endpoint, closed_choice="plain") as model:
            list(model.answer([request]))
    assert endpoint.bodies[0]["grammar"] == 'root ::= " " entry ("\\n- " entry){2} "\\n"\nentry ::= [^\\n]+'
    assert "grammar" not in endpoint.bodies[1]


def test_schema_is_sent_for_a_closed_choice_and_its_answer_read_by_chosen() -> None:
    request = Request(prompt="a", choices=("cats", "dogs"))
    with (
        LocalEndpoint(lambda _: completion('{"choice": "dogs"}')) as endpoint,
        model_at(endpoint, closed_choice="schema") as model,
    ):
        (reply,) = model.answer([request])
    assert '"enum": ["cats", "dogs"]' in json.dumps(endpoint.bodies[0]["response_format"])
    assert (reply.text, reply.chosen) == ('{"choice": "dogs"}', "dogs")


@pytest.mark.parametrize(
    "said", ["I think dogs", '{"choice": "birds"}', '{"choice": "do', '{"animal": "dogs"}', "Dogs"]
)
def test_answer_outside_the_choices_stays_as_it_is_and_names_none(said: str) -> None:
    (reply,) = ask(lambda _: completion(said), Request(prompt="a", choices=("cats", "dogs")))
    assert (reply.text, reply.chosen, reply.error) == (said, None, None)


def with_logprobs(text: str, logprobs: object) -> Canned:
    """Answer well, with something under 'logprobs'."""
    body = json.loads(completion(text).body)
    body["choices"][0]["logprobs"] = logprobs
    return Canned(json.dumps(body))


CHAT_LOGPROBS = {
    "content": [
        {"token": "Par", "logprob": -0.25, "bytes": [80, 97, 114], "top_logprobs": []},
        {"token": "is", "logprob": -1.5, "bytes": [105, 115], "top_logprobs": []},
    ],
    "refusal": None,
}
PLAIN_LOGPROBS = {"tokens": ["Par", "is"], "token_logprobs": [-0.25, -1.5], "top_logprobs": None, "text_offset": [0, 3]}


@pytest.mark.parametrize("offered", [CHAT_LOGPROBS, PLAIN_LOGPROBS])
@pytest.mark.parametrize("form", ["instruct", "continue"])
def test_token_log_probabilities_are_asked_for_and_read_in_both_shapes(form: Form, offered: object) -> None:
    request = Request(prompt="a", form=form, sampling=Sampling(logprobs=True))
    with LocalEndpoint(lambda _: with_logprobs("Paris", offered)) as endpoint, model_at(endpoint) as model:
        (reply,) = model.answer([request])
    assert json.dumps(endpoint.bodies[0]["logprobs"]) == ("true" if form == "instruct" else "1")
    assert (reply.text, reply.token_logprobs) == ("Paris", (("Par", -0.25), ("is", -1.5)))


def test_token_log_probabilities_are_neither_asked_for_nor_read_by_default() -> None:
    with LocalEndpoint(lambda _: with_logprobs("Paris", CHAT_LOGPROBS)) as endpoint, model_at(endpoint) as model:
        (reply,) = model.answer([Request(prompt="a")])
    assert "logprobs" not in endpoint.bodies[0]
    assert reply.token_logprobs is None


@pytest.mark.parametrize(
    "offered",
    [
        None,
        {"content": None},
        {"tokens": ["Par", "is"], "token_logprobs": [-0.25]},
        {"tokens": ["Par", "is"], "token_logprobs": [None, -0.25]},
        {"tokens": ["Par", "is"], "token_logprobs": None},
        [-0.25, -1.5],
    ],
)
def test_answer_without_a_log_probability_for_every_token_keeps_its_text_and_has_none(offered: object) -> None:
    request = Request(prompt="a", sampling=Sampling(logprobs=True))
    (reply,) = ask(lambda _: with_logprobs("Paris", offered), request)
    assert (reply.text, reply.error, reply.token_logprobs) == ("Paris", None, None)


def test_endpoint_that_leaves_log_probabilities_out_gives_none() -> None:
    (reply,) = ask(lambda _: completion("Paris"), Request(prompt="a", sampling=Sampling(logprobs=True)))
    assert (reply.text, reply.token_logprobs) == ("Paris", None)


def test_free_text_is_never_unwrapped_or_stripped() -> None:
    (reply,) = ask(lambda _: completion(' {"choice": "x"}\n'), Request(prompt="a"))
    assert reply.text == ' {"choice": "x"}\n'


def test_plain_sends_no_grammar_and_no_schema() -> None:
    with LocalEndpoint(lambda _: completion("cats")) as endpoint, model_at(endpoint) as model:
        list(model.answer([Request(prompt="a", choices=("cats", "dogs"))]))
    assert not {"grammar", "response_format"} & set(endpoint.bodies[0])


def test_name_is_host_path_and_model_without_key_or_credentials() -> None:
    model = connect("https://user:pw@api.example.com:8443/openai/v1/?token=abc", "org/m", KEY, form="continue")
    assert model.name == "api.example.com:8443/openai/v1#org/m"
    assert model.preferred_form == "continue"
