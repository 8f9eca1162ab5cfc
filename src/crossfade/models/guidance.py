"""Decode under several prompts at once: at each token their distributions are mixed, and others are pushed away.

All prompts of a step run in one batch; a prompt is read once for all texts that continue it, and where a text ends the
next begins. Ours; relatives are classifier-free guidance for language models (Sanchez et al. 2023, arXiv 2306.17806),
DExperts (Liu et al. 2021, arXiv 2105.03023), contrastive decoding (Li et al. 2023, arXiv 2210.15097) and self-debiasing
(Schick, Schütze 2021, arXiv 2104.07540).
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from crossfade.models.nucleus import draw_places
from crossfade.models.shared_cache import NOBODY, SharedCache
from crossfade.roles import Guidance, Reply, Request, Sampling, Usage

if TYPE_CHECKING:
    import torch

LANES = 192
"""Prompts times texts that run together on a processor: beyond that a step takes as much longer as it brings more."""
LANES_ON_GPU = 384
"""The same on a GPU, where a step takes as long for few lanes as for many, but their keys and values take room: those
of 384 prompts of 500 tokens each take 4 GB with 135M parameters, and twice that while prompts are added."""
IDLE = 0.125
"""Share of prompts without a text from which they are let go of; each time the keys of all others are copied."""
AT_A_TIME = 8
"""Texts whose next token is chosen at a time on a processor; more would be fresh memory at every step."""
READ_AHEAD = 256
"""Requests with the same prompts that are taken from the stream together."""


@dataclass(slots=True, eq=False)
class _Text:
    """A text under way."""

    request: Request
    number: int
    """Its name in the cache."""
    draws: np.random.Generator
    """Seeded by the request alone: the company it keeps changes nothing."""
    logprobs: "torch.Tensor"
    """Of the text so far under each prompt, [prompts]."""
    started: float
    tokens: list[int] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Group:
    """Texts that continue the same prompts."""

    lengths: list[int]
    """Tokens of each prompt."""
    opening: "torch.Tensor"
    """Logits of the first token after each prompt, [prompts, vocabulary]."""
    waiting: deque[Request]
    texts: list[_Text] = field(default_factory=list)
    told: bool = False
    """Whether a reply has told of the prompts' tokens already."""


