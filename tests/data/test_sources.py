import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from crossfade.data.sources import read_table
from crossfade.errors import DataError, DependencyError

ROWS: list[dict[str, object]] = [{"text": "a", "label": 0}, {"text": "b", "label": 1}]


class ScriptedDataset:
    """A data set of two rows, as the hub library would give it."""

    column_names = ("text", "label")
    features: Mapping[str, object] = {"text": SimpleNamespace(), "label": SimpleNamespace(names=["no", "yes"])}

    def __len__(self) -> int:
        return len(ROWS)

    def __iter__(self) -> Iterator[Mapping[str, object]]:
        return iter(ROWS)


def cells(source: object, split: str = "train") -> list[dict[str, object]]:
    return [dict(row.cells) for row in read_table(source, split).rows]


def test_frames_give_their_rows_and_missing_cells_become_none() -> None:
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    columns = {"text": ["a", None], "label": ["x", "y"]}
    expected = [{"text": "a", "label": "x"}, {"text": None, "label": "y"}]
    assert cells(pandas.DataFrame(columns, index=[7, 7])) == expected
    assert cells(polars.DataFrame(columns)) == expected


def test_frame_rows_are_named_by_position() -> None:
    polars = pytest.importorskip("polars")
    assert read_table(polars.DataFrame({"text": ["a"]})).place(1) == "the frame, row 1"


def test_hub_library_data_sets_bring_their_class_names() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    dataset = datasets.Dataset.from_list(ROWS, features=features)
    assert cells(dataset) == ROWS
    assert read_table(dataset).class_names == {"label": ("no", "yes")}
    assert cells(datasets.DatasetDict({"test": dataset}), split="test") == ROWS


def test_missing_split_names_the_nearest() -> None:
    with pytest.raises(DataError, match=r"no split 'tran'; found train, test\. Did you mean 'train'\?"):
        read_table({"train": ScriptedDataset(), "test": ScriptedDataset()}, split="tran")


def test_mapping_of_anything_else_is_no_source() -> None:
    with pytest.raises(DataError, match="The source is a dict"):
        read_table({"text": ["a"], "label": ["b"]})


def test_hub_id_is_loaded_with_its_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def load_dataset(name: str, *, split: str) -> ScriptedDataset:
        asked.append((name, split))
        return ScriptedDataset()

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    assert cells("PolyAI/banking77", split="test") == ROWS
    assert asked == [("PolyAI/banking77", "test")]
    assert read_table("PolyAI/banking77").class_names == {"label": ("no", "yes")}


def test_hub_failure_says_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(name: str, *, split: str) -> ScriptedDataset:
        raise ConnectionError("no route to host.")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(DataError, match=r"'org/some', split 'train' \(ConnectionError: no route to host\)\. Check"):
        read_table("org/some")


def test_hub_id_without_the_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DependencyError, match=r"crossfade\[hub\]"):
        read_table("org/some")


@pytest.mark.parametrize("name", ["data/none.csv", "./none", "folder/none"])
def test_missing_paths_are_not_taken_for_hub_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"There is no file|is of no known form"):
        read_table(name)


def test_lists_of_tuples_give_texts_and_label() -> None:
    assert cells([("a", "x"), ("b", "y")]) == [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    assert cells([(("a", "b"), "x")]) == [{"sentence1": "a", "sentence2": "b", "label": "x"}]


def test_items_of_another_form_than_the_first_are_bad_rows() -> None:
    table = read_table([(("a", "b"), "x"), ("c", "y"), (("a",), "y"), (("d", "e"), "z", 1), {"text": "f"}])
    assert [row.number for row in table.bad_rows] == [2, 3, 4, 5]
    assert table.bad_rows[0].reason == "does not have the form ((text, text), label)"


def test_columns_of_mappings_are_those_of_all_rows() -> None:
    assert read_table([{"text": "a"}, {"label": "x"}]).columns == ("text", "label")


def test_empty_list_is_refused() -> None:
    with pytest.raises(DataError, match="the list holds no rows"):
        read_table([])


def test_unknown_source_names_its_type() -> None:
    with pytest.raises(DataError, match=r"The source is a zip; expected a path.*Wrap other iterables in list"):
        read_table(zip(["a"], ["x"], strict=True))
