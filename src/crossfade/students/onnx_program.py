"""Label texts with an exported student. Needs numpy, onnxruntime and tokenizers, and nothing else.

python predict.py "a text"              one text, or two for a student of pairs
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

SECOND = "second_"
"""Stands before the input names of the second text, where the two are read apart."""


class ExportedStudent:
    """An exported student, read from its folder."""

    def __init__(self, folder: Path) -> None:
        note = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        self.labels: list[str] = note["labels"]
        """Class names, in the order of the probabilities."""
        self.texts: list[int] = note["texts"]
        """How many texts a row may have."""
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        self._inputs = [wanted.name for wanted in self._session.get_inputs()]

    def probabilities(self, rows: Sequence[tuple[str, ...]]) -> NDArray[np.float32]:
        """Return class probabilities, [rows, classes], of at least one row of one or two texts."""
        if not rows or {len(row) for row in rows} not in [{count} for count in self.texts]:
            raise ValueError(f"Expected rows with the same number of texts, one of {self.texts}.")
        parts: list[tuple[str, list[Encoding]]]
        if any(name.startswith(SECOND) for name in self._inputs):
            first, second = ([row[column] for row in rows] for column in (0, 1))
            parts = [("", self._tokenizer.encode_batch(first)), (SECOND, self._tokenizer.encode_batch(second))]
        else:
            parts = [("", self._tokenizer.encode_batch([row if len(row) == 2 else row[0] for row in rows]))]
        tensors: dict[str, NDArray[np.int64]] = {}
        for start, encodings in parts:
            tensors[f"{start}input_ids"] = np.array([encoding.ids for encoding in encodings])
            tensors[f"{start}token_type_ids"] = np.array([encoding.type_ids for encoding in encodings])
            tensors[f"{start}attention_mask"] = np.array([encoding.attention_mask for encoding in encodings])
        (found,) = self._session.run(["probabilities"], {name: tensors[name] for name in self._inputs})
        return np.asarray(found, dtype=np.float32)


def main() -> None:
    """Label the text, or the two texts, on the command line."""
    student = ExportedStudent(Path(__file__).parent)
    probabilities = student.probabilities([tuple(sys.argv[1:])])[0]
    for column in np.argsort(-probabilities)[:5]:
        print(f"{student.labels[column]}\t{probabilities[column]:.4f}")


if __name__ == "__main__":
    main()
