import gzip
import json
import sys
from pathlib import Path

import pytest

from crossfade.data.files import read_file, read_utf8
from crossfade.data.tables import Table
from crossfade.errors import DataError, DependencyError

CSV = "text,label\nmy card is lost,card\nbooks please,library\n"
ROWS = [{"text": "my card is lost", "label": "card"}, {"text": "books please", "label": "library"}]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def cells(table: Table) -> list[dict[str, object]]:
    return [dict(row.cells) for row in table.rows]


def test_every_text_form_gives_the_same_rows_packed_or_not(tmp_path: Path) -> None:
    forms = {
        ".csv": CSV,
        ".tsv": CSV.replace(",", "\t"),
        ".jsonl": "\n".join(json.dumps(row) for row in ROWS) + "\n",
    }
    for suffix, content in forms.items():
        assert cells(read_file(written(tmp_path / f"pool{suffix}", content))) == ROWS
        assert cells(read_file(written(tmp_path / f"pool{suffix}.gz", gzip.compress(content.encode())))) == ROWS
    assert cells(read_file(written(tmp_path / "pool.json", json.dumps(ROWS)))) == ROWS


def test_parquet_gives_the_same_rows(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "pool.parquet")
    assert cells(read_file(tmp_path / "pool.parquet")) == ROWS


def test_broken_parquet_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match=r"pool\.parquet' cannot be read as Parquet"):
        read_file(written(tmp_path / "pool.parquet", "not parquet"))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DependencyError, match=r"crossfade\[parquet\]"):
        read_file(written(tmp_path / "pool.parquet", "any"))


def test_the_suffix_counts_in_any_case(tmp_path: Path) -> None:
    assert cells(read_file(written(tmp_path / "POOL.CSV", CSV))) == ROWS


def test_unknown_suffix_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ends in '\.xlsx'; expected \.csv, \.csv\.gz, \.tsv"):
        read_file(written(tmp_path / "pool.xlsx", CSV))


def test_missing_file_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no file '.*none\.csv'\. Check the path; looked for /"):
        read_file(tmp_path / "none.csv")


def test_folder_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "pool.csv").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        read_file(tmp_path / "pool.csv")


@pytest.mark.parametrize("name", ["pool.csv", "pool.tsv", "pool.jsonl", "pool.json"])
def test_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"is empty"):
        read_file(written(tmp_path / name, " \n"))


def test_header_alone_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no rows; columns found: text, label\."):
        read_file(written(tmp_path / "pool.csv", "text,label\n"))


def test_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    table = read_file(written(tmp_path / "pool.csv", b"\xef\xbb\xbf" + CSV.encode()))
    assert table.columns == ("text", "label")
    assert cells(table) == ROWS


def test_cp1252_is_refused_with_line_offset_and_command(tmp_path: Path) -> None:
    content = "text,label\nok,card\ncafé menu,food\n".encode("cp1252")
    with pytest.raises(DataError) as caught:
        read_file(written(tmp_path / "pool.csv", content))
    assert f"pool.csv:3: byte 0xe9 at byte offset {content.index(0xE9)} is not UTF-8." in caught.value.message
    assert "cp1252" in caught.value.hint
    assert "iconv -f cp1252 -t utf-8 pool.csv > utf8_pool.csv" in caught.value.hint


def test_offset_counts_the_byte_order_mark(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbftext\n\xe9t\xe9\n"
    with pytest.raises(DataError, match=r"pool\.csv:2: byte 0xe9 at byte offset 8"):
        read_file(written(tmp_path / "pool.csv", content))


def test_bytes_of_no_known_encoding_suggest_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not cp1252 either"):
        read_file(written(tmp_path / "pool.csv", b"text,label\n\x81\x8d,card\n"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_encodings_are_named_with_or_without_mark(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(DataError, match=rf"looks like {encoding[:6]}\. Save it as UTF-8"):
        read_file(written(tmp_path / "pool.csv", CSV.encode(encoding)))


def test_packed_file_is_to_be_unpacked_before_converting(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Unpack it, then save it .* pool\.csv > utf8_pool\.csv"):
        read_file(written(tmp_path / "pool.csv.gz", gzip.compress(CSV.encode("utf-16"))))


def test_nul_byte_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pool\.csv:3: the file holds NUL bytes \(1 in all\)"):
        read_file(written(tmp_path / "pool.csv", CSV.replace("books", "bo\0oks")))


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(CSV.encode())[:-9]])
def test_broken_gzip_is_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"pool\.csv\.gz' cannot be read"):
        read_utf8(written(tmp_path / "pool.csv.gz", content))


def test_csv_rows_are_numbered_by_the_line_they_start_on(tmp_path: Path) -> None:
    content = 'text,label\n"two\nlines",a\n\nlast,b\n'
    table = read_file(written(tmp_path / "pool.csv", content))
    assert [(row.number, row.cells["text"]) for row in table.rows] == [(2, "two\nlines"), (5, "last")]


def test_csv_rows_with_too_many_or_few_fields_are_bad(tmp_path: Path) -> None:
    table = read_file(written(tmp_path / "pool.csv", "text,label\nhello, you,a\ngood,b\nshort\n"))
    assert [row.cells["text"] for row in table.rows] == ["good"]
    assert [(row.number, row.reason[:40]) for row in table.bad_rows] == [
        (2, "has 3 fields; expected 2 (text, label). "),
        (4, "has 1 fields; expected 2 (text, label). "),
    ]


def test_broken_quote_within_a_line_is_a_bad_row(tmp_path: Path) -> None:
    table = read_file(written(tmp_path / "pool.csv", 'text,label\n"so" he said,a\ngood,b\n'))
    assert [row.number for row in table.bad_rows] == [2]
    assert "broken quotes" in table.bad_rows[0].reason
    assert [row.number for row in table.rows] == [3]


def test_quote_that_swallows_lines_refuses_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pool\.csv:3: a quote that opens here .* line 5"):
        read_file(written(tmp_path / "pool.csv", 'text,label\nok,a\n"open,a\nx,b\ny,b\n'))


def test_repeated_column_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="several columns of the same name: label"):
        read_file(written(tmp_path / "pool.csv", "text,label,label\na,b,c\n"))


def test_broken_json_line_is_a_bad_row_and_a_line_separator_is_not_an_end(tmp_path: Path) -> None:
    content = '{"text": "a\u2028b", "label": "x"}\n\n{"text": \n["a", "x"]\n'
    table = read_file(written(tmp_path / "pool.jsonl", content))
    assert [(row.number, row.cells["text"]) for row in table.rows] == [(1, "a\u2028b")]
    assert [(row.number, row.reason[:11]) for row in table.bad_rows] == [(3, "is not JSON"), (4, "is a list; ")]


def test_json_must_hold_a_list(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds a JSON dict; expected a list of objects"):
        read_file(written(tmp_path / "pool.json", '{"text": "a"}'))


def test_json_lines_in_a_json_file_say_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not JSON: Extra data.*name that file \.jsonl"):
        read_file(written(tmp_path / "pool.json", '{"text": "a"}\n{"text": "b"}\n'))