class GuidedDecoder:
    """Writes guided texts, many side by side.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its tokenizer.
        read: Turns a prompt, in the form of its request, into tokens.
        name: The model's name, which goes into the seeds.
    """

    def __init__(self, model: Any, tokenizer: Any, read: Callable[[str, Request], list[int]], name: str) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._read = read
        self._name = name
        added = tokenizer.added_tokens_decoder.items()
        self._ends = {*tokenizer.all_special_ids, *(token for token, entry in added if entry.special)}
        self._cache = SharedCache(model)
        self._groups: list[_Group] = []
        self._texts = 0
        self._lanes = LANES if model.device.type == "cpu" else LANES_ON_GPU

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer guided requests, in the order in which their texts end; neighbours with equal prompts share them."""
        runs = _runs(requests)
        while self._admit(runs):
            yield from self._go_on()

    def _go_on(self) -> list[Reply]:
        """Begin the texts for which there are lanes, add a token to all, and return those that have ended."""
        import torch

        with torch.inference_mode():
            self._begin()
            ended = self._end()
            if any(group.texts for group in self._groups):
                self._step()
                ended += self._end()
        return ended

    def _admit(self, runs: Iterator[list[Request]]) -> bool:
        """Open the next prompts while lanes are free; False when nothing is left to write."""
        import torch

        lanes = self._free
        new: list[tuple[list[Request], list[list[int]]]] = []
        while lanes > 0 and (run := next(runs, None)):
            prompts = [self._read(prompt, run[0]) for prompt in _guidance(run[0]).prompts]
            new.append((run, prompts))
            lanes -= len(run) * len(prompts)
        if new:
            with torch.inference_mode():
                openings = self._cache.open([prompt for _, prompts in new for prompt in prompts])
            for run, prompts in new:
                opening, openings = openings[: len(prompts)], openings[len(prompts) :]
                self._groups.append(_Group([len(prompt) for prompt in prompts], opening, deque(run)))
        return any(group.texts or group.waiting for group in self._groups)

    @property
    def _free(self) -> int:
        """Lanes that neither texts under way nor waiting ones will take."""
        return self._lanes - sum(len(group.lengths) * (len(group.texts) + len(group.waiting)) for group in self._groups)

    def _begin(self) -> None:
        """Draw the first token of waiting texts, as many as there are lanes; one at least."""
        lanes = self._lanes - sum(len(group.lengths) * len(group.texts) for group in self._groups)
        for group in self._groups:
            count = min(len(group.waiting), max(lanes // len(group.lengths), 0))
            if not count and not any(each.texts for each in self._groups):
                count = min(1, len(group.waiting))
            new = [self._new_text(group) for _ in range(count)]
            if new:
                lanes -= count * len(group.lengths)
                group.texts += new
                _extend(new, group.opening.expand(len(new), -1, -1))

    def _new_text(self, group: _Group) -> _Text:
        import torch

        request = group.waiting.popleft()
        self._texts += 1
        draws = np.random.default_rng(int(request.digest(self._name)[:16], 16))
        return _Text(
            request,
            self._texts,
            draws,
            torch.zeros(len(group.lengths)),
            time.perf_counter(),
        )

    def _step(self) -> None:
        """Read the last token of every text under each of its prompts, and draw the next."""
        import torch

        width = max(len(group.texts) for group in self._groups)
        tokens, positions, owners = [], [], []
        for group in self._groups:
            spare = [0] * (width - len(group.texts))
            for length in group.lengths:
                tokens.append([text.tokens[-1] for text in group.texts] + spare)
                positions.append([length + len(text.tokens) - 1 for text in group.texts] + spare)
                owners.append([text.number for text in group.texts] + [NOBODY] * len(spare))
        put = self._groups[0].opening.device
        logits = self._cache.advance(
            torch.tensor(tokens, device=put), torch.tensor(positions, device=put), torch.tensor(owners, device=put)
        )
        first = 0
        for group in self._groups:
            rows = slice(first, first := first + len(group.lengths))
            if group.texts:
                _extend(group.texts, logits[rows, : len(group.texts)].transpose(0, 1))

    def _end(self) -> list[Reply]:
        """Take out the texts that have ended."""
        replies, ended = [], []
        for group in self._groups:
            for text in list(group.texts):
                written, finish = self._written(text)
                if finish:
                    group.texts.remove(text)
                    ended.append(text.number)
                    replies.append(_reply(text, group, written, finish))
        if ended:
            self._cache.forget(ended)
        self._close()
        return replies

    def _close(self) -> None:
        """Let go of prompts that nobody continues any more, once they are so many that moving the others up pays."""
        left: list[_Group] = []
        closed: list[int] = []
        first = 0
        for group in self._groups:
            rows = range(first, first := first + len(group.lengths))
            if group.texts or group.waiting:
                left.append(group)
            else:
                closed += rows
        if closed and len(closed) >= IDLE * first:
            self._groups = left
            self._cache.close(closed)

    def _written(self, text: _Text) -> tuple[str, str]:
        """Return a text as far as it is written, and why it has ended; an empty reason while it goes on."""
        sampling = text.request.sampling
        over = text.tokens[-1] in self._ends
        written = self._tokenizer.decode(text.tokens[:-1] if over else text.tokens)
        stops = [place for stop in sampling.stop if (place := written.find(stop)) >= 0]
        if stops:
            return written[: min(stops)], "stop"
        return written, "stop" if over else "length" if len(text.tokens) >= sampling.max_tokens else ""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The tokens that may come next in some texts."""

    tokens: "torch.Tensor"
    """Token ids, [texts, candidates], the mixture's best first."""
    logprobs: "torch.Tensor"
    """Under each prompt, [texts, prompts, candidates]."""
    scores: "torch.Tensor"
    """Log-probabilities up to a constant, [texts, candidates]; -inf where a token is cut off."""


