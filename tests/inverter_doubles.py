"""A language model of random weights and an encoder that counts words: small enough to train an inverter in a test."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossfade.models.inverter import InverterCard, SentenceInverter
from crossfade.models.soft_tokens import SoftReader
from crossfade.models.weights import CausalWeights
from crossfade.roles import Floats
from tests.causal_doubles import write_tiny_llama

WORDS = ["red", "green", "blue", "small", "large", "round", "cup", "ball", "box", "hat"]
SENTENCES = [f"{first} {second} {third}" for first in WORDS[:3] for second in WORDS[3:6] for third in WORDS[6:]]
SENTENCES += [f"{first} {third}" for first in WORDS[:6] for third in WORDS[6:]]


def write_tiny_model(folder: Path, known: Sequence[str] = WORDS) -> Path:
    """Write a Llama of random weights, 16 wide, that reads some words and lines; return its folder."""
    write_tiny_llama(folder, ["<end>", "\n", *known], hidden_size=16, intermediate_size=32)
    return folder


class CountingEncoder:
    """Embeds a text as the counts of its words, at unit length; the last entry keeps an empty text from being zero."""

    name = "counts"

    def __init__(self, path: str | None = None) -> None:
        self.path = path
        self.embedded = 0

    def encode(self, texts: Sequence[str]) -> Floats:
        self.embedded += len(texts)
        rows = [[text.split().count(word) for word in WORDS] + [0.1] for text in texts]
        vectors: Floats = np.array(rows, dtype=np.float64).reshape(len(texts), len(WORDS) + 1)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def tiny_inverter(model: Path, template: str = "{embedding}", **card: Any) -> SentenceInverter:
    """Make an untrained inverter in float32."""
    weights = CausalWeights(model, cache=model, attention="eager")
    weights.model.float()
    settings = InverterCard(model=str(model), template=template, soft_tokens=2, hidden=32, **card)
    reader = SoftReader(weights, template, lora_rank=settings.lora_rank)
    return SentenceInverter(settings, CountingEncoder(), reader)
