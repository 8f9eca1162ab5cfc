"""Write annotations out as strings, with a sequence-to-sequence model: the protocol of the paper of soft prompts.

Any such model works: T5, FLAN-T5, GODEL. What is written: tasks/targets.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from crossfade.data import AnnotatedExample, Example
from crossfade.errors import SettingsError
from crossfade.libraries import quiet, require_libraries, seeded
from crossfade.roles import Floats
from crossfade.settings import Settings
from crossfade.students.fitted import fitted
from crossfade.students.rows import annotated_rows
from crossfade.students.saving import StudentNote, read_note, write_note
from crossfade.students.tuning import minimise, open_tuned, save_tuned
from crossfade.tasks.targets import SEPARATOR, as_target, from_target

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

UNTAUGHT = -100
"""Marks padding, in the words of transformers."""


class TextToTextSettings(Settings):
    """How the model is fine-tuned; defaults are those of the paper's released code for GODEL-large, unless said."""

    epochs: int = Field(default=7, ge=1)
    """Passes over the training rows; the last weights are kept, where the released code keeps the best on development
    rows."""
    batch_size: int = Field(default=10, ge=1)
    """Texts per training step."""
    learning_rate: float = Field(default=3e-5, gt=0)
    """AdamW's rate at the end of the warm-up; it falls linearly to 0 from there. For the base size: 1e-4."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's decay, on every parameter."""
    warm_up: float = Field(default=0.1, ge=0, le=1)
    """Share of the steps in which the rate rises linearly from 0."""
    source_length: int = Field(default=128, ge=4)
    """Tokens of a text."""
    target_length: int = Field(default=128, ge=4)
    """Tokens of an annotation."""
    repetition_penalty: float = Field(default=1.2, ge=1)
    """Divides the scores of tokens written already."""
    seed: int = Field(default=0, ge=0)
    """Fixes dropout and the order of the rows."""


