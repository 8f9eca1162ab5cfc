"""Scores of annotations: the usual strict ones, and beside them the lenient ones of the paper of soft prompts.

The lenient scores (Chen et al. 2023, released code) average precision and recall over texts and forgive partial
matches, so they are not comparable with those of other papers; `strict_f1` is.
"""

import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from crossfade.data import AnnotatedExample, Mention, readable
from crossfade.tasks.answers import ARTICLES, normalised_answer
from crossfade.tasks.targets import SEPARATOR, as_target

SMALL = 1e-4
"""Added to the denominators of the lenient scores, which are then rounded to three digits."""
WORDS = 7
"""Words that the lenient scores look at of an entity with its type."""
SLOT_WORDS = 32
"""The same of all slots of a text together, the commas between them included."""
MARKS = str.maketrans(dict.fromkeys(set(string.punctuation) - set(",[]<>"), " "))
"""Punctuation that the lenient scores take out; the rest holds the strings together."""
Item = tuple[object, ...]


def strict_f1(said: Sequence[AnnotatedExample], true: Sequence[AnnotatedExample]) -> float:
    """Return the micro F1 over all texts, in [0, 1]; 0 where nothing is right.

    Of intents, each is one item. Of entities, each span with its type, both ends exact: seqeval's default over the same
    tags; one that stands nowhere in the text is found and wrong. Of parses, each intent, and each slot with its value.
    Repeated items count as often as they come.
    """
    right = found = wanted = 0
    for guess, truth in zip(said, true, strict=True):
        guessed, known = _items(guess), _items(truth)
        right += (guessed & known).total()
        found += guessed.total()
        wanted += known.total()
    return 2 * right / (found + wanted) if right else 0.0


def lenient_score(said: Sequence[AnnotatedExample], true: Sequence[AnnotatedExample]) -> float:
    """Return the paper's score of the task, in [0, 1]: F1 of intents or entities, 'accuracy' of parses.

    As in the released code, but that it reads what a model said, and this its annotation: of entities and intents,
    pieces out of form, which the code counts as wrong, are not there any more.
    """
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


def _items(row: AnnotatedExample) -> Counter[Item]:
    if row.label == "entities":
        return Counter((mention.kind, mention.start, mention.end) for mention in row.mentions)
    slots = Counter[Item]((mention.kind, normalised_answer(mention.value)) for mention in row.mentions)
    return slots + Counter((intent,) for intent in row.intents)


def _intent_scores(said: AnnotatedExample, true: AnnotatedExample) -> tuple[float, float]:
    shared = len(set(said.intents) & set(true.intents))
    return _share(shared, len(said.intents)), _share(shared, len(true.intents))


def _entity_scores(said: AnnotatedExample, true: AnnotatedExample) -> tuple[float, float]:
    """Return the share of predictions that hold all words of a known entity of their type, and the other way round."""
    guessed, known = _entities(said.mentions), _entities(true.mentions)
    return _share(_holding(guessed, known), len(said.mentions)), _share(_holding(known, guessed), len(true.mentions))


def _holding(wholes: Sequence[tuple[str, set[str]]], parts: Sequence[tuple[str, set[str]]]) -> int:
    """Count the wholes that hold all words of a part of their type; the first to hold a part uses it up."""
    left = list(parts)
    for kind, words in wholes:
        held = next((part for part in left if part[0] == kind and part[1] <= words), None)
        if held is not None:
            left.remove(held)
    return len(parts) - len(left)


def _entities(mentions: Sequence[Mention]) -> list[tuple[str, set[str]]]:
    """Return types and words; where they are more than seven together, the released code loses the type: no match."""
    items = (_plain(f"{mention.value} [{readable(mention.kind)}]", WORDS).split("[") for mention in mentions)
    return [(item[1].strip(" ]"), set(item[0].strip().split(" "))) for item in items if len(item) == 2]


def _plain(text: str, words: int) -> str:
    return " ".join(ARTICLES.sub(" ", text.lower().translate(MARKS)).split()[:words])


def _share(part: int, whole: int) -> float:
    return round(part / (whole + SMALL), 3)


def _parse_score(said: AnnotatedExample, true: AnnotatedExample) -> float:
    """Average whether all intents are right and whether all slots are; 0 where nothing is said, or not in the form.

    Slots are right when each name has a value in common, word for word, and there are as many items as names: with two
    slots of one name, or a comma in a value, the released code never calls them right.
    """
    if not said.intents and not said.mentions:
        return 0.0
    guessed, known = _slots(said), _slots(true)
    names = {item[0] for item in guessed if item in known and len(item) == 2}
    slots = len(names) == max(len(guessed), len(known))
    return ((set(said.intents) == set(true.intents)) + slots) / 2


def _slots(row: AnnotatedExample) -> list[tuple[str, ...]]:
    """Return name and value of each slot, as they are compared."""
    _, _, slots = as_target(row).partition(SEPARATOR)
    pairs = [pair for pair in _plain(slots, SLOT_WORDS).split(",") if pair]
    return [tuple(part.strip("[ ]") for part in pair.split(" [")) for pair in pairs]


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
