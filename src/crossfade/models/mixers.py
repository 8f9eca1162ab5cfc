"""Mix the soft prompts of several attributes into one block: the five ways of the paper, and a sum as a control.

Source: Mixture of Soft Prompts (Chen et al. 2023, arXiv 2303.01580). In the released code 'attention' and 'bottleneck'
cancel to plain sums; here each attribute has a true weight (after ATTEMPT, Asai et al. 2022, arXiv 2205.11961).

Symbols: P_1 .. P_b are the prompts of a text's b attributes, each [p, width]; C are the vectors of the words beside
them, [n, width]. Importing this module imports torch.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from crossfade.attribute_roles import MixerName

HIDDEN = 300
"""Width between the two layers of 'bottleneck'. The released code."""


class Concat(nn.Module):
    """[P_1; ...; P_b]: [b p, width]."""

    def forward(self, prompts: Tensor, words: Tensor) -> Tensor:
        """Put the prompts one after the other."""
        return prompts.flatten(0, 1)


class Pooling(nn.Module):
    """1/b sum_j P_j, place by place: [p, width]."""

    def forward(self, prompts: Tensor, words: Tensor) -> Tensor:
        """Average the prompts."""
        return prompts.mean(dim=0)


class Sum(nn.Module):
    """sum_j P_j, place by place: [p, width]. The control: what the released attention computes."""

    def forward(self, prompts: Tensor, words: Tensor) -> Tensor:
        """Add the prompts up."""
        return prompts.sum(dim=0)


class Attention(nn.Module):
    """sum_j a_j P_j with a = softmax_j(max_p(P_j) · u / temperature) and u = LayerNorm(W max_n(C)): [p, width].

    Args:
        width: Of the model's word vectors.
        temperature: Above 0; large ones make all weights alike. Not that of sampling.
    """

    def __init__(self, width: int, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.project = self._projection(width)
        self.normalise = nn.LayerNorm(width)

    def _projection(self, width: int) -> nn.Module:
        return nn.Linear(width, width, bias=False)

    def weights(self, prompts: Tensor, words: Tensor) -> Tensor:
        """Return the weight of each attribute, [b], summing to 1."""
        query = self.normalise(self.project(words.amax(dim=0)))
        return torch.softmax(prompts.amax(dim=1) @ query / self.temperature, dim=0)

    def forward(self, prompts: Tensor, words: Tensor) -> Tensor:
        """Add the prompts up by their weights."""
        return torch.einsum("b,bpd->pd", self.weights(prompts, words), prompts)


class Bottleneck(Attention):
    """As attention, with u = LayerNorm(W_up SiLU(W_down max_n(C))): [p, width]."""

    def _projection(self, width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(width, HIDDEN, bias=False), nn.SiLU(), nn.Linear(HIDDEN, width, bias=False))


class Convolution(nn.Module):
    """conv_1(ReLU(conv_H/2(P_1 .. P_b, 1 .. 1))), each 3 x 3 over places and width: [p, width].

    The prompts are channels; those without an attribute are ones. The released code ends in another ReLU, which would
    keep every entry of the block at 0 or above, as no word vector is; it is left out.

    Args:
        most: Attributes that a text has at most, H; what comes after is left out, as in the released code.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        inner = max(1, most // 2)
        self.layers = nn.Sequential(nn.Conv2d(most, inner, 3, padding=1), nn.ReLU(), nn.Conv2d(inner, 1, 3, padding=1))

    def forward(self, prompts: Tensor, words: Tensor) -> Tensor:
        """Let the convolutions mix the prompts."""
        channels = torch.ones(self.most, *prompts.shape[1:], dtype=prompts.dtype, device=prompts.device)
        used = prompts[: self.most]
        mixed: Tensor = self.layers(torch.cat([used, channels[len(used) :]])[None])
        return mixed[0, 0]


Make = Callable[[int, int, float], nn.Module]
MIXERS: Mapping[MixerName, Make] = {
    "concat": lambda width, most, temperature: Concat(),
    "pooling": lambda width, most, temperature: Pooling(),
    "attention": lambda width, most, temperature: Attention(width, temperature),
    "bottleneck": lambda width, most, temperature: Bottleneck(width, temperature),
    "cnn": lambda width, most, temperature: Convolution(most),
    "sum": lambda width, most, temperature: Sum(),
}
"""Name of a mixer to what makes it, given the width, the most attributes of a text, and the temperature."""
