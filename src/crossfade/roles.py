"""What a method may be handed: Protocols of one or two methods, and the messages they exchange.

A role never says which model or library stands behind it; only `parts.py` knows.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from crossfade.data import AnnotatedExample, Example
from crossfade.errors import SettingsError

Floats = NDArray[np.float64]
CHARACTERS_PER_TOKEN = 4
"""Rough length of an English token, where nothing can count them."""
Form = Literal["instruct", "continue"]
"""How a model wants to be asked: follow an instruction in a chat, or continue a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a reply is drawn; the same values give the same digest."""

    temperature: float = 1.0
    """0 means greedy."""
    top_p: float = 1.0
    """Nucleus, in (0, 1]; 1 keeps all tokens."""
    max_tokens: int = 256
    """Longest answer, in tokens."""
    stop: tuple[str, ...] = ()
    """Strings that end the answer; they are not part of it."""
    logprobs: bool = False
    """Whether to ask for the natural-log probability of each answer token; part of the digest."""

    def as_json(self) -> dict[str, float | tuple[str, ...]]:
        """Return the values by name, in the order of their definition."""
        # `dataclasses.asdict` takes ten times as long, and every request comes here.
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """How several prompts decide on each token of one text; models/guidance.py has the formulas. Ours."""

    names: tuple[str, ...]
    """The class of each prompt."""
    prompts: tuple[str, ...]
    """One for each class; every one of them is read as if the text continued it alone."""
    shares: tuple[float, ...]
    """What each prompt adds to the mixture, [prompts], summing to 1; prompts with 0 are those to keep away from, but
    for silent ones."""
    strength: float = 0.0
    """How hard the text is pushed away from those prompts; 0 only mixes."""
    cut: float = 4.0
    """Tokens more than so many nats below the best of the mixture are left out, however much guidance likes them."""
    anneal: int | None = None
    """Tokens over which the strength falls to 0 in a straight line; None keeps it."""
    rule: Literal["contrast", "self_debiasing"] = "contrast"
    silent: tuple[int, ...] = ()
    """Places of prompts without a share that are not kept away from either: they say how likely they find the text."""

    def __post_init__(self) -> None:
        fits = len(self.shares) == len(self.prompts) == len(self.names)
        if not fits or not math.isclose(sum(self.shares), 1) or min(self.shares) < 0:
            raise SettingsError(
                f"Guidance has {len(self.prompts)} prompts and the shares {self.shares}; "
                "expected a share of 0 or more for each, 1 in all."
            )

    @property
    def avoided(self) -> tuple[bool, ...]:
        """Whether a prompt is to be kept away from, [prompts]."""
        return tuple(not share and place not in self.silent for place, share in enumerate(self.shares))

    def strength_at(self, tokens: int) -> float:
        """Return the strength after so many tokens."""
        return self.strength if self.anneal is None else self.strength * max(0.0, 1 - tokens / self.anneal)

    def as_json(self) -> dict[str, object]:
        """Return the values by name, in the order of their definition; silent prompts only where there are some."""
        # Replies are kept under a digest of this.
        return {name: getattr(self, name) for name in self.__slots__ if name != "silent" or self.silent}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to a language model.

    The prompt is `prefix + prompt`: the prefix is what requests share, byte for byte, so that a server can reuse the
    work of reading it. Send requests with equal prefixes one after the other.
    """

    prompt: str
    prefix: str = ""
    form: Form = "instruct"
    """'instruct' sends one chat message, 'continue' a plain completion."""
    sampling: Sampling = Sampling()
    choices: tuple[str, ...] = ()
    """A closed choice: the reply must be one of these, verbatim. Empty means free text."""
    lines: int = 0
    """A continued list: the answer goes on with so many entries, "- " before each but the first, and then ends. A
    server that can be held to a grammar is; from any other the list may be shorter. 0 leaves the answer free."""
    sample: int = 0
    """Tells apart several draws from the same prompt; part of the digest and the sampling seed."""
    guidance: Guidance | None = None
    """Several prompts instead of one, for models with open weights; prefix and prompt are then empty."""
    _last_digest: tuple[str, str] = field(default=("", ""), init=False, repr=False, compare=False)
    """Model and digest: a request is looked up, sent and kept under the same one."""

    @property
    def full_prompt(self) -> str:
        """Prefix and prompt together, exactly as sent; under guidance, all prompts one after the other."""
        return self.prefix + self.prompt if self.guidance is None else "\n\n".join(self.guidance.prompts)

    @property
    def prompt_digest(self) -> str:
        """The first 16 hex digits of the SHA-256 of the full prompt."""
        return hashlib.sha256(self.full_prompt.encode()).hexdigest()[:16]

    def digest(self, model: str) -> str:
        """The key of the reply in the store: SHA-256 over the model's name and all that shapes the answer."""
        known_for, digest = self._last_digest
        if known_for != model or not digest:
            sampling = self.sampling.as_json()
            parts = [model, self.full_prompt, self.form, sampling, self.choices, self.lines, self.sample]
            if self.guidance is not None:
                parts.append(self.guidance.as_json())
            digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
            object.__setattr__(self, "_last_digest", (model, digest))
        return digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the model counted them; zero where it does not say."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Prompt tokens that were reused from an earlier request; a part of `prompt_tokens`."""
    answer_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to one request, or the reason why there is none."""

    request: Request
    text: str = ""
    error: str | None = None
    """One sentence when the request failed for good; the text is then empty."""
    choice_logprobs: tuple[float, ...] | None = None
    """Natural-log probability of each of the request's choices after the prompt, where the model offers it; of a guided
    text, under each of its prompts."""
    token_logprobs: tuple[tuple[str, float], ...] | None = None
    """Token text and its natural-log probability, in answer order; None when not asked for or not offered.

    The tokens are those of the answer as it was sent: where a closed choice came as JSON, they spell the JSON.
    """
    finish: str = ""
    """Why the answer ended, in the endpoint's words ('stop', 'length')."""
    usage: Usage = Usage()
    seconds: float = 0.0
    """From sending the request to having its answer; waits between attempts not included."""
    status: int = 0
    """HTTP status; 0 where there was none."""
    provider_id: str = ""
    """The provider's own id of the request, to look it up in its bills."""
    ask_again: bool = False
    """The request failed after it was accepted, so it may have been paid for, and another call may well succeed."""
    from_store: bool = False
    more_ready: bool = field(default=False, repr=False, compare=False)
    """The model has its next reply at hand: reading on does not wait for an answer."""

    @property
    def chosen(self) -> str | None:
        """The choice the reply names exactly (outer white space or JSON aside), or None: never a guess."""
        if self.error is not None or not self.request.choices:
            return None
        said = self.text.strip()
        if said.startswith("{"):
            try:
                said = str(json.loads(said)["choice"]).strip()
            except (ValueError, KeyError):
                return None
        return next((choice for choice in self.request.choices if choice.strip() == said), None)


