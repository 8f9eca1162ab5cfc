"""Turn sentence embeddings back into sentences: an encoder, an adaptor, a language model that reads its soft tokens.

Source: inversedMixup (arXiv 2601.21543), of which stage 1 alone could be read; docs/inverter.md says what is ours.
An inverter is a folder: `inverter.json` (the card), `adaptor.safetensors`, and `encoder/` where the encoder was tuned.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from crossfade.errors import ModelError, ParsingError, SettingsError
from crossfade.libraries import require_libraries, seeded
from crossfade.models.encoder import SentenceEncoder
from crossfade.models.soft_tokens import SLOT, SoftReader, new_adaptor
from crossfade.models.weights import CausalWeights
from crossfade.packaged import packaged_writer
from crossfade.roles import Encoder, Floats, Sampling

if TYPE_CHECKING:
    import torch

CARD_NAME = "inverter.json"
ADAPTOR_NAME = "adaptor.safetensors"
LORA_NAME = "lora.safetensors"
ENCODER_NAME = "encoder"
VERSION = 1
"""Raise it whenever a saved folder of the version before can no longer be read."""
ROWS = 64
"""Texts written at a time on a processor."""
ROWS_ON_GPU = 1024
"""The same on a GPU, where a step of a small model takes one time for few rows and for many."""

OpenEncoder = Callable[[str | None], Encoder]
"""Makes an encoder from a folder or hub id; None is the packaged model."""


def open_encoder(path: str | None) -> SentenceEncoder:
    """Open an encoder that keeps no vectors: an inverter meets too many texts."""
    return SentenceEncoder(path, remember=False)


class StageNote(BaseModel):
    """What one stage of training did."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    """'align', 'refine', 'joint' or 'mixed'."""
    texts: int
    """Distinct texts that the adaptor was trained on."""
    settings: dict[str, JsonValue]
    scores: dict[str, float] = {}
    """Measured on texts held out from the training texts."""


class InverterCard(BaseModel):
    """What an inverter's folder holds and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = VERSION
    encoder: str | None = None
    """Hub id or folder of the encoder; None is the packaged one. Where it was tuned, what it was tuned from."""
    tuned: bool = False
    """Whether the folder holds the encoder, tuned."""
    model: str | None = None
    """Hub id, folder or GGUF file of the language model; None is the packaged one."""
    template: str = SLOT
    """The prompt around the soft tokens."""
    soft_tokens: int = 8
    hidden: int = 1536
    """Width of the adaptor's inner layer."""
    lora_rank: int = 0
    """Rank of the LoRA matrices of the language model; 0 is none."""
    data: str = ""
    """What the adaptor was trained on, in words."""
    licences: str = ""
    """Of data, encoder and language model, in words."""
    stages: tuple[StageNote, ...] = ()
    scores: dict[str, dict[str, float]] = {}
    """Test set to measure to value."""


