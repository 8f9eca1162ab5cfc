"""Say what an endpoint's refusals and failures mean: wait, give up this request, or stop the run; one sentence each."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from crossfade.errors import ModelError, ParsingError
from crossfade.models.endpoint import Answer, Endpoint, NoAnswer
from crossfade.models.pace import GIVE_UP_AFTER
from crossfade.models.wire import read_model_ids
from crossfade.roles import Reply

LONGEST_QUOTE = 200
"""Characters of an endpoint's own words that an error repeats."""
LONGEST_RETRY_AFTER = 600.0
"""Seconds of Retry-After that are obeyed; an endpoint that wants more stops the run."""
LISTING_SECONDS = 10.0
"""Longest wait for the list of models."""
SHORTEST_KEY = 4
"""Characters from which a key is taken out of errors; shorter ones are placeholders for servers that want none."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failed attempt means; by default: try again later."""

    trouble: ModelError | None = None
    """Why no request of this run can succeed."""
    retry_after: float | None = None
    """Seconds that the endpoint asks to wait."""
    request_is_bad: bool = False
    """The endpoint will never answer this one."""


class Refusals:
    """Reads what one endpoint says, and puts it into sentences that never hold the key.

    Args:
        endpoint: Where the requests go.
        model: The model id, as the endpoint calls it.
    """

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self._endpoint = endpoint
        self._model = model
        self._address = endpoint.address

    def read(self, answer: Answer) -> Failure:
        """Tell what stops the run from what will pass and what is this request's own fault."""
        status = answer.status
        if 300 <= status < 400:
            return Failure(self._moved(answer))
        if status in (401, 403):
            return Failure(self._key_refused(status))
        if status == 404:
            return Failure(self._model_unknown())
        if status == 402 or b"insufficient_quota" in answer.body:
            return Failure(self._account_empty(answer))
        if status in (408, 409, 429) or status >= 500:
            wait = _retry_after(answer.headers)
            if wait is not None and wait > LONGEST_RETRY_AFTER:
                return Failure(self._wants_a_break(wait))
            return Failure(retry_after=wait)
        return Failure(request_is_bad=True)

    def reason(self, answer: Answer) -> str:
        """Repeat why the endpoint refused, in one short line without the key."""
        said = answer.body.decode(errors="replace")
        try:
            read = json.loads(said)
        except ValueError:
            return self._quote(said)
        if isinstance(read, Mapping):
            read = read.get("error") or read
        if isinstance(read, Mapping):
            read = read.get("message") or read.get("detail") or json.dumps(read)
        return self._quote(str(read))

    def broken(self, failure: NoAnswer) -> str:
        """Say why there is no answer to a request, in one short line."""
        if failure.kind == "late":
            return "no answer in time."
        return f"the connection broke ({self._quote(failure.reason)})."

    def first_look(self) -> ModelError | None:
        """Look whether anything listens and takes the key, before anything is paid for; None when it seems so.

        Not every endpoint lists its models; the first request will tell what else is wrong.
        """
        listing = self._list_models()
        if isinstance(listing, NoAnswer):
            return self.unreachable(listing) if listing.kind == "unreachable" else None
        return self._key_refused(401) if listing.status == 401 else None

    def _quote(self, said: str) -> str:
        words = " ".join(said.split())
        if "<html" in words.lower() or "<!doctype" in words.lower():
            return "the endpoint sent an HTML page."
        key = self._endpoint.api_key
        if len(key) >= SHORTEST_KEY:
            words = words.replace(key, "[key]")
        return words[:LONGEST_QUOTE] or "the endpoint gave no reason."

    def _key_refused(self, status: int) -> ModelError:
        """Say that the key does not open this endpoint."""
        return ModelError(
            f"The endpoint {self._address} refused the key (HTTP {status}).",
            hint="Set a key that may use this model.",
        )

    def _model_unknown(self) -> ModelError:
        return ModelError(
            f"The endpoint {self._address} does not know the model '{self._model}' (HTTP 404).",
            hint=self._known_models(),
        )

    def _account_empty(self, answer: Answer) -> ModelError:
        return ModelError(
            f"The account at {self._address} has no credit left (HTTP {answer.status}: {self.reason(answer)}).",
            hint="Top it up and start again: finished answers are kept.",
        )

    def _moved(self, answer: Answer) -> ModelError:
        where = self._quote(answer.headers.get("location", "an address that it does not name"))
        return ModelError(
            f"The endpoint {self._address} sends requests on to {where} (HTTP {answer.status}).",
            hint="The key is not sent to other addresses by itself: if this one is right, make it the base_url.",
        )

    def _wants_a_break(self, seconds: float) -> ModelError:
        return ModelError(
            f"The endpoint {self._address} wants no request for {seconds:.0f} seconds.",
            hint="Start the run again after that: it continues.",
            retryable=True,
        )

    def _known_models(self) -> str:
        """List the endpoint's models as a hint, or say what else to check."""
        listing = self._list_models()
        try:
            known = read_model_ids(listing.body) if isinstance(listing, Answer) else []
        except ParsingError:
            known = []
        if not known:
            return "Check the model id, and that the address ends where the API begins (usually '/v1')."
        return f"It offers: {', '.join(known[:20])}{', ...' if len(known) > 20 else ''}."

    def _list_models(self) -> Answer | NoAnswer:
        return self._endpoint.get("/models", timeout=LISTING_SECONDS)

    def unreachable(self, failure: NoAnswer) -> ModelError:
        """Say that nothing listens at the address."""
        return ModelError(
            f"Nothing answers at {self._address}: {self._quote(failure.reason)}.",
            hint="Start the server or correct the address.",
            retryable=True,
        )

    def gave_up(self, last: Reply) -> ModelError:
        """Say that the endpoint counts as down."""
        return ModelError(
            f"The endpoint {self._address} only fails, {GIVE_UP_AFTER} times in a row and more: {last.error}",
            hint="Start the run again when it is well: finished answers are kept.",
            retryable=True,
        )


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
