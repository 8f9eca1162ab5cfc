import numpy as np
import pytest

from crossfade.data.cells import LabelReader, UnusableCellError, read_text


def test_text_loses_outer_white_space_and_keeps_inner_lines() -> None:
    assert read_text("  first\nsecond \n", "text") == "first\nsecond"


@pytest.mark.parametrize(
    ("cell", "reason"),
    [(None, "missing"), (float("nan"), "missing"), (" \n", "empty"), (5, "is 5, a int; expected a string")],
)
def test_unusable_text_says_why(cell: object, reason: str) -> None:
    with pytest.raises(UnusableCellError, match=reason):
        read_text(cell, "text")


@pytest.mark.parametrize(
    ("cell", "label"), [(" card ", "card"), (3, "3"), (3.0, "3"), (np.int64(3), "3"), ("03", "03")]
)
def test_labels_without_names_are_strings_or_decimal_numbers(cell: object, label: str) -> None:
    assert LabelReader("label", {}, None).read(cell) == label


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, "the label is missing"),
        ("  ", "the label is empty"),
        (True, "the label is True, a bool"),
        (1.5, "the label is 1.5, a float"),
        (["a"], "a list; expected a string or a whole number"),
    ],
)
def test_unusable_label_says_why(cell: object, reason: str) -> None:
    with pytest.raises(UnusableCellError, match=reason):
        LabelReader("label", {}, None).read(cell)


def test_numbers_are_named_wherever_they_come_from() -> None:
    reader = LabelReader("label", {0: "no", 1: "yes"}, None)
    assert [reader.read(cell) for cell in (0, 1, "1", 1.0, "yes")] == ["no", "yes", "yes", "yes", "yes"]


@pytest.mark.parametrize("cell", [2, -1, "2"])
def test_number_outside_the_names_is_unusable(cell: object) -> None:
    with pytest.raises(UnusableCellError, match=rf"label {cell} is outside label_names, which name 0 to 1"):
        LabelReader("label", {0: "no", 1: "yes"}, None).read(cell)


def test_name_outside_the_names_is_unusable() -> None:
    with pytest.raises(UnusableCellError, match=r"'yess' is not one of label_names\. Did you mean 'yes'\?"):
        LabelReader("label", {0: "no", 1: "yes"}, None).read("yess")


def test_label_outside_the_label_set_is_unusable() -> None:
    with pytest.raises(UnusableCellError, match=r"'crad' is not one of labels\. Did you mean 'card'\?"):
        LabelReader("label", {}, ("card", "loan")).read("crad")
