"""What students that fine-tune a whole transformer share: presets, loading and saving, the optimizer."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from crossfade.errors import ModelError, nearest_name
from crossfade.libraries import bfloat16_products, quiet

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

RAREST = 0.001
"""Least frequency that a head starts from; of a yes or no also the largest, taken from 1. Keeps odds finite. Ours."""


class Rates(Protocol):
    """The settings of AdamW."""

    @property
    def learning_rate(self) -> float:
        """AdamW's rate at the end of the warm-up; it falls linearly to 0 from there."""
        ...

    @property
    def weight_decay(self) -> float:
        """AdamW's decay, on every parameter."""
        ...

    @property
    def warm_up(self) -> float:
        """Share of the steps in which the rate rises linearly from 0."""
        ...


class TuningRates(Rates, Protocol):
    """The settings that training goes by."""

    @property
    def epochs(self) -> int:
        """Passes over the rows."""
        ...

    @property
    def batch_size(self) -> int:
        """Rows to a step."""
        ...

    @property
    def seed(self) -> int:
        """Fixes the order of the rows."""
        ...


def with_preset(values: object, presets: Mapping[str, Mapping[str, float]]) -> object:
    """Replace the name of a preset, under the key `preset`, by its values; keys that are given beside it win.

    Raises:
        ValueError: There is no such preset.
    """
    if not isinstance(values, Mapping) or "preset" not in values:
        return values
    given = dict(values)
    name = given.pop("preset")
    if name not in presets:
        raise ValueError(f"there is no preset '{name}'. {nearest_name(str(name), presets)}")
    return {**presets[name], **given}


def open_tuned(
    head: Any, path: str, classes: Sequence[str] | None = None
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Load an encoder with a head, and its tokenizer, on the GPU where there is one.

    Args:
        head: An auto class of transformers, such as `AutoModelForSequenceClassification`.
        path: Hub id or folder.
        classes: What the head tells apart, in column order; None for a head without classes.

    Raises:
        ModelError: It cannot be loaded.
    """
    import torch
    from transformers import AutoTokenizer

    named: dict[str, Any] = {}
    if classes is not None:
        named = {"num_labels": len(classes), "id2label": dict(enumerate(classes))}
        named["label2id"] = {name: column for column, name in enumerate(classes)}
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(path)
            model = head.from_pretrained(path, dtype=torch.float32, **named)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The encoder '{path}' cannot be loaded: {error}",
            hint="Give a folder or a hub id of a transformer encoder with its tokenizer.",
        ) from error
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer


def save_tuned(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    """Write weights (safetensors) and tokenizer to a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def start_head(model: "PreTrainedModel", biases: "torch.Tensor") -> None:
    """Set the bias of a model's head, [outputs], in place; a head without one, as some causal models have it, is left.

    Where most answers are no, a head that starts from even odds learns that first, by making all inputs alike, and from
    few rows nothing after. Biases that say how often each answer occurs are from Lin et al. 2017 (arXiv 1708.02002,
    section 3.3).
    """
    import torch

    layers = [part for part in model.modules() if isinstance(part, torch.nn.Linear)]
    heads = [layer for layer in layers if layer.out_features == len(biases)]
    if heads and heads[-1].bias is not None:
        with torch.no_grad():
            heads[-1].bias.copy_(biases)


def descent(
    model: "torch.nn.Module", rates: Rates, steps: int
) -> "tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]":
    """Make AdamW over all parameters, and a schedule whose rate rises in the warm-up and then falls linearly to 0.

    The warm-up's first step has rate 0, so a training of one step has no warm-up.
    """
    import torch
    from transformers import get_linear_schedule_with_warmup

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=rates.learning_rate, weight_decay=rates.weight_decay, fused=True
    )
    warm_up = min(math.ceil(rates.warm_up * steps), steps - 1)
    schedule: torch.optim.lr_scheduler.LRScheduler = get_linear_schedule_with_warmup(  # type: ignore[no-untyped-call]
        optimizer, warm_up, steps
    )
    return optimizer, schedule


def minimise(
    model: "PreTrainedModel",
    settings: TuningRates,
    loss: "Callable[[list[int]], torch.Tensor]",
    rows: int,
    batches: Callable[[], Iterable[list[int]]] | None = None,
) -> None:
    """Train all parameters, in place, with AdamW whose rate rises in the warm-up and then falls linearly to 0.

    Where the device multiplies bfloat16 faster, the products of a step are in it; the parameters stay in float32.

    Args:
        model: What is trained.
        settings: How.
        loss: Returns the mean loss of some rows, given by number; it takes logits as float32.
        rows: How many there are.
        batches: Draws the batches of a pass, every row once; None draws them at random.
    """
    import torch

    shuffler = torch.Generator().manual_seed(settings.seed)

    def shuffled() -> Iterable[list[int]]:
        order = torch.randperm(rows, generator=shuffler)
        return (batch.tolist() for batch in torch.split(order, settings.batch_size))

    steps = settings.epochs * math.ceil(rows / settings.batch_size)
    optimizer, schedule = descent(model, settings, steps)
    model.train()
    for _ in range(settings.epochs):
        for batch in (batches or shuffled)():
            with bfloat16_products(model.device):
                mean = loss(batch)
            mean.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
