"""The encoder classifier for several labels to a text: one yes or no for each intent, in place of one class."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from crossfade.data import AnnotatedExample, Example
from crossfade.errors import DataError
from crossfade.libraries import require_libraries, seeded
from crossfade.packaged import packaged_encoder
from crossfade.roles import Floats
from crossfade.students.encoder_classifier import (
    PRESETS,
    EncoderClassifierSettings,
    TunedEncoder,
    open_encoder_classifier,
)
from crossfade.students.fitted import fitted
from crossfade.students.rows import annotated_rows
from crossfade.students.saving import StudentNote, read_note, write_note
from crossfade.students.tuning import RAREST, minimise, save_tuned, start_head

YES = 0.5
"""Probability from which a text has an intent. The released code of the paper of soft prompts."""


class MultiLabelClassifier:
    """A fine-tuned transformer encoder that says of each intent whether a text has it.

    Args:
        base: Hub id or folder of the encoder to start from; None is the packaged all-MiniLM-L6-v2.
        settings: How to train and predict; what was not set in them is as in the preset 'intents'.
        tuned: The fine-tuned encoder; None for a student that is not fitted.
    """

    kind: ClassVar[str] = "multi_label"

    def __init__(
        self,
        base: str | None = None,
        settings: EncoderClassifierSettings | None = None,
        *,
        tuned: TunedEncoder | None = None,
    ) -> None:
        self.base = base
        given = {name: getattr(settings, name) for name in settings.model_fields_set} if settings else {}
        self.settings = PRESETS["intents"].model_copy(update=given)
        self.tuned = tuned

    def fit(self, examples: Sequence[Example], weights: Floats) -> "MultiLabelClassifier":
        """Train from scratch and return the fitted student; this one stays as it is.

        Args:
            examples: Texts with their intents; the intents that occur are those it will know.
            weights: Sample weights, [rows]; they are divided by their mean, and rows of weight 0 are left out.

        Raises:
            DataError: The rows are malformed, or none has an intent.
            DependencyError: torch, transformers or the package of the default encoder is missing.
            ModelError: The base cannot be loaded.
        """
        rows, weights = annotated_rows(examples, weights)
        labels = tuple(sorted({intent for row in rows for intent in row.intents}))
        if not labels:
            raise DataError("No row has an intent; expected at least one.")
        require_libraries("torch", "transformers")

        base = str(packaged_encoder()) if self.base is None else self.base
        with seeded(self.settings.seed):
            tuned = open_encoder_classifier(base, labels, self.settings.max_length)
            _train(tuned, rows, weights, self.settings)
        return MultiLabelClassifier(self.base, self.settings, tuned=tuned)

    def annotate(self, examples: Sequence[Example]) -> list[AnnotatedExample]:
        """Return each text with the intents that are at least as probable as not."""
        tuned = fitted(self.tuned)
        return [
            AnnotatedExample(
                example.texts,
                "intents",
                tuple(name for name, share in zip(tuned.labels, row, strict=True) if share >= YES),
            )
            for example, row in zip(examples, self.predict_probabilities(examples), strict=True)
        ]

    def predict_probabilities(self, examples: Sequence[Example]) -> Floats:
        """Return the probability that a text has an intent, [texts, intents]; rows need not sum to 1.

        Raises:
            ModelError: The student is not fitted.
        """
        tuned = fitted(self.tuned)
        import torch

        size = self.settings.prediction_batch_size
        tuned.model.eval()  # type: ignore[no-untyped-call]
        with torch.inference_mode():
            shares = [
                tuned.model(**tuned.tokens(examples[start : start + size])).logits.double().sigmoid().cpu().numpy()
                for start in range(0, len(examples), size)
            ]
        return np.concatenate(shares) if shares else np.zeros((0, len(tuned.labels)))

    def save(self, folder: Path) -> None:
        """Write the weights (safetensors), the tokenizer and `student.json`.

        Raises:
            ModelError: The student is not fitted.
        """
        tuned = fitted(self.tuned)
        save_tuned(tuned.model, tuned.tokenizer, folder)
        settings = self.settings.model_dump()
        write_note(folder, StudentNote(kind=self.kind, labels=tuned.labels, settings=settings, encoder_path=self.base))

    @classmethod
    def load(cls, folder: Path) -> "MultiLabelClassifier":
        """Read a saved student.

        Raises:
            DependencyError: torch or transformers is missing.
            ModelError: The folder holds no such student.
            ParsingError: `student.json` is not in the form it must have.
        """
        note = read_note(folder, kind=cls.kind)
        require_libraries("torch", "transformers")
        settings = note.settings_as(EncoderClassifierSettings)
        tuned = open_encoder_classifier(str(folder), note.labels, settings.max_length)
        return cls(note.encoder_path, settings, tuned=tuned)


def _train(
    tuned: TunedEncoder, rows: Sequence[AnnotatedExample], weights: Floats, settings: EncoderClassifierSettings
) -> None:
    """Minimise the weighted binary cross entropy, summed over the intents, in place, from how often each occurs."""
    import torch

    model, device = tuned.model, tuned.model.device
    has = [[float(label in row.intents) for label in tuned.labels] for row in rows]
    targets = torch.tensor(has, device=device)
    weight = torch.tensor(weights, dtype=torch.float32, device=device)
    frequencies = (targets * weight[:, None]).sum(dim=0) / weight.sum()
    start_head(model, frequencies.clamp(RAREST, 1 - RAREST).logit())

    def loss(batch: list[int]) -> torch.Tensor:
        logits = model(**tuned.tokens([rows[row] for row in batch])).logits.float()
        losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets[batch], reduction="none")
        return (losses.sum(dim=1) * weight[batch]).mean()

    minimise(model, settings, loss, len(rows))
