"""Train encoder and adaptor together: tell classes apart and stay invertible (inversedMixup, stage 3 as we read it).

The loss is L_CE + beta * L_GEN. Both send their gradients into the encoder; L_GEN alone reaches the adaptor.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crossfade.libraries import seeded
from crossfade.models.encoder import SentenceEncoder
from crossfade.models.inverter import SentenceInverter
from crossfade.models.inverter_training import (
    CHECKPOINT_NAME,
    Clock,
    Report,
    load_checkpoint,
    purpose_of,
    save_checkpoint,
)
from crossfade.settings import Settings

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

SHARPNESS = 16.0
"""Factor of the cosines that the classes' first directions are compared with. Ours."""


class JointTraining(Settings):
    """How encoder and adaptor are trained together."""

    beta: float = Field(default=0.1, ge=0)
    """Weight of the generation loss beside the task's; 0 leaves the adaptor as it is. Ours; the paper's is unknown."""
    epochs: float = Field(default=5.0, gt=0)
    """Times that each labelled text is read."""
    batch_size: int = Field(default=16, ge=2)
    """Labelled texts in a step; as many unlabelled ones stand beside them."""
    learning_rate: float = Field(default=1e-5, gt=0)
    """AdamW's rate of the encoder; all rates fall linearly to 0."""
    head_rate: float = Field(default=1e-3, gt=0)
    """AdamW's rate of the classes' directions."""
    adaptor_rate: float = Field(default=1e-4, gt=0)
    """AdamW's rate of the adaptor."""
    longest: int = Field(default=64, ge=2)
    """Tokens after which a sentence is cut off."""
    seed: int = Field(default=0, ge=0)
    """Fixes the order of the texts, and dropout."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Texts with their classes as numbers from 0, each of which has a text."""

    texts: tuple[str, ...]
    classes: tuple[int, ...]

    def rows(self, rows: NDArray[np.intp]) -> "Labelled":
        """Return some of them."""
        return Labelled(tuple(self.texts[row] for row in rows), tuple(self.classes[row] for row in rows))


def train_jointly(
    inverter: SentenceInverter,
    encoder: SentenceEncoder,
    labelled: Labelled,
    rehearsal: Sequence[str],
    settings: JointTraining,
    folder: Path,
    *,
    start: str,
    report: Report = lambda progress: None,
    seconds_between_checkpoints: float = 300.0,
) -> None:
    """Train the encoder and the adaptor in place, from the checkpoint in the folder where there is one.

    Args:
        inverter: Its adaptor learns, its language model does not.
        encoder: The inverter's encoder; it learns.
        labelled: What the task's loss is taken on.
        rehearsal: Unlabelled texts, which keep the encoder invertible everywhere.
        settings: How.
        folder: Where the checkpoint is kept.
        start: Names the inverter that is trained on.
        report: Told about the progress every half minute and after each checkpoint.
        seconds_between_checkpoints: How much work may be lost.

    Raises:
        ModelError: The folder holds the checkpoint of another training.
    """
    import torch

    model = encoder.loaded()
    directions = _first_directions(inverter, labelled)
    parts = {
        "encoder": (dict(model.named_parameters()), settings.learning_rate),
        "adaptor": (dict(inverter.adaptor.named_parameters()), settings.adaptor_rate),
        "head": ({"directions": directions}, settings.head_rate),
    }
    parameters = {f"{part}.{name}": value for part, (named, _) in parts.items() for name, value in named.items()}
    groups = [{"params": list(named.values()), "lr": rate, "full_rate": rate} for named, rate in parts.values()]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0, fused=True)
    purpose = purpose_of(inverter, settings, start, list(labelled.texts), list(labelled.classes), list(rehearsal))
    step = load_checkpoint(folder / CHECKPOINT_NAME, purpose, parameters, optimizer)
    per_epoch = math.ceil(len(labelled.texts) / settings.batch_size)
    steps = max(1, round(settings.epochs * per_epoch))
    clock, saved_at = Clock(steps, 2 * settings.batch_size, report, step), time.monotonic()
    while step < steps:
        for group in optimizer.param_groups:
            group["lr"] = group["full_rate"] * (1 - step / steps)
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(labelled.texts))
        rows = order[place * settings.batch_size :][: settings.batch_size]
        others = np.random.default_rng([settings.seed, 1, step]).choice(len(rehearsal), len(rows)).tolist()
        # A seed of its own for each step: dropout is the same after an interruption.
        with seeded(1_000_003 * settings.seed + step):
            model.train()
            loss = _learn(
                inverter, model, directions, labelled.rows(rows), [rehearsal[row] for row in others], settings
            )
        model.eval()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        due = time.monotonic() - saved_at >= seconds_between_checkpoints or step == steps
        if due:
            save_checkpoint(folder / CHECKPOINT_NAME, purpose, parameters, optimizer, step)
        clock.tell(step, loss, due)
        if due:
            saved_at = time.monotonic()


def _learn(
    inverter: SentenceInverter,
    model: "SentenceTransformer",
    directions: "torch.nn.Parameter",
    labelled: Labelled,
    rehearsal: Sequence[str],
    settings: JointTraining,
) -> float:
    """Send the gradient of both losses back; return L_CE + beta * L_GEN."""
    import torch
    from sentence_transformers.util import batch_to_device

    texts = [*labelled.texts, *rehearsal]
    tokens = batch_to_device(model.preprocess(texts), model.device)
    vectors = torch.nn.functional.normalize(model(tokens)["sentence_embedding"], dim=1)
    # Both losses leave their gradient here, and the encoder is gone back through once.
    leaf = vectors.detach().requires_grad_()
    wanted = torch.tensor(labelled.classes, device=leaf.device)
    task = torch.nn.functional.cross_entropy(leaf[: len(wanted)] @ directions.T, wanted)
    torch.autograd.backward(task)
    generation = 0.0
    if settings.beta:
        sentences = [inverter.reader.tokens(text)[: settings.longest] for text in texts]
        soft = inverter.adaptor(leaf.to(inverter.reader.model.device))
        generation = inverter.reader.learn(soft, sentences, settings.beta)
    torch.autograd.backward(vectors, leaf.grad)
    return task.item() + settings.beta * generation


def _first_directions(inverter: SentenceInverter, labelled: Labelled) -> "torch.nn.Parameter":
    """Point each class's direction at the mean of its texts, [classes, width]."""
    import torch

    vectors, classes = inverter.encode(labelled.texts), np.array(labelled.classes)
    means = np.stack([vectors[classes == number].mean(axis=0) for number in range(classes.max() + 1)])
    means *= SHARPNESS / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return torch.nn.Parameter(torch.tensor(means, dtype=torch.float32, device=inverter.reader.model.device))
