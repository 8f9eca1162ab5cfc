"""Annotations as strings, as the paper of soft prompts has a sequence-to-sequence model predict them, and back."""

import re
from collections.abc import Sequence

from crossfade.data import AnnotatedExample, Mention, readable
from crossfade.data.annotated import NOWHERE, occurrences

SEPARATOR = "<sep>"
ITEM = re.compile(r"\s*(.*?)\s*\[([^\[\]]*)\]\s*(?:,|$)")
"""A slot and its value."""
ENTITY = re.compile(r"(.*\S)\s*\[([^\[\]]*)\]\s*$")
"""A string and its type."""


def as_target(row: AnnotatedExample) -> str:
    """Write an annotation as one string.

    Intents are sorted and stand between ';'; entities are 'string [type]' between ' <sep> ', in order; parses are
    intents between ' , ', sorted too and not in the order of the tree, then ' <sep> ', then 'slot [value]' between
    ' , ', in small letters.
    """
    if row.label == "intents":
        return ";".join(row.intents)
    if row.label == "entities":
        return f" {SEPARATOR} ".join(f"{mention.value} [{readable(mention.kind)}]" for mention in row.mentions)
    intents = " , ".join(readable(intent) for intent in row.intents)
    slots = " , ".join(f"{readable(mention.kind)} [{mention.value.lower()}]" for mention in row.mentions)
    return f"{intents} {SEPARATOR} {slots}"


def from_target(said: str, row: AnnotatedExample, names: Sequence[str]) -> AnnotatedExample:
    """Read a string that a model said of a text; what is not of the form is left out.

    Args:
        said: As `as_target` writes it.
        row: The text; its own annotation is unread.
        names: The intents, types or slots that there are; others are kept as they were said.
    """
    known = {readable(name): name for name in names}
    if row.label == "intents":
        intents = [part.strip() for part in said.split(";") if part.strip()]
        return AnnotatedExample(row.texts, row.label, tuple(sorted(set(intents))))
    if row.label == "entities":
        pairs = [found.groups() for part in said.split(SEPARATOR) if (found := ENTITY.match(part))]
        return AnnotatedExample(row.texts, row.label, (), _placed(row.texts[0], pairs, known))
    if said.count(SEPARATOR) != 1:
        # It does not fall into two parts: nothing was said.
        return AnnotatedExample(row.texts, row.label)
    before, _, after = said.partition(SEPARATOR)
    intents = [known.get(part.strip(), part.strip()) for part in before.split(",") if part.strip()]
    slots = [(value, name) for name, value in ITEM.findall(after)]
    return AnnotatedExample(row.texts, row.label, tuple(sorted(set(intents))), _placed(row.texts[0], slots, known))


def _placed(text: str, pairs: Sequence[tuple[str, ...]], known: dict[str, str]) -> tuple[Mention, ...]:
    """Find where values stand: each at its first place that no earlier one took, case aside; else nowhere."""
    taken: list[tuple[int, int]] = []
    found: list[Mention] = []
    # Lowering keeps positions, but for a few letters whose small form is longer.
    folded = text.lower() if len(text.lower()) == len(text) else text
    for value, kind in pairs:
        value = value.strip()
        free = [
            start
            for start in occurrences(folded, value.lower() if folded is not text else value)
            if all(start >= end or start + len(value) <= begin for begin, end in taken)
        ]
        kind = known.get(kind.strip(), kind.strip())
        if free and value:
            taken.append((free[0], free[0] + len(value)))
            found.append(Mention(free[0], text[free[0] : free[0] + len(value)], kind))
        elif value:
            found.append(Mention(NOWHERE, value, kind))
    return tuple(found)
