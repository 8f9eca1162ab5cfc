import json
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, List, Sequence, Value

from crossfade.data import (
    AnnotatedExample,
    DataWarning,
    Mention,
    Origin,
    Synthetic,
    read_annotated,
    read_rows,
    write_rows,
)
from crossfade.errors import DataError

SHARED = Path("../shared/data")
TAGGED = "Anna\tB-person\nsaw\tO\nNew\tB-place\nYork\tI-place\n\n-DOCSTART- O\n\nit\tO\nrained\tO\n"


def write_folds(folder: Path) -> Path:
    """Write two folds of a domain, and the ontology above it."""
    domain = folder / "banking"
    domain.mkdir()
    (domain / "fold0.json").write_text(json.dumps([{"text": "block my card", "intents": ["card", "block"]}]))
    (domain / "fold1.json").write_text(json.dumps([{"text": "hello"}, {"text": "a card", "intents": ["card"]}]))
    described = {"card": {"description": "is the intent to ask something related to cards?"}}
    (folder / "ontology.json").write_text(json.dumps({"intents": described}))
    return domain


def test_folds_of_intents_are_read_with_the_ontology_above_them(tmp_path: Path) -> None:
    corpus = read_annotated(str(write_folds(tmp_path)), "intents", kind="messages")
    assert [row.attributes for row in corpus if isinstance(row, AnnotatedExample)] == [("block", "card"), (), ("card",)]
    assert corpus.labels == ("intents",)
    assert corpus.attributes == ("block", "card")
    assert corpus.describe("card") == "cards"


def test_a_pattern_names_some_folds_and_attributes_that_do_not_count_are_taken_off(tmp_path: Path) -> None:
    corpus = read_annotated(str(write_folds(tmp_path) / "fold[0].json"), "intents", attributes=["card"])
    assert corpus.examples == (AnnotatedExample(("block my card",), "intents", ("card",)),)


