import pytest

from crossfade.selection.broken import why_broken


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("?? 12 - 3", "no words"),
        ("What is the the the capital", "repeats itself"),
        ("how do I how do I How do I", "repeats itself"),
        ("hahahahahahahaha", "repeats itself"),
        ("a text that goes on and on", "cut off or without an end"),
    ],
)
def test_broken_text_is_told_with_its_reason(text: str, reason: str) -> None:
    assert why_broken(text, 25) == reason


@pytest.mark.parametrize("text", ["Where is my card?", "He had had it", "that that", "1900 to 2000 A.D. ..."])
def test_whole_text_is_not_broken(text: str) -> None:
    assert why_broken(text, 25) is None
