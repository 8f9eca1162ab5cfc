"""Read annotated texts: several intents to a text (NLU++), entities (CrossNER, CoNLL), intents with slots (TOPv2)."""

import csv
import glob
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Literal, get_args

from crossfade.data.annotated import AnnotatedExample, Mention
from crossfade.data.descriptions import read_descriptions
from crossfade.data.files import file_suffix, read_utf8
from crossfade.data.nouns import Corpus
from crossfade.data.parses import PARSES, flatten
from crossfade.data.reading import settle_bad_rows
from crossfade.data.sources import read_table
from crossfade.data.tables import BadRow, Row, Table
from crossfade.data.tags import mentions_of_tags
from crossfade.errors import DataError

AnnotatedTask = Literal["intents", "entities", "parses"]
ANNOTATED_TASKS: tuple[AnnotatedTask, ...] = get_args(AnnotatedTask)
TAGGED = (".txt", ".conll", ".bio", ".txt.gz", ".conll.gz", ".bio.gz")
"""Endings of files with a token and its tag to a line."""
LEAD_INS = (
    "is the intent to ask something related to ",
    "is the intent asking ",
    "is the intent to ask ",
    "is the intent to talk about ",
    "is the intent to ",
)
"""What NLU++'s descriptions begin with, and say nothing by."""


def read_annotated(
    source: object,
    task: AnnotatedTask,
    *,
    descriptions: Path | str | Mapping[str, str] | None = None,
    kind: str = "texts",
    attributes: Sequence[str] | None = None,
    split: str = "train",
    on_bad_rows: Literal["error", "skip"] = "error",
    held_out: bool = False,
) -> Corpus:
    """Read texts with intents, entities, or intents and slots.

    Args:
        source: A file, a folder of fold*.json, or a pattern such as 'banking/fold[01].json'; or rows in any form that
            `read_corpus` takes, hub data sets too. 'intents': `text` and `intents` (NLU++). 'entities': a token and its
            BIO tag to a line, sentences apart by an empty line (CrossNER, CoNLL); or rows with `tokens` and `ner_tags`
            or `tags`; or with `text` and `entities` (`start`, `end`, `label`). 'parses': `semantic_parse` or
            `seqlogical`, a tree as TOPv2 writes it; texts are the tree's words.
        task: What the annotations are.
        descriptions: Intent, entity type or slot to phrase, or a TOML or JSON file of them. For intents, NLU++'s
            ontology.json in or above the folder is read when left out.
        kind: What the texts are, as a plural; prompts say it.
        attributes: Intents, types or slots that count, in order; others are taken off the rows. All found, sorted, when
            None.
        split: Which split of a data set to read.
        on_bad_rows: 'skip' leaves bad rows out with a `DataWarning`; 'error' refuses the source.
        held_out: The rows are for testing: repeats count, too.

    Returns:
        The corpus; its one class is the name of the task.

    Raises:
        DataError: The source or rows are not as they must be.
        DependencyError: The source needs a package that is not installed.
    """
    table = _table(source, task, split)
    rows: list[AnnotatedExample] = []
    bad_rows = list(table.bad_rows)
    for row in table.rows:
        try:
            rows.append(READERS[task](row, table))
        except DataError as error:
            bad_rows.append(BadRow(row.number, error.message))
    settle_bad_rows(table, bad_rows, skip=on_bad_rows == "skip")
    if attributes is not None:
        rows = [_only(row, attributes) for row in rows]
    if not rows:
        raise DataError(f"{table.name} has no usable row.", hint="Correct the rows listed in the warning.")
    found = tuple(attributes or sorted({name for row in rows for name in row.attributes}))
    phrases = _phrases(source, descriptions, found)
    return Corpus(tuple(rows if held_out else dict.fromkeys(rows)), (task,), phrases, kind, found)


