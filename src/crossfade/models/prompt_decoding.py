"""Change the next token's scores while texts are written from soft prompts. Importing this module imports torch."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from crossfade.data.annotated import NOWHERE, find_values
from crossfade.models.soft_prompts import PromptedModel

CUT = math.log(10)
"""Nats below the likeliest token from which one is implausible (Li et al. 2023)."""


class ClassifierFreeGuidance:
    """Say more loudly what the attributes add to the next token's log-probabilities.

        log p'(token) = log p(token | without attributes)
                        + scale * (log p(token | attributes) - log p(token | without attributes)) + constant

    for every token that is plausible with the attributes, at most `CUT` nats below the likeliest; no other is said.
    Source: Sanchez et al. 2023, arXiv 2306.17806; the cut is the plausibility constraint of contrastive decoding (Li et
    al. 2023, arXiv 2210.15097).
    That the prompt without attributes keeps prefix and exemplars is ours. It is read a token at a time beside the
    other, so that writing takes about twice as long. What a repetition penalty or `Pull` did to the scores before is
    part of what the attributes add.

    Args:
        prompted: The frozen model.
        inputs: What stands before each text without its attributes, padded, [texts, places, width].
        mask: Which places are real, [texts, places].
        scale: 1 changes nothing.
    """

    def __init__(self, prompted: PromptedModel, inputs: Tensor, mask: Tensor, scale: float) -> None:
        self.model = prompted.model
        self.has_encoder = prompted.has_encoder
        self.inputs = inputs
        self.mask = mask
        self.scale = scale
        self.cache: Any = None
        self.encoded: Any = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Change the scores of all texts; transformers calls this before each token."""
        without = self._read(input_ids).float().log_softmax(dim=-1)
        given = scores.float().log_softmax(dim=-1)
        guided = without + self.scale * (given - without)
        implausible = given < given.amax(dim=-1, keepdim=True) - CUT
        return guided.masked_fill(implausible, -math.inf).to(scores.dtype)

    def _read(self, input_ids: Tensor) -> Tensor:
        """Return the logits of the next token without attributes, [texts, vocabulary]."""
        if self.has_encoder:
            if self.encoded is None:
                self.encoded = self.model.get_encoder()(inputs_embeds=self.inputs, attention_mask=self.mask)
            read = {"encoder_outputs": self.encoded, "decoder_input_ids": input_ids[:, -1:]}
        elif self.cache is None:
            read = {"inputs_embeds": self.inputs, "position_ids": self._positions(), "logits_to_keep": 1}
        else:
            self.mask = torch.cat([self.mask, self.mask.new_ones((len(self.mask), 1))], dim=1)
            read = {"input_ids": input_ids[:, -1:], "position_ids": self._positions()[:, -1:]}
        said = self.model(**read, attention_mask=self.mask, cache=self.cache, use_cache=True)
        self.cache = said.cache
        logits: Tensor = said.logits[:, -1]
        return logits

    def _positions(self) -> Tensor:
        """Count real places alone, as padding stands on the left."""
        return (self.mask.cumsum(dim=1) - 1).clamp(min=0)


class Pull:
    """Pull a text towards its values that are still missing, and let it end only when none is (ours).

    After the shift towards key words of Pascual et al. 2021 (arXiv 2109.09707). A value that was begun is gone on with
    before another is begun.

    Args:
        prompted: Reads tokens as text.
        values: The values of each row.
        strength: Nats that the next token of a missing value gets on top.
    """

    def __init__(self, prompted: PromptedModel, values: Sequence[Sequence[str]], strength: float) -> None:
        self.prompted = prompted
        self.values = values
        self.strength = strength
        self.spelled = {value: prompted.text_tokens(value)[:-1] for of_row in values for value in of_row}

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Change the scores of the rows that lack a value; transformers calls this before each token."""
        texts = self.prompted.weights.tokenizer.batch_decode(input_ids)
        for row, (text, values) in enumerate(zip(texts, self.values, strict=True)):
            places = find_values(text, values)
            missing = [value for value, at in zip(values, places, strict=True) if at == NOWHERE and self.spelled[value]]
            if missing:
                scores[row, self.prompted.ends] = -math.inf
                scores[row, self._next(input_ids[row].tolist(), missing)] += self.strength
        return scores

    def _next(self, said: Sequence[int], missing: Sequence[str]) -> list[int]:
        """Return the tokens that go on with the values begun farthest, or those that begin one where none is begun."""
        following: dict[int, set[int]] = {}
        for value in missing:
            tokens = self.spelled[value]
            begun = next(size for size in reversed(range(len(tokens))) if tokens[:size] == said[len(said) - size :])
            following.setdefault(begun, set()).add(tokens[begun])
        return sorted(following[max(following)])
