import io
import json
from pathlib import Path

import pytest

from crossfade.data import Corpus, DataWarning, Example, read_corpus, read_unlabelled
from crossfade.errors import DataError, SettingsError

CARD = Example(("my card is lost",), "card")
LOAN = Example(("a loan please",), "loan")
PAIRS = [(CARD.text, CARD.label), (LOAN.text, LOAN.label)]


def csv(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "pool.csv"
    path.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    return path


def test_file_becomes_a_corpus_with_sorted_labels(tmp_path: Path) -> None:
    path = csv(tmp_path, "a loan please,loan", "  my card is lost ,card")
    assert read_corpus(path) == Corpus((LOAN, CARD), ("card", "loan"))
    assert read_corpus(str(path)) == read_corpus(path)


def test_frames_lists_and_files_give_the_same_corpus(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    columns = {"text": [CARD.text, LOAN.text], "label": ["card", "loan"]}
    expected = read_corpus(csv(tmp_path, f"{CARD.text},card", f"{LOAN.text},loan"))
    assert read_corpus(PAIRS) == expected
    assert read_corpus([{"text": text, "label": label} for text, label in PAIRS]) == expected
    assert read_corpus(pandas.DataFrame(columns)) == expected
    assert read_corpus(polars.DataFrame(columns)) == expected


def test_two_text_columns_make_pairs() -> None:
    rows = [{"premise": "p", "hypothesis": "h", "label": "yes"}, {"premise": "q", "hypothesis": "h", "label": "no"}]
    expected = (Example(("p", "h"), "yes"), Example(("q", "h"), "no"))
    assert read_corpus(rows).examples == expected
    assert read_corpus([(("p", "h"), "yes"), (("q", "h"), "no")]).examples == expected
    assert read_corpus(rows, text=("hypothesis", "premise")).examples[0].texts == ("h", "p")


def test_columns_may_have_any_name() -> None:
    rows = [{"body": CARD.text, "kind": "card", "label": 1}, {"body": LOAN.text, "kind": "loan", "label": 1}]
    assert read_corpus(rows, text="body", label="kind").examples == (CARD, LOAN)


def test_one_column_cannot_be_text_and_label() -> None:
    with pytest.raises(SettingsError, match="'label' is both"):
        read_corpus(PAIRS, text="label")


def test_numbers_take_their_names_by_position_or_number() -> None:
    rows = [(CARD.text, 0), (LOAN.text, 1)]
    assert read_corpus(rows, label_names=["card", "loan"]).examples == (CARD, LOAN)
    assert read_corpus(rows, label_names={1: "loan", 0: "card"}).examples == (CARD, LOAN)
    assert read_corpus(rows).labels == ("0", "1")


def test_numbers_in_a_file_take_their_names_too(tmp_path: Path) -> None:
    path = csv(tmp_path, f"{CARD.text},0", f"{LOAN.text},1")
    assert read_corpus(path, label_names=["card", "loan"]).examples == (CARD, LOAN)


def test_data_set_features_name_the_classes() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["loan", "card"])}
    )
    dataset = datasets.Dataset.from_dict({"text": [CARD.text, LOAN.text], "label": [1, 0]}, features=features)
    assert read_corpus(dataset).examples == (CARD, LOAN)


def test_labels_fix_the_order() -> None:
    assert read_corpus(PAIRS, labels=["loan", "card"]).labels == ("loan", "card")


def test_labels_must_differ() -> None:
    with pytest.raises(SettingsError, match="names a class twice"):
        read_corpus(PAIRS, labels=["loan", "loan"])


def test_label_outside_the_label_set_is_a_bad_row() -> None:
    with pytest.raises(DataError, match=r"the list, row 3: label 'lone' is not one of labels\. Did you mean 'loan'\?"):
        read_corpus([*PAIRS, ("more", "lone")], labels=["loan", "card"])


def test_class_without_rows_is_refused() -> None:
    with pytest.raises(DataError, match=r"an empty class, one without rows: fees\."):
        read_corpus(PAIRS, labels=["loan", "card", "fees"])
    with pytest.raises(DataError, match=r"an empty class, one without rows: fees\."):
        read_corpus([("a", 0), ("b", 1)], label_names=["card", "loan", "fees"])


def test_labels_may_leave_out_a_named_class_without_rows() -> None:
    rows = [(CARD.text, 0), (LOAN.text, 1)]
    assert read_corpus(rows, label_names=["card", "loan", "fees"], labels=["card", "loan"]).labels == ("card", "loan")


def test_single_class_is_refused() -> None:
    with pytest.raises(DataError, match="has only one class, 'card'; expected two or more"):
        read_corpus([("a", "card"), ("b", "card")])


def test_descriptions_come_from_a_mapping_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "about.toml").write_text('card = "lost cards"')
    assert read_corpus(PAIRS, descriptions={"card": "lost cards"}).descriptions == {"card": "lost cards"}
    assert read_corpus(PAIRS, descriptions=tmp_path / "about.toml").describe("card") == "lost cards"


def test_description_of_an_unknown_class_names_the_nearest() -> None:
    with pytest.raises(DataError, match=r"describes 'cart'.*Did you mean 'card'\?"):
        read_corpus(PAIRS, descriptions={"cart": "lost cards"})


