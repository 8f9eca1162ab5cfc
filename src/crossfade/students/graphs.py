"""The torch graph behind a student, from token ids to class probabilities: what an export writes down.

A student that can be exported offers `torch_graph`, which it puts together from the functions here.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from crossfade.errors import ModelError
from crossfade.roles import Encoder, Floats

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOKEN_INPUTS = ("input_ids", "token_type_ids", "attention_mask")
"""What a tokenizer outside transformers can say of a text."""
SECOND = "second_"
"""Stands before the input names of the second text, where the two are read apart."""


@dataclass(frozen=True, slots=True)
class TokenGraph:
    """A torch module that reads token ids, and the tokenizer that makes them."""

    module: "nn.Module"
    """Takes one tensor per input, [rows, tokens] each, by position; returns class probabilities, [rows, classes], or
    the vectors of an encoder, [rows, width]."""
    inputs: tuple[str, ...]
    """Names of the tensors, in order: `TOKEN_INPUTS`, and with `SECOND` before them those of a text read apart."""
    tokenizer: "PreTrainedTokenizerBase"
    max_length: int
    """Tokens per text, or per pair where two texts are read as one."""
    texts: tuple[int, ...]
    """How many texts a row may have."""


@runtime_checkable
class Exportable(Protocol):
    """A student that is one graph from token ids to class probabilities."""

    def torch_graph(self) -> TokenGraph:
        """Return the fitted student as a graph; its classes are in the student's column order."""
        ...


@runtime_checkable
class TorchEncoder(Protocol):
    """An encoder that is a sentence-transformers model."""

    def loaded(self) -> "SentenceTransformer":
        """Return the model."""
        ...


def encoder_graph(encoder: Encoder) -> TokenGraph:
    """Return an encoder as a graph from token ids to unit-length vectors, [rows, width].

    Raises:
        ModelError: The encoder is no transformer from sentence-transformers.
    """
    if not isinstance(encoder, TorchEncoder):
        raise ModelError(
            f"The encoder '{encoder.name}' is no sentence-transformers model, so it has no graph to export.",
            hint="Train the student on vectors of a sentence-transformers model.",
        )
    return sentence_graph(encoder.loaded())


def sentence_graph(model: "SentenceTransformer") -> TokenGraph:
    """Return a sentence-transformers model as a graph from token ids to unit-length vectors, [rows, width].

    Raises:
        ModelError: It is no transformer.
    """
    inputs = _input_names(model.tokenizer)
    length = model.max_seq_length or model.tokenizer.model_max_length
    return TokenGraph(_unit_vectors(model, inputs), inputs, model.tokenizer, length, texts=(1,))


def head_graph(
    encoder: TokenGraph,
    *,
    coefficients: Floats,
    intercepts: Floats,
    columns: NDArray[np.intp],
    classes: int,
    texts: int,
) -> TokenGraph:
    """Put a logistic head on an encoder's vectors.

    Args:
        encoder: From token ids to vectors, [rows, width].
        coefficients: One row per trained class, [trained classes, features]; the features are the vector of one text,
            or [u, v, |u - v|, u * v] for two.
        intercepts: [trained classes].
        columns: The label column of each trained class; the other classes get probability 0.
        classes: How many there are in all.
        texts: Texts per row, 1 or 2; two are read apart.
    """
    wide_coefficients = np.zeros((classes, coefficients.shape[1]))
    wide_intercepts = np.full(classes, -np.inf)
    wide_coefficients[columns], wide_intercepts[columns] = coefficients, intercepts
    module = _logistic_head(encoder.module, wide_coefficients, wide_intercepts, texts)
    second = tuple(SECOND + name for name in encoder.inputs) if texts == 2 else ()
    return TokenGraph(module, encoder.inputs + second, encoder.tokenizer, encoder.max_length, texts=(texts,))


def classifier_graph(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", *, max_length: int) -> TokenGraph:
    """Return a transformer with a classification head as a graph; two texts are read as one pair."""
    inputs = _input_names(tokenizer)
    return TokenGraph(_class_probabilities(model, inputs), inputs, tokenizer, max_length, texts=(1, 2))


def _input_names(tokenizer: "PreTrainedTokenizerBase") -> tuple[str, ...]:
    """Name the tensors that the tokenizer makes; refuse what the tokenizers library cannot make alone."""
    names = tuple(getattr(tokenizer, "model_input_names", ()))
    if not names or set(names) - set(TOKEN_INPUTS) or not hasattr(tokenizer, "backend_tokenizer"):
        raise ModelError(
            f"The tokenizer makes {list(names)}; an export works with {list(TOKEN_INPUTS)} of a fast tokenizer.",
            hint="Train the student on another encoder, such as the packaged MiniLM.",
        )
    return names


def _unit_vectors(model: "SentenceTransformer", inputs: tuple[str, ...]) -> "nn.Module":
    """Wrap an encoder: token tensors in, unit-length vectors out."""
    import torch

    class UnitVectors(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tokens: torch.Tensor) -> torch.Tensor:
            vectors: torch.Tensor = self.model(dict(zip(inputs, tokens, strict=True)))["sentence_embedding"]
            return torch.nn.functional.normalize(vectors, dim=1)

    return UnitVectors()


def _logistic_head(encoder: "nn.Module", coefficients: Floats, intercepts: Floats, texts: int) -> "nn.Module":
    """Wrap an encoder with a head: the token tensors of one or two texts in, class probabilities out."""
    import torch

    class LogisticHead(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder
            self.coefficients = torch.nn.Buffer(torch.tensor(coefficients, dtype=torch.float32))
            self.intercepts = torch.nn.Buffer(torch.tensor(intercepts, dtype=torch.float32))

        def forward(self, *tokens: torch.Tensor) -> torch.Tensor:
            if texts == 1:
                features = self.encoder(*tokens)
            else:
                half = len(tokens) // 2
                first, second = self.encoder(*tokens[:half]), self.encoder(*tokens[half:])
                features = torch.cat([first, second, (first - second).abs(), first * second], dim=1)
            return torch.nn.functional.linear(features, self.coefficients, self.intercepts).softmax(dim=1)

    return LogisticHead()


def _class_probabilities(model: "PreTrainedModel", inputs: tuple[str, ...]) -> "nn.Module":
    """Wrap a classifier: token tensors in, class probabilities out."""
    import torch

    class ClassProbabilities(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tokens: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model(**dict(zip(inputs, tokens, strict=True))).logits
            return logits.softmax(dim=1)

    return ClassProbabilities()
