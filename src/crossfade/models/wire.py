"""Write request bodies and read answers in the form of the OpenAI API.

`chat` sends and receives them; nothing here touches the network.
"""

import json
from typing import Literal

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from crossfade.errors import ParsingError
from crossfade.roles import Reply, Request, Usage

ClosedChoice = Literal["grammar", "schema", "plain"]
"""How an endpoint is held to a closed choice.

'grammar' sends llama.cpp's GBNF grammar (for lists of so many lines, too), 'schema' a JSON schema (chat requests
only), 'plain' only reads the answer.
"""

SCHEMA_TOKENS = 16
"""Tokens that a JSON answer spends around the choice itself."""


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: JsonValue = None


class _TokenLogprob(BaseModel):
    token: str
    logprob: float


class _ChatLogprobs(BaseModel):
    """Token log-probabilities as chat answers hold them; llama.cpp's plain completions too."""

    content: list[_TokenLogprob]


class _PlainLogprobs(BaseModel):
    """Token log-probabilities as plain completions hold them."""

    tokens: list[str]
    token_logprobs: list[float]


_LOGPROBS: TypeAdapter[_ChatLogprobs | _PlainLogprobs] = TypeAdapter(_ChatLogprobs | _PlainLogprobs)


class _PromptDetails(BaseModel):
    cached_tokens: int | None = None


class _Tokens(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None


class _Answer(BaseModel):
    """What a chat answer and a plain completion have in common."""

    id: str | None = None

    choices: list[_Choice] | None = None
    usage: _Tokens | None = None


class _ModelEntry(BaseModel):
    id: str


class _ModelList(BaseModel):
    data: list[_ModelEntry] = []


def request_fields(request: Request, closed_choice: ClosedChoice) -> dict[str, object]:
    """Write sampling, log-probabilities and closed choice as fields of a request body."""
    sampling = request.sampling
    fields: dict[str, object] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
    }
    if sampling.stop:
        fields["stop"] = list(sampling.stop)
    if sampling.logprobs:
        # Plain completions take the number of tokens to report at each place.
        fields["logprobs"] = True if request.form == "instruct" else 1
    if closed_choice == "grammar" and request.choices:
        fields["grammar"] = _choice_grammar(request)
    elif closed_choice == "grammar" and request.lines:
        fields["grammar"] = _list_grammar(request.lines)
    if request.choices and closed_choice == "schema" and request.form == "instruct":
        fields["response_format"] = _schema(request.choices)
        fields["max_tokens"] = sampling.max_tokens + SCHEMA_TOKENS
    return fields


def read_model_ids(body: bytes) -> list[str]:
    """Read the ids in a model listing.

    Raises:
        ParsingError: If the body is no model listing.
    """
    try:
        return [entry.id for entry in _ModelList.model_validate_json(body).data]
    except ValidationError:
        raise ParsingError("The endpoint's model listing is not in the form of the OpenAI API.") from None


def read_answer(request: Request, content_type: str, body: bytes) -> Reply:
    """Read an answer with HTTP status 200; one that cannot be read is a reply with an error."""
    if "json" not in content_type:
        return _broken(request, f"expected JSON, found the content type '{content_type}'.")
    try:
        answer = _Answer.model_validate_json(body)
    except ValidationError:
        return _broken(request, f"the JSON is cut short or no completion ({len(body)} bytes).")
    usage = _usage(answer.usage)
    if not answer.choices:
        return _broken(request, "the answer holds no choices.", usage)
    choice = answer.choices[0]
    text = choice.message.content if choice.message else choice.text
    finish = choice.finish_reason or ""
    if text is None:
        error = f"HTTP 200: the answer holds no text (finish '{finish}')."
        return Reply(request=request, error=error, finish=finish, usage=usage)
    logprobs = _token_logprobs(choice.logprobs) if request.sampling.logprobs else None
    return Reply(
        request=request, text=text, token_logprobs=logprobs, finish=finish, usage=usage, provider_id=answer.id or ""
    )


def _broken(request: Request, what: str, usage: Usage | None = None) -> Reply:
    return Reply(request=request, error=f"HTTP 200: {what}", usage=usage or Usage(), ask_again=True)


def _token_logprobs(offered: JsonValue) -> tuple[tuple[str, float], ...] | None:
    """Read token log-probabilities in either form; None when there are none, or not one for every token."""
    try:
        read = _LOGPROBS.validate_python(offered)
    except ValidationError:
        # The text is good and paid for; that the rest is missing shows in the reply.
        return None
    if isinstance(read, _ChatLogprobs):
        return tuple((entry.token, entry.logprob) for entry in read.content)
    if len(read.tokens) != len(read.token_logprobs):
        return None
    return tuple(zip(read.tokens, read.token_logprobs, strict=True))


def _usage(tokens: _Tokens | None) -> Usage:
    if tokens is None:
        return Usage()
    details = tokens.prompt_tokens_details or _PromptDetails()
    return Usage(
        prompt_tokens=tokens.prompt_tokens or 0,
        cached_tokens=details.cached_tokens or 0,
        answer_tokens=tokens.completion_tokens or 0,
    )


def _list_grammar(lines: int) -> str:
    """Write a continued list as a GBNF grammar; the dash of its first entry ends the prompt."""
    return f'root ::= " " entry ("\\n- " entry){{{lines - 1}}} "\\n"\nentry ::= [^\\n]+'


def _choice_grammar(request: Request) -> str:
    """Write the choices as a GBNF grammar."""
    named = " | ".join(json.dumps(choice, ensure_ascii=False) for choice in request.choices)
    # A continued text names its answer after a space, and most vocabularies hold words with the space in front.
    return f'root ::= " "? ({named})' if request.form == "continue" else f"root ::= {named}"


def _schema(choices: tuple[str, ...]) -> dict[str, object]:
    """Write the choices as a JSON schema; strict endpoints want an object at the top."""
    schema = {
        "type": "object",
        "properties": {"choice": {"type": "string", "enum": list(choices)}},
        "required": ["choice"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "choice", "strict": True, "schema": schema}}
