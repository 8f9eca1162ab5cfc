"""Examples with several attributes at once: intents, entities in the text, or slots with their values."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from crossfade.data.nouns import Example
from crossfade.errors import DataError

NOWHERE = -1
"""Where a mention begins that is no part of the text: a slot that holds a nested intent."""


@dataclass(frozen=True, slots=True, order=True)
class Mention:
    """An entity, or a slot with its value."""

    start: int
    """Where the value begins in the text, in characters from 0; `NOWHERE` for the name of a nested intent."""
    value: str
    """As it stands in the text, character for character."""
    kind: str
    """Entity type or slot."""

    @property
    def end(self) -> int:
        """Where the value ends, in characters, exclusive."""
        return self.start + len(self.value)

    @property
    def stands(self) -> bool:
        """Whether the value is a part of the text."""
        return self.start != NOWHERE


@dataclass(frozen=True, slots=True)
class AnnotatedExample(Example):
    """One text, the intents it has, and the mentions in it. The label is the name of the task."""

    intents: tuple[str, ...] = ()
    """Sorted, each once."""
    mentions: tuple[Mention, ...] = ()
    """In the order of the text; those that stand nowhere come where their slot begins."""
    parse: str = ""
    """The tree that the annotation was flattened from, where there was one."""

    def __post_init__(self) -> None:
        # A class with slots is made anew by the decorator, which `super()` without arguments would not find.
        Example.__post_init__(self)
        if len(self.texts) != 1:
            raise DataError(f"An annotated example has {len(self.texts)} texts; expected one.")
        for mention in self.mentions:
            if mention.stands and self.texts[0][max(mention.start, 0) : mention.end] != mention.value:
                raise DataError(
                    f"The {mention.kind} {mention.value!r} does not stand in the text at character {mention.start}."
                )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The entity types or slots, each once, in the order of the text."""
        return tuple(dict.fromkeys(mention.kind for mention in self.mentions))

    @property
    def attributes(self) -> tuple[str, ...]:
        """What the text must carry: intents, then entity types or slots."""
        return (*self.intents, *self.kinds)

    @property
    def required(self) -> tuple[Mention, ...]:
        """The mentions that another text for the same annotation needs: every slot, each entity with its type once."""
        if self.label != "entities":
            return self.mentions
        return tuple(sorted({(mention.value, mention.kind): mention for mention in reversed(self.mentions)}.values()))

    @property
    def values(self) -> tuple[str, ...]:
        """The strings that such a text must hold, each as often as it stands here, in order."""
        return tuple(mention.value for mention in self.required if mention.stands)


def annotated(examples: Iterable[Example]) -> list[AnnotatedExample]:
    """Return examples as annotated ones.

    Raises:
        DataError: One has no annotation.
    """
    rows: list[AnnotatedExample] = []
    for example in examples:
        if not isinstance(example, AnnotatedExample):
            raise DataError(
                f"The example {example.text!r:.60} has no annotation; expected intents, entities or slots.",
                hint="Set data.task to 'intents', 'entities' or 'parses'.",
            )
        rows.append(example)
    return rows


def in_text_order(mentions: Sequence[Mention]) -> tuple[Mention, ...]:
    """Sort mentions by where they stand; one that stands nowhere goes before the one that it stood before."""
    places: list[float] = []
    place = math.inf
    for mention in reversed(mentions):
        place = mention.start if mention.stands else place
        places.append(place)
    order = sorted(range(len(mentions)), key=places[::-1].__getitem__)
    return tuple(mentions[index] for index in order)


def find_values(text: str, values: Sequence[str]) -> tuple[int, ...]:
    """Find where each value stands in a text, as whole words, no two of them in one place.

    Longer values choose first, so that 'York' never takes the place of 'New York'; equal ones go from left to right.

    Returns:
        The start of each value, in characters; `NOWHERE` for one that has no place of its own in the text.
    """
    taken: list[tuple[int, int]] = []
    starts = [NOWHERE] * len(values)
    for index in sorted(range(len(values)), key=lambda index: (-len(values[index]), index)):
        free = [
            start
            for start in occurrences(text, values[index])
            if all(start >= end or start + len(values[index]) <= begin for begin, end in taken)
        ]
        if free:
            starts[index] = free[0]
            taken.append((free[0], free[0] + len(values[index])))
    return tuple(starts)


def occurrences(text: str, value: str) -> list[int]:
    """Return where a value begins in a text, as whole words; case counts."""
    if not value.strip():
        return []
    before = r"(?<!\w)" if value[0].isalnum() else ""
    after = r"(?!\w)" if value[-1].isalnum() else ""
    return [found.start() for found in re.finditer(f"{before}{re.escape(value)}{after}", text)]
