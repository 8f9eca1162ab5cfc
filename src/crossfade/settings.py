"""The base of all settings: frozen, typed, unknown keys refused with the nearest valid name."""

from collections.abc import Mapping
from typing import Any, Self, get_args

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
    table, path = _located(owner, list(item["loc"]))
    key = ".".join([*([where] if where else []), *path])
    if item["type"] == "extra_forbidden":
        return f"Unknown key '{key}'. {nearest_name(path[-1], table.model_fields)}"
    if item["type"] == "union_tag_invalid":
        return f"'{key}.name' is '{item['ctx']['tag']}'; expected one of {item['ctx']['expected_tags']}."
    return f"'{key}' is {item['input']!r}: {item['msg']}."


def _located(owner: type[BaseModel], places: list[int | str]) -> tuple[type[BaseModel], list[str]]:
    """Follow a path of places; return the table in which it ends, and the path as it stands in a recipe.

    Where a table is one of several kinds, pydantic's path also holds the kind, which no recipe does.
    """
    path: list[str] = []
    kinds: list[type[BaseModel]] = []
    for place in places:
        chosen = [kind for kind in kinds if "name" in kind.model_fields and kind.model_fields["name"].default == place]
        if chosen:
            owner, kinds = chosen[0], []
            continue
        path.append(str(place))
        if isinstance(place, str) and place in owner.model_fields:
            kinds = _tables(owner.model_fields[place].annotation)
            if len(kinds) == 1:
                owner = kinds[0]
    return owner, path


def _tables(annotation: object) -> list[type[BaseModel]]:
    """Find the settings that an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for part in get_args(annotation) for table in _tables(part)]
