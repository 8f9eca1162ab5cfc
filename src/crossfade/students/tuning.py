"""What students that fine-tune a whole transformer share: presets, loading and saving, the optimizer."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from crossfade.errors import ModelError, nearest_name
from crossfade.libraries import quiet

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class TuningRates(Protocol):
    """The settings that the optimizer goes by."""

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


def open_tuned(head: Any, path: str, **options: Any) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Load an encoder with a head, and its tokenizer, on the GPU where there is one.

    Args:
        head: An auto class of transformers, such as `AutoModelForSequenceClassification`.
        path: Hub id or folder.
        options: What the auto class is given beside the path.

    Raises:
        ModelError: It cannot be loaded.
    """
    import torch
    from transformers import AutoTokenizer

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(path)
            model = head.from_pretrained(path, dtype=torch.float32, **options)
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


def optimizer_of(
    model: "PreTrainedModel", settings: TuningRates, steps: int
) -> "tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]":
    """Make AdamW over all parameters, and the schedule of its rate over so many steps."""
    import torch
    from transformers import get_linear_schedule_with_warmup

    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    warm_up_steps = math.ceil(settings.warm_up * steps)
    return optimizer, get_linear_schedule_with_warmup(optimizer, warm_up_steps, steps)  # type: ignore[no-untyped-call]
