"""Ask any OpenAI-compatible endpoint, several requests at a time.

The endpoint is handed in and sends; how many requests are under way, and when a failed one is tried again, is decided
here with `pace`. One failed request becomes a reply that says so; an endpoint that cannot answer at all stops the run
with one sentence, after the answers under way have come in.
"""

import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from queue import SimpleQueue

from crossfade.models.endpoint import Answer, Endpoint, NoAnswer
from crossfade.models.pace import Pace
from crossfade.models.refusals import Failure, Refusals
from crossfade.models.turns import NO_FIELDS, InOrder, Turn, Turns
from crossfade.models.wire import ClosedChoice, read_answer, request_fields
from crossfade.roles import CHARACTERS_PER_TOKEN, Form, Reply, Request

GATHER_SECONDS = 0.003
"""How long an answer waits for others before they are handed on."""
MOST_ATTEMPTS = 8
"""Times that a request is sent while the endpoint refuses or fails; waits between them double from half a second."""
LONGEST_REST = 30.0
"""Seconds between two attempts, at most; Retry-After may ask for more."""
JITTER = random.Random()
"""Spreads attempts over time; nothing that is kept depends on it."""


def connect(
    base_url: str,
    model: str,
    api_key: str,
    *,
    form: Form | None = None,
    pace: Pace | None = None,
    closed_choice: ClosedChoice = "plain",
    timeout: float = 120.0,
    proxy: str | None = None,
) -> "ChatModel":
    """Build a client for an endpoint and the model behind it; nothing is sent yet.

    Args:
        base_url: Where the API begins, usually ending in '/v1'.
        model: The model id, as the endpoint calls it.
        api_key: The key; any word for a local server that wants none.
        form: How the model is asked under `auto`; 'instruct' when None.
        pace: How many requests may be under way; up to 64, as many as help, when None.
        closed_choice: How the endpoint is held to a closed choice.
        timeout: Longest wait for a connection, and then for the next bytes, in seconds.
        proxy: The address of an HTTP proxy; straight to the endpoint when None.

    Raises:
        SettingsError: If an address is none, or the key cannot be sent.
    """
    pace = pace or Pace(64)
    endpoint = Endpoint(base_url, api_key, timeout=timeout, places=pace.most, proxy=proxy)
    return ChatModel(endpoint, model=model, form=form, pace=pace, closed_choice=closed_choice)