def _only(row: AnnotatedExample, attributes: Sequence[str]) -> AnnotatedExample:
    return replace(
        row,
        intents=tuple(name for name in row.intents if name in attributes),
        mentions=tuple(mention for mention in row.mentions if mention.kind in attributes),
    )


def _phrases(
    source: object, descriptions: Path | str | Mapping[str, str] | None, found: Sequence[str]
) -> dict[str, str]:
    """Read the descriptions given, or those of an ontology beside the data; rows may lack what these describe."""
    if descriptions is not None:
        return read_descriptions(descriptions, found)
    places = [Path(source), *Path(source).parents[:2]] if isinstance(source, str | Path) else []
    ontology = next((place / "ontology.json" for place in places if (place / "ontology.json").is_file()), None)
    if ontology is None:
        return {}
    known = json.loads(read_utf8(ontology)).get("intents", {})
    return {name: _bare(str(known[name]["description"])) for name in found if name in known}


def _bare(description: str) -> str:
    """Take NLU++'s lead-in and question mark off a description."""
    lead = next((lead for lead in LEAD_INS if description.startswith(lead)), "")
    return description.removeprefix(lead).rstrip("?").strip()


def _table(source: object, task: AnnotatedTask, split: str) -> Table:
    if isinstance(source, str | Path):
        files = _files(Path(source))
        if len(files) > 1 or files[0] != Path(source):
            tables = [_table(file, task, split) for file in files]
            rows = [row for table in tables for row in table.rows]
            return Table(
                name=str(source),
                columns=tuple(dict.fromkeys(column for table in tables for column in table.columns)),
                rows=tuple(replace(row, number=number) for number, row in enumerate(rows, start=1)),
                bad_rows=tuple(row for table in tables for row in table.bad_rows),
            )
        suffix = file_suffix(Path(source))
        if suffix in TAGGED:
            return _tagged_table(Path(source))
        if task == PARSES and suffix.startswith(".tsv"):
            return _quoteless_table(Path(source))
    return read_table(source, split)


def _files(source: Path) -> list[Path]:
    """Return the files of a folder of folds or of a pattern, in order; anything else as it is."""
    pattern = str(source / "fold*.json") if source.is_dir() else str(source)
    return [Path(found) for found in sorted(glob.glob(pattern))] or [source]


def _quoteless_table(path: Path) -> Table:
    """Read tab-separated rows in which quotes mean nothing, as TOPv2 writes them."""
    reader = csv.DictReader(io.StringIO(read_utf8(path)), delimiter="\t", quoting=csv.QUOTE_NONE)
    rows = tuple(Row(reader.line_num, dict[str, object](cells)) for cells in reader)
    return Table(name=str(path), columns=tuple(reader.fieldnames or ()), rows=rows, has_lines=True)


def _tagged_table(path: Path) -> Table:
    """Read sentences, one token and its tag to a line, as rows of tokens and tags; a row's number is its first line."""
    rows: list[Row] = []
    bad_rows: list[BadRow] = []
    for first, lines in _sentences(read_utf8(path)):
        # A tab ends a token, which may hold a space that does not break.
        split = [line.strip().split("\t" if "\t" in line.strip() else None) for line in lines]
        wrong = next((first + index for index, parts in enumerate(split) if len(parts) < 2), None)
        if wrong is not None:
            bad_rows.append(BadRow(wrong, "the line has no tag; expected a token, white space and a tag"))
        else:
            tokens, tags = zip(*((parts[0], parts[-1].strip()) for parts in split), strict=True)
            rows.append(Row(first, {"tokens": tokens, "tags": tags}))
    return Table(name=str(path), columns=("tokens", "tags"), rows=tuple(rows), bad_rows=tuple(bad_rows), has_lines=True)


