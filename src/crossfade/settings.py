"""The base of all settings: frozen, typed, unknown keys refused with the nearest valid name."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from crossfade.errors import SettingsError, nearest_name


class Settings(BaseModel):
    """Settings of one part; each field is followed by its meaning, unit, range and source."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

    @classmethod
    def checked(cls, values: Mapping[str, Any], *, where: str = "") -> Self:
        """Build the settings, or say which key is wrong, what was found and what is valid.

        Args:
            values: Field names to values.
            where: What the settings belong to, for the message ("method", "student").

        Raises:
            SettingsError: An unknown key or a value out of range; all problems are listed.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            problems = [_problem(cls, dict(item), where) for item in error.errors()]
            raise SettingsError(" ".join(problems)) from None


def _problem(owner: type[BaseModel], item: dict[str, Any], where: str) -> str:
    path = [str(part) for part in item["loc"]]
    key = ".".join([*([where] if where else []), *path])
    if item["type"] == "extra_forbidden":
        for part in path[:-1]:
            annotation = owner.model_fields[part].annotation if part in owner.model_fields else None
            if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
                break
            owner = annotation
        return f"Unknown key '{key}'. {nearest_name(path[-1], owner.model_fields)}"
    return f"'{key}' is {item['input']!r}: {item['msg']}."
