from crossfade.data.tables import BadRow, Row, Table


def test_places_are_lines_in_files_and_positions_elsewhere() -> None:
    rows = (Row(4, {"text": "a"}),)
    assert Table(name="pool.csv", columns=("text",), rows=rows, has_lines=True).place(4) == "pool.csv:4"
    assert Table(name="the list", columns=("text",), rows=rows).place(4) == "the list, row 4"


def test_listing_shows_ten_rows_and_counts_the_rest() -> None:
    bad_rows = [BadRow(number, "is bad") for number in range(1, 14)]
    lines = Table(name="t", columns=("text",), rows=(), bad_rows=tuple(bad_rows)).listing(bad_rows).split("\n")
    assert lines[0] == "  t, row 1: is bad"
    assert lines[9:] == ["  t, row 10: is bad", "  and 3 more"]


def test_listing_of_ten_rows_counts_nothing() -> None:
    bad_rows = [BadRow(number, "is bad") for number in range(1, 11)]
    table = Table(name="t", columns=("text",), rows=(), bad_rows=tuple(bad_rows))
    assert "more" not in table.listing(bad_rows)
