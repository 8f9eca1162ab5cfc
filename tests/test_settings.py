import pytest
from pydantic import Field, ValidationError

from crossfade.errors import SettingsError
from crossfade.settings import Settings


class Inner(Settings):
    depth: int = 1
    """How deep."""


class Outer(Settings):
    count: int = Field(3, ge=1)
    """How many."""
    temperature: float = 1.0
    inner: Inner = Inner()


def test_defaults_hold_where_nothing_is_said() -> None:
    assert Outer.checked({}) == Outer()
    assert Outer.checked({"inner": {"depth": 2}}).inner.depth == 2


def test_unknown_key_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SettingsError, match=r"Unknown key 'temprature'. Did you mean 'temperature'\?"):
        Outer.checked({"temprature": 1})


def test_unknown_key_of_an_inner_table_is_matched_with_the_names_there() -> None:
    with pytest.raises(SettingsError, match=r"Unknown key 'method.inner.dept'. Did you mean 'depth'\?"):
        Outer.checked({"inner": {"dept": 1}}, where="method")


def test_value_out_of_range_is_shown_with_what_is_valid() -> None:
    with pytest.raises(SettingsError, match=r"'method.count' is 0: .*greater than or equal to 1"):
        Outer.checked({"count": 0}, where="method")


def test_all_problems_are_listed() -> None:
    with pytest.raises(SettingsError) as caught:
        Outer.checked({"count": 0, "temperature": "hot", "colour": 1})
    assert all(key in caught.value.message for key in ("'count'", "'temperature'", "'colour'"))


def test_settings_cannot_be_changed() -> None:
    settings = Outer()
    with pytest.raises(ValidationError, match="frozen"):
        settings.count = 4  # type: ignore[misc]


def test_meaning_of_a_field_is_what_stands_below_it() -> None:
    assert Outer.model_fields["count"].description == "How many."
