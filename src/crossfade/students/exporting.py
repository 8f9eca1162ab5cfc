"""Write a fitted student as ONNX with its tokenizer, and make sure that it predicts the same there."""

import copy
import json
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from crossfade.data import Example, readable
from crossfade.errors import ModelError
from crossfade.libraries import require_libraries
from crossfade.roles import Student
from crossfade.students.graphs import SECOND, Exportable, TokenGraph

TOLERANCE = 1e-3
"""Largest difference of any class probability that an export may have. Ours; float32 alone makes about 1e-6."""
PROGRAM = Path(__file__).with_name("onnx_program.py")
"""What the export's folder gets as `predict.py`; the check runs it, too."""
SAMPLES = (
    "yes",
    "Where can I find it?",
    "  My order has not come yet, although it was said to be here on Monday; please look into it.  ",
    "Ça ne marche plus — 请帮忙, danke! \U0001f642 #42 @home",
    "one two three four five six seven eight nine ten " * 8,
    "a text that is longer than what most encoders read at once " * 60,
)
"""Texts that every export is checked on, beside the class names: short, long, too long, spaces, other scripts."""


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """An export that was written, and how it was checked."""

    folder: Path
    """Holds model.onnx, tokenizer.json, tokenizer_config.json, labels.json and predict.py."""
    rows: int
    """Sample rows that both predicted, each alone and in a padded batch."""
    largest_difference: float
    """Of any class probability, between the student and the export."""


def export_onnx(student: Student, folder: Path) -> ExportCheck:
    """Write a student as ONNX: one graph from token ids to class probabilities, with its tokenizer.

    Nothing is left in the folder unless the export predicts the same as the student on sample texts; an earlier export
    there is replaced.

    Args:
        student: A fitted student that offers `torch_graph`.
        folder: Where to write; made when it is not there.

    Raises:
        DependencyError: onnx, onnxruntime, onnxscript, torch or the student's own libraries are missing.
        ModelError: The student has no graph, the graph cannot be written, or it predicts something else.
    """
    require_libraries("onnx", "onnxruntime", "onnxscript", extra="onnx")
    require_libraries("torch")
    if not isinstance(student, Exportable):
        raise ModelError(
            f"A student of the kind {type(student).__name__} has no graph of its own, so it cannot be exported.",
            hint="Train a student such as 'linear' or 'encoder_classifier' and export that.",
        )
    graph = student.torch_graph()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as name:
        draft = Path(name)
        _write(graph, student.labels, draft)
        rows = _sample_rows(graph, student.labels)
        difference = _largest_difference(student, draft, rows)
        # Written so that a difference that is not a number fails as well.
        if not difference < TOLERANCE:
            raise ModelError(
                f"The export's probabilities differ from the student's by up to {difference:.2g}; expected less than "
                f"{TOLERANCE}. Nothing was written.",
                hint="Please report which encoder it was; another one may export.",
            )
        folder.mkdir(exist_ok=True)
        for file in draft.iterdir():
            os.replace(file, folder / file.name)
    return ExportCheck(folder, len(rows), difference)


def _write(graph: TokenGraph, labels: Sequence[str], folder: Path) -> None:
    """Write graph, tokenizer, labels and program."""
    _write_graph(graph, folder / "model.onnx")
    graph.tokenizer.save_pretrained(folder)
    _write_tokenizer(graph, folder / "tokenizer.json")
    note = {"labels": list(labels), "texts": list(graph.texts)}
    (folder / "labels.json").write_text(json.dumps(note, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    shutil.copyfile(PROGRAM, folder / "predict.py")


def _write_graph(graph: TokenGraph, path: Path) -> None:
    """Trace the graph with an open number of rows and tokens and write it in float32, weights inside."""
    import torch

    # A copy, because the student may sit on a GPU and goes on being used.
    module = copy.deepcopy(graph.module).cpu().float().eval()
    example = tuple(torch.ones((2, 5), dtype=torch.long) for _ in graph.inputs)
    rows, tokens = torch.export.Dim("rows"), torch.export.Dim("tokens")
    second_tokens = torch.export.Dim("second_tokens")
    shapes = tuple({0: rows, 1: second_tokens if name.startswith(SECOND) else tokens} for name in graph.inputs)
    try:
        with _quiet(), torch.inference_mode():
            torch.onnx.export(
                module,
                example,
                path,
                input_names=graph.inputs,
                output_names=["probabilities"],
                dynamic_shapes=(shapes,),
                external_data=False,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ModelError(
            f"The student cannot be written as an ONNX graph: {error}", hint="Train it on another encoder."
        ) from error


def _write_tokenizer(graph: TokenGraph, path: Path) -> None:
    """Write the tokenizer with its cutting and padding, so that the file alone gives what the graph wants."""
    from tokenizers import Tokenizer

    of_student = graph.tokenizer
    tokenizer = Tokenizer.from_str(of_student.backend_tokenizer.to_str())
    tokenizer.enable_truncation(graph.max_length, direction=of_student.truncation_side)
    tokenizer.enable_padding(
        direction=of_student.padding_side,
        pad_id=of_student.pad_token_id,
        pad_type_id=of_student.pad_token_type_id,
        pad_token=of_student.pad_token,
    )
    tokenizer.save(str(path))


def _sample_rows(graph: TokenGraph, labels: Sequence[str]) -> list[tuple[str, ...]]:
    """Make rows of every number of texts that the graph takes, of the samples and the class names."""
    texts = [*SAMPLES, *map(readable, labels)]
    single = [(text,) for text in texts]
    pairs = list(zip(texts, reversed(texts), strict=True))
    return [row for count, rows in ((1, single), (2, pairs)) if count in graph.texts for row in rows]


def _largest_difference(student: Student, folder: Path, rows: Sequence[tuple[str, ...]]) -> float:
    """Compare the export with the student, row by row and in a padded batch."""
    from crossfade.students.onnx_program import ExportedStudent

    exported = ExportedStudent(folder)
    largest = 0.0
    for count in sorted({len(row) for row in rows}):
        batch = [row for row in rows if len(row) == count]
        expected = student.predict_probabilities([Example(row, student.labels[0]) for row in batch])
        alone = np.vstack([exported.probabilities([row]) for row in batch])
        for found in (exported.probabilities(batch), alone):
            # np.maximum keeps what is not a number, which max does not.
            largest = float(np.maximum(largest, np.abs(found - expected).max()))
    return largest


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what torch's exporter says of itself; the check says what the graph is worth."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # torch 2.13 calls what it deprecates itself, and names each axis once although texts share theirs.
            warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
            warnings.filterwarnings("ignore", "# The axis name", UserWarning)
            yield
    finally:
        logger.setLevel(level)
