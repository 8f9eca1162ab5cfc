"""One soft prompt for each attribute, before any frozen language model, causal or encoder-decoder.

Source: Mixture of Soft Prompts (Chen et al. 2023, arXiv 2303.01580). The model reads

    [ prefix ; mixed prompts of the attributes ; the prompt in words ]

and writes the text after it; only prefix, prompts and mixer are trained (`prompt_tuning.py`). Importing this module
imports torch.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crossfade.attribute_roles import AttributePrompt, SoftPromptShape
from crossfade.libraries import seeded
from crossfade.models.mixers import MIXERS
from crossfade.models.weights import LanguageWeights

IGNORED = -100
"""Marks positions without a loss, in the words of transformers."""


class SoftPrompts(nn.Module):
    """What is trained: prefix, one prompt for each attribute, and the mixer, in float32.

    Args:
        shape: How long prompts are, and how they are mixed.
        prefix: Vectors that the prefix starts from, [prefix length, width].
        prompts: Vectors that the attributes' prompts start from, [attributes, attribute length, width].
    """

    def __init__(self, shape: SoftPromptShape, prefix: Tensor, prompts: Tensor) -> None:
        super().__init__()
        self.places = {attribute: place for place, attribute in enumerate(shape.descriptions)}
        # Made where they will be used: a parameter that is moved is another tensor, which no optimizer knows.
        self.prefix = nn.Parameter(prefix.float().clone())
        self.prompts = nn.Parameter(prompts.float().clone())
        make = MIXERS[shape.mixer]
        self.mixer = make(prompts.shape[2], shape.most_attributes, shape.mixing_temperature).to(prompts.device)

    def block(self, groups: Sequence[Sequence[str]], words: Tensor) -> Tensor:
        """Mix each group of attributes, and put the blocks one after the other, [places, width].

        Args:
            groups: Attributes; their order is that of the shape's descriptions, whatever order they are given in.
            words: Vectors of the prompt in words, [tokens, width].
        """
        blocks = [words.new_zeros((0, words.shape[1]))]
        for group in groups:
            places = sorted({self.places[attribute] for attribute in group})
            if places:
                blocks.append(self.mixer(self.prompts[places], words))
        return torch.cat(blocks)


class PromptedModel:
    """A frozen language model that reads soft prompts.

    Args:
        path: Hub id, folder or GGUF file of a causal or an encoder-decoder model.
        cache: Folder for unpacked GGUF weights.
    """

    def __init__(self, path: str | Path, *, cache: Path) -> None:
        self.weights = LanguageWeights(path, cache=cache)

    @cached_property
    def model(self) -> Any:
        """The model, frozen."""
        return self.weights.model.requires_grad_(False).eval()

    @property
    def has_encoder(self) -> bool:
        """Whether an encoder reads the prompt, and a decoder writes the text."""
        return bool(self.model.config.is_encoder_decoder)

    @cached_property
    def end(self) -> int:
        """The token that ends a text: the end of the line for a causal model, its end token for another."""
        tokenizer = self.weights.tokenizer
        if self.has_encoder:
            return int(tokenizer.eos_token_id)
        line = self.tokens("\n")
        # A tokenizer of words alone knows no end of a line.
        return line[0] if len(line) == 1 and line[0] != tokenizer.unk_token_id else int(tokenizer.eos_token_id)

    @cached_property
    def ends(self) -> list[int]:
        """All tokens that end a text: the end token, and of a causal model those with an end of a line in them."""
        tokenizer = self.weights.tokenizer
        found = {self.end, int(tokenizer.eos_token_id)}
        if not self.has_encoder:
            # Two ends of lines are often one token of their own.
            said = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
            found |= {token for token, text in enumerate(said) if "\n" in text}
        return sorted(found)

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text, without any that begin or end it."""
        return list(self.weights.tokenizer(text, add_special_tokens=False)["input_ids"])

    def text_tokens(self, text: str) -> list[int]:
        """Return the tokens of a text to be written, and the one that ends it."""
        line = " ".join(text.split())
        # After the prompt's last word a causal model goes on with a space.
        return [*self.tokens(line if self.has_encoder else f" {line}"), self.end]

    def embed(self, tokens: Sequence[int]) -> Tensor:
        """Return the model's own vectors of tokens, [tokens, width]."""
        found: Tensor = self.model.get_input_embeddings()(torch.tensor(tokens, dtype=torch.long, device=self.device))
        return found

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.model.device
        return device

    def new_prompts(self, shape: SoftPromptShape) -> SoftPrompts:
        """Make untrained prompts: the words of the instruction and of each description, repeated to fill their length.

        The released code fills the prefix and TOPv2's prompts up with the first rows of the vocabulary instead, which
        are no words.
        """
        prefix = self._repeated(shape.instruction, shape.prefix_length)
        prompts = [self._repeated(words, shape.attribute_length) for words in shape.descriptions.values()]
        with seeded(0):
            return SoftPrompts(shape, prefix, torch.stack(prompts))

    def _repeated(self, words: str, length: int) -> Tensor:
        tokens = self.tokens(words) or [self.end]
        return self.embed((tokens * (length // len(tokens) + 1))[:length])

    def inputs(self, soft: SoftPrompts, prompts: Sequence[AttributePrompt]) -> list[Tensor]:
        """Return what stands before each text: prefix, mixed prompts, words, each [places, width].

        What an encoder reads ends with the end token, as it has learned to expect.
        """
        ending = [self.end] if self.has_encoder else []
        rows = []
        for prompt in prompts:
            words = self.embed([*self.tokens(prompt.words), *ending]).float()
            rows.append(torch.cat([soft.prefix, soft.block(prompt.groups, words), words]).to(self.model.dtype))
        return rows

    def losses(self, soft: SoftPrompts, prompts: Sequence[AttributePrompt], texts: Sequence[str]) -> Tensor:
        """Return the cross-entropy of the texts' tokens after their prompts, in nats, averaged over all tokens.

        The loss is that of the text alone: p(x | y). The released code also counts a causal model's prompt.
        """
        before = self.inputs(soft, prompts)
        written = [self.text_tokens(text) for text in texts]
        if self.has_encoder:
            logits, targets = self._decoder_logits(before, written)
        else:
            logits, targets = self._causal_logits(before, written)
        return nn.functional.cross_entropy(logits.float(), targets, reduction="mean")

    def _causal_logits(self, before: Sequence[Tensor], written: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Return the logits of the texts' tokens, [tokens, vocabulary], and the tokens."""
        # Padding stands on the right, where no position of a causal model sees it.
        rows = [torch.cat([row, self.embed(text[:-1])]) for row, text in zip(before, written, strict=True)]
        hidden = self.model.base_model(
            inputs_embeds=nn.utils.rnn.pad_sequence(rows, batch_first=True), use_cache=False
        ).last_hidden_state
        parts = [
            hidden[index, len(row) - 1 : len(row) - 1 + len(text)]
            for index, (row, text) in enumerate(zip(before, written, strict=True))
        ]
        # The vocabulary is large: only what is counted is multiplied out.
        logits: Tensor = self.model.get_output_embeddings()(torch.cat(parts))
        return logits, torch.tensor([token for text in written for token in text], device=self.device)

    def _decoder_logits(self, before: Sequence[Tensor], written: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        padded, mask = padded_right(before)
        labels = nn.utils.rnn.pad_sequence(
            [torch.tensor(text, device=self.device) for text in written], batch_first=True, padding_value=IGNORED
        )
        logits = self.model(inputs_embeds=padded, attention_mask=mask, labels=labels).logits
        return logits[labels != IGNORED], labels[labels != IGNORED]


def padded_right(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Pad rows on the right, [rows, longest, width], and say which places are real, [rows, longest]."""
    lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
    padded = nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    return padded, (torch.arange(padded.shape[1], device=lengths.device) < lengths[:, None]).long()


def padded_left(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Pad rows on the left, as a causal model that writes needs it."""
    padded, mask = padded_right([row.flip(0) for row in rows])
    return padded.flip(1), mask.flip(1)