class ChatModel:
    """A language model behind an OpenAI-compatible endpoint.

    Args:
        endpoint: Where the requests go.
        model: The model id, as the endpoint calls it.
        pace: How many requests may be under way, and when.
        form: How the model is asked under `auto`; 'instruct' when None.
        closed_choice: How the endpoint is held to a closed choice.
        name: What identifies the answers; host, path and model id when None.
        extra_body: Fields added to every request body.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        model: str,
        pace: Pace,
        form: Form | None = None,
        closed_choice: ClosedChoice = "plain",
        name: str | None = None,
        extra_body: Mapping[str, object] = NO_FIELDS,
    ) -> None:
        self._endpoint = endpoint
        self._model = model
        self._form: Form = form or "instruct"
        self._pace = pace
        self._closed_choice = closed_choice
        self._refusals = Refusals(endpoint, model)
        self._name = name or f"{endpoint.address}#{model}"
        self._extra_body = extra_body
        self._reached = False
        self._has_answered = False

    @property
    def name(self) -> str:
        """Host, path and model id; never the key."""
        return self._name

    @property
    def preferred_form(self) -> Form:
        """The form the model was set up for."""
        return self._form

    def answer(self, requests: Iterable[Request], turns: Turns | None = None) -> Iterator[Reply]:
        """Send requests side by side and yield replies as they come.

        At most twice the pace's limit are read ahead, or as many as `turns` ask for.

        When the run must stop (Ctrl-C, an error of the requests' source or of the endpoint), nothing more is sent,
        answers under way are still yielded, since they are paid for, and then the reason is raised. A second Ctrl-C
        does not wait for them.

        Args:
            requests: What to ask.
            turns: Which request goes out next, and how many are read ahead; as they come when None.

        Raises:
            ModelError: If nothing answers at the address, the key is refused, the model is unknown, the account is
                empty, or the endpoint keeps failing.
        """
        pool = ThreadPoolExecutor(self._pace.most, thread_name_prefix="crossfade-chat")
        stream = _Stream(iter(requests), turns or InOrder(), pool)
        try:
            while True:
                try:
                    self._read(stream)
                    if not stream.under_way:
                        break
                    _gather(stream)
                except (Exception, KeyboardInterrupt) as error:
                    if stream.trouble is not None:
                        raise
                    stream.trouble = error
                    self._stop(stream)
                    continue
                yield from self._arrived(stream)
            if stream.trouble:
                raise stream.trouble
        finally:
            self._stop(stream)
            pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, stream: "_Stream") -> None:
        """Read requests as far ahead as is wanted, and let them wait for their turns."""
        most = stream.turns.window
        while not (stream.exhausted or stream.trouble) and stream.under_way < (most or 2 * self._pace.limit):
            request = next(stream.source, None)
            if request is None:
                stream.exhausted = True
                break
            self._require_connection()
            stream.turns.put(request)
            stream.pool.submit(self._settle, stream)
            stream.under_way += 1
        stream.turns.go()

    def _arrived(self, stream: "_Stream") -> Iterator[Reply]:
        """Yield the replies that have come; a trouble among them stops the stream."""
        arrived, stream.arrived = stream.arrived, []
        stream.under_way -= len(arrived)
        troubles = [outcome.trouble for outcome in arrived if outcome.trouble]
        if troubles and not stream.trouble:
            stream.trouble = troubles[0]
            self._stop(stream)
        replies = [outcome.reply for outcome in arrived if outcome.reply]
        yield from (replace(reply, more_ready=True) for reply in replies[:-1])
        yield from replies[-1:]

    def _stop(self, stream: "_Stream") -> None:
        """Let nothing more be sent."""
        stream.stopping.set()
        stream.turns.go()
        self._pace.wake()

    def _require_connection(self) -> None:
        """Raise at once when nothing listens or the key is refused, before anything is paid for."""
        if not self._reached and (trouble := self._refusals.first_look()):
            raise trouble
        self._reached = True

    def _settle(self, stream: "_Stream") -> None:
        """Send the request whose turn it is until it is answered or has failed for good; always put one outcome."""
        try:
            with stream.turns.next(stream.stopping) as turn:
                outcome = self._ask(turn, stream) if turn else _Outcome()
            stream.outcomes.put(outcome)
        except BaseException as error:
            stream.outcomes.put(_Outcome(trouble=error))

    def _ask(self, turn: Turn, stream: "_Stream") -> "_Outcome":
        request = turn.request
        tokens = len(request.full_prompt) // CHARACTERS_PER_TOKEN + request.sampling.max_tokens
        reply = None
        for attempt in range(MOST_ATTEMPTS):
            if attempt:
                # Jitter keeps requests that failed together from coming back together.
                rest = min(LONGEST_REST, 2 ** (attempt - 2)) * JITTER.uniform(0.75, 1.25)
                self._pace.rest(rest, stream.stopping)
            ticket = self._pace.start(tokens, stream.stopping)
            if ticket is None:
                # Stopped before this attempt: an earlier failure is no news.
                return _Outcome()
            reply, failure = self._attempt(turn)
            if failure is None:
                used = reply.usage.prompt_tokens + reply.usage.answer_tokens
                self._pace.answered(ticket, answer_tokens=reply.usage.answer_tokens, all_tokens=used)
                return _Outcome(reply)
            if failure.trouble:
                # Before the place is free, so that no other request finds out the same.
                self._stop(stream)
                self._pace.refused(ticket)
                return _Outcome(trouble=failure.trouble)
            if failure.request_is_bad:
                self._pace.refused(ticket)
                return _Outcome(reply)
            is_down = self._pace.failed(ticket, retry_after=failure.retry_after, too_many=reply.status == 429)
            if is_down:
                return _Outcome(reply, self._refusals.gave_up(reply))
            if reply.ask_again:
                # Whether to pay once more is not decided here.
                break
        return _Outcome(reply)

    def _attempt(self, turn: Turn) -> tuple[Reply, Failure | None]:
        """Send one request once; whatever comes back is a reply, and what its failure means."""
        request = turn.request
        started = time.perf_counter()
        answer = self._send(turn)
        seconds = time.perf_counter() - started
        if isinstance(answer, NoAnswer):
            gone = answer.kind == "unreachable"
            # One that has answered before may be starting anew.
            failure = Failure(self._refusals.unreachable(answer) if gone and not self._has_answered else None)
            error = f"No HTTP status: {self._refusals.broken(answer)}"
            # The endpoint may have written the whole answer, and its bill.
            return Reply(request=request, error=error, ask_again=not gone, seconds=seconds), failure
        provider_id = answer.headers.get("x-request-id", "")
        if answer.status >= 300:
            error = f"HTTP {answer.status}: {self._refusals.reason(answer)}"
            reply = Reply(request=request, error=error, status=answer.status, provider_id=provider_id, seconds=seconds)
            return reply, self._refusals.read(answer)
        self._has_answered = True
        reply = read_answer(request, answer.headers.get("content-type", "application/json"), answer.body)
        reply = replace(reply, status=answer.status, provider_id=provider_id or reply.provider_id, seconds=seconds)
        return reply, Failure() if reply.error is not None else None

    def _send(self, turn: Turn) -> Answer | NoAnswer:
        """Post one request."""
        request = turn.request
        seed = int(request.digest(self._name)[:8], 16) % 2**31
        body: dict[str, object] = {"model": self._model}
        if request.form == "continue":
            path = "/completions"
            body["prompt"] = request.full_prompt
        else:
            path = "/chat/completions"
            body["messages"] = [{"role": "user", "content": request.full_prompt}]
        body |= request_fields(request, self._closed_choice) | {"seed": seed} | dict(self._extra_body)
        return self._endpoint.post(path, body | dict(turn.fields))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a request; nothing at all when it was not sent because the stream is stopping."""

    reply: Reply | None = None
    trouble: BaseException | None = None
    """What stops the run."""


@dataclass(slots=True)
class _Stream:
    """One call of `answer`: what is still to be read, what is under way, and what has come."""

    source: Iterator[Request]
    turns: Turns
    pool: ThreadPoolExecutor
    outcomes: "SimpleQueue[_Outcome]" = field(default_factory=SimpleQueue)
    arrived: list[_Outcome] = field(default_factory=list)
    """Outcomes that were taken from the queue, and not yet handed on."""
    stopping: threading.Event = field(default_factory=threading.Event)
    under_way: int = 0
    """Requests that were read, and whose outcome has not been handed on."""
    exhausted: bool = False
    trouble: BaseException | None = None
    """Why nothing more is sent."""


def _gather(stream: _Stream) -> None:
    """Wait for an outcome, unless one has arrived already, and take all that are there a moment later.

    Answers that come together are so handed on together, and kept in one commit.
    """
    if not stream.arrived:
        stream.arrived.append(stream.outcomes.get())
        if stream.under_way > 1:
            time.sleep(GATHER_SECONDS)
    while not stream.outcomes.empty():
        stream.arrived.append(stream.outcomes.get())