def guided(logits: "torch.Tensor", guidances: Sequence[Guidance], written: Sequence[int]) -> Candidates:
    """Score the next token of each text by all of its prompts.

    With log-probabilities l_k under prompt k, shares r_k, and n, the mean distribution of prompts to keep away from:

        m = sum_k r_k l_k                                     (mixing: a weighted geometric mean)
        score = m + strength (m - log n)                      (guidance, where m >= max m - cut)
        score = m + min(0, strength (e^m - max_k e^l_k))      (self-debiasing, k over the prompts to keep away from)

    Args:
        logits: After each prompt and text, [texts, prompts, vocabulary].
        guidances: One to a text.
        written: Tokens that each text has so far.
    """
    import torch

    def column(values: Iterable[float]) -> torch.Tensor:
        return torch.tensor(list(values), dtype=torch.float32, device=logits.device)[:, None]

    logits = logits.float()
    shares = torch.tensor([guidance.shares for guidance in guidances], device=logits.device)
    raw = (shares[:, None] @ logits)[:, 0]
    plausible = raw >= raw.amax(dim=1, keepdim=True) - column(guidance.cut for guidance in guidances)
    tokens = raw.topk(int(plausible.sum(dim=1).max()), dim=1).indices
    places = tokens[:, None].expand(-1, logits.shape[1], -1)
    logprobs = logits.gather(2, places) - logits.logsumexp(dim=2, keepdim=True)
    mixed = (shares[:, None] @ logprobs)[:, 0]
    avoided = torch.tensor([guidance.avoided for guidance in guidances], device=logits.device)
    others = logprobs.masked_fill(~avoided[:, :, None], float("-inf"))
    strength = column(guidance.strength_at(count) for guidance, count in zip(guidances, written, strict=True))
    contrast = mixed - (others.logsumexp(dim=1) - avoided.sum(dim=1, keepdim=True).log())
    bias = (mixed.exp() - others.exp().amax(dim=1)).clamp(max=0)
    debiasing = column(guidance.rule == "self_debiasing" for guidance in guidances) > 0
    push = torch.where(debiasing, bias, contrast).masked_fill(~avoided.any(dim=1, keepdim=True), 0.0)
    return Candidates(tokens, logprobs, (mixed + strength * push).masked_fill(~plausible.gather(1, tokens), -torch.inf))


def draw(scores: "torch.Tensor", samplings: Sequence[Sampling], uniforms: Sequence[float]) -> "torch.Tensor":
    """Draw a candidate for each text from the nucleus of its scores.

    Args:
        scores: Log-probabilities up to a constant, [texts, candidates]; -inf where one is out of the question.
        samplings: Temperature and nucleus of each text; temperature 0 takes the best candidate.
        uniforms: A number in [0, 1) for each text: where in its nucleus the candidate lies, likely ones first.

    Returns:
        The place of the one drawn, [texts].
    """
    import torch

    def column(values: Iterable[float]) -> torch.Tensor:
        return torch.tensor(list(values), dtype=torch.float32, device=scores.device)[:, None]

    best, order = scores.sort(dim=1, descending=True)
    probabilities = (best / column(sampling.temperature or 1.0 for sampling in samplings)).softmax(dim=1)
    places = draw_places(probabilities, column(sampling.top_p for sampling in samplings), column(uniforms))
    greedy = column(sampling.temperature == 0 for sampling in samplings) > 0
    return order.gather(1, places.masked_fill(greedy, 0))[:, 0]


def _extend(texts: Sequence[_Text], logits: "torch.Tensor") -> None:
    """Draw the next token of each text by the logits after its prompts, [texts, prompts, vocabulary]."""
    at_a_time = AT_A_TIME if logits.device.type == "cpu" else len(texts)
    for start in range(0, len(texts), at_a_time):
        part = texts[start : start + at_a_time]
        found = guided(
            logits[start : start + at_a_time],
            [_guidance(text.request) for text in part],
            [len(text.tokens) for text in part],
        )
        drawn = draw(found.scores, [text.request.sampling for text in part], [text.draws.random() for text in part])
        tokens = found.tokens.gather(1, drawn[:, None])[:, 0].tolist()
        places = drawn[:, None, None].expand(-1, found.logprobs.shape[1], 1)
        told = found.logprobs.gather(2, places)[:, :, 0].cpu()
        for text, token, logprobs in zip(part, tokens, told, strict=True):
            text.tokens.append(token)
            text.logprobs = text.logprobs + logprobs


def _reply(text: _Text, group: _Group, written: str, finish: str) -> Reply:
    read = sum(group.lengths)
    shared, group.told = group.told, True
    return Reply(
        request=text.request,
        text=written,
        choice_logprobs=tuple(text.logprobs.tolist()),
        finish=finish,
        usage=Usage(prompt_tokens=read, cached_tokens=read if shared else 0, answer_tokens=len(text.tokens)),
        seconds=time.perf_counter() - text.started,
    )


def _runs(requests: Iterable[Request]) -> Iterator[list[Request]]:
    """Gather neighbours with equal prompts, a limited number at a time."""
    for _, same in groupby(requests, key=lambda request: (request.form, _guidance(request).prompts)):
        while run := list(islice(same, READ_AHEAD)):
            yield run


def _guidance(request: Request) -> Guidance:
    assert request.guidance is not None, "only guided requests come here"
    return request.guidance
