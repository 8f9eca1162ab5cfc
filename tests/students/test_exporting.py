import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.doubles import FakeEncoder, write_tiny_bert

from crossfade.data import Example
from crossfade.errors import DependencyError, ModelError
from crossfade.models.encoder import SentenceEncoder
from crossfade.roles import Encoder, Floats, Student
from crossfade.students import exporting
from crossfade.students.contrastive import ContrastiveSettings, ContrastiveStudent
from crossfade.students.encoder_classifier import EncoderClassifier, EncoderClassifierSettings
from crossfade.students.exporting import TOLERANCE, export_onnx
from crossfade.students.graphs import TokenGraph
from crossfade.students.linear import LinearStudent
from crossfade.students.onnx_program import ExportedStudent

FRUIT = ["apple", "pear", "plum", "grape"]
METAL = ["iron", "gold", "zinc", "lead"]
LABELS = ["fruit", "metal", "never trained"]
SINGLE = [Example((word,), "fruit") for word in FRUIT + METAL]
PAIRS = [Example((word, f"{word} plum zinc"), "fruit") for word in FRUIT + METAL]
TARGETS = np.eye(3)[[0] * 4 + [1] * 4]
UNSEEN = [("grape plum pear",), ("lead",), ("zinc gold " * 20,), ("iron apple",)]
UNSEEN_PAIRS = [("grape", "plum pear apple plum"), ("lead iron", "zinc"), ("gold", "iron " * 30)]
FILES = {"model.onnx", "tokenizer.json", "tokenizer_config.json", "labels.json", "predict.py"}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sentence encoder of random weights, 16 wide, that knows eight words and reads 12 tokens."""
    folder = tmp_path_factory.mktemp("base")
    write_tiny_bert(folder, FRUIT + METAL, tokens=12)
    # A plain transformer folder becomes an encoder with mean pooling.
    return str(folder)


def fitted_linear(encoder: Encoder, examples: Sequence[Example] = SINGLE) -> LinearStudent:
    return LinearStudent(encoder).fit(examples, TARGETS, np.ones(8), LABELS)


def fitted_classifier(base: str) -> EncoderClassifier:
    settings = EncoderClassifierSettings(epochs=1, learning_rate=5e-3, max_length=8)
    return EncoderClassifier(base, settings).fit(SINGLE, TARGETS, np.ones(8), LABELS)


def expect_the_same(student: Student, folder: Path, rows: Sequence[tuple[str, ...]]) -> None:
    expected = student.predict_probabilities([Example(row, "fruit") for row in rows])
    exported = ExportedStudent(folder)
    np.testing.assert_allclose(exported.probabilities(rows), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(exported.probabilities(rows[-1:]), expected[-1:], rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def linear(base: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[LinearStudent, Path]:
    """A linear student, and the folder of its export."""
    student = fitted_linear(SentenceEncoder(base, device="cpu"))
    folder = tmp_path_factory.mktemp("linear")
    check = export_onnx(student, folder)
    assert (check.folder, check.rows) == (folder, len(exporting.SAMPLES) + len(LABELS))
    assert check.largest_difference < 1e-5
    return student, folder


def test_a_linear_student_predicts_the_same_when_exported(linear: tuple[LinearStudent, Path]) -> None:
    student, folder = linear
    expect_the_same(student, folder, UNSEEN)
    assert ExportedStudent(folder).probabilities(UNSEEN)[:, 2].tolist() == [0, 0, 0, 0]


def test_the_folder_holds_graph_tokenizer_labels_and_program(linear: tuple[LinearStudent, Path]) -> None:
    folder = linear[1]
    assert {file.name for file in folder.iterdir()} == FILES
    assert json.loads((folder / "labels.json").read_text()) == {"labels": LABELS, "texts": [1]}


def test_the_program_runs_without_this_package(linear: tuple[LinearStudent, Path], tmp_path: Path) -> None:
    student, folder = linear
    elsewhere = shutil.copytree(folder, tmp_path / "elsewhere")
    program = "import sys, runpy; sys.modules['crossfade'] = sys.modules['torch'] = sys.modules['transformers'] = None;"
    program += "sys.argv = ['predict.py', 'pear plum']; runpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=elsewhere, capture_output=True, text=True, check=True, timeout=60
    )
    found = dict(line.split("\t") for line in done.stdout.splitlines())
    expected = student.predict_probabilities([Example(("pear plum",), "fruit")])[0]
    assert {label: float(share) for label, share in found.items()} == {
        label: pytest.approx(share, abs=1e-3) for label, share in zip(LABELS, expected, strict=True)
    }


@pytest.mark.parametrize("rows", [[], [("one", "two")], [("one",), ("one", "two")]])
def test_the_program_refuses_another_number_of_texts(
    linear: tuple[LinearStudent, Path], rows: list[tuple[str, ...]]
) -> None:
    with pytest.raises(ValueError, match="same number of texts"):
        ExportedStudent(linear[1]).probabilities(rows)


def test_a_linear_student_of_pairs_reads_its_texts_apart(base: str, tmp_path: Path) -> None:
    student = fitted_linear(SentenceEncoder(base, device="cpu"), PAIRS)
    assert export_onnx(student, tmp_path).largest_difference < 1e-5
    expect_the_same(student, tmp_path, UNSEEN_PAIRS)


def test_an_encoder_classifier_predicts_the_same_for_texts_and_pairs(base: str, tmp_path: Path) -> None:
    student = fitted_classifier(base)
    check = export_onnx(student, tmp_path)
    assert check.rows == 2 * (len(exporting.SAMPLES) + len(LABELS))
    expect_the_same(student, tmp_path, UNSEEN)
    expect_the_same(student, tmp_path, UNSEEN_PAIRS)


def test_a_contrastive_student_predicts_the_same_for_texts_and_pairs(base: str, tmp_path: Path) -> None:
    settings = ContrastiveSettings(iterations=1, batch_size=8, learning_rate=5e-3)
    student = ContrastiveStudent(base, settings).fit(SINGLE, TARGETS, np.ones(8), LABELS)
    export_onnx(student, tmp_path)
    expect_the_same(student, tmp_path, UNSEEN)
    expect_the_same(student, tmp_path, UNSEEN_PAIRS)


class Twisted(EncoderClassifier):
    """Says something else than its graph."""

    shift: float = 0.0

    def predict_probabilities(self, examples: Sequence[Example]) -> Floats:
        return super().predict_probabilities(examples) + self.shift


@pytest.mark.parametrize("shift", [2 * TOLERANCE, float("nan")])
def test_an_export_that_differs_fails_and_leaves_the_folder_as_it_was(base: str, tmp_path: Path, shift: float) -> None:
    student = Twisted(base, tuned=fitted_classifier(base).tuned)
    student.shift = shift
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "labels.json").write_text("of an earlier export")
    with pytest.raises(ModelError, match="differ from the student's"):
        export_onnx(student, tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "labels.json"]
    assert (tmp_path / "out" / "labels.json").read_text() == "of an earlier export"


def test_an_encoder_made_in_code_has_no_graph(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="encoder 'words' is no sentence-transformers model"):
        export_onnx(fitted_linear(FakeEncoder()), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_student_without_a_graph_is_refused(tmp_path: Path) -> None:
    class Plain:
        labels = ("a", "b")

        def fit(self, examples: Sequence[Example], targets: Floats, weights: Floats, labels: Sequence[str]) -> "Plain":
            return self

        def predict_probabilities(self, examples: Sequence[Example]) -> Floats:
            return np.ones((len(examples), 2)) / 2

        def save(self, folder: Path) -> None:
            raise NotImplementedError

    with pytest.raises(ModelError, match="Plain has no graph of its own"):
        export_onnx(Plain(), tmp_path)


def test_a_student_that_is_not_fitted_says_so(base: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not fitted"):
        export_onnx(LinearStudent(SentenceEncoder(base)), tmp_path)


def test_a_missing_library_names_the_extra(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"'onnx' is not installed.*crossfade\[onnx\]"):
        export_onnx(EncoderClassifier(base), tmp_path)


def test_inputs_that_only_transformers_can_make_are_refused(base: str, tmp_path: Path) -> None:
    student = fitted_classifier(base)
    assert student.tuned is not None
    student.tuned.tokenizer.model_input_names = ["input_ids", "position_ids"]
    with pytest.raises(ModelError, match="position_ids"):
        export_onnx(student, tmp_path)


def test_a_module_that_cannot_be_traced_is_told(base: str, tmp_path: Path) -> None:
    import torch

    class Branching(torch.nn.Module):
        def forward(self, *tokens: torch.Tensor) -> torch.Tensor:
            return tokens[0].double() if tokens[0].sum() > 3 else tokens[0].float()

    class Untraceable(EncoderClassifier):
        def torch_graph(self) -> TokenGraph:
            return replace(super().torch_graph(), module=Branching())

    with pytest.raises(ModelError, match="cannot be written as an ONNX graph"):
        export_onnx(Untraceable(base, tuned=fitted_classifier(base).tuned), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_exporting_prints_nothing(base: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    export_onnx(fitted_classifier(base), tmp_path)
    assert tuple(capfd.readouterr()) == ("", "")
