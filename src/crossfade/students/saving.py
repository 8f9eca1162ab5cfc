"""Write and read `student.json`, the note in a saved student's folder that says what the folder holds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from crossfade.errors import ModelError, ParsingError
from crossfade.roles import Encoder

OpenEncoder = Callable[[str | None], Encoder]
"""Makes an encoder from a folder or hub id; None is the packaged model."""

NOTE_NAME = "student.json"
NOTE_VERSION = 1
"""Raise it whenever a saved folder of the version before can no longer be read."""
REMEDY = "Save the student again, or give another folder."

Settings = TypeVar("Settings", bound=BaseModel)


class StudentNote(BaseModel):
    """What a saved student's folder holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = NOTE_VERSION
    kind: str
    """A name from `crossfade.students.LOADERS`."""
    labels: tuple[str, ...]
    """Class names in column order."""
    settings: dict[str, JsonValue]
    encoder_name: str = ""
    """What identifies the encoder that embeds texts for the student; empty when it holds its own weights."""
    encoder_path: str | None = None
    """Folder or hub id of the encoder or base model; None is the packaged one."""

    def settings_as(self, form: type[Settings]) -> Settings:
        """Return the settings in the form that the kind of student uses.

        Raises:
            ParsingError: They do not fit the form.
        """
        try:
            return form.model_validate(self.settings)
        except ValidationError as error:
            raise ParsingError(f"The settings in {NOTE_NAME} cannot be used: {error}.", hint=REMEDY) from error


def write_note(folder: Path, note: StudentNote) -> None:
    """Write the note into a folder; call it last, so that a folder with a note is complete."""
    (folder / NOTE_NAME).write_text(note.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_note(folder: Path, *, kind: str | None = None) -> StudentNote:
    """Read the note of a saved student.

    Args:
        folder: Where the student was saved.
        kind: The kind that the folder must hold; None accepts any.

    Raises:
        ModelError: The folder holds no saved student, one of another kind, or one of a newer version.
        ParsingError: The note is not in the form it must have.
    """
    path = folder / NOTE_NAME
    if not path.is_file():
        raise ModelError(
            f"There is no {NOTE_NAME} in '{folder}'; expected the folder of a saved student.",
            hint="Give a folder that a student was saved to.",
        )
    note = _parsed(path)
    if kind is not None and note.kind != kind:
        raise ModelError(
            f"The student in '{folder}' is of kind '{note.kind}'; expected '{kind}'.",
            hint="Use crossfade.students.load_student, which reads the kind.",
        )
    return note


def encoder_of(note: StudentNote, open_encoder: OpenEncoder) -> Encoder:
    """Open the encoder that a student was saved with.

    Raises:
        ModelError: What was opened is another encoder.
    """
    encoder = open_encoder(note.encoder_path)
    if encoder.name != note.encoder_name:
        raise ModelError(
            f"The encoder is '{encoder.name}'; the student was trained with '{note.encoder_name}'.",
            hint="Open the encoder that the student was trained with.",
        )
    return encoder


def _parsed(path: Path) -> StudentNote:
    """Parse a note, looking at its version before its other keys."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ParsingError(f"'{path}' is not JSON: {error}.", hint=REMEDY) from error
    version = content.get("version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > NOTE_VERSION:
        raise ModelError(
            f"'{path}' has version {version}; this Crossfade reads up to {NOTE_VERSION}.", hint="Update Crossfade."
        )
    try:
        return StudentNote.model_validate(content)
    except ValidationError as error:
        raise ParsingError(f"'{path}' is not the note of a saved student: {error}.", hint=REMEDY) from error
