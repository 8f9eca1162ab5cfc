"""Ask any OpenAI-compatible endpoint, several requests at a time.

The official client is handed in and sends; how many requests are under way, and when a failed one is tried again, is
decided here with `pace`. One failed request becomes a reply that says so; an endpoint that cannot answer at all stops
the run with one sentence, after the answers under way have come in.
"""

import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import SimpleQueue
from types import MappingProxyType
from typing import cast

import openai

from crossfade.models.pace import Pace
from crossfade.models.refusals import Failure, Refusals, is_unreachable
from crossfade.models.wire import ClosedChoice, read_answer, request_fields
from crossfade.roles import Form, Reply, Request

TELEMETRY = ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async")
"""Headers 'X-Stainless-...' in which the client describes the user's machine; no endpoint needs them."""
NO_EXTRAS: Mapping[str, object] = MappingProxyType({})
GATHER_SECONDS = 0.003
"""How long an answer waits for others before they are handed on."""
MOST_ATTEMPTS = 8
"""Times that a request is sent while the endpoint refuses or fails; waits between them double from half a second."""
LONGEST_REST = 30.0
"""Seconds between two attempts, at most; Retry-After may ask for more."""
CHARACTERS_PER_TOKEN = 4
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
) -> "ChatModel":
    """Build a client for an endpoint and the model behind it; nothing is sent yet.

    Args:
        base_url: Where the API begins, usually ending in '/v1'.
        model: The model id, as the endpoint calls it.
        api_key: The key; any word for a local server that wants none.
        form: How the model is asked under `auto`; 'instruct' when None.
        pace: How many requests may be under way; up to 64, as many as help, when None.
        closed_choice: How the endpoint is held to a closed choice.
        timeout: Longest wait for one attempt, in seconds.
    """
    # The client's own repeats would hide refusals from the pace.
    client = openai.OpenAI(
        base_url=base_url, api_key=api_key, max_retries=0, timeout=timeout, default_headers=_without_telemetry()
    )
    return ChatModel(client, model=model, form=form, pace=pace or Pace(64), closed_choice=closed_choice)


def _without_telemetry() -> Mapping[str, str]:
    """Return default headers that make the client leave those of `TELEMETRY` out; a tenth of what a request costs."""
    headers: Mapping[str, object] = {f"X-Stainless-{name}": openai.Omit() for name in TELEMETRY}
    # The client takes these marks, but its types do not say so.
    return cast("Mapping[str, str]", headers)


