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

from crossfade.models.shared_cache import NOBODY, SharedCache
from crossfade.roles import Guidance, Reply, Request, Sampling, Usage

if TYPE_CHECKING:
    import torch

LANES = 192
"""Prompts times texts that run together: beyond that a step takes as much longer as it brings more."""
READ_AHEAD = 256
"""Requests with the same prompts that are taken from the stream together."""


@dataclass(slots=True)
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


@dataclass(slots=True)
class _Group:
    """Texts that continue the same prompts."""

    lengths: list[int]
    """Tokens of each prompt."""
    opening: "torch.Tensor"
    """Log-probabilities of the first token after each prompt, [prompts, vocabulary]."""
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
        self._cache = SharedCache(model)
        self._groups: list[_Group] = []
        self._texts = 0

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer guided requests, in the order in which their texts end; neighbours with equal prompts share them."""
        import torch

        runs = _runs(requests)
        with torch.inference_mode():
            while self._admit(runs):
                self._begin()
                yield from self._end()
                if any(group.texts for group in self._groups):
                    self._step()
                    yield from self._end()

    def _admit(self, runs: Iterator[list[Request]]) -> bool:
        """Open the next prompts while lanes are free; False when nothing is left to write."""
        while self._free > 0 and (run := next(runs, None)):
            prompts = [self._read(prompt, run[0]) for prompt in _guidance(run[0]).prompts]
            opening = self._cache.open(prompts).float().log_softmax(dim=1)
            self._groups.append(_Group([len(prompt) for prompt in prompts], opening, deque(run)))
        return bool(self._groups)

    @property
    def _free(self) -> int:
        """Lanes that neither texts under way nor waiting ones will take."""
        return LANES - sum(len(group.lengths) * (len(group.texts) + len(group.waiting)) for group in self._groups)

    def _begin(self) -> None:
        """Draw the first token of waiting texts, as many as there are lanes; one at least."""
        lanes = LANES - sum(len(group.lengths) * len(group.texts) for group in self._groups)
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
        request = group.waiting.popleft()
        self._texts += 1
        draws = np.random.default_rng(int(request.digest(self._name)[:16], 16))
        return _Text(request, self._texts, draws, group.opening.new_zeros(len(group.lengths)), time.perf_counter())

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
                own = logits[rows, : len(group.texts)].transpose(0, 1)
                _extend(group.texts, own.float().log_softmax(dim=2))

    def _end(self) -> list[Reply]:
        """Take out the texts that have ended, and the prompts that nobody continues any more."""
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
        first = 0
        for group in list(self._groups):
            if not group.texts and not group.waiting:
                self._cache.close(slice(first, first + len(group.lengths)))
                self._groups.remove(group)
            else:
                first += len(group.lengths)
        return replies

    def _written(self, text: _Text) -> tuple[str, str]:
        """Return a text as far as it is written, and why it has ended; an empty reason while it goes on."""
        sampling = text.request.sampling
        over = text.tokens[-1] == self._tokenizer.eos_token_id
        written = self._tokenizer.decode(text.tokens[:-1] if over else text.tokens)
        stops = [place for stop in sampling.stop if (place := written.find(stop)) >= 0]
        if stops:
            return written[: min(stops)], "stop"
        return written, "stop" if over else "length" if len(text.tokens) >= sampling.max_tokens else ""


def guided(logprobs: "torch.Tensor", guidances: Sequence[Guidance], written: Sequence[int]) -> "torch.Tensor":
    """Score the next token of each text by all of its prompts; -inf for tokens that are cut off.

    With log-probabilities l_k under prompt k, shares r_k, and the mean distribution of the prompts without a share, n:

        m = sum_k r_k l_k                                     (mixing: a weighted geometric mean)
        score = m + strength (m - log n)                      (guidance, where m >= max m - cut)
        score = m + min(0, strength (e^m - max_k e^l_k))      (self-debiasing, k over the prompts without a share)

    Args:
        logprobs: Under each prompt, [texts, prompts, vocabulary].
        guidances: One to a text.
        written: Tokens that each text has so far.

    Returns:
        Scores that are log-probabilities up to a constant, [texts, vocabulary].
    """
    import torch

    def column(values: Iterable[float]) -> torch.Tensor:
        return torch.tensor(list(values), device=logprobs.device)[:, None]

    shares = torch.tensor([guidance.shares for guidance in guidances], device=logprobs.device)
    mixed = (shares[:, None] @ logprobs)[:, 0]
    strength = column(guidance.strength_at(count) for guidance, count in zip(guidances, written, strict=True))
    others = logprobs.masked_fill((shares > 0)[:, :, None], float("-inf"))
    debiasing = column(guidance.rule == "self_debiasing" for guidance in guidances)
    mean = others.logsumexp(dim=1) - (shares == 0).sum(dim=1, keepdim=True).log()
    score = mixed + strength * torch.where((shares > 0).all(dim=1, keepdim=True), 0.0, mixed - mean)
    if debiasing.any():
        bias = strength * (mixed.exp() - others.exp().amax(dim=1))
        score = torch.where(debiasing, mixed + bias.clamp(max=0), score)
    cut = column(guidance.cut for guidance in guidances)
    return score.masked_fill(mixed < mixed.amax(dim=1, keepdim=True) - cut, float("-inf"))


def draw(scores: "torch.Tensor", samplings: Sequence[Sampling], uniforms: Sequence[float]) -> list[int]:
    """Draw a token for each text from the nucleus of its scores.

    Args:
        scores: Log-probabilities up to a constant, [texts, vocabulary]; -inf where a token is out of the question.
        samplings: Temperature and nucleus of each text; temperature 0 takes the best token.
        uniforms: A number in [0, 1) for each text: where in its nucleus the token lies, likely tokens first.
    """
    import torch

    most = int((scores > float("-inf")).sum(dim=1).max())
    best, tokens = scores.topk(most, dim=1)
    heat = torch.tensor([sampling.temperature or 1.0 for sampling in samplings], device=scores.device)[:, None]
    probabilities = (best / heat).softmax(dim=1)
    before = probabilities.cumsum(dim=1) - probabilities
    top_p = torch.tensor([sampling.top_p for sampling in samplings], device=scores.device)[:, None]
    nucleus = probabilities.masked_fill(before >= top_p, 0.0)
    sums = nucleus.cumsum(dim=1)
    at = torch.tensor(list(uniforms), device=scores.device, dtype=sums.dtype)[:, None] * sums[:, -1:]
    places = torch.searchsorted(sums, at, right=True)[:, 0].clamp(max=most - 1)
    greedy = torch.tensor([sampling.temperature == 0 for sampling in samplings], device=scores.device)
    places = places.masked_fill(greedy, 0)
    chosen: list[int] = tokens.gather(1, places[:, None])[:, 0].tolist()
    return chosen


def _extend(texts: Sequence[_Text], logprobs: "torch.Tensor") -> None:
    """Draw each text's next token by its prompts' log-probabilities, [texts, prompts, vocabulary], and note them."""
    scores = guided(logprobs, [_guidance(text.request) for text in texts], [len(text.tokens) for text in texts])
    tokens = draw(scores, [text.request.sampling for text in texts], [float(text.draws.random()) for text in texts])
    for row, (text, token) in enumerate(zip(texts, tokens, strict=True)):
        text.tokens.append(token)
        text.logprobs = text.logprobs + logprobs[row, :, token]


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
