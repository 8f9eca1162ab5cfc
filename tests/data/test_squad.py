import json
from pathlib import Path

import pytest

from crossfade.data import DataWarning, Origin, ReadingExample, Synthetic, read_rows, read_squad, write_rows
from crossfade.errors import DataError

CONTEXT = " The fair is held on the Town Moor every June."
EXPECTED = ReadingExample((CONTEXT, "Where is the fair?"), "answerable", "Town Moor", 25)


def test_flat_rows_are_read_with_their_spans(tmp_path: Path) -> None:
    row = {"id": "1", "context": CONTEXT, "question": "Where is the fair?", "answer": "Town Moor", "answer_start": 25}
    path = tmp_path / "some.jsonl"
    path.write_text(json.dumps(row))
    corpus = read_squad(path)
    assert corpus.examples == (EXPECTED,)
    assert corpus.labels == ("answerable",)


def test_the_nested_layout_is_read_and_every_answer_counts(tmp_path: Path) -> None:
    answers = [{"text": text, "answer_start": CONTEXT.index(text)} for text in ("Town Moor", "Moor", "Town Moor")]
    question = {"id": "1", "question": "Where is the fair?", "answers": answers}
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"data": [{"title": "x", "paragraphs": [{"context": CONTEXT, "qas": [question]}]}]}))
    (example,) = read_squad(path).examples
    assert isinstance(example, ReadingExample)
    assert example.answers == ("Town Moor", "Moor")


def test_rows_whose_answer_does_not_stand_there_are_named_or_left_out() -> None:
    good = {"context": CONTEXT, "question": "Where?", "answers": {"text": ["Moor"], "answer_start": [30]}}
    shifted = {**good, "answers": {"text": ["Moor"], "answer_start": [29]}}
    unanswered = {**good, "answers": {"text": [], "answer_start": []}}
    with pytest.raises(DataError, match=r"row 2: The answer 'Moor' does not stand.*\n.*row 3: the question has no"):
        read_squad([good, shifted, unanswered])
    with pytest.warns(DataWarning, match="2 of 3"):
        assert len(read_squad([good, shifted, unanswered], on_bad_rows="skip")) == 1


def test_a_file_in_another_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"rows": []}')
    with pytest.raises(DataError, match="not in SQuAD's layout"):
        read_squad(path)


def test_written_questions_come_back_from_disk(tmp_path: Path) -> None:
    rows = [Synthetic(EXPECTED, Origin(method="m", parent_key=EXPECTED.key, round_index=2))]
    write_rows(rows, tmp_path / "kept.jsonl")
    assert read_rows(tmp_path / "kept.jsonl") == rows
