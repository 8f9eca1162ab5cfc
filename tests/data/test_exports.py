import csv
import dataclasses
import json
from pathlib import Path

import pytest

from crossfade.data import (
    AnnotatedExample,
    Example,
    Mention,
    MixedExample,
    Origin,
    ReadingExample,
    Synthetic,
    read_corpus,
)
from crossfade.data.exports import FORMS, Form, argilla_record, export_rows, flat_row
from crossfade.errors import DataError

ORIGIN = Origin(method="promptmix", parents=("a", "b"), ratio=0.7, written_label="a", judged_label="b", confidence=0.8)
TEXTS = ('a "quoted", text', "two\nlines", "ünïcode 猫 🐈", "<script>alert(1)</script>", "=1+1")
LABELS = ["a", "b", "a", "b", "a"]
ROWS = [flat_row(Synthetic(Example((text,), label), ORIGIN)) for text, label in zip(TEXTS, LABELS, strict=True)]


def read_back(path: Path, form: Form) -> list[str]:
    if form == "jsonl":
        return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
    if form == "csv":
        with path.open(encoding="utf-8", newline="") as file:
            return [row["text"] for row in csv.DictReader(file)]
    if form == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        return list(parquet.read_table(path).column("text").to_pylist())
    if form == "datasets":
        return list(pytest.importorskip("datasets").load_from_disk(str(path))["train"]["text"])
    return [record["fields"]["text"] for record in json.loads(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("form", FORMS)
def test_texts_come_back_as_they_were(form: Form, tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows"
    export_rows(ROWS, path, form)
    assert read_back(path, form) == list(TEXTS)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_crossfade_reads_what_it_exports(form: Form, tmp_path: Path) -> None:
    path = tmp_path / f"rows.{form}"
    export_rows(ROWS, path, form)
    corpus = read_corpus(path, text="text", label="label")
    assert corpus.example_labels == LABELS


def test_pairs_and_answers_have_their_columns() -> None:
    assert flat_row(Synthetic(Example(("a", "b"), "x"), ORIGIN))["text_pair"] == "b"
    reading = flat_row(Synthetic(ReadingExample(("a cat", "who?"), "x", "cat", 2), ORIGIN))
    assert (reading["answer"], reading["answer_start"]) == ("cat", 2)
    assert "text_pair" not in ROWS[0]


def test_points_between_embeddings_are_refused() -> None:
    with pytest.raises(DataError, match="no text that could be exported"):
        flat_row(Synthetic(MixedExample(("a",), "x", ("b",), 0.5), ORIGIN))


def test_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no kept rows"):
        export_rows([], tmp_path / "rows.csv", "csv")


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        export_rows(ROWS, tmp_path / "file" / "rows.csv", "csv")


def test_a_record_for_argilla_suggests_the_label_and_leaves_the_answer_to_people() -> None:
    record = argilla_record(ROWS[0], 1)
    assert record["suggestions"] == {"label": {"value": "a", "agent": "crossfade promptmix", "score": 0.8}}
    assert record["responses"] == {}
    assert record["metadata"]["written_label"] == "a"
    unsure = flat_row(Synthetic(Example(("t",), "a"), dataclasses.replace(ORIGIN, confidence=None)))
    assert "score" not in argilla_record(unsure, 1)["suggestions"]["label"]


def test_argilla_takes_the_records() -> None:
    argilla = pytest.importorskip("argilla")
    record = argilla.Record.from_dict(argilla_record(ROWS[1], 2))
    assert record.fields["text"] == TEXTS[1]
    assert record.suggestions["label"].value == "b"


def test_annotated_rows_keep_intents_and_spans_in_every_form(tmp_path: Path) -> None:
    example = AnnotatedExample(
        ("in Köln",), "parses", ("go",), (Mention(-1, "go", "todo"), Mention(3, "Köln", "place"))
    )
    row = flat_row(Synthetic(example, ORIGIN))
    assert row["intents"] == ["go"]
    assert json.loads(row["entities"]) == [{"start": 3, "end": 7, "label": "place"}]
    for form in FORMS:
        export_rows([row], tmp_path / form, form)
