"""A frozen language model that reads soft tokens: its loss on a sentence after them, and what it writes after them.

An adaptor turns one sentence embedding into a few soft tokens, vectors in the model's input space. Sentences stand to
the right of the tokens and are padded on the right, so no position ever sees padding and no mask is needed.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from crossfade.errors import SettingsError
from crossfade.libraries import require_libraries, seeded
from crossfade.models.nucleus import draw_places
from crossfade.models.weights import CausalWeights
from crossfade.roles import Floats, Sampling

if TYPE_CHECKING:
    import torch

SLOT = "{embedding}"
"""Where the soft tokens stand in a prompt template."""
AT_A_TIME = 512
"""Positions whose distribution over the vocabulary is held at a time: 512 over 49,152 tokens take 100 MB."""
LIKELIEST = 256
"""Tokens that a draw chooses from: sorting the whole vocabulary for a nucleus is slow. Ours."""


def new_adaptor(width: int, hidden: int, soft_tokens: int, model_width: int, scale: float) -> "torch.nn.Sequential":
    """Make an untrained adaptor: two layers with GELU between, each soft token then brought to a learned scale.

    Args:
        width: Of a sentence embedding.
        hidden: Of the layer between.
        soft_tokens: Vectors that stand for one embedding.
        model_width: Of the language model's token vectors.
        scale: Root mean square of a soft token's entries at the start; that of real tokens avoids a slow start.
    """
    import torch

    normalisation = torch.nn.RMSNorm(model_width, eps=1e-6)
    torch.nn.init.constant_(normalisation.weight, scale)
    return torch.nn.Sequential(
        torch.nn.Linear(width, hidden),
        torch.nn.GELU(),
        torch.nn.Linear(hidden, soft_tokens * model_width),
        torch.nn.Unflatten(1, (soft_tokens, model_width)),
        normalisation,
    )


class SoftReader:
    """A frozen causal language model that reads soft tokens in place of a prompt.

    Args:
        weights: The language model.
        template: The prompt, with `{embedding}` where the soft tokens stand; that alone is no prompt at all.
        lora_rank: Rank of small matrices beside the model's own, which then learn with the adaptor; 0 is none. Ours.

    Raises:
        SettingsError: The template does not hold the slot once.
    """

    def __init__(self, weights: CausalWeights, template: str = SLOT, *, lora_rank: int = 0) -> None:
        if template.count(SLOT) != 1:
            raise SettingsError(f"The template is {template!r}; expected a text with {SLOT} in it once.")
        self.weights = weights
        self.template = template
        self.lora_rank = lora_rank

    @cached_property
    def model(self) -> Any:
        """The model, frozen but for its LoRA matrices.

        Raises:
            DependencyError: LoRA is wanted and peft is missing.
        """
        model = self.weights.model.requires_grad_(False)
        return _with_lora(model, self.lora_rank) if self.lora_rank else model

    @property
    def learned(self) -> "dict[str, torch.nn.Parameter]":
        """The LoRA matrices by name; none without LoRA."""
        if not self.lora_rank:
            return {}
        return {name: value for name, value in self.model.named_parameters() if "lora_" in name}

    @property
    def width(self) -> int:
        """Width of the model's token vectors."""
        return int(self._table.embedding_dim)

    @property
    def scale(self) -> float:
        """Root mean square of the entries of the model's token vectors."""
        return float(self._table.weight.float().square().mean().sqrt())

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a sentence on one line, the end token last."""
        tokenizer = self.weights.tokenizer
        return [*tokenizer(" ".join(text.split()), add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]

    def learn(self, soft: "torch.Tensor", sentences: Sequence[Sequence[int]], share: float = 1.0) -> float:
        """Send the gradient of the mean loss of a sentence's tokens back into the soft tokens; return that loss.

        Source: inversedMixup's L_GEN, -log P(x | A(h)); averaged over tokens, because sums would favour long texts.

        Args:
            soft: Soft tokens that are part of a graph, [sentences, soft tokens, width].
            sentences: The tokens of each sentence.
            share: The factor of the gradient.
        """
        import torch

        hidden, targets = self._read(soft, sentences)
        # The vocabulary is large: its logits are made and left again a few positions at a time.
        leaf = hidden.detach().requires_grad_()
        total = 0.0
        for rows, wanted in zip(torch.split(leaf, AT_A_TIME), torch.split(targets, AT_A_TIME), strict=True):
            loss = self._loss(rows, wanted)
            torch.autograd.backward(loss * (share / len(targets)))
            total += loss.item()
        torch.autograd.backward(hidden, leaf.grad)
        return total / len(targets)

    def loss(self, soft: "torch.Tensor", sentences: Sequence[Sequence[int]]) -> float:
        """Return the mean loss of a sentence's tokens in nats, nothing learned."""
        import torch

        with torch.no_grad():
            hidden, targets = self._read(soft, sentences)
            pieces = zip(torch.split(hidden, AT_A_TIME), torch.split(targets, AT_A_TIME), strict=True)
            return sum(self._loss(rows, wanted).item() for rows, wanted in pieces) / len(targets)

    def write(self, soft: "torch.Tensor", sampling: Sampling, draws: Floats | None = None) -> list[str]:
        """Return one line of text for each row of soft tokens.

        A row ends at the model's end token or the end of a line, and takes no more work from then on.

        Args:
            soft: Soft tokens, [rows, soft tokens, width].
            sampling: How tokens are drawn.
            draws: A number in [0, 1) for each row and token, [rows, most tokens]; None where temperature is 0. What a
                row draws so never depends on the rows beside it.
        """
        import torch

        written: list[list[int]] = [[] for _ in range(len(soft))]
        alive = np.arange(len(soft))
        with torch.no_grad():
            inputs, cache = self._prompt(soft), None
            for place in range(sampling.max_tokens):
                output = self.model.base_model(inputs_embeds=inputs, cache=cache, use_cache=True)
                cache = output.cache
                logits = self._head(output.last_hidden_state[:, -1]).float()
                chosen = _chosen(logits, sampling, None if draws is None else draws[alive, place])
                goes_on = ~self.ends[chosen]
                for row, token in zip(alive[goes_on.cpu().numpy()], chosen[goes_on].tolist(), strict=True):
                    written[row].append(token)
                if not goes_on.any():
                    break
                if not goes_on.all():
                    alive, chosen = alive[goes_on.cpu().numpy()], chosen[goes_on]
                    cache.batch_select_indices(goes_on.nonzero()[:, 0])
                inputs = self._table(chosen)[:, None]
        return [_cut(self.weights.tokenizer.decode(tokens), sampling.stop) for tokens in written]

    def _read(self, soft: "torch.Tensor", sentences: Sequence[Sequence[int]]) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return what predicts each token of the sentences, [tokens, width], and the tokens, [tokens]."""
        import torch

        padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in sentences], batch_first=True)
        padded = padded.to(soft.device)
        lengths = torch.tensor([len(row) for row in sentences], device=soft.device)
        real = torch.arange(padded.shape[1], device=soft.device) < lengths[:, None]
        inputs = torch.cat([self._prompt(soft), self._table(padded[:, :-1])], dim=1)
        hidden = self.model.base_model(inputs_embeds=inputs, use_cache=False).last_hidden_state
        return hidden[:, -padded.shape[1] :][real], padded[real]

    def _loss(self, hidden: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
        import torch

        return torch.nn.functional.cross_entropy(self._head(hidden).float(), targets, reduction="sum")

    def _prompt(self, soft: "torch.Tensor") -> "torch.Tensor":
        """Put soft tokens into the template, [rows, prompt tokens, width]."""
        import torch

        before, after = (part.expand(len(soft), -1, -1) for part in self._around)
        return torch.cat([before, soft.to(self.model.dtype), after], dim=1)

    @cached_property
    def _around(self) -> list["torch.Tensor"]:
        """The vectors of the template before and after the soft tokens, each [1, tokens, width]."""
        import torch

        before, after = (
            self.weights.tokenizer(part, add_special_tokens=False)["input_ids"] for part in self.template.split(SLOT)
        )
        rows = [[*self.weights.begin, *before], after]
        return [self._table(torch.tensor([row], dtype=torch.long, device=self.model.device)) for row in rows]

    @property
    def _table(self) -> Any:
        return self.model.get_input_embeddings()

    @property
    def _head(self) -> Any:
        return self.model.get_output_embeddings()

    @cached_property
    def ends(self) -> "torch.Tensor":
        """Whether a token ends a line of text, [vocabulary]."""
        import torch

        tokenizer = self.weights.tokenizer
        ends = torch.ones(self._head.out_features, dtype=torch.bool)
        for token, text in enumerate(tokenizer.batch_decode([[token] for token in range(len(tokenizer))])):
            ends[token] = "\n" in text
        ends[tokenizer.all_special_ids] = True
        return ends.to(self.model.device)


def _with_lora(model: Any, rank: int) -> Any:
    """Put untrained LoRA matrices, in float32, beside all of a model's linear layers but the last."""
    require_libraries("peft", extra="lora")
    from peft import LoraConfig, inject_adapter_in_model

    with seeded(0):
        model = inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"), model)
    for name, value in model.named_parameters():
        if "lora_" in name:
            value.data = value.data.float()
    return model


def _chosen(logits: "torch.Tensor", sampling: Sampling, draws: Floats | None) -> "torch.Tensor":
    """Choose a token for each row, [rows]: the likeliest, or where its draw falls in the nucleus."""
    import torch

    if draws is None:
        return logits.argmax(dim=1)
    shares, tokens = torch.softmax(logits / sampling.temperature, dim=1).topk(min(LIKELIEST, logits.shape[1]), dim=1)
    uniforms = torch.as_tensor(draws, device=shares.device)[:, None]
    return tokens.gather(1, draw_places(shares, sampling.top_p, uniforms))[:, 0]


def _cut(text: str, stops: Sequence[str]) -> str:
    """Cut a text at the first stop string in it, and strip it."""
    for stop in stops:
        text = text.partition(stop)[0]
    return text.strip()