def _sentences(content: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the first line and the lines of each sentence; CoNLL's document marks are none."""
    lines: list[str] = []
    for number, line in enumerate([*content.split("\n"), ""], start=1):
        if line.strip() and not line.startswith("-DOCSTART-"):
            lines.append(line)
        elif lines:
            yield number - len(lines), lines
            lines = []


def _intents_row(row: Row, table: Table) -> AnnotatedExample:
    names = _strings(row.cells.get("intents") or [], table.class_names.get("intents", ()), "intents")
    return AnnotatedExample((_text(row.cells.get("text")),), "intents", tuple(sorted(set(names))))


def _entities_row(row: Row, table: Table) -> AnnotatedExample:
    cells = row.cells
    if "tokens" in cells:
        column = "ner_tags" if "ner_tags" in cells else "tags"
        tokens = _strings(cells["tokens"], (), "tokens")
        tags = _strings(cells.get(column), table.class_names.get(column, ()), column)
        if len(tokens) != len(tags) or not tokens:
            raise DataError(f"{len(tokens)} tokens stand beside {len(tags)} tags")
        text, mentions = mentions_of_tags(tokens, tags)
    else:
        # As it stands, so that positions stay right.
        text = _text(cells.get("text"), strip=False)
        mentions = _mentions(text, cells.get("entities"), table.class_names.get("entities.label", ()))
    return AnnotatedExample((text,), "entities", (), mentions)


def _mentions(text: str, cell: object, names: Sequence[str]) -> tuple[Mention, ...]:
    """Read spans, in any order; labels may be numbers that have names."""
    mentions: list[Mention] = []
    for entity in _entities(cell):
        start, end, label = (entity.get(key) for key in ("start", "end", "label"))
        if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start < end <= len(text):
            raise DataError(f"the entity {dict(entity)!r:.60} does not stand in the text")
        (kind,) = _strings([None if label == "" else label], names, "label")
        mentions.append(Mention(start, text[start:end], kind))
    mentions.sort()
    for one, other in pairwise(mentions):
        if other.start < one.end:
            raise DataError(f"the entities {one.value!r:.30} and {other.value!r:.30} overlap; expected none that do")
    return tuple(mentions)


def _entities(cell: object) -> list[Mapping[str, object]]:
    """Read a list of objects, or an object of lists, as `datasets` gives it for a sequence of objects."""
    if cell is None:
        return []
    if isinstance(cell, Mapping) and all(isinstance(column, Iterable) for column in cell.values()):
        return [dict(zip(cell, values, strict=True)) for values in zip_longest(*cell.values())]
    items = list(cell) if isinstance(cell, Iterable) else [cell]
    entities = [item for item in items if isinstance(item, Mapping)]
    if len(entities) < len(items):
        raise DataError(f"entities are {cell!r:.60}; expected a list of objects with start, end and label")
    return entities


def _parse_row(row: Row, table: Table) -> AnnotatedExample:
    tree = next((row.cells[name] for name in ("semantic_parse", "seqlogical") if row.cells.get(name)), None)
    if not isinstance(tree, str):
        raise DataError("there is no semantic_parse or seqlogical")
    return flatten(tree)


READERS: Mapping[AnnotatedTask, Callable[[Row, Table], AnnotatedExample]] = {
    "intents": _intents_row,
    "entities": _entities_row,
    "parses": _parse_row,
}


def _text(cell: object, *, strip: bool = True) -> str:
    if not isinstance(cell, str) or not cell.strip():
        raise DataError(f"the text is {cell!r:.40}; expected a string")
    return cell.strip() if strip else cell


def _strings(cell: object, names: Sequence[str], column: str) -> list[str]:
    """Read a list of strings, or of numbers that have names."""
    if isinstance(cell, str) or not isinstance(cell, Iterable):
        raise DataError(f"{column} is {cell!r:.40}; expected a list")
    found: list[str] = []
    for item in cell:
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, int) and 0 <= item < len(names):
            found.append(names[item])
        else:
            raise DataError(f"{column} holds {item!r:.40}; expected strings, or numbers that the data set names")
    return found