class SentenceInverter:
    """A sentence encoder and the way back from its embeddings.

    Args:
        card: What the inverter is made of.
        encoder: Turns texts into the embeddings that the adaptor knows.
        reader: The language model.
        adaptor: Turns embeddings into soft tokens; None makes an untrained one from the seed 0.
    """

    def __init__(
        self, card: InverterCard, encoder: Encoder, reader: SoftReader, adaptor: "torch.nn.Sequential | None" = None
    ) -> None:
        self.card = card
        self.encoder = encoder
        self.reader = reader
        self.adaptor = self._new_adaptor() if adaptor is None else adaptor

    @property
    def name(self) -> str:
        """Encoder, language model, and a digest of what was learned."""
        digest = hashlib.sha256()
        for tensor in self.learned.values():
            digest.update(tensor.detach().float().cpu().numpy().tobytes())
        return f"{self.encoder.name}~{self.reader.weights.name}~{digest.hexdigest()[:12]}"

    @property
    def learned(self) -> "dict[str, torch.nn.Parameter]":
        """What stage 1 trains, by name: the adaptor, and the LoRA matrices where there are some."""
        return {**dict(self.adaptor.named_parameters()), **self.reader.learned}

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return unit-length embeddings in the space that the adaptor knows, [texts, width]."""
        return self.encoder.encode(texts)

    def decode(self, points: Floats, *, sampling: Sampling, candidates: int = 1, seed: int = 0) -> list[list[str]]:
        """Return for each point so many candidate texts; the same seed gives the same texts, whatever the batch.

        Args:
            points: Embeddings, [points, width].
            sampling: How texts are drawn; temperature 0 is greedy and has one candidate.
            candidates: Texts for each point, >= 1.
            seed: Fixes the draws.

        Raises:
            SettingsError: Fewer than one candidate.
        """
        import torch

        if candidates < 1:
            raise SettingsError(f"candidates is {candidates}; expected at least 1.")
        candidates = 1 if sampling.temperature == 0 else candidates
        rows = np.repeat(points, candidates, axis=0)
        draws = np.random.default_rng(seed).random((len(rows), sampling.max_tokens))
        texts: list[str] = []
        at_a_time = ROWS if self.reader.model.device.type == "cpu" else ROWS_ON_GPU
        for start in range(0, len(rows), at_a_time):
            batch = slice(start, start + at_a_time)
            with torch.no_grad():
                soft = self.soft_tokens(rows[batch])
            texts += self.reader.write(soft, sampling, None if sampling.temperature == 0 else draws[batch])
        return [texts[start : start + candidates] for start in range(0, len(texts), candidates)]

    def soft_tokens(self, points: NDArray[np.floating[Any]]) -> "torch.Tensor":
        """Return the soft tokens of points, [points, soft tokens, model width], with their graph."""
        import torch

        values = torch.as_tensor(np.asarray(points), dtype=torch.float32, device=self.reader.model.device)
        return torch.as_tensor(self.adaptor(values))

    def save(self, folder: Path) -> None:
        """Write the adaptor in bfloat16, and the card last, so that a folder with a card is complete."""
        import torch
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        for file, tensors in ((ADAPTOR_NAME, self.adaptor.state_dict()), (LORA_NAME, self.reader.learned)):
            if tensors:
                small = {name: tensor.detach().to("cpu", torch.bfloat16) for name, tensor in tensors.items()}
                save_file(small, folder / file)
        (folder / CARD_NAME).write_text(self.card.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, *, cache: Path, open_encoder: OpenEncoder = open_encoder) -> "SentenceInverter":
        """Read a saved inverter.

        Args:
            folder: Where it was saved.
            cache: Folder for unpacked GGUF weights.
            open_encoder: Makes the encoder.

        Raises:
            DependencyError: A library, or a packaged model, is missing.
            ModelError: The folder holds no inverter, or one of a newer version, or a part cannot be loaded.
            ParsingError: A file of the inverter is not in the form it must have.
        """
        card = read_card(folder)
        require_libraries("torch", "transformers", "safetensors")
        encoder = open_encoder(encoder_path(folder))
        inverter = cls(card, encoder, open_reader(card, cache))
        _fill(inverter.adaptor.state_dict(), folder / ADAPTOR_NAME)
        if card.lora_rank:
            _fill(inverter.reader.learned, folder / LORA_NAME)
        return inverter

    def follow(self, new: Floats, old: Floats, *, strength: float = 1e-2) -> None:
        """Let the adaptor read a moved space: put a linear map from new to old embeddings before its first layer.

        The map is fitted by ridge regression with an intercept, in closed form. Ours, after ALGEN (arXiv 2502.11308),
        which attaches a new encoder in this way.

        Args:
            new: Embeddings of some texts in the moved space, [texts, width].
            old: Embeddings of the same texts in the space that the adaptor knows, [texts, width].
            strength: Of the ridge, as a share of the mean variance of an embedding's entries times the texts.
        """
        import torch

        centre, target = new.mean(axis=0), old.mean(axis=0)
        products = (new - centre).T @ (new - centre)
        ridge = strength * np.trace(products) / len(products) * np.eye(len(products))
        turn = np.linalg.solve(products + ridge, (new - centre).T @ (old - target))
        first = next(layer for layer in self.adaptor if isinstance(layer, torch.nn.Linear))
        weight = first.weight.detach().double().cpu().numpy()
        with torch.no_grad():
            first.bias.add_(torch.as_tensor(weight @ (target - centre @ turn)).to(first.bias))
            first.weight.copy_(torch.as_tensor(weight @ turn.T))

    def _new_adaptor(self) -> "torch.nn.Sequential":
        width = self.encoder.encode(["width"]).shape[1]
        with seeded(0):
            adaptor = new_adaptor(width, self.card.hidden, self.card.soft_tokens, self.reader.width, self.reader.scale)
        return adaptor.to(self.reader.model.device)


def encoder_path(folder: Path) -> str | None:
    """Return where the encoder of a saved inverter is: its own, a hub id or folder, or None for the packaged one."""
    card = read_card(folder)
    return str(folder / ENCODER_NAME) if card.tuned else card.encoder


def open_reader(card: InverterCard, cache: Path) -> SoftReader:
    """Open the language model of an inverter; its weights load when first used."""
    path = packaged_writer() if card.model is None else card.model
    # Over sentences of a dozen tokens, plain attention is a third faster on a processor than the fused one.
    return SoftReader(CausalWeights(path, cache=cache, attention="eager"), card.template, lora_rank=card.lora_rank)


def read_card(folder: Path) -> InverterCard:
    """Read the card of a saved inverter.

    Raises:
        ModelError: The folder holds no inverter, or one of a newer version.
        ParsingError: The card is not in the form it must have.
    """
    path = folder / CARD_NAME
    if not path.is_file():
        raise ModelError(
            f"There is no {CARD_NAME} in '{folder}'; expected the folder of an inverter.",
            hint="Train one with: crossfade inverter train",
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and int(content.get("version", 0)) > VERSION:
            raise ModelError(
                f"'{path}' has version {content['version']}; this Crossfade reads up to {VERSION}.",
                hint="Update Crossfade.",
            )
        return InverterCard.model_validate(content)
    except (ValueError, ValidationError) as error:
        raise ParsingError(f"'{path}' is not the card of an inverter: {error}.", hint="Train it again.") from error


def _fill(wanted: "Mapping[str, torch.Tensor]", path: Path) -> None:
    """Read learned weights into place."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(path)
        forms = [{name: tuple(tensor.shape) for name, tensor in tensors.items()} for tensors in (wanted, found)]
        if forms[0] != forms[1]:
            raise ValueError(f"found {forms[1]}, expected {forms[0]}")
    except (OSError, SafetensorError, ValueError) as error:
        raise ParsingError(
            f"'{path}' does not hold the weights that its card describes: {error}.",
            hint="Train it again, or give another folder.",
        ) from error
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(found[name])