def test_tagged_sentences_become_texts_with_spans(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text(TAGGED)
    first, second = read_annotated(path, "entities").examples
    assert first == AnnotatedExample(
        ("Anna saw New York",), "entities", (), (Mention(0, "Anna", "person"), Mention(9, "New York", "place"))
    )
    assert second == AnnotatedExample(("it rained",), "entities")


def test_a_line_without_a_tag_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("Anna\tB-person\n\nsaw\n")
    with pytest.raises(DataError, match=r"train.txt:3: the line has no tag"):
        read_annotated(path, "entities")
    with pytest.warns(DataWarning):
        assert len(read_annotated(path, "entities", on_bad_rows="skip")) == 1


def test_spans_are_read_as_they_stand() -> None:
    row = {"text": " in Rome", "entities": [{"start": 4, "end": 8, "label": "place"}]}
    (example,) = read_annotated([row], "entities").examples
    assert example == AnnotatedExample((" in Rome",), "entities", (), (Mention(4, "Rome", "place"),))
    row["entities"] = [{"start": 4, "end": 99, "label": "place"}]
    with pytest.raises(DataError, match="does not stand in the text"):
        read_annotated([row], "entities")


def span(start: int, end: int, label: object = "place") -> dict[str, object]:
    return {"start": start, "end": end, "label": label}


def test_spans_come_in_the_order_of_the_text_and_must_not_overlap() -> None:
    rows = [{"text": "Rome or New York", "entities": [span(8, 16), span(0, 4)]}]
    (example,) = read_annotated(rows, "entities").examples
    assert example.mentions == (Mention(0, "Rome", "place"), Mention(8, "New York", "place"))  # type: ignore[attr-defined]
    rows.append({"text": "in New York", "entities": [span(7, 11), span(3, 11)]})
    with pytest.raises(DataError, match=r"row 2: the entities 'New York' and 'York' overlap"):
        read_annotated(rows, "entities")
    with pytest.warns(DataWarning, match="overlap"):
        assert read_annotated(rows, "entities", on_bad_rows="skip").examples == (example,)


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        ("Rome", "expected a list of objects"),
        ([7], "expected a list of objects"),
        ({"start": 0}, "expected a list of objects"),
        ({"start": [0, 0], "end": [4], "label": ["place"]}, "does not stand in the text"),
        ([span(0, 4, None)], "label holds None"),
        ([span(0, 4, "")], "label holds None"),
        ([span(0, 4, 3)], "numbers that the data set names"),
    ],
)
def test_entities_in_no_known_form_are_bad_rows(entities: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_annotated([{"text": "Rome", "entities": entities}], "entities")


@pytest.mark.parametrize("sequence", [Sequence, List])
def test_entities_of_data_sets_bring_the_names_of_their_labels(sequence: Any) -> None:
    inner = {"start": Value("int32"), "end": Value("int32"), "label": ClassLabel(names=["place", "person"])}
    features = Features({"text": Value("string"), "entities": sequence(inner)})
    objects = [[span(0, 4, 0), span(9, 12, 1)], []]
    lists = [{name: [each[name] for each in row] for name in inner} for row in objects]
    cells = objects if sequence is List else lists
    rows = Dataset.from_dict({"text": ["Rome and Ann", "it rained"], "entities": cells}, features=features)
    first, second = read_annotated(rows, "entities").examples
    assert first.mentions == (Mention(0, "Rome", "place"), Mention(9, "Ann", "person"))  # type: ignore[attr-defined]
    assert second == AnnotatedExample(("it rained",), "entities")


def test_a_tab_ends_a_token_and_a_space_that_does_not_break_is_none(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("10\u00a0km\tB-length\naway\tO\t\n", encoding="utf-8")
    (example,) = read_annotated(path, "entities").examples
    assert example == AnnotatedExample(("10 km away",), "entities", (), (Mention(0, "10 km", "length"),))


def test_data_sets_bring_the_names_of_their_tags() -> None:
    features = Features({"tokens": Sequence(Value("string")), "ner_tags": Sequence(ClassLabel(names=["O", "B-x"]))})
    rows = Dataset.from_dict({"tokens": [["a", "b"]], "ner_tags": [[0, 1]]}, features=features)
    (example,) = read_annotated(rows, "entities").examples
    assert example == AnnotatedExample(("a b",), "entities", (), (Mention(2, "b", "x"),))


def test_parses_may_hold_quotes(tmp_path: Path) -> None:
    path = tmp_path / "low.tsv"
    path.write_text('domain\tutterance\tseqlogical\nreminder\tsay "hi\t[IN:SAY say [SL:CONTENT "hi ] ]\n')
    (example,) = read_annotated(path, "parses").examples
    assert example.texts == ('say "hi',)


def test_rows_of_annotated_examples_come_back_as_they_were_written(tmp_path: Path) -> None:
    mentions = (Mention(-1, "nested", "todo"), Mention(3, "Köln", "place"))
    example = AnnotatedExample(("in Köln",), "parses", ("go",), mentions, "[IN:GO in [SL:PLACE Köln ] ]")
    rows = [Synthetic(example, Origin(method="m")), Synthetic(AnnotatedExample(("x",), "intents"), Origin(method="m"))]
    write_rows(rows, tmp_path / "kept.jsonl")
    assert read_rows(tmp_path / "kept.jsonl") == rows


@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason="the evaluation data are not there")
def test_the_evaluation_sets_have_the_sizes_they_are_known_by() -> None:
    politics = read_annotated(SHARED / "crossner/politics/test.txt", "entities", held_out=True)
    assert (len(politics), sum(len(getattr(row, "mentions", ())) for row in politics)) == (651, 4209)
    banking = read_annotated(SHARED / "nlupp/banking", "intents", held_out=True)
    assert (len(banking), len(banking.attributes)) == (2071, 48)
    reminder = read_annotated(SHARED / "topv2/low_resource_splits/reminder_train_25spis.tsv", "parses", held_out=True)
    assert len(reminder) == 493
