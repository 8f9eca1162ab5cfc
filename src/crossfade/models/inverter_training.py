"""Train an inverter's adaptor on pairs of an embedding and its sentence; the language model stays as it is.

Embeddings are computed once, into a file. Training stops and goes on at checkpoints, and repeats nothing but what came
after the last one.
"""

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crossfade.errors import ModelError
from crossfade.models.inverter import SentenceInverter
from crossfade.roles import Encoder
from crossfade.settings import Settings

if TYPE_CHECKING:
    import torch

CHECKPOINT_NAME = "checkpoint.safetensors"
AT_A_TIME = 1024
"""Texts embedded between two looks at the file."""
SECONDS_BETWEEN_REPORTS = 30.0


class AdaptorTraining(Settings):
    """How the adaptor is trained."""

    epochs: float = Field(default=3.0, gt=0)
    """Times that each sentence is read. A finished training goes on with more of them."""
    batch_size: int = Field(default=64, ge=1)
    """Sentences in a step, all of about one length. Ours."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """AdamW's rate at the end of the warm-up; it falls to 0 as a cosine from there. Ours."""
    warm_up: float = Field(default=0.03, ge=0, lt=1)
    """Share of the steps in which the rate rises linearly from 0. Ours."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's decay. Ours."""
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient. Ours."""
    longest: int = Field(default=64, ge=2)
    """Tokens after which a sentence is cut off, without its end. Ours."""
    seed: int = Field(default=0, ge=0)
    """Fixes the order of the sentences."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Embeddings and the sentences that they came from."""

    vectors: NDArray[np.float32]
    """[rows, width]; may lie in a file."""
    sentences: list[list[int]]
    """The tokens of each sentence."""

    def __len__(self) -> int:
        return len(self.sentences)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is."""

    step: int
    steps: int
    loss: float
    """Mean over the sentence tokens since the last report, in nats."""
    speed: float
    """Sentences a second since the last report."""
    seconds_left: float
    saved: bool
    """Whether a checkpoint was just written."""


Report = Callable[[Progress], None]


def embed_texts(
    texts: Sequence[str], encoder: Encoder, file: Path, tell: Callable[[str], None] = lambda line: None
) -> NDArray[np.float32]:
    """Embed texts into a file and return the rows, [texts, width]; what the file holds already is not done again.

    Args:
        texts: What to embed.
        encoder: Its name and the texts decide whether an existing file fits.
        file: Where rows are kept, in numpy's format; a digest is put before its ending.
        tell: Takes a line about the progress every half minute.
    """
    digest = hashlib.sha256(json.dumps([encoder.name, list(texts)]).encode()).hexdigest()[:12]
    file = file.with_suffix(f".{digest}.npy")
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        width = encoder.encode(["width"]).shape[1]
        np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(len(texts), width)).flush()
    rows = np.lib.format.open_memmap(file, mode="r+")
    told = time.monotonic()
    for start in range(0, len(texts), AT_A_TIME):
        part = slice(start, start + AT_A_TIME)
        # A row that was written has length 1.
        if not rows[part].any(axis=1).all():
            rows[part] = encoder.encode(texts[part])
        if time.monotonic() - told > SECONDS_BETWEEN_REPORTS:
            told = time.monotonic()
            tell(f"embedded {start + AT_A_TIME:,} of {len(texts):,} texts")
    rows.flush()
    return np.lib.format.open_memmap(file, mode="r")


def make_pairs(texts: Sequence[str], vectors: NDArray[np.float32], inverter: SentenceInverter, longest: int) -> Pairs:
    """Pair embeddings with the tokens of their sentences, cut off where they are too long."""
    return Pairs(vectors, [inverter.reader.tokens(text)[:longest] for text in texts])


def train_adaptor(
    inverter: SentenceInverter,
    pairs: Pairs,
    settings: AdaptorTraining,
    folder: Path,
    *,
    start: str = "",
    report: Report = lambda progress: None,
    seconds_between_checkpoints: float = 300.0,
) -> None:
    """Train the adaptor in place, from the checkpoint in the folder where there is one.

    Args:
        inverter: Its adaptor learns, and LoRA matrices; encoder and language model do not.
        pairs: What to learn.
        settings: How.
        folder: Where the checkpoint is kept.
        start: Names the inverter whose adaptor is trained on; empty for an untrained one.
        report: Told about the progress every half minute and after each checkpoint.
        seconds_between_checkpoints: How much work may be lost.

    Raises:
        ModelError: The folder holds the checkpoint of another training.
    """
    import torch

    parameters = inverter.learned
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    course = _Course(settings, [len(row) for row in pairs.sentences])
    purpose = purpose_of(inverter, settings, pairs.sentences, *([start] if start else []))
    step = load_checkpoint(folder / CHECKPOINT_NAME, purpose, parameters, optimizer)
    clock = Clock(course.steps, settings.batch_size, report, step)
    saved_at = time.monotonic()
    while step < course.steps:
        batch = course.batch(step)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * course.rate(step)
        soft = inverter.soft_tokens(pairs.vectors[batch])
        loss = inverter.reader.learn(soft, [pairs.sentences[row] for row in batch])
        torch.nn.utils.clip_grad_norm_(parameters.values(), settings.clip)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        due = time.monotonic() - saved_at >= seconds_between_checkpoints or step == course.steps
        if due:
            save_checkpoint(folder / CHECKPOINT_NAME, purpose, parameters, optimizer, step)
        clock.tell(step, loss, due)
        if due:
            saved_at = time.monotonic()


class _Course:
    """Which sentences each step reads, and how fast it learns."""

    def __init__(self, settings: AdaptorTraining, lengths: Sequence[int]) -> None:
        self._settings = settings
        self._lengths = np.array(lengths)
        self._per_epoch = math.ceil(len(lengths) / settings.batch_size)
        self.steps = max(1, round(settings.epochs * self._per_epoch))
        self._epoch: tuple[int, list[NDArray[np.intp]]] | None = None

    def batch(self, step: int) -> NDArray[np.intp]:
        """Return the rows of a step; an epoch reads every row once."""
        number, place = divmod(step, self._per_epoch)
        if self._epoch is None or self._epoch[0] != number:
            rng = np.random.default_rng([self._settings.seed, number])
            order = np.lexsort((rng.random(len(self._lengths)), self._lengths))
            size = self._settings.batch_size
            batches = [order[start : start + size] for start in range(0, len(order), size)]
            self._epoch = number, [batches[index] for index in rng.permutation(len(batches))]
        return self._epoch[1][place]

    def rate(self, step: int) -> float:
        """Return the share of the full learning rate."""
        warm_up = max(1, round(self._settings.warm_up * self.steps))
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, self.steps - warm_up)))


class Clock:
    """Tells how far a training is."""

    def __init__(self, steps: int, batch_size: int, report: Report, step: int) -> None:
        self._steps = steps
        self._batch_size = batch_size
        self._report = report
        self._losses: list[float] = []
        self._since = time.monotonic()

    def tell(self, step: int, loss: float, saved: bool) -> None:
        """Take note of a step, and report where it is time."""
        self._losses.append(loss)
        seconds = time.monotonic() - self._since
        if not saved and seconds < SECONDS_BETWEEN_REPORTS:
            return
        pace = len(self._losses) / max(seconds, 1e-9)
        left = (self._steps - step) / pace
        loss = float(np.mean(self._losses))
        self._report(Progress(step, self._steps, loss, pace * self._batch_size, left, saved))
        self._losses, self._since = [], time.monotonic()


def save_checkpoint(
    path: Path,
    purpose: str,
    parameters: "dict[str, torch.nn.Parameter]",
    optimizer: "torch.optim.Optimizer",
    step: int,
) -> None:
    """Write parameters and what the optimizer knows of them; the old checkpoint stays until the new one is whole."""
    from safetensors.torch import save_file

    tensors = {f"value.{name}": parameter.detach().cpu() for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        for key, value in optimizer.state[parameter].items():
            tensors[f"{key}.{name}"] = value.detach().cpu()
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    save_file(tensors, half, metadata={"purpose": purpose, "step": str(step)})
    os.replace(half, path)


def load_checkpoint(
    path: Path, purpose: str, parameters: "dict[str, torch.nn.Parameter]", optimizer: "torch.optim.Optimizer"
) -> int:
    """Fill parameters and optimizer from a checkpoint and return its step; 0 where there is none.

    Raises:
        ModelError: It belongs to another training.
    """
    import torch
    from safetensors import safe_open

    if not path.is_file():
        return 0
    with safe_open(path, framework="pt") as file:
        notes = file.metadata()
        if notes.get("purpose") != purpose:
            raise ModelError(
                f"'{path}' belongs to a training with other texts, models or settings than those given.",
                hint="Give the settings of before, or another folder. Only `epochs` may change.",
            )
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, parameter in parameters.items():
        with torch.no_grad():
            parameter.copy_(tensors[f"value.{name}"])
        state = {key.partition(".")[0]: value for key, value in tensors.items() if key.partition(".")[2] == name}
        del state["value"]
        optimizer.state[parameter] = {
            key: value.to(parameter.device, None if key == "step" else parameter.dtype) for key, value in state.items()
        }
    return int(notes["step"])


def purpose_of(inverter: SentenceInverter, settings: Settings, *parts: object) -> str:
    """Return a digest of all that a checkpoint must agree with: more epochs may be asked for later."""
    kinds = {
        "encoder",
        "model",
        "template",
        "soft_tokens",
        "hidden",
        *(["lora_rank"] if inverter.card.lora_rank else []),
    }
    card = inverter.card.model_dump(mode="json", include=kinds)
    whole = [card, inverter.encoder.name, settings.model_dump(exclude={"epochs"}), *parts]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
