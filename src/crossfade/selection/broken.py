"""Tell broken texts, as a model that turns points into texts makes them, from sentences."""

import re

from crossfade.roles import CHARACTERS_PER_TOKEN

NO_WORDS = re.compile(r"[^\W\d_]{2}")
LOOP = re.compile(r"(?<!\S)(\S+(?: \S+){0,5}?)(?: \1){2,}(?!\S)|(\S{1,4}?)\2{5,}", re.IGNORECASE)
"""One to six words three times in a row, or a few characters six times."""


def longest_whole(tokens: int) -> int:
    """Return the characters from which a text of at most so many tokens counts as cut off.

    An inverter does not say how a text ended. One cut off by the limit has seldom fewer than three characters to a
    token.
    """
    return round(0.75 * CHARACTERS_PER_TOKEN * tokens)


def why_broken(text: str, longest: int) -> str | None:
    """Say why something decoded is no usable text; None when it is one.

    Args:
        text: One line.
        longest: Characters from which a text was cut off or would not end.
    """
    if not text.strip():
        return "empty"
    if not NO_WORDS.search(text):
        return "no words"
    if LOOP.search(" ".join(text.split())):
        return "repeats itself"
    return "cut off or without an end" if len(text) >= longest else None