class ChatModel:
    """A language model behind an OpenAI-compatible endpoint.

    Args:
        client: Knows the address and the key; made with `max_retries=0`.
        model: The model id, as the endpoint calls it.
        pace: How many requests may be under way, and when.
        form: How the model is asked under `auto`; 'instruct' when None.
        closed_choice: How the endpoint is held to a closed choice.
        name: What identifies the answers; host, path and model id when None.
        extra_body: Fields added to every request body.
    """

    def __init__(
        self,
        client: openai.OpenAI,
        *,
        model: str,
        pace: Pace,
        form: Form | None = None,
        closed_choice: ClosedChoice = "plain",
        name: str | None = None,
        extra_body: Mapping[str, object] = NO_EXTRAS,
    ) -> None:
        self._client = client
        self._model = model
        self._form: Form = form or "instruct"
        self._pace = pace
        self._closed_choice = closed_choice
        self._refusals = Refusals(client, model)
        self._name = name or f"{self._refusals.address}#{model}"
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

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Send requests side by side and yield replies as they come; at most twice the pace's limit are read ahead.

        When the run must stop (Ctrl-C, an error of the requests' source or of the endpoint), nothing more is sent,
        answers under way are still yielded, since they are paid for, and then the reason is raised. A second Ctrl-C
        does not wait for them.

        Raises:
            ModelError: If nothing answers at the address, the key is refused, the model is unknown, the account is
                empty, or the endpoint keeps failing.
        """
        source = iter(requests)
        outcomes: SimpleQueue[_Outcome] = SimpleQueue()
        stopping = threading.Event()
        trouble: BaseException | None = None
        under_way = 0
        exhausted = False
        arrived: list[_Outcome] = []
        pool = ThreadPoolExecutor(self._pace.most, thread_name_prefix="crossfade-chat")
        try:
            while True:
                try:
                    while not (exhausted or trouble) and under_way < 2 * self._pace.limit:
                        request = next(source, None)
                        if request is None:
                            exhausted = True
                            break
                        self._require_connection()
                        pool.submit(self._settle, request, outcomes, stopping)
                        under_way += 1
                    if not under_way:
                        break
                    _gather(outcomes, arrived, expected=under_way)
                except (Exception, KeyboardInterrupt) as error:
                    if trouble is not None:
                        raise
                    trouble = error
                    self._stop(stopping)
                    continue
                under_way -= len(arrived)
                troubles = [outcome.trouble for outcome in arrived if outcome.trouble]
                if troubles and not trouble:
                    trouble = troubles[0]
                    self._stop(stopping)
                replies = [outcome.reply for outcome in arrived if outcome.reply]
                arrived = []
                yield from (replace(reply, more_ready=True) for reply in replies[:-1])
                yield from replies[-1:]
            if trouble:
                raise trouble
        finally:
            self._stop(stopping)
            pool.shutdown(wait=False, cancel_futures=True)

    def _stop(self, stopping: threading.Event) -> None:
        stopping.set()
        self._pace.wake()

    def _require_connection(self) -> None:
        """Raise at once when nothing listens or the key is refused, before anything is paid for."""
        if self._reached:
            return
        try:
            self._client.with_options(max_retries=0, timeout=10.0).models.with_raw_response.list()
        except openai.AuthenticationError:
            raise self._refusals.key_refused(401) from None
        except openai.APIConnectionError as error:
            if is_unreachable(error):
                raise self._refusals.unreachable(error) from None
        except openai.OpenAIError:
            pass  # Not every endpoint lists its models; the first request will tell what is wrong.
        self._reached = True

    def _settle(self, request: Request, outcomes: "SimpleQueue[_Outcome]", stopping: threading.Event) -> None:
        """Send a request until it is answered or has failed for good; always put one outcome."""
        try:
            outcomes.put(self._ask(request, stopping))
        except BaseException as error:
            outcomes.put(_Outcome(trouble=error))

    def _ask(self, request: Request, stopping: threading.Event) -> "_Outcome":
        tokens = len(request.full_prompt) // CHARACTERS_PER_TOKEN + request.sampling.max_tokens
        reply = None
        for attempt in range(MOST_ATTEMPTS):
            if attempt:
                # Jitter keeps requests that failed together from coming back together.
                self._pace.rest(min(LONGEST_REST, 2 ** (attempt - 2)) * JITTER.uniform(0.75, 1.25), stopping)
            ticket = self._pace.start(tokens, stopping)
            if ticket is None:
                # Stopped before this attempt: an earlier failure is no news.
                return _Outcome()
            reply, failure = self._attempt(request)
            if failure is None:
                used = reply.usage.prompt_tokens + reply.usage.answer_tokens
                self._pace.answered(ticket, answer_tokens=reply.usage.answer_tokens, all_tokens=used)
                return _Outcome(reply)
            if failure.trouble:
                # Before the place is free, so that no other request finds out the same.
                self._stop(stopping)
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

    def _attempt(self, request: Request) -> tuple[Reply, Failure | None]:
        """Send one request once; whatever comes back is a reply, and what its failure means."""
        started = time.perf_counter()
        failure: Failure | None = None
        try:
            reply = self._send(request)
            self._has_answered = True
            if reply.error is not None:
                failure = Failure()
        except openai.APIStatusError as error:
            failure = self._refusals.read(error)
            reply = Reply(
                request=request,
                error=f"HTTP {error.status_code}: {self._refusals.quote(error.body)}",
                status=error.status_code,
                provider_id=error.request_id or "",
            )
        except openai.APIConnectionError as error:
            gone = is_unreachable(error)
            # One that has answered before may be starting anew.
            failure = Failure(self._refusals.unreachable(error) if gone and not self._has_answered else None)
            slow = isinstance(error, openai.APITimeoutError)
            reason = (
                "no answer in time." if slow else f"the connection broke ({self._refusals.quote(error.__cause__)})."
            )
            # The endpoint may have written the whole answer, and its bill.
            reply = Reply(request=request, error=f"No HTTP status: {reason}", ask_again=not gone)
        return replace(reply, seconds=time.perf_counter() - started), failure

    def _send(self, request: Request) -> Reply:
        """Post one request and read its answer."""
        seed = int(request.digest(self._name)[:8], 16) % 2**31
        body: dict[str, object] = {"model": self._model}
        if request.form == "continue":
            path = "/completions"
            body["prompt"] = request.full_prompt
        else:
            path = "/chat/completions"
            body["messages"] = [{"role": "user", "content": request.full_prompt}]
        body |= request_fields(request, self._closed_choice) | {"seed": seed} | dict(self._extra_body)
        # The client's typed methods would check and build what `wire` does, for a third more processor time.
        response = self._client.post(path, body=body, cast_to=openai.HttpxBinaryResponseContent).response
        headers = response.headers
        reply = read_answer(request, headers.get("content-type", "application/json"), response.text)
        provider_id = headers.get("x-request-id") or reply.provider_id
        return replace(reply, status=response.status_code, provider_id=provider_id)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a request; nothing at all when it was not sent because the stream is stopping."""

    reply: Reply | None = None
    trouble: BaseException | None = None
    """What stops the run."""


def _gather(outcomes: "SimpleQueue[_Outcome]", arrived: list[_Outcome], *, expected: int) -> None:
    """Wait for an outcome, unless one has arrived already, and add all that are there a moment later.

    Answers that come together are so handed on together, and kept in one commit.
    """
    if not arrived:
        arrived.append(outcomes.get())
        if expected > 1:
            time.sleep(GATHER_SECONDS)
    while not outcomes.empty():
        arrived.append(outcomes.get())
