import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score

from crossfade.data import AnnotatedExample, Mention
from crossfade.data.annotated import NOWHERE
from crossfade.data.tags import mentions_of_tags
from crossfade.evaluation.annotations import by_number, lenient_score, strict_f1
from tests.annotated_doubles import parsed

TAGS = st.lists(st.sampled_from(["O", "B-x", "I-x", "B-y", "I-y"]), min_size=4, max_size=4)


def tagged(tags: list[str]) -> AnnotatedExample:
    text, mentions = mentions_of_tags(["a", "b", "c", "d"], tags)
    return AnnotatedExample((text,), "entities", (), mentions)


def entities(text: str, **kinds: str) -> AnnotatedExample:
    mentions = sorted(Mention(text.index(value), value, kind) for kind, value in kinds.items())
    return AnnotatedExample((text,), "entities", (), tuple(mentions))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@given(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=3))
def test_strict_f1_of_entities_is_that_of_seqeval(pairs: list[tuple[list[str], list[str]]]) -> None:
    ours = strict_f1([tagged(said) for said, _ in pairs], [tagged(true) for _, true in pairs])
    theirs = f1_score([true for _, true in pairs], [said for said, _ in pairs], zero_division=0)
    assert ours == pytest.approx(theirs)


def test_strict_f1_of_intents_and_parses_counts_items() -> None:
    said = [AnnotatedExample(("x",), "intents", ("a", "b")), AnnotatedExample(("y",), "intents")]
    true = [AnnotatedExample(("x",), "intents", ("b", "c")), AnnotatedExample(("y",), "intents", ("d",))]
    assert strict_f1(said, true) == pytest.approx(2 * 1 / (2 + 3))
    parse = parsed("wake me at 5", ["set"], time="at 5")
    assert strict_f1([parsed("wake me at 5", ["set"], time="5")], [parse]) == 0.5


def test_what_stands_nowhere_is_found_and_wrong_each_time() -> None:
    true = [entities("Ann saw Rome", person="Ann", place="Rome")]
    nowhere = Mention(NOWHERE, "Zoe", "person")
    said = [dataclasses.replace(true[0], mentions=(*true[0].mentions, nowhere, nowhere))]
    assert strict_f1(said, true) == pytest.approx(2 * 2 / (4 + 2))


def test_slots_of_the_same_name_and_value_count_each_on_their_own() -> None:
    mentions = (Mention(5, "me", "who"), Mention(14, "me", "who"))
    true = AnnotatedExample(("tell me, tell me",), "parses", ("tell",), mentions)
    assert strict_f1([true], [true]) == 1.0
    assert strict_f1([dataclasses.replace(true, mentions=mentions[:1])], [true]) == pytest.approx(2 * 2 / (2 + 3))


def test_the_lenient_score_averages_over_texts_and_forgives_parts() -> None:
    text = "the New York Times wrote"
    true = [entities(text, paper="New York Times")]
    assert lenient_score([entities(text, paper="New York")], true) == pytest.approx(0.0)
    longer = [entities(text, paper="the New York Times wrote")]
    # All words of the entity are in it: right for precision; its own are not in the entity: wrong for recall.
    assert lenient_score(longer, true) == 0.0
    assert lenient_score([entities(text, paper="the New York Times")], true) == pytest.approx(1.0, abs=1e-3)
    assert strict_f1([entities(text, paper="the New York Times")], true) == 0.0


def test_a_known_entity_is_found_once_however_often_it_is_said() -> None:
    true = [entities("Ann Lee saw Bob Roe", one="Ann Lee", two="Bob Roe")]
    twice = (Mention(0, "Ann Lee", "one"), Mention(NOWHERE, "Ann Lee", "one"))
    # Precision and recall are both 1 of 2.
    assert lenient_score([dataclasses.replace(true[0], mentions=twice)], true) == pytest.approx(0.5, abs=1e-3)


def test_recall_goes_by_the_known_entities_and_each_of_them_by_a_prediction_of_its_own() -> None:
    true = [
        AnnotatedExample(("New York or York",), "entities", (), (Mention(0, "New York", "p"), Mention(12, "York", "p")))
    ]
    said = [dataclasses.replace(true[0], mentions=(Mention(4, "York", "p"),))]
    # 'York' holds 'York', and 'New York' holds 'York': the first known entity takes the one prediction.
    precision, recall = 1.0, 0.5
    assert lenient_score(said, true) == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-3)


def test_punctuation_parts_words_and_long_entities_match_nothing_leniently() -> None:
    true = [entities("St. John's is old", place="St. John's")]
    assert lenient_score([entities("St. John's is old", place="St. John")], true) == 0.0
    assert lenient_score(true, true) == pytest.approx(1.0, abs=1e-3)
    long = [entities("one two three four five six seven", place="one two three four five six seven")]
    assert lenient_score(long, long) == 0.0


def test_texts_without_an_attribute_do_not_count_leniently() -> None:
    true = [AnnotatedExample(("x",), "intents", ("a",)), AnnotatedExample(("y",), "intents")]
    assert lenient_score(true, true) == pytest.approx(1.0, abs=1e-3)
    assert lenient_score(true[1:], true[1:]) == 0.0


def test_the_papers_accuracy_of_parses_is_the_mean_of_intents_and_slots() -> None:
    true = parsed("wake me at 5 sharp", ["set"], time="at 5 sharp")
    text = "wake me at 5 sharp"
    assert lenient_score([parsed(text, ["set"], time="at 5 sharp")], [true]) == 1.0
    assert lenient_score([parsed(text, ["get"], time="at 5 sharp")], [true]) == 0.5
    assert lenient_score([parsed(text, ["set"], time="5")], [true]) == 0.5
    assert lenient_score([parsed(text, ["set"], time="at 5 sharp", who="me")], [true]) == 0.5
    assert lenient_score([parsed(text, ["get"])], [true]) == 0.0


def test_nothing_said_is_never_right_even_where_there_are_no_slots() -> None:
    true = parsed("wake me", ["set"])
    assert lenient_score([true], [true]) == 1.0
    assert lenient_score([parsed("wake me", [])], [true]) == 0.0


def test_slots_are_compared_as_the_released_code_does() -> None:
    twice = AnnotatedExample(("a b",), "parses", ("set",), (Mention(0, "a", "x"), Mention(2, "b", "x")))
    assert lenient_score([twice], [twice]) == 0.5
    # Only the first 32 words of all slots count.
    words = " ".join(f"w{number}" for number in range(40))
    true = parsed(words, ["set"], time=words)
    other = parsed(words, ["set"], time=words.removesuffix(" w39"))
    assert lenient_score([other], [true]) == 1.0
    assert strict_f1([other], [true]) == 0.5


def test_scores_by_number_of_attributes() -> None:
    true = [AnnotatedExample(("x",), "intents", ("a",)), AnnotatedExample(("y",), "intents", ("a", "b"))]
    said = [true[0], AnnotatedExample(("y",), "intents", ("c",))]
    assert by_number(said, true) == {1: (1, 1.0), 2: (1, 0.0)}
