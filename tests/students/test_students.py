from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from crossfade.data import Example
from crossfade.errors import ModelError
from crossfade.roles import Encoder, Floats
from crossfade.students import LOADERS, load_student
from crossfade.students.linear import LinearStudent
from crossfade.students.saving import StudentNote, write_note


class LengthEncoder:
    name = "length"

    def encode(self, texts: Sequence[str]) -> Floats:
        return np.eye(3)[[len(text) % 3 for text in texts]]


def no_encoder(path: str | None) -> Encoder:
    raise AssertionError(f"asked for the encoder {path}")


def test_the_note_decides_which_student_is_loaded(tmp_path: Path) -> None:
    examples = [Example(("a",), "x"), Example(("bb",), "y")]
    LinearStudent(LengthEncoder()).fit(examples, np.eye(2), np.ones(2), ["x", "y"]).save(tmp_path)
    student = load_student(tmp_path, open_encoder=lambda _: LengthEncoder())
    assert isinstance(student, LinearStudent)
    assert student.predict_probabilities(examples).argmax(axis=1).tolist() == [0, 1]


def test_an_unknown_kind_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    write_note(tmp_path, StudentNote(kind="liner", labels=("a",), settings={}))
    with pytest.raises(ModelError, match=r"unknown kind 'liner'\. Did you mean 'linear'"):
        load_student(tmp_path, open_encoder=no_encoder)


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no student\.json"):
        load_student(tmp_path, open_encoder=no_encoder)


def test_the_table_names_each_kind() -> None:
    assert set(LOADERS) == {"linear", "encoder_classifier", "nearest", "contrastive"}
