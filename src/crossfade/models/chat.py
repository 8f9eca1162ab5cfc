"""Ask any OpenAI-compatible endpoint, several requests at a time.

The client is handed in and does the waiting: it repeats requests after rate limits and server errors. Here one failed
request becomes a reply that says so, and an endpoint that cannot answer at all stops the run with one sentence.
"""

import itertools
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from types import MappingProxyType

import openai

from crossfade.errors import ModelError, ParsingError, SettingsError
from crossfade.models.wire import ClosedChoice, read_answer, read_model_ids, request_fields
from crossfade.roles import Form, Reply, Request

NO_EXTRAS: Mapping[str, object] = MappingProxyType({})
LONGEST_QUOTE = 200
"""Characters of an endpoint's own words that an error repeats."""
SHORTEST_KEY = 4
"""Characters from which a key is taken out of errors; shorter ones are placeholders for servers that want none."""


def connect(
    base_url: str,
    model: str,
    api_key: str,
    *,
    form: Form | None = None,
    concurrency: int = 8,
    closed_choice: ClosedChoice = "plain",
    timeout: float = 120.0,
) -> "ChatModel":
    """Build a client for an endpoint and the model behind it; nothing is sent yet.

    Args:
        base_url: Where the API begins, usually ending in '/v1'.
        model: The model id, as the endpoint calls it.
        api_key: The key; any word for a local server that wants none.
        form: How the model is asked under `auto`; 'instruct' when None.
        concurrency: Requests sent at the same time, >= 1.
        closed_choice: How the endpoint is held to a closed choice.
        timeout: Longest wait for one attempt, in seconds.
    """
    # Six repeats wait about half a minute in all, or as long as the endpoint's Retry-After says.
    client = openai.OpenAI(base_url=base_url, api_key=api_key, max_retries=6, timeout=timeout)
    return ChatModel(client, model=model, form=form, concurrency=concurrency, closed_choice=closed_choice)


class ChatModel:
    """A language model behind an OpenAI-compatible endpoint.

    Args:
        client: Knows the address and the key, and repeats requests that may succeed later.
        model: The model id, as the endpoint calls it.
        form: How the model is asked under `auto`; 'instruct' when None.
        concurrency: Requests sent at the same time, >= 1.
        closed_choice: How the endpoint is held to a closed choice.
        name: What identifies the answers; host, path and model id when None.
        extra_body: Fields added to every request body.

    Raises:
        SettingsError: If concurrency is below 1.
    """

    def __init__(
        self,
        client: openai.OpenAI,
        *,
        model: str,
        form: Form | None = None,
        concurrency: int = 8,
        closed_choice: ClosedChoice = "plain",
        name: str | None = None,
        extra_body: Mapping[str, object] = NO_EXTRAS,
    ) -> None:
        if concurrency < 1:
            raise SettingsError(f"concurrency is {concurrency}; expected at least 1.")
        self._client = client
        self._model = model
        self._form: Form = form or "instruct"
        self._concurrency = concurrency
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
        """Send requests side by side and yield replies as they come; at most twice `concurrency` are under way.

        Raises:
            ModelError: If nothing answers at the address, the key is refused, the model is unknown, or the endpoint
                fails twice `concurrency` times in a row.
        """
        source = iter(requests)
        limit = 2 * self._concurrency
        under_way: set[Future[_Outcome]] = set()
        failures_in_a_row = 0
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="crossfade-chat")
        try:
            while True:
                for request in itertools.islice(source, limit - len(under_way)):
                    self._require_connection()
                    under_way.add(pool.submit(self._ask, request))
                if not under_way:
                    return
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                # Good answers first: an error among them ends the stream, and they are paid for.
                for future in sorted(done, key=lambda future: future.exception() is not None):
                    outcome = future.result()
                    failures_in_a_row = failures_in_a_row + 1 if outcome.endpoint_failed else 0
                    yield outcome.reply
                    if failures_in_a_row >= limit:
                        raise self._gave_up(limit, outcome.reply)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _require_connection(self) -> None:
        """Raise at once when nothing listens; the client itself would try for half a minute."""
        if self._reached:
            return
        try:
            self._client.with_options(max_retries=0, timeout=10.0).models.with_raw_response.list()
        except openai.APIConnectionError as error:
            if _is_unreachable(error):
                raise self._unreachable(error) from None
        except openai.OpenAIError:
            pass  # Not every endpoint lists its models; the first request will tell what is wrong.
        self._reached = True

    def _ask(self, request: Request) -> "_Outcome":
        """Send one request and turn whatever comes back into a reply."""
        started = time.perf_counter()
        endpoint_failed = False
        try:
            reply = read_answer(request, *self._send(request))
        except openai.APIStatusError as error:
            if error.status_code in (401, 403, 404):
                raise self._refused(error.status_code) from None
            endpoint_failed = error.status_code == 429 or error.status_code >= 500
            reply = Reply(request=request, error=f"HTTP {error.status_code}: {self._quote(error.body)}")
        except openai.APIConnectionError as error:
            if _is_unreachable(error):
                raise self._unreachable(error) from None
            endpoint_failed = True
            slow = isinstance(error, openai.APITimeoutError)
            reason = "no answer in time." if slow else f"the connection broke ({self._quote(error.__cause__)})."
            reply = Reply(request=request, error=f"No HTTP status: {reason}")
        return _Outcome(replace(reply, seconds=time.perf_counter() - started), endpoint_failed)

    def _send(self, request: Request) -> tuple[str, str]:
        """Post one request; return the answer's content type and body, as text."""
        seed = int(request.digest(self._name)[:8], 16) % 2**31
        body = request_fields(request, self._closed_choice) | {"seed": seed} | dict(self._extra_body)
        if request.form == "continue":
            response = self._client.completions.with_raw_response.create(
                model=self._model, prompt=request.full_prompt, extra_body=body
            ).http_response
        else:
            response = self._client.chat.completions.with_raw_response.create(
                model=self._model, messages=[{"role": "user", "content": request.full_prompt}], extra_body=body
            ).http_response
        return response.headers.get("content-type", "application/json"), response.text

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

    def _refused(self, status: int) -> ModelError:
        """Say why no request of this run can succeed."""
        if status == 404:
            return ModelError(
                f"The endpoint {self._address} does not know the model '{self._model}' (HTTP 404).",
                hint=self._known_models(),
            )
        return ModelError(
            f"The endpoint {self._address} refused the key (HTTP {status}).",
            hint="Set a key that may use this model.",
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

    def _gave_up(self, failures: int, last: Reply) -> ModelError:
        return ModelError(
            f"The endpoint has failed {failures} times in a row: {last.error}",
            hint="Start the run again when it is well; finished answers are kept where a store is used.",
            retryable=True,
        )


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A reply, and whether its failure tells of the endpoint rather than of the request."""

    reply: Reply
    endpoint_failed: bool


def _is_unreachable(error: openai.APIConnectionError) -> bool:
    """Tell a server that is not there from a connection that broke later."""
    # By name: the HTTP library under the client differs between its versions.
    return type(error.__cause__).__name__ in {"ConnectError", "ConnectTimeout", "UnsupportedProtocol"}
