"""Scores of annotations: the usual strict ones, and beside them the lenient ones of the paper of soft prompts.

The lenient scores (Chen et al. 2023, released code) average precision and recall over texts and forgive partial
matches, so they are not comparable with those of other papers; `strict_f1` is.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from crossfade.data import AnnotatedExample, Mention
from crossfade.tasks.answers import normalised_answer

SMALL = 1e-4
"""Added to the denominators of the lenient scores, which are then rounded to three digits."""
WORDS = 7
"""Words of a string that the lenient scores look at."""
Item = tuple[object, ...]


def strict_f1(said: Sequence[AnnotatedExample], true: Sequence[AnnotatedExample]) -> float:
    """Return the micro F1 over all texts, in [0, 1]; 0 where nothing is right.

    Of intents, each is one item. Of entities, each span with its type, both ends exact: seqeval's default over the same
    tags. Of parses, each intent, and each slot with its value.
    """
    right = found = wanted = 0
    for guess, truth in zip(said, true, strict=True):
        guessed, known = _items(guess), _items(truth)
        right += len(guessed & known)
        found += len(guessed)
        wanted += len(known)
    return 2 * right / (found + wanted) if right else 0.0


def lenient_score(said: Sequence[AnnotatedExample], true: Sequence[AnnotatedExample]) -> float:
    """Return the paper's score of the task, in [0, 1]: F1 of intents or entities, 'accuracy' of parses."""
    if true and true[0].label == "parses":
        return float(np.mean([_parse_score(*pair) for pair in zip(said, true, strict=True)]))
    score = _intent_scores if true and true[0].label == "intents" else _entity_scores
    # Texts without any intent or entity are left out, as the released code does.
    pairs = [pair for pair in zip(said, true, strict=True) if pair[1].attributes]
    if not pairs:
        return 0.0
    precisions, recalls = zip(*(score(*pair) for pair in pairs), strict=True)
    precision, recall = float(np.mean(precisions)), float(np.mean(recalls))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _items(row: AnnotatedExample) -> set[Item]:
    if row.label == "entities":
        return {(mention.kind, mention.start, mention.end) for mention in row.mentions if mention.stands}
    slots = {(mention.kind, normalised_answer(mention.value)) for mention in row.mentions}
    return {(intent,) for intent in row.intents} | slots


def _intent_scores(said: AnnotatedExample, true: AnnotatedExample) -> tuple[float, float]:
    shared = len(set(said.intents) & set(true.intents))
    return _share(shared, len(said.intents)), _share(shared, len(true.intents))


def _entity_scores(said: AnnotatedExample, true: AnnotatedExample) -> tuple[float, float]:
    """A prediction counts for precision if it holds all words of an entity of its type, for recall if one holds its."""
    guessed, known = _words(said.mentions), _words(true.mentions)
    exact = sum(any(_holds(guess, truth) for truth in known) for guess in guessed)
    covered = sum(any(_holds(truth, guess) for truth in known) for guess in guessed)
    return _share(exact, len(guessed)), min(_share(covered, len(known)), 1.0)


def _holds(whole: tuple[str, list[str]], part: tuple[str, list[str]]) -> bool:
    return whole[0] == part[0] and set(part[1]) <= set(whole[1])


def _words(mentions: Iterable[Mention]) -> list[tuple[str, list[str]]]:
    return [(mention.kind, normalised_answer(mention.value).split()[:WORDS]) for mention in mentions]


def _share(part: int, whole: int) -> float:
    return round(part / (whole + SMALL), 3)


def _parse_score(said: AnnotatedExample, true: AnnotatedExample) -> float:
    """Average: whether all intents are right, and whether all slots are, any overlap of their values passing."""
    intents = set(said.intents) == set(true.intents)
    guessed, known = _by_slot(said), _by_slot(true)
    slots = guessed.keys() == known.keys() and all(guessed[name] & known[name] for name in known)
    return (intents + slots) / 2


def _by_slot(row: AnnotatedExample) -> dict[str, set[str]]:
    values: dict[str, set[str]] = {}
    for kind, words in _words(row.mentions):
        values.setdefault(kind, set()).update(words)
    return values


def by_number(
    said: Sequence[AnnotatedExample],
    true: Sequence[AnnotatedExample],
    score: Callable[[Sequence[AnnotatedExample], Sequence[AnnotatedExample]], float] = strict_f1,
) -> dict[int, tuple[int, float]]:
    """Return the number of texts and their score, by how many attributes a text has."""
    groups: dict[int, list[int]] = {}
    for row, truth in enumerate(true):
        groups.setdefault(len(truth.attributes), []).append(row)
    return {
        number: (len(rows), score([said[row] for row in rows], [true[row] for row in rows]))
        for number, rows in sorted(groups.items())
    }