class TextModel(Protocol):
    """Anything that answers requests: an endpoint, an embedded model, open weights, a script."""

    @property
    def name(self) -> str:
        """What identifies the model's answers: endpoint and model id, or a file digest. Never holds a key."""
        ...

    @property
    def preferred_form(self) -> Form:
        """The form that `auto` picks for this model."""
        ...

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer each request once, in any order, reading the iterable lazily.

        A request that fails for good is a reply with `error`; only a model that cannot answer at all (server down,
        wrong key, unknown model) raises `ModelError`.
        """
        ...


class Encoder(Protocol):
    """Turns texts into vectors."""

    @property
    def name(self) -> str:
        """What identifies the encoder."""
        ...

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return unit-length embeddings, [texts, width]."""
        ...


class Inverter(Protocol):
    """Turn sentence embeddings back into sentences (inversedMixup)."""

    @property
    def name(self) -> str:
        """What identifies the inverter's texts: encoder, language model and adaptor."""
        ...

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return unit-length embeddings in the space that the adaptor knows, [texts, width]."""
        ...

    def decode(self, points: Floats, *, sampling: Sampling, candidates: int = 1, seed: int = 0) -> list[list[str]]:
        """Return for each point so many candidate texts; the same seed gives the same texts.

        Args:
            points: Embeddings, [points, width].
            sampling: How texts are drawn; temperature 0 is greedy and has one candidate.
            candidates: Texts for each point, >= 1.
            seed: Fixes the draws.
        """
        ...


class Student(Protocol):
    """A small model that learns from examples with soft labels and weights."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in column order, once fitted."""
        ...

    def fit(self, examples: Sequence[Example], targets: Floats, weights: Floats, labels: Sequence[str]) -> "Student":
        """Train from scratch and return the fitted student (possibly self).

        Args:
            examples: The training rows.
            targets: Class probabilities, [rows, classes], each row summing to 1; columns follow `labels`.
            weights: Sample weights, [rows], each >= 0; a weight of 0 equals absence.
            labels: Class names in column order.
        """
        ...

    def predict_probabilities(self, examples: Sequence[Example]) -> Floats:
        """Return class probabilities, [rows, classes].

        A row sums to 1, or is all zeros where the student has no answer: that counts as wrong, never as a guess.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the fitted student to a folder, without pickle."""
        ...


@runtime_checkable
class Reader(Protocol):
    """A small model that finds the answer to a question in its context."""

    def fit(self, examples: Sequence[Example], weights: Floats) -> "Reader":
        """Train from scratch and return the fitted reader (possibly self).

        Args:
            examples: The training rows, each a `ReadingExample`.
            weights: Sample weights, [rows], each >= 0; a weight of 0 equals absence.
        """
        ...

    def find_answers(self, examples: Sequence[Example]) -> list[str]:
        """Return one span of its context for each question."""
        ...

    def save(self, folder: Path) -> None:
        """Write the fitted reader to a folder, without pickle."""
        ...


@runtime_checkable
class Annotator(Protocol):
    """A small model that says which intents, entities or slots a text has."""

    def fit(self, examples: Sequence[Example], weights: Floats) -> "Annotator":
        """Train from scratch and return the fitted annotator (possibly self).

        Args:
            examples: The training rows, each an `AnnotatedExample`, all of one task.
            weights: Sample weights, [rows], each >= 0; a weight of 0 equals absence.
        """
        ...

    def annotate(self, examples: Sequence[Example]) -> list[AnnotatedExample]:
        """Return each text with the annotation that the student gives it; the example's own is unread."""
        ...

    def save(self, folder: Path) -> None:
        """Write the fitted annotator to a folder, without pickle."""
        ...


Learner = Student | Reader | Annotator
"""What can be trained on rows of its task."""
