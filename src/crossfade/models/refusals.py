"""Say what an endpoint's refusals and failures mean: wait, give up this request, or stop the run; one sentence each."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import openai

from crossfade.errors import ModelError, ParsingError
from crossfade.models.pace import GIVE_UP_AFTER
from crossfade.models.wire import read_model_ids
from crossfade.roles import Reply

LONGEST_QUOTE = 200
"""Characters of an endpoint's own words that an error repeats."""
LONGEST_RETRY_AFTER = 600.0
"""Seconds of Retry-After that are obeyed; an endpoint that wants more stops the run."""
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
        client: Knows the address and the key.
        model: The model id, as the endpoint calls it.
    """

    def __init__(self, client: openai.OpenAI, model: str) -> None:
        self._client = client
        self._model = model
        self.address = client.base_url.netloc.decode("ascii") + client.base_url.path.rstrip("/")

    def read(self, error: openai.APIStatusError) -> Failure:
        """Tell what stops the run from what will pass and what is this request's own fault."""
        status = error.status_code
        if status in (401, 403):
            return Failure(self.key_refused(status))
        if status == 404:
            return Failure(self._model_unknown())
        said = json.dumps(error.body) if error.body else ""
        if status == 402 or "insufficient_quota" in said:
            return Failure(self._account_empty(status, error))
        if status in (408, 409, 429) or status >= 500:
            wait = _retry_after(error.response.headers)
            if wait is not None and wait > LONGEST_RETRY_AFTER:
                return Failure(self._wants_a_break(wait))
            return Failure(retry_after=wait)
        return Failure(request_is_bad=True)

    def quote(self, said: object) -> str:
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

    def key_refused(self, status: int) -> ModelError:
        """Say that the key does not open this endpoint."""
        return ModelError(
            f"The endpoint {self.address} refused the key (HTTP {status}).",
            hint="Set a key that may use this model.",
        )

    def _model_unknown(self) -> ModelError:
        return ModelError(
            f"The endpoint {self.address} does not know the model '{self._model}' (HTTP 404).",
            hint=self._known_models(),
        )

    def _account_empty(self, status: int, error: openai.APIStatusError) -> ModelError:
        return ModelError(
            f"The account at {self.address} has no credit left (HTTP {status}: {self.quote(error.body)}).",
            hint="Top it up and start again: finished answers are kept.",
        )

    def _wants_a_break(self, seconds: float) -> ModelError:
        return ModelError(
            f"The endpoint {self.address} wants no request for {seconds:.0f} seconds.",
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

    def unreachable(self, error: openai.APIConnectionError) -> ModelError:
        """Say that nothing listens at the address."""
        return ModelError(
            f"Nothing answers at {self.address}: {self.quote(error.__cause__)}.",
            hint="Start the server or correct the address.",
            retryable=True,
        )

    def gave_up(self, last: Reply) -> ModelError:
        """Say that the endpoint counts as down."""
        return ModelError(
            f"The endpoint {self.address} only fails, {GIVE_UP_AFTER} times in a row and more: {last.error}",
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


def is_unreachable(error: openai.APIConnectionError) -> bool:
    """Tell a server that is not there from a connection that broke later."""
    # By name: the HTTP library under the client differs between its versions.
    return type(error.__cause__).__name__ in {"ConnectError", "ConnectTimeout", "UnsupportedProtocol"}
