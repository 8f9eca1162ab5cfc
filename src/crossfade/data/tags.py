"""BIO tags and mentions: from one to the other, as conlleval and seqeval read them."""

import re
import string
from collections.abc import Iterable, Iterator, Sequence

from crossfade.data.annotated import Mention
from crossfade.errors import DataError

OUTSIDE = "O"
MARKS = re.escape(string.punctuation + "“”‘’„«»…–—")
WORD = re.compile(rf"[{MARKS}]|[^\s{MARKS}]+")
"""What has a tag of its own: a word, or a punctuation mark, so that a mention can end before it."""


def mentions_of_tags(tokens: Sequence[str], tags: Sequence[str]) -> tuple[str, tuple[Mention, ...]]:
    """Join tokens by spaces, and return the text with its mentions.

    White space inside a token becomes one space.

    Raises:
        DataError: A token is empty, or a tag is none.
    """
    text, places = "", list[tuple[int, int]]()
    for token in tokens:
        word = " ".join(token.split())
        if not word:
            raise DataError(f"the token {token!r} is empty")
        text += f" {word}" if text else word
        places.append((len(text) - len(word), len(text)))
    return text, mentions_at(text, places, tags)


def mentions_at(text: str, places: Sequence[tuple[int, int]], tags: Sequence[str]) -> tuple[Mention, ...]:
    """Return the mentions that the tags of a text's words make.

    A mention begins at B-, at I- after another type or after none, and goes on while I- names the same type: what
    conlleval does, and seqeval unless it is told to be strict.

    Args:
        text: Holds the words.
        places: Where each word begins and ends, in characters.
        tags: One for each word.

    Raises:
        DataError: A tag is none.
    """
    return tuple(
        Mention(places[first][0], text[places[first][0] : places[last][1]], kind) for first, last, kind in _runs(tags)
    )


def _runs(tags: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Yield the first word, the last and the type of each mention."""
    first, kind = 0, ""
    for word, tag in enumerate([*tags, OUTSIDE]):
        mark, _, of_kind = tag.partition("-")
        if tag != OUTSIDE and (mark not in ("B", "I") or not of_kind):
            raise DataError(f"the tag is {tag!r}; expected O, B-type or I-type")
        if kind and (mark != "I" or of_kind != kind):
            yield first, word - 1, kind
            kind = ""
        if of_kind and not kind:
            first, kind = word, of_kind


def places_of_words(text: str) -> list[tuple[int, int]]:
    """Return where each word of a text and each of its punctuation marks begins and ends."""
    return [found.span() for found in WORD.finditer(text)]


def tags_of_mentions(text: str, mentions: Iterable[Mention]) -> tuple[list[str], list[str]]:
    """Return the words of a text (`places_of_words`) with their BIO tags.

    A word that a mention only touches in part is tagged as a part of it; where two mentions touch one word, the first
    has it.
    """
    places = places_of_words(text)
    tags = [OUTSIDE] * len(places)
    for mention in sorted(mention for mention in mentions if mention.stands):
        inside = [
            word
            for word, (start, end) in enumerate(places)
            if start < mention.end and end > mention.start and tags[word] == OUTSIDE
        ]
        for word in inside:
            tags[word] = f"{'B' if word == inside[0] else 'I'}-{mention.kind}"
    return [text[start:end] for start, end in places], tags