def test_bad_rows_of_every_kind_come_in_one_error_in_line_order(tmp_path: Path) -> None:
    path = csv(tmp_path, "fine,card", ",card", "too,many,card", '"two\nlines",', "same,card", "same,loan")
    with pytest.raises(DataError) as caught:
        read_corpus(path)
    lines = caught.value.message.strip().split("\n")
    assert lines[0] == f"{path}: rows that cannot be used: 5 of 6."
    assert [line.strip().removeprefix(f"{path}:") for line in lines[1:]] == [
        "3: the text is empty (column 'text')",
        "4: has 3 fields; expected 2 (text, label). Quote texts that hold the separator",
        "5: the label is empty (column 'label')",
        f"7: labelled 'card', but the same text is labelled 'loan' at {path}:8",
        f"8: labelled 'loan', but the same text is labelled 'card' at {path}:7",
    ]
    assert "on_bad_rows='skip'" in caught.value.hint


def test_many_bad_rows_are_counted_after_ten(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)cannot be used: 25 of 26\..*pool\.csv:12: .*and 15 more") as caught:
        read_corpus(csv(tmp_path, "fine,card", *[",card"] * 25))
    assert "pool.csv:13" not in str(caught.value)


def test_skipping_warns_with_the_same_listing_and_goes_on(tmp_path: Path) -> None:
    path = csv(tmp_path, f"{CARD.text},card", ",card", f"{LOAN.text},loan", "same,card", "same,loan")
    with pytest.raises(DataError) as caught:
        read_corpus(path)
    with pytest.warns(DataWarning) as warned:
        corpus = read_corpus(path, on_bad_rows="skip")
    assert corpus.examples == (CARD, LOAN)
    assert len(warned) == 1
    assert caught.value.message.strip() in str(warned[0].message)
    assert warned[0].filename == __file__


def test_skipping_every_row_leaves_nothing_to_read() -> None:
    with pytest.warns(DataWarning), pytest.raises(DataError, match="no usable row left"):
        read_corpus([("", "card"), ("a", "")], on_bad_rows="skip")


def test_row_without_a_key_is_bad_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    rows = [{"text": "a", "label": "x"}, {"text": "b"}, {"label": "y"}]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n{oops\n")
    with pytest.raises(DataError) as caught:
        read_corpus(path)
    assert f"{path}:2: the label is missing (column 'label')" in caught.value.message
    assert f"{path}:3: the text is missing (column 'text')" in caught.value.message
    assert f"{path}:4: is not JSON" in caught.value.message


def test_number_outside_the_names_is_a_bad_row() -> None:
    with pytest.raises(DataError, match="row 2: label 7 is outside label_names, which name 0 to 1"):
        read_corpus([("a", 0), ("b", 7), ("c", 1)], label_names=["card", "loan"])


def test_missing_cell_of_a_frame_is_a_bad_row() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["a", "b", None], "label": [0, None, 1]})
    with pytest.raises(DataError, match="cannot be used: 2 of 3") as caught:
        read_corpus(frame, label_names=["card", "loan"])
    assert "row 2: the label is missing" in caught.value.message


def test_repeated_row_is_dropped_with_a_warning(tmp_path: Path) -> None:
    path = csv(tmp_path, f"{CARD.text},card", f"{LOAN.text},loan", f" {CARD.text},card")
    with pytest.warns(DataWarning, match=r"repeat an earlier row: 1 of 3\.\n.*pool\.csv:4: repeats .*pool\.csv:2"):
        corpus = read_corpus(path)
    assert corpus.examples == (CARD, LOAN)


def test_packaged_example_data_is_read_without_a_word() -> None:
    demo = Path(__file__).parents[2] / "src" / "crossfade" / "demo"
    pool, held_out = read_corpus(demo / "pool.csv"), read_corpus(demo / "test.csv")
    assert pool.labels == held_out.labels
    assert not set(pool.texts) & set(held_out.texts)


def test_unlabelled_files_need_no_label_and_keep_every_row(tmp_path: Path) -> None:
    assert read_unlabelled(csv(tmp_path, "same,card", "same,card")) == [("same",), ("same",)]
    (tmp_path / "pairs.jsonl").write_text('{"premise": "p", "hypothesis": "h"}\n')
    assert read_unlabelled(tmp_path / "pairs.jsonl") == [("p", "h")]


def test_unlabelled_lists_hold_texts_or_mappings() -> None:
    assert read_unlabelled([" a ", "b"]) == [("a",), ("b",)]
    assert read_unlabelled([{"body": "a"}], text="body") == [("a",)]
    with pytest.raises(DataError, match="The list holds tuples"):
        read_unlabelled([("a", "b")])


def test_lines_of_a_text_file_or_stream_are_texts(tmp_path: Path) -> None:
    content = "\ufefffirst, with a comma\r\n second\n\n"
    (tmp_path / "new.txt").write_bytes(content.encode())
    expected = [("first, with a comma",), ("second",)]
    assert read_unlabelled(tmp_path / "new.txt") == expected
    assert read_unlabelled(str(tmp_path / "new.txt")) == expected
    assert read_unlabelled(io.StringIO(content)) == expected


def test_rows_without_text_are_refused_so_that_answers_stay_in_line(tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("first\n\nthird\n")
    with pytest.raises(DataError, match=r"cannot be used: 1 of 3\.\n.*new\.txt:2: the text is empty"):
        read_unlabelled(tmp_path / "new.txt")


def test_empty_stream_is_refused() -> None:
    with pytest.raises(DataError, match="the stream holds no rows"):
        read_unlabelled(io.StringIO("\n"))


def test_stream_in_another_encoding_is_refused() -> None:
    stream = io.TextIOWrapper(io.BytesIO("caf\xe9".encode("cp1252")), encoding="utf-8")
    with pytest.raises(DataError, match="is not utf-8 at byte offset 3"):
        read_unlabelled(stream)
