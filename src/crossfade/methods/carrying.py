"""What methods share that write texts for the attributes of gold rows: seeds, exemplars, and the label check.

A new text inherits all labels of the gold row it was written after. So every entity string must stand in it once, and
every slot value as often as slots have it. Texts that lack one, were cut off, or repeat their prompt are dropped, and
their row is asked for again. Its tags come from where the strings are found.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from numpy.random import Generator

from crossfade.attribute_roles import Written
from crossfade.data import AnnotatedExample, Augmented, Corpus, Origin, Synthetic, annotated
from crossfade.data.annotated import occurrences
from crossfade.errors import SettingsError
from crossfade.evaluation.comparison import text_key
from crossfade.evaluation.diversity import words_of
from crossfade.methods.writing import Drafted, RoundSettings, top_up
from crossfade.numerics.diversity import ngrams
from crossfade.prompts.render import template
from crossfade.roles import Encoder
from crossfade.selection.ledger import Ledger
from crossfade.tasks.shapes import task_of

POOL = 10
"""Rows with the most shared attributes, of which exemplars are drawn. The released code of the paper."""
ECHO = 4
"""Words in a row that a text of its own hardly shares with the description of an intent. Ours."""
Write = Callable[[Sequence[AnnotatedExample], int], list[list[Written]]]
"""Writes candidate texts for each of some gold rows, given the number of the round; a row may be there repeatedly."""


def rows_with_attributes(gold: Corpus, method: str) -> list[AnnotatedExample]:
    """Return the gold rows that have at least one attribute.

    Raises:
        DataError: A row has no annotation.
        SettingsError: None has an attribute.
    """
    rows = [row for row in annotated(gold) if row.attributes]
    if not rows:
        raise SettingsError(f"{method} writes texts for the attributes of gold rows, and there are none.")
    return rows


def retrieve(
    row: AnnotatedExample, rows: Sequence[AnnotatedExample], count: int, rng: Generator
) -> list[AnnotatedExample]:
    """Draw exemplars among the rows that share the most attributes with a row, never itself (paper, section 3).

    Rows that share none are drawn only where no row shares any. Ours.
    """
    others = [other for other in rows if other.texts != row.texts]
    shuffled = [others[place] for place in rng.permutation(len(others))]
    sharing = [other for other in shuffled if set(other.attributes) & set(row.attributes)] or shuffled
    nearest = sorted(sharing, key=lambda other: -len(set(other.attributes) & set(row.attributes)))[:POOL]
    return [nearest[place] for place in rng.permutation(len(nearest))[:count]]


def write_for_rows(
    gold: Corpus,
    write: Write,
    *,
    method: str,
    model: str,
    texts: int,
    candidates: int = 1,
    encoder: Encoder,
    settings: RoundSettings,
) -> Augmented:
    """Write equally many texts for every gold row, round by round, until there are enough or the rounds run out.

    Args:
        gold: Rows with intents, entities or slots.
        write: See `Write`; asked again, with the rows that still lack texts.
        method: The method's name, for each row's origin.
        model: What identifies the writer.
        texts: How many are wanted in all.
        candidates: How many texts of a row each call of `write` is to bring; a row is asked for as often as it takes.
        encoder: Finds near-duplicates.
        settings: See `RoundSettings`.
    """
    rows = rows_with_attributes(gold, method)
    task = task_of(gold)
    book = Ledger(gold, texts)
    descriptions = _described(gold)

    def draft(round_index: int) -> Drafted:
        written = Counter(row.origin.parent_key for row in book.kept)
        wanted = dict(zip((row.key for row in rows), _shares(rows, texts, written), strict=True))
        asked = [row for row in rows for _ in range(math.ceil(wanted[row.key] / candidates))]
        if not asked:
            return [], []
        drafts: list[Synthetic] = []
        good = Counter[str]()
        for row, found in zip(asked, write(asked, round_index), strict=True):
            origin = Origin(
                method=method,
                parents=(row.label,),
                parent_texts=row.texts,
                parent_key=row.key,
                round_index=round_index,
                model=model,
                written_label=row.label,
            )
            for candidate in found:
                drafts.append(_checked(candidate, row, origin))
                if drafts[-1].origin.reason is None:
                    good[row.key] += 1
                    if good[row.key] > wanted[row.key]:
                        drafts[-1] = replace(drafts[-1], origin=replace(origin, reason="surplus"))
        return drafts, [row.label for row in asked]

    def _checked(candidate: Written, row: AnnotatedExample, origin: Origin) -> Synthetic:
        line = " ".join(candidate.text.split())
        plain = replace(row, texts=(line,), mentions=(), parse="")
        reason = _unreadable(line, candidate) or task.fault(row, line) or _echo(line, row, descriptions)
        if reason is None and text_key(plain) == text_key(row):
            reason = "copy: repeats its gold row"
        if reason is not None:
            return Synthetic(plain, replace(origin, reason=reason))
        return Synthetic(task.rewritten(row, line), origin)

    return top_up(book, draft, gold, encoder=encoder, settings=settings)


def _unreadable(line: str, candidate: Written) -> str | None:
    if len(line) <= 1:
        return "unparsable: empty"
    return None if candidate.is_whole else "unparsable: cut off"


def _described(gold: Corpus) -> set[tuple[str, ...]]:
    """Return the runs of `ECHO` words of the attributes' descriptions that stand in no gold text."""
    said = {run for text in gold.texts for run in _runs(text)}
    return {run for name in gold.attributes for run in _runs(gold.describe(name))} - said


def _runs(text: str) -> list[tuple[str, ...]]:
    return list(ngrams(words_of(text), ECHO))


def _echo(line: str, row: AnnotatedExample, descriptions: set[tuple[str, ...]]) -> str | None:
    """Say so where a text repeats its prompt: its opening words, descriptions of intents, a bare list of its strings.

    Where the gold row is a list, too, one may be.
    """
    runs = _runs(line)
    if not _opening().isdisjoint(runs):
        return "echo: the prompt's opening"
    if row.values:
        bare = not _own_words(line, row.values) and _own_words(row.texts[0], row.values)
        return "echo: nothing but its strings" if bare else None
    said = next((run for run in runs if run in descriptions), None)
    return f"echo: the description '{' '.join(said)}'" if said else None


@cache
def _opening() -> set[tuple[str, ...]]:
    """Return the runs of `ECHO` words of the line that prompts open with."""
    opening, *_ = template("attributes_listed").substitute(Kind="", examples="", metadata="").splitlines()
    return set(_runs(opening))


def _own_words(text: str, values: Sequence[str]) -> bool:
    """Return whether a text has words beside some strings, however often they stand there."""
    rest = list(text)
    for value in values:
        for start in occurrences(text, value):
            rest[start : start + len(value)] = " " * len(value)
    return any(character.isalnum() for character in rest)


def _shares(rows: Sequence[AnnotatedExample], texts: int, written: Counter[str]) -> list[int]:
    """Return how many texts each row still lacks when all have equally many; the first ones one more."""
    even, more = divmod(texts, len(rows))
    return [max(0, even + (place < more) - written[row.key]) for place, row in enumerate(rows)]
