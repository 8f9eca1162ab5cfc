"""How natural texts are to a causal language model: their perplexity."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crossfade.errors import DataError
from crossfade.models.weights import CausalWeights

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Perplexity:
    """Of some texts; low is natural, and also dull."""

    true: float
    """exp of the mean loss of a token, over all texts."""
    as_released: float
    """What the released code of Mixture of Soft Prompts computes: exp of the mean loss of a token divided by the tokens
    of the longest text, averaged over batches. It divides twice: near 1 whatever the texts are."""


def perplexity(weights: CausalWeights, texts: Sequence[str], *, batch_size: int = 8) -> Perplexity:
    """Measure texts, each after the model's token that begins one, or else from its second token on.

    Raises:
        DataError: No text has a token to be foretold.
    """
    import torch
    from torch.nn.functional import cross_entropy

    total, tokens, released = 0.0, 0, list[float]()
    with torch.no_grad():
        for start in range(0, len(texts), batch_size):
            rows = [row for text in texts[start : start + batch_size] if len(row := _tokens(weights, text)) > 1]
            if not rows:
                continue
            padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(weights.model.device)
            real = torch.nn.utils.rnn.pad_sequence([torch.ones(len(row) - 1) for row in rows], batch_first=True)
            logits = weights.model(input_ids=padded).logits[:, :-1].float()
            losses = cross_entropy(logits.transpose(1, 2), padded[:, 1:], reduction="none").cpu()[real > 0]
            total += float(losses.sum())
            tokens += len(losses)
            released.append(float((losses.mean() / padded.shape[1]).exp()))
    if not tokens:
        raise DataError(f"{len(texts)} texts have no token that could be foretold.")
    mean = torch.tensor(total / tokens)
    return Perplexity(float(mean.exp()), sum(released) / len(released))


def _tokens(weights: CausalWeights, text: str) -> "torch.Tensor":
    import torch

    tokenizer = weights.tokenizer
    found = tokenizer(text, add_special_tokens=False)["input_ids"]
    first = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    return torch.tensor([*first, *found], dtype=torch.long)
