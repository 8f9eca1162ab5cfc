import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import crossfade
from crossfade.cli import app
from crossfade.cli_predict import (
    annotation_cells,
    annotation_line,
    annotation_table,
    answer_table,
    prediction_cells,
    prediction_table,
    write_separated,
)
from crossfade.data import ANSWERABLE, AnnotatedExample, ReadingExample, read_annotated
from crossfade.data.annotated import NOWHERE, Mention
from crossfade.errors import DataError
from crossfade.runs import Prediction
from crossfade.students.span_reader import SpanReader, SpanReaderSettings
from crossfade.students.token_classifier import TokenClassifier, TokenClassifierSettings
from tests.annotated_doubles import FILLER, PEOPLE, PLACES, sentences
from tests.doubles import write_tiny_bert
from tests.screens import drawn

FOUND = AnnotatedExample(
    ("Ada's [b]train[/b]",),
    "parses",
    ("GET_TIME",),
    (Mention(NOWHERE, "GET_TRAIN", "NESTED"), Mention(0, "Ada", "person")),
)


def test_predictions_show_label_probability_and_text_as_it_is() -> None:
    shown = drawn(prediction_table([Prediction(("[red]hi[/red]", "there"), "greet", 0.987)]))
    assert shown.splitlines()[1].split() == ["greet", "0.99", "[red]hi[/red]", "|", "there"]


def test_separated_pairs_have_a_column_each_and_quotes_where_needed() -> None:
    stream = StringIO()
    write_separated(prediction_cells([Prediction(("one\ttab", "two"), "yes", 0.5)]), stream)
    assert stream.getvalue() == 'label\tprobability\tsentence1\tsentence2\nyes\t0.5000\t"one\ttab"\ttwo\n'


def test_annotations_show_intents_what_was_found_and_the_text_as_it_is() -> None:
    shown = drawn(annotation_table([FOUND]))
    assert shown.splitlines()[1].split(maxsplit=5) == [
        "GET_TIME",
        "NESTED:",
        "GET_TRAIN;",
        "person:",
        "Ada",
        "Ada's [b]train[/b]",
    ]


def test_an_annotated_line_says_where_each_value_stands() -> None:
    assert annotation_line(FOUND) == {
        "text": "Ada's [b]train[/b]",
        "intents": ["GET_TIME"],
        "entities": [
            {"start": None, "end": None, "label": "NESTED", "value": "GET_TRAIN"},
            {"start": 0, "end": 3, "label": "person", "value": "Ada"},
        ],
    }
    header, cells = annotation_cells([FOUND])
    assert header == ["intents", "entities", "text"]
    assert json.loads(cells[1]) == annotation_line(FOUND)["entities"]


@pytest.fixture(scope="module")
def reader_of_entities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a tiny student that finds entities, and save it."""
    folder = tmp_path_factory.mktemp("student")
    (folder / "bert").mkdir()
    write_tiny_bert(folder / "bert", [*FILLER, *PEOPLE, *PLACES], tokens=32)
    settings = TokenClassifierSettings(epochs=30, learning_rate=0.01, batch_size=8, max_length=16)
    rows = sentences(40)
    student = TokenClassifier(str(folder / "bert"), settings).fit(rows, np.ones(len(rows)))
    student.save(folder / "student")
    return folder


def test_a_student_that_finds_entities_predicts_lines_that_can_be_read_again(
    reader_of_entities: Path, tmp_path: Path
) -> None:
    texts = [row.text for row in sentences(5, 9)]
    done = CliRunner().invoke(app, ["predict", str(reader_of_entities), "-", "--json"], input="\n".join(texts))
    assert done.exit_code == 0, done.stderr
    (tmp_path / "found.jsonl").write_text(done.stdout, encoding="utf-8")
    read_back = list(read_annotated(tmp_path / "found.jsonl", "entities", held_out=True))
    assert read_back == crossfade.annotate(reader_of_entities, [(text,) for text in texts])
    assert any(row.mentions for row in read_back if isinstance(row, AnnotatedExample))


def test_a_student_that_finds_entities_takes_one_text_a_row(reader_of_entities: Path) -> None:
    with pytest.raises(DataError, match="has 2 texts"):
        crossfade.annotate(reader_of_entities, [("one", "two")])


def test_a_reader_answers_from_the_columns_of_its_task(tmp_path: Path) -> None:
    (tmp_path / "bert").mkdir()
    write_tiny_bert(tmp_path / "bert", ["the", "key", "lies", "here", "where", "is", "it"], tokens=64)
    quick = SpanReaderSettings(epochs=1, max_length=32, stride=8, longest_question=8)
    rows = [ReadingExample(("the key lies here", "where is it"), ANSWERABLE, "here", 13)]
    SpanReader(str(tmp_path / "bert"), quick).fit(rows, np.ones(1)).save(tmp_path / "student")
    (tmp_path / "asked.jsonl").write_text('{"context": "the key lies here", "question": "where is it"}\n')
    done = CliRunner().invoke(app, ["predict", str(tmp_path), str(tmp_path / "asked.jsonl"), "--json"])
    assert done.exit_code == 0, done.stderr
    line = json.loads(done.stdout)
    assert line["answer"]
    assert line["answer"] in line["context"] == "the key lies here"
    done = CliRunner().invoke(app, ["predict", str(tmp_path), str(tmp_path / "asked.jsonl")])
    assert done.stdout.splitlines() == [
        "answer\tcontext\tquestion",
        f"{line['answer']}\tthe key lies here\twhere is it",
    ]
    with pytest.raises(DataError, match="a context and a question"):
        crossfade.find_answers(tmp_path, [("where is it",)])
    assert crossfade.student_gives(tmp_path) == "answers"


def test_answers_are_shown_beside_their_questions() -> None:
    assert drawn(answer_table([["here", "the key lies here", "where is [it]"]])).splitlines()[1].split() == [
        "here",
        "where",
        "is",
        "[it]",
    ]
