from pathlib import Path

import pytest

from crossfade.data.descriptions import read_descriptions
from crossfade.errors import DataError

LABELS = ("card", "loan")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.toml", 'card = "a lost card"\n'),
        ("d.toml", '[descriptions]\ncard = "a lost card"\n'),
        ("d.json", '{"card": "a lost card"}'),
        ("d.json", '{"descriptions": {"card": " a lost card "}}'),
    ],
)
def test_files_give_phrases_at_the_top_or_in_their_table(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert read_descriptions(tmp_path / name, LABELS) == {"card": "a lost card"}
    assert read_descriptions(str(tmp_path / name), LABELS) == {"card": "a lost card"}


def test_class_named_descriptions_may_have_a_phrase() -> None:
    assert read_descriptions({"descriptions": "what goods are"}, ["descriptions"]) == {"descriptions": "what goods are"}


def test_unknown_class_names_the_nearest() -> None:
    with pytest.raises(DataError, match=r"describes 'lone', which is not a class .*\. Did you mean 'loan'\?"):
        read_descriptions({"lone": "money"}, LABELS)


@pytest.mark.parametrize("content", ["card = 3", 'card = " "', "card = ['a']"])
def test_phrase_must_be_a_string_that_says_something(tmp_path: Path, content: str) -> None:
    (tmp_path / "d.toml").write_text(content)
    with pytest.raises(DataError, match=r"d\.toml' describes 'card' with .*; expected a phrase"):
        read_descriptions(tmp_path / "d.toml", LABELS)


@pytest.mark.parametrize(("name", "form"), [("d.toml", "TOML"), ("d.json", "JSON")])
def test_broken_file_says_what_and_where(tmp_path: Path, name: str, form: str) -> None:
    (tmp_path / name).write_text("card = a lost card")
    with pytest.raises(DataError, match=rf"is not {form}: .*line 1"):
        read_descriptions(tmp_path / name, LABELS)


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text('["card"]')
    with pytest.raises(DataError, match="holds a list"):
        read_descriptions(tmp_path / "d.json", LABELS)
    with pytest.raises(DataError, match=r"expected a \.toml or \.json file"):
        read_descriptions(tmp_path / "d.yaml", LABELS)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no file '.*d\.toml'"):
        read_descriptions(tmp_path / "d.toml", LABELS)
