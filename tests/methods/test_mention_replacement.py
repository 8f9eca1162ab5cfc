import numpy as np
import pytest
from tests.annotated_doubles import PEOPLE, PLACES, corpus_of, parsed, requests, sentences
from tests.doubles import FakeEncoder

from crossfade.data import AnnotatedExample, Mention
from crossfade.errors import SettingsError
from crossfade.methods.eda import EdaSettings
from crossfade.methods.editing import edit_until_full, edited
from crossfade.methods.mention_replacement import MentionReplacementSettings, augment, with_values


def test_mentions_are_exchanged_for_others_of_their_type_and_the_text_around_them_stays() -> None:
    gold = corpus_of(sentences(10))
    settings = MentionReplacementSettings(texts_per_class=20, chance=1.0)
    made = augment(gold, encoder=FakeEncoder(), settings=settings, rng=np.random.default_rng(0))
    assert len(made.kept) == 20
    for row in made.kept:
        assert isinstance(row.example, AnnotatedExample)
        for mention in row.example.mentions:
            assert mention.value in {"person": PEOPLE, "place": PLACES}[mention.kind]
        around = [word for word in row.example.text.split() if word not in [*PEOPLE, *PLACES]]
        assert len(around) == 4


def test_mentions_move_along_with_longer_values() -> None:
    row = AnnotatedExample(("ann saw rome",), "entities", (), (Mention(0, "ann", "p"), Mention(8, "rome", "q")))
    other = with_values(row, [(row.mentions[0], "ann lee"), (row.mentions[1], "rome")])
    assert other.texts == ("ann lee saw rome",)
    assert other.mentions == (Mention(0, "ann lee", "p"), Mention(12, "rome", "q"))


def test_intents_have_nothing_to_exchange() -> None:
    settings = MentionReplacementSettings()
    with pytest.raises(SettingsError, match="Use 'eda'"):
        augment(corpus_of(requests(5)), encoder=FakeEncoder(), settings=settings, rng=np.random.default_rng(0))


def test_editing_leaves_mentions_whole_and_at_the_places_they_move_to() -> None:
    row = parsed("ring me at 5 today", ["set"], who="me", time="at 5")
    other = edited(row, lambda words, rng: list(words[::-1]), np.random.default_rng(0))
    assert isinstance(other, AnnotatedExample)
    assert other.texts == ("today at 5 me ring",)
    assert other.mentions == (Mention(6, "at 5", "time"), Mention(11, "me", "who"))


def test_an_edit_that_loses_a_mention_is_none() -> None:
    row = parsed("ring me at 5 today", ["set"], who="me", time="at 5")
    assert edited(row, lambda words, rng: list(words[:1]), np.random.default_rng(0)) == row


def test_edited_rows_keep_their_intents() -> None:
    gold = corpus_of(requests(4))
    settings = EdaSettings(texts_per_class=4)
    made = edit_until_full(
        gold,
        lambda words, rng: [*words, str(rng.integers(99))],
        method="m",
        settings=settings,
        rng=np.random.default_rng(0),
    )
    assert [getattr(row.example, "intents", None) for row in made.kept] == [
        getattr(row, "intents", None) for row in gold
    ]
