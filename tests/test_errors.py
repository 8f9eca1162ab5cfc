import pytest

from crossfade import errors
from crossfade.errors import CrossfadeError, DependencyError, missing_extra, nearest_name


def test_message_and_hint_are_read_together_and_apart() -> None:
    error = CrossfadeError("Found 1.", hint="Give 2.", retryable=True)
    assert str(error) == "Found 1. Give 2."
    assert (error.message, error.hint, error.retryable) == ("Found 1.", "Give 2.", True)


def test_error_without_a_hint_ends_with_its_message() -> None:
    assert str(CrossfadeError("Found 1.")) == "Found 1."
    assert not CrossfadeError("Found 1.").retryable


@pytest.mark.parametrize("name", ["SettingsError", "DataError", "ModelError", "ParsingError", "DependencyError"])
def test_every_failure_is_of_the_family(name: str) -> None:
    assert issubclass(getattr(errors, name), CrossfadeError)


def test_missing_package_comes_with_its_command() -> None:
    error = missing_extra("semhash", "duplicates")
    assert isinstance(error, DependencyError)
    assert str(error) == "The package 'semhash' is not installed. Install it with: pip install 'crossfade[duplicates]'"


def test_close_name_is_offered() -> None:
    assert nearest_name("temprature", ["top_p", "temperature"]) == "Did you mean 'temperature'?"


def test_all_names_are_listed_when_none_is_close() -> None:
    assert nearest_name("xyz", ["top_p", "form"]) == "Valid names: form, top_p."
