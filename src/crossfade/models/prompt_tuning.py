"""Train soft prompts before a frozen language model, and write texts with them. Importing this module imports torch."""

import copy
import hashlib
import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from crossfade.attribute_roles import AttributePrompt, PromptTuning, SoftPromptShape, WritingStyle, Written
from crossfade.errors import ModelError
from crossfade.libraries import seeded
from crossfade.models.prompt_decoding import ClassifierFreeGuidance, Pull
from crossfade.models.soft_prompts import PromptedModel, SoftPrompts, padded_left, padded_right

WARM_UP = 0.1
"""Share of the steps in which the rate rises. The released code."""
AT_ONCE = 32
"""Texts that are written at a time."""


@dataclass(frozen=True, slots=True)
class TunedPrompts:
    """A frozen model with trained soft prompts: writes texts."""

    prompted: PromptedModel
    soft: SoftPrompts
    losses: tuple[float, ...] = ()
    """Loss in nats per token after each epoch: of the development rows; where there are none, of the training rows."""

    @property
    def name(self) -> str:
        """The model, and a digest of what was learned."""
        digest = hashlib.sha256()
        for value in self.soft.parameters():
            digest.update(value.detach().cpu().numpy().tobytes())
        return f"{self.prompted.weights.name}~{digest.hexdigest()[:12]}"

    def write(
        self, prompts: Sequence[AttributePrompt], *, style: WritingStyle, candidates: int, seed: int
    ) -> list[list[Written]]:
        """Return so many texts of one line for each prompt; the same seed gives the same texts."""
        texts: list[list[Written]] = []
        with seeded(seed), torch.no_grad():
            at_once = max(1, AT_ONCE // candidates)
            for start in range(0, len(prompts), at_once):
                texts += self._write(prompts[start : start + at_once], style, candidates)
        return texts

    def _write(self, prompts: Sequence[AttributePrompt], style: WritingStyle, candidates: int) -> list[list[Written]]:
        prompted, sampling = self.prompted, style.sampling
        pad = padded_right if prompted.has_encoder else padded_left
        inputs, mask = pad(prompted.inputs(self.soft, prompts))
        how: dict[str, object] = {"do_sample": sampling.temperature > 0}
        if style.beams:
            how |= {"num_beams": candidates, "early_stopping": True}
        if sampling.temperature:
            how |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        processors: list[object] = []
        if style.pull:
            values = [prompt.values for prompt in prompts for _ in range(candidates)]
            processors.append(Pull(prompted, values, style.pull))
        if style.guidance_scale != 1:
            # After the pull, so that what it adds is plausible, too.
            bare = [AttributePrompt(groups=(), words=prompt.bare_words) for prompt in prompts]
            without, real = (
                each.repeat_interleave(candidates, dim=0) for each in pad(prompted.inputs(self.soft, bare))
            )
            processors.append(ClassifierFreeGuidance(prompted, without, real, style.guidance_scale))
        with warnings.catch_warnings():
            # Quite so: what the prompt holds may well be said, once.
            warnings.filterwarnings("ignore", message="Passing `repetition_penalty` with `inputs_embeds`")
            found = prompted.model.generate(
                inputs_embeds=inputs,
                attention_mask=mask,
                max_new_tokens=sampling.max_tokens,
                num_return_sequences=candidates,
                repetition_penalty=style.repetition_penalty,
                eos_token_id=prompted.ends,
                pad_token_id=prompted.weights.tokenizer.eos_token_id,
                logits_processor=processors,
                **how,
            )
        # A decoder's first token was not written, and ends nothing.
        new = found[:, 1:] if prompted.has_encoder else found
        ended = torch.isin(new, torch.tensor(prompted.ends, device=new.device)).any(dim=1).tolist()
        said = prompted.weights.tokenizer.batch_decode(found, skip_special_tokens=True)
        texts = [Written(text.strip(), is_whole=whole) for text, whole in zip(said, ended, strict=True)]
        return [texts[start : start + candidates] for start in range(0, len(texts), candidates)]


class SoftPromptTuner:
    """Trains soft prompts for a frozen language model, once for the same rows and settings.

    Args:
        path: Hub id, folder or GGUF file of a causal or an encoder-decoder model.
        cache: Folder for unpacked GGUF weights.
        kept: Folder for trained prompts, a safetensors file each, named by a digest of all that they depend on.
    """

    def __init__(self, path: str | Path, *, cache: Path, kept: Path) -> None:
        self.prompted = PromptedModel(path, cache=cache)
        self.kept = kept

    def tune(
        self,
        shape: SoftPromptShape,
        prompts: Sequence[AttributePrompt],
        texts: Sequence[str],
        *,
        development: tuple[Sequence[AttributePrompt], Sequence[str]],
        tuning: PromptTuning,
    ) -> TunedPrompts:
        """Train soft prompts, and return those of the epoch with the lowest loss on the development rows.

        Where the same were trained before, they are read from their file.

        Args:
            shape: What is trained.
            prompts: One for each text.
            texts: What is to be written.
            development: Prompts and texts that say which epoch is kept; without any, the last is.
            tuning: How.

        Raises:
            ModelError: The loss is no number any more.
        """
        everything = repr((self.prompted.weights.name, shape, prompts, texts, development, tuning))
        file = self.kept / f"{hashlib.sha256(everything.encode()).hexdigest()}.safetensors"
        soft = self.prompted.new_prompts(shape)
        if file.is_file():
            losses = _read_prompts(file, soft)
        else:
            losses = self._train(soft, prompts, texts, development, tuning)
            _write_prompts(file, soft, losses)
        return TunedPrompts(self.prompted, soft.requires_grad_(False), losses)

    def _train(
        self,
        soft: SoftPrompts,
        prompts: Sequence[AttributePrompt],
        texts: Sequence[str],
        development: tuple[Sequence[AttributePrompt], Sequence[str]],
        tuning: PromptTuning,
    ) -> tuple[float, ...]:
        """Train soft prompts in place, and return the loss after each epoch."""
        optimizer = torch.optim.AdamW(soft.parameters(), lr=tuning.learning_rate, weight_decay=0.0)
        steps = tuning.epochs * math.ceil(len(texts) / tuning.batch_size)
        schedule = _cosine(optimizer, steps)
        shuffler = np.random.default_rng(tuning.seed)
        best, losses = copy.deepcopy(soft.state_dict()), list[float]()
        for _ in range(tuning.epochs):
            trained = 0.0
            for batch in np.array_split(shuffler.permutation(len(texts)), math.ceil(len(texts) / tuning.batch_size)):
                for some in np.split(batch, range(tuning.rows_at_once, len(batch), tuning.rows_at_once)):
                    loss = self.prompted.losses(soft, [prompts[row] for row in some], [texts[row] for row in some])
                    torch.autograd.backward(loss * (len(some) / len(batch)))
                    trained += loss.item() * len(some) / len(texts)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            losses.append(self._loss(soft, *development, tuning.rows_at_once) if development[1] else trained)
            if not math.isfinite(losses[-1]):
                raise ModelError(
                    f"The loss of the soft prompts is {losses[-1]} after epoch {len(losses)}; expected a number.",
                    hint=f"Set method.learning_rate below {tuning.learning_rate:g}.",
                )
            if not development[1] or losses[-1] == min(losses):
                best = copy.deepcopy(soft.state_dict())
            elif len(losses) - 1 - int(np.argmin(losses)) >= tuning.patience:
                break
        soft.load_state_dict(best)
        return tuple(losses)

    def _loss(self, soft: SoftPrompts, prompts: Sequence[AttributePrompt], texts: Sequence[str], at_once: int) -> float:
        """Return the mean loss over rows, in nats per token of a row."""
        total = 0.0
        with torch.no_grad():
            for start in range(0, len(texts), at_once):
                some = slice(start, start + at_once)
                total += self.prompted.losses(soft, prompts[some], texts[some]).item() * len(texts[some])
        return total / len(texts)


def _write_prompts(file: Path, soft: SoftPrompts, losses: Sequence[float]) -> None:
    """Write trained prompts with their losses; a file under its name is whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    values = {name: value.cpu().contiguous() for name, value in soft.state_dict().items()}
    save_file(values, part, metadata={"losses": json.dumps(losses)})
    part.replace(file)


def _read_prompts(file: Path, soft: SoftPrompts) -> tuple[float, ...]:
    """Read trained prompts into new ones, and return their losses."""
    with safe_open(file, framework="pt") as opened:
        soft.load_state_dict({name: opened.get_tensor(name) for name in opened.keys()})  # noqa: SIM118
        return tuple(json.loads(opened.metadata()["losses"]))


def _cosine(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    from transformers import get_cosine_schedule_with_warmup

    schedule: torch.optim.lr_scheduler.LRScheduler = get_cosine_schedule_with_warmup(
        optimizer, int(WARM_UP * steps), steps
    )
    return schedule
