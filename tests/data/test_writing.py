import json
import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Example, MixedExample, Origin, Synthetic, read_rows, write_rows
from crossfade.errors import DataError, ParsingError

FULL = Synthetic(
    Example(("Straße\n\u2028 \x00", 'a "pair"'), "yes"),
    Origin(
        method="promptmix",
        parents=("yes", "no"),
        parent_texts=("one", "two"),
        ratio=0.75,
        round_index=2,
        parent_key="0123456789abcdef",
        prompt_digest="0123456789abcdef",
        model="some model",
        written_label="no",
        judged_label="yes",
        confidence=1 / 3,
        votes={"writer": "no", "judge": "yes"},
        logprobs={"no": -31.5, "yes": -40.25},
        reviewed="edit",
        original_texts=("before", "as well"),
        reason="a duplicate",
    ),
    {"yes": 0.9, "no": 0.1},
)
MIXED = [
    Synthetic(
        MixedExample(texts, "yes", other, 2 / 3), Origin(method="hidden_mixup", ratio=0.5), {"yes": 2 / 3, "no": 1 / 3}
    )
    for texts, other in [(("one",), ("two",)), (("one", "pair"), ("other", "pair"))]
]
SHORT = Synthetic(Example(("plain",), "no"), Origin(method="eda"))


def test_rows_come_back_equal(tmp_path: Path) -> None:
    write_rows([FULL, SHORT], tmp_path / "kept.jsonl")
    assert read_rows(tmp_path / "kept.jsonl") == [FULL, SHORT]


def test_mixed_rows_come_back_equal_among_others(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    write_rows([*MIXED, SHORT], path)
    assert read_rows(path) == [*MIXED, SHORT]
    first, _, last = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert (first["mixed_with"], first["share"]) == (["two"], 2 / 3)
    assert not {"mixed_with", "share"} & set(last)


def test_full_row_leaves_no_field_at_its_default() -> None:
    """Guards the round trip above against a field added to `Origin` and forgotten there."""
    default = Origin(method="")
    assert [
        item.name for item in fields(Origin) if getattr(FULL.origin, item.name) == getattr(default, item.name)
    ] == []


def test_line_is_flat_and_readable(tmp_path: Path) -> None:
    write_rows([FULL], tmp_path / "kept.jsonl")
    line = (tmp_path / "kept.jsonl").read_text(encoding="utf-8")
    record = json.loads(line)
    assert "Straße" in line
    assert list(record)[:4] == ["text", "text_pair", "label", "probabilities"]
    assert record["parents"] == ["yes", "no"]
    assert record["reason"] == "a duplicate"
    assert "weight" not in record


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(text=st.text(), ratio=st.none() | finite, probabilities=st.dictionaries(st.text(), finite))
def test_any_text_and_number_comes_back_equal(
    tmp_path_factory: pytest.TempPathFactory, text: str, ratio: float | None, probabilities: dict[str, float]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "kept.jsonl"
    row = Synthetic(Example((text,), text), Origin(method=text, ratio=ratio), probabilities)
    write_rows([row], path)
    assert read_rows(path) == [row]


def test_no_rows_come_back_as_none(tmp_path: Path) -> None:
    write_rows([], tmp_path / "kept.jsonl")
    assert read_rows(tmp_path / "kept.jsonl") == []


def test_failure_midway_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    def cut_off() -> Iterator[Synthetic]:
        yield FULL
        raise RuntimeError("the writer stopped")

    path = tmp_path / "kept.jsonl"
    write_rows([SHORT], path)
    with pytest.raises(RuntimeError, match="the writer stopped"):
        write_rows(cut_off(), path)
    assert read_rows(path) == [SHORT]
    assert list(tmp_path.iterdir()) == [path]


def test_old_file_stays_whole_until_the_new_one_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(draft: Path, path: Path) -> None:
        assert read_rows(draft) == [FULL]
        raise OSError("no space left")

    path = tmp_path / "kept.jsonl"
    write_rows([SHORT], path)
    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(DataError, match="cannot be written: no space left"):
        write_rows([FULL], path)
    assert read_rows(path) == [SHORT]
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none/kept\.jsonl' cannot be written"):
        write_rows([SHORT], tmp_path / "none" / "kept.jsonl")


@pytest.mark.parametrize(
    "unwritable",
    [
        Synthetic(SHORT.example, Origin(method="eda", ratio=float("nan"))),
        Synthetic(Example(("half a character \ud83d",), "no"), Origin(method="eda")),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_row(tmp_path: Path, unwritable: Synthetic) -> None:
    with pytest.raises(DataError, match="Synthetic row 2 cannot be written"):
        write_rows([FULL, unwritable], tmp_path / "kept.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": ', r"kept\.jsonl:2: the line is not JSON"),
        ("[1]", r"kept\.jsonl:2: the line is a JSON list"),
        ('{"text": "a", "label": "b", "method": "c", "rato": 1}', r":2: unknown key 'rato'\. Did you mean 'ratio'\?"),
        ('{"text": "a", "method": "c"}', r":2: key 'label': Field required"),
        ('{"text": "a", "label": "b"}', r":2: key 'method': Field required"),
        (
            '{"text": "a", "label": "b", "method": "c", "ratio": "0.5"}',
            r":2: key 'ratio': Input should be a valid number",
        ),
        ('{"text": "a", "label": "b", "method": "c", "share": 0.5}', r":2: A mixed example needs both keys"),
        ('{"text": "a", "label": "b", "method": "c", "share": 2.0, "mixed_with": ["d"]}', r":2: A mixed example has"),
        ('{"text": 1, "label": "b", "method": "c"}', r":2: key 'text': Input should be a valid string"),
    ],
)
def test_line_that_is_no_row_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "kept.jsonl"
    write_rows([SHORT], path)
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ParsingError, match=message):
        read_rows(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        read_rows(tmp_path / "none.jsonl")
