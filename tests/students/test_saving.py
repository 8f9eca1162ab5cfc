import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from crossfade.errors import ModelError, ParsingError
from crossfade.students.saving import NOTE_NAME, NOTE_VERSION, StudentNote, read_note, write_note

NOTE = StudentNote(kind="linear", labels=("a", "ü"), settings={"strength": 2.0}, encoder_name="fake", encoder_path="x")


def test_a_note_reads_back_as_written(tmp_path: Path) -> None:
    write_note(tmp_path, NOTE)
    assert read_note(tmp_path, kind="linear") == NOTE


def test_a_folder_without_a_note_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"no {NOTE_NAME}.*expected the folder of a saved student"):
        read_note(tmp_path)


@pytest.mark.parametrize("content", ["not json", "[1, 2]", '{"model_type": "bert"}', '{"version": "new"}'])
def test_a_foreign_note_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / NOTE_NAME).write_text(content)
    with pytest.raises(ParsingError, match=NOTE_NAME):
        read_note(tmp_path)


def test_a_newer_version_asks_for_an_update_even_with_unknown_keys(tmp_path: Path) -> None:
    (tmp_path / NOTE_NAME).write_text(json.dumps({"version": NOTE_VERSION + 1, "new_key": 1}))
    with pytest.raises(ModelError, match="Update Crossfade"):
        read_note(tmp_path)


def test_another_kind_than_asked_for_is_refused(tmp_path: Path) -> None:
    write_note(tmp_path, NOTE)
    with pytest.raises(ModelError, match="kind 'linear'; expected 'other'"):
        read_note(tmp_path, kind="other")


def test_settings_that_do_not_fit_the_kind_are_refused() -> None:
    class Wanted(BaseModel):
        strength: int
        missing: str

    with pytest.raises(ParsingError, match="missing"):
        NOTE.settings_as(Wanted)
