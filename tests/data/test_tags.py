import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from crossfade.data import Mention
from crossfade.data.tags import mentions_at, mentions_of_tags, places_of_words, tags_of_mentions
from crossfade.errors import DataError

TAGS = st.sampled_from(["O", "B-x", "I-x", "B-y", "I-y"])


@given(st.lists(TAGS, min_size=1, max_size=8))
def test_mentions_are_those_that_seqeval_finds(tags: list[str]) -> None:
    tokens = [f"w{place}" for place in range(len(tags))]
    text, mentions = mentions_of_tags(tokens, tags)
    theirs = [(kind, " ".join(tokens[first : last + 1])) for kind, first, last in get_entities(tags)]
    assert [(mention.kind, mention.value) for mention in mentions] == theirs
    assert all(text[mention.start : mention.end] == mention.value for mention in mentions)
    again = mentions_of_tags(*tags_of_mentions(text, mentions))
    assert again == (text, mentions)


def test_punctuation_is_split_off_words() -> None:
    tokens, tags = tags_of_mentions("in Paris, or  Rome", [Mention(3, "Paris", "place"), Mention(14, "Rome", "place")])
    assert tokens == ["in", "Paris", ",", "or", "Rome"]
    assert tags == ["O", "B-place", "O", "O", "B-place"]


def test_a_word_that_a_mention_touches_in_part_is_tagged() -> None:
    assert tags_of_mentions("in Romelike places", [Mention(3, "Rome", "place")])[1] == ["O", "B-place", "O"]


def test_mentions_end_before_punctuation() -> None:
    text = "(Rome's  “New York”…)"
    mentions = (Mention(1, "Rome", "place"), Mention(10, "New York", "place"))
    assert text[10:18] == "New York"
    _, tags = tags_of_mentions(text, mentions)
    assert mentions_at(text, places_of_words(text), tags) == mentions


def test_white_space_inside_a_token_is_one_space() -> None:
    text, mentions = mentions_of_tags(["10\u00a0km", "away"], ["B-length", "O"])
    assert (text, mentions) == ("10 km away", (Mention(0, "10 km", "length"),))


@pytest.mark.parametrize(("token", "tag"), [("a", "X-place"), ("a", "B-"), (" ", "O"), ("", "O")])
def test_what_is_no_tag_or_no_token_is_refused(token: str, tag: str) -> None:
    with pytest.raises(DataError):
        mentions_of_tags([token], [tag])