@dataclass(frozen=True, slots=True)
class TunedWriter:
    """A fine-tuned model with its tokenizer."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    task: str
    """The task, then the attributes that the training rows have."""
    names: tuple[str, ...]


class TextToText:
    """A sequence-to-sequence model that writes annotations.

    Args:
        base: Hub id or folder of the model to start from.
        settings: How to train and write.
        tuned: The fine-tuned model; None for a student that is not fitted.
    """

    kind: ClassVar[str] = "text_to_text"

    def __init__(
        self, base: str | None, settings: TextToTextSettings | None = None, *, tuned: TunedWriter | None = None
    ) -> None:
        self.base = base
        self.settings = settings or TextToTextSettings()
        self.tuned = tuned

    def fit(self, examples: Sequence[Example], weights: Floats) -> "TextToText":
        """Train from scratch and return the fitted student; this one stays as it is.

        Args:
            examples: Annotated texts, all of one task.
            weights: Sample weights, [rows]; they are divided by their mean, and rows of weight 0 are left out.

        Raises:
            DataError: The rows are malformed.
            DependencyError: torch or transformers is missing.
            ModelError: The base cannot be loaded.
            SettingsError: There is no base: none is packaged.
        """
        if self.base is None:
            raise SettingsError(
                "The student 'text_to_text' has no base, and no such model is packaged.",
                hint="Set student.base to a hub id or folder, such as microsoft/GODEL-v1_1-large-seq2seq.",
            )
        rows, weights = annotated_rows(examples, weights)
        require_libraries("torch", "transformers")
        from transformers import AutoModelForSeq2SeqLM

        names = tuple(sorted({name for row in rows for name in row.attributes}))
        with seeded(self.settings.seed):
            tuned = TunedWriter(*open_tuned(AutoModelForSeq2SeqLM, self.base), rows[0].label, names)
            if tuned.task != "intents":
                _add_separator(tuned)
            _train(tuned, rows, weights, self.settings)
        return TextToText(self.base, self.settings, tuned=tuned)

    def annotate(self, examples: Sequence[Example]) -> list[AnnotatedExample]:
        """Return each text with the annotation that the model writes, greedily.

        Raises:
            ModelError: The student is not fitted.
        """
        tuned, settings = fitted(self.tuned), self.settings
        import torch

        said: list[str] = []
        tuned.model.eval()  # type: ignore[no-untyped-call]
        with torch.inference_mode():
            for start in range(0, len(examples), 2 * settings.batch_size):
                texts = [example.texts[0] for example in examples[start : start + 2 * settings.batch_size]]
                found = tuned.model.generate(  # type: ignore[operator]
                    **_encoded(tuned, texts, settings.source_length),
                    max_new_tokens=settings.target_length,
                    do_sample=False,
                    repetition_penalty=settings.repetition_penalty,
                )
                said += tuned.tokenizer.batch_decode(found, skip_special_tokens=True)
        return [
            from_target(target, AnnotatedExample(example.texts, tuned.task), tuned.names)
            for target, example in zip(said, examples, strict=True)
        ]

    def save(self, folder: Path) -> None:
        """Write the weights (safetensors), the tokenizer and `student.json`.

        Raises:
            ModelError: The student is not fitted.
        """
        tuned = fitted(self.tuned)
        save_tuned(tuned.model, tuned.tokenizer, folder)
        labels = (tuned.task, *tuned.names)
        settings = self.settings.model_dump()
        write_note(folder, StudentNote(kind=self.kind, labels=labels, settings=settings, encoder_path=self.base))

    @classmethod
    def load(cls, folder: Path) -> "TextToText":
        """Read a saved student.

        Raises:
            DependencyError: torch or transformers is missing.
            ModelError: The folder holds no such student.
            ParsingError: `student.json` is not in the form it must have.
        """
        note = read_note(folder, kind=cls.kind)
        require_libraries("torch", "transformers")
        from transformers import AutoModelForSeq2SeqLM

        task, *names = note.labels
        tuned = TunedWriter(*open_tuned(AutoModelForSeq2SeqLM, str(folder)), task, tuple(names))
        return cls(note.encoder_path, note.settings_as(TextToTextSettings), tuned=tuned)


def _add_separator(tuned: TunedWriter) -> None:
    """Give the separator a token of its own where there is none: T5's vocabulary has no '<' to write it with."""
    if tuned.tokenizer.add_tokens([SEPARATOR]):
        # T5 has more rows than tokens: its table must not shrink.
        rows = tuned.model.get_input_embeddings().weight.size(0)  # type: ignore[operator]
        with quiet():
            tuned.model.resize_token_embeddings(max(len(tuned.tokenizer), rows))


def _encoded(tuned: TunedWriter, texts: Sequence[str], longest: int) -> "dict[str, torch.Tensor]":
    batch = tuned.tokenizer(list(texts), truncation=True, max_length=longest, padding=True, return_tensors="pt")
    # Some tokenizers also name token types, which such a model does not read.
    return {name: batch[name].to(tuned.model.device) for name in ("input_ids", "attention_mask")}


def _train(tuned: TunedWriter, rows: Sequence[AnnotatedExample], weights: Floats, settings: TextToTextSettings) -> None:
    """Minimise the weighted cross entropy of the annotations' tokens, averaged over each text, in place."""
    import torch

    weight = torch.tensor(weights, dtype=torch.float32, device=tuned.model.device)

    def loss(batch: list[int]) -> torch.Tensor:
        some = [rows[row] for row in batch]
        targets = _encoded(tuned, [as_target(row) for row in some], settings.target_length)
        labels = targets["input_ids"].masked_fill(targets["attention_mask"] == 0, UNTAUGHT)
        sources = _encoded(tuned, [row.texts[0] for row in some], settings.source_length)
        logits = tuned.model(**sources, labels=labels).logits.float()
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), labels, ignore_index=UNTAUGHT, reduction="none"
        )
        of_text = losses.sum(dim=1) / (labels != UNTAUGHT).sum(dim=1)
        return (of_text * weight[batch]).mean()

    minimise(tuned.model, settings, loss, len(rows))
