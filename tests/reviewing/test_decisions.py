import json
import os
from pathlib import Path

import pytest

from crossfade.data import Example, ReadingExample
from crossfade.errors import DataError, ParsingError
from crossfade.reviewing import Decision, DecisionFile, row_key


def decision(key: str = "k1", label: str = "dog", *texts: str) -> Decision:
    return Decision(key=key, verdict="relabel", label=label, texts=texts or ("a text",))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reviews.jsonl"


def test_the_key_is_of_the_texts_and_not_of_the_label() -> None:
    assert row_key(Example(("a", "b"), "cat")) == row_key(Example(("a", "b"), "dog"))
    assert row_key(Example(("a", "b"), "cat")) != row_key(Example(("a", "c"), "cat"))


def test_two_answers_of_one_question_are_two_rows() -> None:
    first = ReadingExample(("one two", "what?"), "answerable", "one", 0)
    other = ReadingExample(("one two", "what?"), "answerable", "two", 4)
    assert row_key(first) != row_key(other)


def test_nothing_is_written_before_the_first_decision(path: Path) -> None:
    assert DecisionFile(path).by_key == {}
    assert not path.exists()


def test_a_decision_is_one_line_on_disk_and_is_read_back(path: Path) -> None:
    saved = DecisionFile(path).add(decision("k1", "dög", "a\nb </script> ü"))
    assert saved.at.endswith("+00:00")
    (line,) = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["label"] == "dög"
    assert DecisionFile(path).by_key == {"k1": saved}


def test_the_newest_decision_about_a_row_holds_and_undo_brings_the_one_before(path: Path) -> None:
    file = DecisionFile(path)
    first = file.add(decision(label="dog"))
    file.add(decision(label="cat"))
    assert file.by_key["k1"].label == "cat"
    file.undo({"k1"})
    assert file.by_key == DecisionFile(path).by_key == {"k1": first}
    file.undo({"k1"})
    assert file.by_key == DecisionFile(path).by_key == {}
    assert file.undo({"k1"}) is None
    assert len(path.read_text().splitlines()) == 4


def test_undo_takes_the_newest_among_the_rows_that_are_there(path: Path) -> None:
    file = DecisionFile(path)
    file.add(decision("here"))
    gone = file.add(decision("gone"))
    undone = file.undo({"here"})
    assert undone is not None
    assert undone.key == "here"
    assert DecisionFile(path).by_key == {"gone": gone}


@pytest.mark.parametrize("torn", [b'{"key": "k2", "verdi', b"\xff", b'{"undo"'])
def test_a_line_that_a_crash_cut_off_was_never_saved(path: Path, torn: bytes) -> None:
    saved = DecisionFile(path).add(decision())
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    file = DecisionFile(path)
    assert file.by_key == {"k1": saved}
    file.add(decision("k3"))
    assert path.read_bytes().startswith(whole)
    assert set(DecisionFile(path).by_key) == {"k1", "k3"}


def test_a_last_line_without_its_end_holds_if_it_is_whole(path: Path) -> None:
    DecisionFile(path).add(decision())
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    file = DecisionFile(path)
    file.add(decision("k2"))
    assert set(DecisionFile(path).by_key) == {"k1", "k2"}


def test_a_broken_line_before_the_last_is_named(path: Path) -> None:
    path.write_text('{"key": 1}\n{"undo": "k1"}\n')
    with pytest.raises(ParsingError, match=r"reviews\.jsonl:1: the line is not a decision"):
        DecisionFile(path)


def test_what_another_process_added_is_seen(path: Path) -> None:
    file = DecisionFile(path)
    DecisionFile(path).add(decision("theirs"))
    file.add(decision("ours"))
    assert set(file.by_key) == {"theirs", "ours"}


def test_a_disk_that_takes_a_part_only_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = DecisionFile(path)
    file.add(decision())
    before, write = path.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda handle, line: write(handle, line[:10]))
    with pytest.raises(DataError, match="was not saved"):
        file.add(decision("k2"))
    assert path.read_bytes() == before
    assert set(file.by_key) == {"k1"}


def test_half_a_character_is_refused_and_nothing_written(path: Path) -> None:
    with pytest.raises(DataError, match="half a character"):
        DecisionFile(path).add(decision("k1", "dog", "\ud800"))
    assert not path.exists()
