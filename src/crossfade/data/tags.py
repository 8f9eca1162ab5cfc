"""BIO tags and mentions: from one to the other, as conlleval and seqeval read them."""

from collections.abc import Iterable, Sequence

from crossfade.data.annotated import Mention
from crossfade.errors import DataError

OUTSIDE = "O"


def mentions_of_tags(tokens: Sequence[str], tags: Sequence[str]) -> tuple[str, tuple[Mention, ...]]:
    """Join tokens by spaces, and return the text with its mentions.

    A mention begins at B-, at I- after another type or after none, and goes on while I- names the same type: what
    conlleval does, and seqeval unless it is told to be strict.

    Raises:
        DataError: A token is empty or holds white space, or a tag is none.
    """
    text, found, place = " ".join(tokens), list[Mention](), 0
    begin, kind = 0, ""
    for token, tag in zip(tokens, tags, strict=True):
        if not token or token.split() != [token]:
            raise DataError(f"the token {token!r} is empty or holds white space")
        mark, _, of_kind = tag.partition("-")
        if tag != OUTSIDE and (mark not in ("B", "I") or not of_kind):
            raise DataError(f"the tag is {tag!r}; expected O, B-type or I-type")
        if kind and (mark != "I" or of_kind != kind):
            found.append(Mention(begin, text[begin : place - 1], kind))
            kind = ""
        if of_kind and not kind:
            begin, kind = place, of_kind
        place += len(token) + 1
    if kind:
        found.append(Mention(begin, text[begin:], kind))
    return text, tuple(found)


def tags_of_mentions(text: str, mentions: Iterable[Mention]) -> tuple[list[str], list[str]]:
    """Split a text at white space, and return its tokens with their BIO tags.

    A token that a mention only touches in part ("Paris," or "'s" joined on) is tagged as a part of it; where two
    mentions touch one token, the first has it.
    """
    tokens, starts, place = text.split(), list[int](), 0
    for token in tokens:
        place = text.index(token, place)
        starts.append(place)
        place += len(token)
    tags = [OUTSIDE] * len(tokens)
    for mention in sorted(mention for mention in mentions if mention.stands):
        inside = [
            index
            for index, (start, token) in enumerate(zip(starts, tokens, strict=True))
            if start < mention.end and start + len(token) > mention.start and tags[index] == OUTSIDE
        ]
        for index in inside:
            tags[index] = f"{'B' if index == inside[0] else 'I'}-{mention.kind}"
    return tokens, tags
