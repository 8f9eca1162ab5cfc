"""Ask any OpenAI-compatible endpoint, several requests at a time.

The official client is handed in and sends; how many requests are under way, and when a failed one is tried again, is
decided here with `pace`. One failed request becomes a reply that says so; an endpoint that cannot answer at all stops
the run with one sentence, after the answers under way have come in.
"""

import json
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from queue import SimpleQueue
from types import MappingProxyType
from typing import cast

import openai

from crossfade.errors import ModelError, ParsingError
from crossfade.models.pace import GIVE_UP_AFTER, Pace
from crossfade.models.wire import ClosedChoice, read_answer, read_model_ids, request_fields
from crossfade.roles import Form, Reply, Request

TELEMETRY = ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async")
"""Headers 'X-Stainless-...' in which the client describes the user's machine; no endpoint needs them."""
NO_EXTRAS: Mapping[str, object] = MappingProxyType({})
GATHER_SECONDS = 0.003
"""How long an answer waits for others before they are handed on."""
LONGEST_QUOTE = 200
"""Characters of an endpoint's own words that an error repeats."""
MOST_ATTEMPTS = 8
"""Times that a request is sent while the endpoint refuses or fails; waits between them double from half a second."""
LONGEST_REST = 30.0
"""Seconds between two attempts, at most; Retry-After may ask for more."""
LONGEST_RETRY_AFTER = 600.0
"""Seconds of Retry-After that are obeyed; an endpoint that wants more stops the run."""
CHARACTERS_PER_TOKEN = 4
SHORTEST_KEY = 4
"""Characters from which a key is taken out of errors; shorter ones are placeholders for servers that want none."""


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
        self._address = client.base_url.netloc.decode("ascii") + client.base_url.path.rstrip("/")
        self._name = name or f"{self._address}#{model}"
        self._extra_body = extra_body
        self._reached = False

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
            raise self._key_refused(401) from None
        except openai.APIConnectionError as error:
            if _is_unreachable(error):
                raise self._unreachable(error) from None
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
                self._pace.rest(min(LONGEST_REST, 2 ** (attempt - 2)) * random.uniform(0.75, 1.25), stopping)
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
                return _Outcome(reply, self._gave_up(reply))
            if reply.ask_again:
                # Whether to pay once more is not decided here.
                break
        return _Outcome(reply)

    def _attempt(self, request: Request) -> "tuple[Reply, _Failure | None]":
        """Send one request once; whatever comes back is a reply, and what its failure means."""
        started = time.perf_counter()
        failure: _Failure | None = None
        try:
            reply = self._send(request)
            if reply.error is not None:
                failure = _Failure()
        except openai.APIStatusError as error:
            failure = self._read_refusal(error)
            reply = Reply(
                request=request,
                error=f"HTTP {error.status_code}: {self._quote(error.body)}",
                status=error.status_code,
                provider_id=error.request_id or "",
            )
        except openai.APIConnectionError as error:
            trouble = self._unreachable(error) if _is_unreachable(error) else None
            failure = _Failure(trouble)
            slow = isinstance(error, openai.APITimeoutError)
            reason = "no answer in time." if slow else f"the connection broke ({self._quote(error.__cause__)})."
            # The endpoint may have written the whole answer, and its bill.
            reply = Reply(request=request, error=f"No HTTP status: {reason}", ask_again=trouble is None)
        return replace(reply, seconds=time.perf_counter() - started), failure

    def _read_refusal(self, error: openai.APIStatusError) -> "_Failure":
        """Tell what stops the run from what will pass and what is this request's own fault."""
        status = error.status_code
        if status in (401, 403):
            return _Failure(self._key_refused(status))
        if status == 404:
            return _Failure(self._model_unknown())
        said = json.dumps(error.body) if error.body else ""
        if status == 402 or "insufficient_quota" in said:
            return _Failure(self._account_empty(status, error))
        if status in (408, 409, 429) or status >= 500:
            wait = _retry_after(error.response.headers)
            if wait is not None and wait > LONGEST_RETRY_AFTER:
                return _Failure(self._wants_a_break(wait))
            return _Failure(retry_after=wait)
        return _Failure(request_is_bad=True)

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

    def _quote(self, said: object) -> str:
        """Repeat what the endpoint said in one short line, without the key."""
        if isinstance(said, Mapping):
            said = said.get("message") or said.get("detail") or json.dumps(dict(said))
        words = " ".join(str(said).split())
        if "<html" in words.lower() or "<!doctype" in words.lower():
            return "the endpoint sent an HTML page."
        key = self._client.api_key.strip()
        if len(key) >= SHORTEST_KEY:
            words = words.replace(key, "[key]")
        return words[:LONGEST_QUOTE] or "the endpoint gave no reason."

    def _key_refused(self, status: int) -> ModelError:
        return ModelError(
            f"The endpoint {self._address} refused the key (HTTP {status}).",
            hint="Set a key that may use this model.",
        )

    def _model_unknown(self) -> ModelError:
        return ModelError(
            f"The endpoint {self._address} does not know the model '{self._model}' (HTTP 404).",
            hint=self._known_models(),
        )

    def _account_empty(self, status: int, error: openai.APIStatusError) -> ModelError:
        return ModelError(
            f"The account at {self._address} has no credit left (HTTP {status}: {self._quote(error.body)}).",
            hint="Top it up and start again: finished answers are kept.",
        )

    def _wants_a_break(self, seconds: float) -> ModelError:
        return ModelError(
            f"The endpoint {self._address} wants no request for {seconds:.0f} seconds.",
            hint="Start the run again after that: it continues.",
            retryable=True,
        )

    def _known_models(self) -> str:
        """List the endpoint's models as a hint, or say what else to check."""
        try:
            listing = self._client.with_options(max_retries=0, timeout=10.0).models.with_raw_response.list()
            known = read_model_ids(listing.http_response.text)
        except (openai.OpenAIError, ParsingError):
            known = []
        if not known:
            return "Check the model id, and that the address ends where the API begins (usually '/v1')."
        return f"It offers: {', '.join(known[:20])}{', ...' if len(known) > 20 else ''}."

    def _unreachable(self, error: openai.APIConnectionError) -> ModelError:
        return ModelError(
            f"Nothing answers at {self._address}: {self._quote(error.__cause__)}.",
            hint="Start the server or correct the address.",
            retryable=True,
        )

    def _gave_up(self, last: Reply) -> ModelError:
        return ModelError(
            f"The endpoint {self._address} only fails, {GIVE_UP_AFTER} times in a row and more: {last.error}",
            hint="Start the run again when it is well: finished answers are kept.",
            retryable=True,
        )


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a request; nothing at all when it was not sent because the stream is stopping."""

    reply: Reply | None = None
    trouble: BaseException | None = None
    """What stops the run."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """What a failed attempt means; by default: try again later."""

    trouble: ModelError | None = None
    """Why no request of this run can succeed."""
    retry_after: float | None = None
    """Seconds that the endpoint asks to wait."""
    request_is_bad: bool = False
    """The endpoint will never answer this one."""


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


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After, in seconds or as a date; None when there is none or it makes no sense."""
    said = headers.get("retry-after-ms")
    if said and said.replace(".", "", 1).isdigit():
        return float(said) / 1000
    said = headers.get("retry-after", "").strip()
    if said.replace(".", "", 1).isdigit():
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _is_unreachable(error: openai.APIConnectionError) -> bool:
    """Tell a server that is not there from a connection that broke later."""
    # By name: the HTTP library under the client differs between its versions.
    return type(error.__cause__).__name__ in {"ConnectError", "ConnectTimeout", "UnsupportedProtocol"}
