import pytest

from crossfade.data.columns import choose_label_column, choose_text_columns
from crossfade.data.tables import Row, Table
from crossfade.errors import DataError, SettingsError


def table(*columns: str) -> Table:
    return Table(name="pool.csv", columns=columns, rows=(Row(1, dict.fromkeys(columns, "x")),))


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        (("id", "utterance", "label"), ("utterance",)),
        (("Text", "label"), ("Text",)),
        (("label", "hypothesis", "premise"), ("premise", "hypothesis")),
        (("sentence1", "sentence2", "label"), ("sentence1", "sentence2")),
        (("question", "sentence", "label"), ("question", "sentence")),
        (("sentence", "label"), ("sentence",)),
    ],
)
def test_usual_text_columns_are_found(columns: tuple[str, ...], chosen: tuple[str, ...]) -> None:
    assert choose_text_columns(table(*columns), None) == chosen


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        (("text", "sentence", "label"), r"several could be it \(text, sentence\)"),
        (("premise", "hypothesis", "text"), r"several could be it \(premise \+ hypothesis, text\)"),
        (("body", "label"), "none has a usual name"),
        (("Text", "text", "content"), "several could be it"),
    ],
)
def test_unclear_text_columns_are_refused_with_what_was_found(columns: tuple[str, ...], why: str) -> None:
    with pytest.raises(DataError, match=rf"{why}.*; columns found: {', '.join(columns)}\. Name it: text="):
        choose_text_columns(table(*columns), None)


@pytest.mark.parametrize("name", ["label", "category", "intent", "class", "target", "Intent"])
def test_usual_label_column_is_found(name: str) -> None:
    assert choose_label_column(table("text", name), None) == name


@pytest.mark.parametrize("columns", [("text", "label", "intent"), ("text", "topic"), ("label", "Label")])
def test_unclear_label_columns_are_refused(columns: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=r"the label column cannot be told: .* Name it: label="):
        choose_label_column(table(*columns), None)


def test_named_columns_are_taken_as_they_are() -> None:
    assert choose_text_columns(table("body", "title", "kind"), "body") == ("body",)
    assert choose_text_columns(table("body", "title", "kind"), ["title", "body"]) == ("title", "body")
    assert choose_label_column(table("body", "kind", "label"), "kind") == "kind"


def test_missing_column_names_the_nearest_and_all() -> None:
    with pytest.raises(
        DataError, match=r"pool\.csv has no column 'txet'; columns found: id, text\. Did you mean 'text'\?"
    ):
        choose_text_columns(table("id", "text"), "txet")


@pytest.mark.parametrize("text", [[], ["a", "b", "c"], ["a", "a"]])
def test_text_must_name_one_column_or_two(text: list[str]) -> None:
    with pytest.raises(SettingsError, match="expected one column, or two different ones"):
        choose_text_columns(table("a", "b", "c"), text)


def test_header_with_another_separator_says_so() -> None:
    with pytest.raises(DataError, match=r"separated by another character"):
        choose_text_columns(table("text;label"), None)
