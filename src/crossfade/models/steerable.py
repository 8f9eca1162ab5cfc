"""Open weights in this process, through torch and transformers: closed choices by likelihood, and guided texts.

How guided texts are written stands in guidance.py. How probable is each of some choices after a prompt? All questions
that share a prefix are packed into one sequence with a tree-shaped attention mask (prefix, then question, then its
choices), so the prefix is read once and no token twice.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossfade.errors import ModelError
from crossfade.models.guidance import GuidedDecoder
from crossfade.models.weights import CausalWeights
from crossfade.roles import Form, Reply, Request, Usage

if TYPE_CHECKING:
    import torch

PACK = 512
"""Tokens that are packed into one pass; longer packs spend more on attention than they save."""
AT_A_TIME = 64
"""Positions whose distribution over the vocabulary is held at a time; more would be fresh memory for every pack."""
READ_AHEAD = 256
"""Requests taken from the stream at a time; those with equal neighbouring prefixes run together."""


@dataclass(frozen=True, slots=True)
class _Question:
    request: Request
    tokens: list[int]
    choices: list[list[int]]

    def __len__(self) -> int:
        return len(self.tokens) + sum(map(len, self.choices))


class OpenWeights:
    """A causal language model whose next-token probabilities can be read.

    Answers guided requests, and closed choices: the reply's text is then the most probable choice, and
    `choice_logprobs` holds the summed log-probability of each.

    Args:
        path: A hub id, a folder, or a GGUF file (its weights are unpacked once into `cache`).
        cache: Folder for unpacked GGUF weights; unpacking takes a quarter of a minute for 135M parameters.
    """

    def __init__(self, path: str | Path, *, cache: Path) -> None:
        self._weights = CausalWeights(path, cache=cache)

    @property
    def name(self) -> str:
        """Identify the weights by their file or hub id."""
        return self._weights.name

    @property
    def preferred_form(self) -> Form:
        """Likelihoods are read from plain text."""
        return "continue"

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer closed choices in order and guided requests as they end, reading a block of requests at a time."""
        for guided, part in groupby(requests, key=lambda request: request.guidance is not None):
            if guided:
                yield from GuidedDecoder(self._model, self._tokenizer, self._read_prompt, self.name).answer(part)
            else:
                yield from self._answer_closed(part)

    def _answer_closed(self, requests: Iterator[Request]) -> Iterator[Reply]:
        while block := list(islice(requests, READ_AHEAD)):
            for prefix, group in groupby(block, key=lambda request: request.prefix):
                yield from self._answer_group(prefix, list(group))

    def _answer_group(self, prefix: str, requests: list[Request]) -> Iterator[Reply]:
        for request in requests:
            if not (request.choices and request.prompt):
                yield Reply(request=request, error="Open weights need a prompt and choices; this request lacks one.")
        closed = [request for request in requests if request.choices and request.prompt]
        for pack in _packs([self._question(request) for request in closed]):
            started = time.perf_counter()
            scores = self._score(prefix, pack)
            seconds = (time.perf_counter() - started) / len(pack)
            for question, logprobs in zip(pack, scores, strict=True):
                best = max(range(len(logprobs)), key=logprobs.__getitem__)
                yield Reply(
                    request=question.request,
                    text=question.request.choices[best],
                    choice_logprobs=tuple(logprobs),
                    finish="stop",
                    usage=Usage(
                        prompt_tokens=len(self._prefix_tokens(prefix)) + len(question),
                        cached_tokens=len(self._prefix_tokens(prefix)),
                    ),
                    seconds=seconds,
                )

    def _question(self, request: Request) -> _Question:
        return _Question(request, self._tokens(request.prompt), [self._tokens(choice) for choice in request.choices])

    def _tokens(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _prefix_tokens(self, prefix: str) -> list[int]:
        # A model needs one token to start from.
        start = self._tokenizer.bos_token_id
        found = [*self._weights.begin, *self._tokens(prefix)]
        return found or [self._tokenizer.eos_token_id if start is None else start]

    def _read_prompt(self, prompt: str, request: Request) -> list[int]:
        """Turn one of a guided request's prompts into tokens; a chat-tuned model gets it as a message.

        Raises:
            ModelError: The model has no form for messages.
        """
        if request.form == "continue":
            return self._prefix_tokens(prompt)
        if self._tokenizer.chat_template is None:
            raise ModelError(
                f"The tokenizer of '{self.name}' has no chat template; the form 'instruct' needs one.",
                hint='Set writer.form = "continue".',
            )
        chat = [{"role": "user", "content": prompt}]
        tokens = self._tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
        return list(tokens)

    def _score(self, prefix: str, pack: Sequence[_Question]) -> list[list[float]]:
        """Return the log-probability of every choice of every question, after prefix and question."""
        import torch

        with torch.inference_mode():
            cache, read = self._read_prefix(prefix)
            tokens, positions, mask, reads = _lay_out(pack, read, self._model.dtype)
            hidden = self._model.model(
                input_ids=tokens[None].to(self._model.device),
                position_ids=positions[None].to(self._model.device),
                attention_mask=mask[None, None].to(self._model.device),
                cache=cache,
                use_cache=True,
            ).last_hidden_state[0]
            cache.crop(-len(tokens))
            gathered = torch.cat(
                [
                    _logprobs(self._model.lm_head(rows).float(), wanted.to(rows.device))
                    for rows, wanted in zip(
                        torch.split(hidden[reads.sources], AT_A_TIME),
                        torch.split(reads.targets, AT_A_TIME),
                        strict=True,
                    )
                ]
            )
        scores = [[0.0] * len(question.choices) for question in pack]
        for (question, choice), value in zip(reads.owners, gathered.tolist(), strict=True):
            scores[question][choice] += value
        return scores

    def _read_prefix(self, prefix: str) -> tuple[Any, int]:
        """Run the model over the prefix once and keep its cache for the next pack."""
        import torch

        if self._prefix_cache is None or self._prefix_cache[0] != prefix:
            tokens = self._prefix_tokens(prefix)
            output = self._model.model(input_ids=torch.tensor([tokens], device=self._model.device), use_cache=True)
            self._prefix_cache = (prefix, output.cache, len(tokens))
        return self._prefix_cache[1], self._prefix_cache[2]

    _prefix_cache: tuple[str, Any, int] | None = None

    @property
    def _tokenizer(self) -> Any:
        return self._weights.tokenizer

    @property
    def _model(self) -> Any:
        return self._weights.model


def _logprobs(logits: "torch.Tensor", wanted: "torch.Tensor") -> "torch.Tensor":
    """Return the log-probability of one wanted token per row, [rows]."""
    return logits.gather(1, wanted[:, None])[:, 0] - logits.logsumexp(dim=1)


def _packs(questions: Sequence[_Question]) -> Iterator[list[_Question]]:
    pack: list[_Question] = []
    for question in questions:
        if pack and sum(map(len, pack)) + len(question) > PACK:
            yield pack
            pack = []
        pack.append(question)
    if pack:
        yield pack


@dataclass(frozen=True, slots=True)
class _Reads:
    """Where the probability of each choice token is read."""

    sources: "torch.Tensor"
    """Position in the pack whose output predicts the token, [choice tokens]."""
    targets: "torch.Tensor"
    """The token predicted, [choice tokens]."""
    owners: list[tuple[int, int]]
    """(question, choice) the token belongs to, [choice tokens]."""


def _lay_out(
    pack: Sequence[_Question], read: int, dtype: "torch.dtype"
) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor", _Reads]:
    """Lay questions and choices end to end, with a mask under which each sees its own path only.

    Returns:
        Tokens and positions, [pack tokens]; the additive mask, [pack tokens, prefix + pack tokens]; and the reads.
    """
    import torch

    length = sum(map(len, pack))
    mask = torch.full((length, read + length), float("-inf"), dtype=dtype)
    mask[:, :read] = 0
    tokens: list[int] = []
    positions: list[int] = []
    sources: list[int] = []
    targets: list[int] = []
    owners: list[tuple[int, int]] = []

    def place(part: list[int], first_position: int) -> int:
        start = len(tokens)
        tokens.extend(part)
        positions.extend(range(first_position, first_position + len(part)))
        own = torch.full((len(part), len(part)), float("-inf"), dtype=dtype).triu(1)
        mask[start : start + len(part), read + start : read + start + len(part)] = own
        return start

    for index, question in enumerate(pack):
        size = len(question.tokens)
        stem = place(question.tokens, read)
        for choice_index, choice in enumerate(question.choices):
            leaf = place(choice, read + size)
            mask[leaf : leaf + len(choice), read + stem : read + stem + size] = 0
            sources.extend([stem + size - 1, *range(leaf, leaf + len(choice) - 1)])
            targets.extend(choice)
            owners.extend([(index, choice_index)] * len(choice))
    reads = _Reads(torch.tensor(sources), torch.tensor(targets), owners)
    return torch.tensor(tokens), torch.tensor(positions), mask, reads
