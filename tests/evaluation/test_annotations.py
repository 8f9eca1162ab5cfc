import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score

from crossfade.data import AnnotatedExample, Mention
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


def test_the_lenient_score_averages_over_texts_and_forgives_parts() -> None:
    text = "the New York Times wrote"
    true = [entities(text, paper="New York Times")]
    assert lenient_score([entities(text, paper="New York")], true) == pytest.approx(0.0)
    longer = [entities(text, paper="the New York Times wrote")]
    # All words of the entity are in it: right for precision; its own are not in the entity: wrong for recall.
    assert lenient_score(longer, true) == 0.0
    assert lenient_score([entities(text, paper="the New York Times")], true) == pytest.approx(1.0, abs=1e-3)
    assert strict_f1([entities(text, paper="the New York Times")], true) == 0.0


def test_texts_without_an_attribute_do_not_count_leniently() -> None:
    true = [AnnotatedExample(("x",), "intents", ("a",)), AnnotatedExample(("y",), "intents")]
    assert lenient_score(true, true) == pytest.approx(1.0, abs=1e-3)
    assert lenient_score(true[1:], true[1:]) == 0.0


def test_the_papers_accuracy_of_parses_is_the_mean_of_intents_and_slots() -> None:
    true = parsed("wake me at 5 sharp", ["set"], time="at 5 sharp")
    assert lenient_score([parsed("wake me at 5 sharp", ["set"], time="5")], [true]) == 1.0
    assert lenient_score([parsed("wake me at 5 sharp", ["get"], time="5")], [true]) == 0.5
    assert lenient_score([parsed("wake me at 5 sharp", ["get"])], [true]) == 0.0


def test_scores_by_number_of_attributes() -> None:
    true = [AnnotatedExample(("x",), "intents", ("a",)), AnnotatedExample(("y",), "intents", ("a", "b"))]
    said = [true[0], AnnotatedExample(("y",), "intents", ("c",))]
    assert by_number(said, true) == {1: (1, 1.0), 2: (1, 0.0)}
