"""Write synthetic rows for others to use: JSON lines, CSV, Parquet, a folder of `datasets`, records of Argilla."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from crossfade.data.annotated import AnnotatedExample
from crossfade.data.nouns import MixedExample, ReadingExample, Synthetic
from crossfade.errors import DataError
from crossfade.libraries import require_libraries

Form = Literal["jsonl", "csv", "parquet", "datasets", "argilla"]
FORMS: tuple[Form, ...] = get_args(Form)


def flat_row(row: Synthetic) -> dict[str, Any]:
    """Return a row as plain columns: what a student is taught, then where it came from.

    Raises:
        DataError: The row is a point between two embeddings, which has no text.
    """
    example, origin = row.example, row.origin
    if isinstance(example, MixedExample):
        raise DataError(
            "These rows are points between two embeddings (hidden_mixup) and have no text that could be exported.",
            hint="Use a method that writes texts.",
        )
    columns: dict[str, Any] = {"text": example.texts[0]}
    if len(example.texts) == 2:
        columns["text_pair"] = example.texts[1]
    columns["label"] = example.label
    if isinstance(example, ReadingExample):
        columns |= {"answer": example.answer, "answer_start": example.answer_start}
    if isinstance(example, AnnotatedExample):
        standing = [mention for mention in example.mentions if mention.stands]
        entities = [{"start": mention.start, "end": mention.end, "label": mention.kind} for mention in standing]
        # As text: not every form has lists of objects.
        columns |= {"intents": list(example.intents), "entities": json.dumps(entities)}
    return columns | {
        "confidence": origin.confidence,
        "written_label": origin.written_label,
        "judged_label": origin.judged_label,
        "method": origin.method,
        "parents": list(origin.parents),
        "ratio": origin.ratio,
        "round": origin.round_index,
        "model": origin.model,
        "prompt_digest": origin.prompt_digest,
        "reviewed": origin.reviewed or None,
    }


def export_rows(rows: Sequence[Mapping[str, Any]], path: Path, form: Form) -> None:
    """Write flat rows to a file, or for 'datasets' to a folder; what is there is replaced.

    Args:
        rows: As `flat_row` returns them, all with the same columns.
        path: Where to; its folder is made.
        form: One of `FORMS`.

    Raises:
        DataError: There are no rows, or the place cannot be written.
        DependencyError: The library of the form is missing.
    """
    if not rows:
        raise DataError("There are no kept rows to export.", hint="Read dropped.jsonl: it says why each was dropped.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        WRITERS[form](rows, path)
    except OSError as error:
        raise DataError(f"'{path}' cannot be written: {error}.", hint="Check the folder and the disk.") from error


def argilla_record(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return a row as a record of Argilla 2, in the form that `dataset.records.from_json` reads.

    The texts are fields, the label is a suggestion with its confidence as score, the origin is metadata.
    """
    fields = {name: row[name] for name in ("text", "text_pair", "answer") if name in row}
    suggestion: dict[str, Any] = {"value": row["label"], "agent": f"crossfade {row['method']}"}
    if row["confidence"] is not None:
        suggestion["score"] = row["confidence"]
    told = ("confidence", "written_label", "judged_label", "method", "ratio", "round", "model", "prompt_digest", "draw")
    metadata = {name: row[name] for name in told if row.get(name) is not None}
    return {
        "id": str(number),
        "fields": fields,
        "suggestions": {"label": suggestion},
        "responses": {},
        "vectors": {},
        "metadata": metadata | {"parents": list(row["parents"])},
        "status": "pending",
    }


def _write_jsonl(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")


def _write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        # A list in a cell is JSON, as a reader of the file can take apart again.
        writer.writerows(
            {
                name: json.dumps(cell, ensure_ascii=False) if isinstance(cell, list) else cell
                for name, cell in row.items()
            }
            for row in rows
        )


def _write_parquet(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    require_libraries("pyarrow", extra="parquet")
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), path)


def _write_datasets(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    require_libraries("datasets", extra="hub")
    from datasets import Dataset, DatasetDict

    DatasetDict({"train": Dataset.from_list([dict(row) for row in rows])}).save_to_disk(str(path))


def _write_argilla(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    records = [argilla_record(row, number) for number, row in enumerate(rows, start=1)]
    path.write_text(json.dumps(records, ensure_ascii=False, indent=1), encoding="utf-8")


WRITERS: Mapping[Form, Callable[[Sequence[Mapping[str, Any]], Path], None]] = {
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "parquet": _write_parquet,
    "datasets": _write_datasets,
    "argilla": _write_argilla,
}
