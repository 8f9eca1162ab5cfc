"""What an example is, task by task: which part stands fixed, which part a writer makes, and which answers are right.

The context is what stands fixed: the premise of a pair, the paragraph of a question, nothing of a single text. Rows
with one context belong together, so a split of gold data never parts them.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from crossfade.data import ANNOTATED_TASKS, AnnotatedExample, Corpus, Example, Mention, ReadingExample
from crossfade.data.annotated import NOWHERE, annotated, find_values, in_text_order, occurrences
from crossfade.errors import DataError
from crossfade.tasks.answers import answer_f1, exact_match, normalised_answer
from crossfade.tasks.targets import as_target

TaskName = Literal["text", "pair", "reading", "intents", "entities", "parses"]


class Task:
    """What a method must know of a task; what it says here holds for classification of one text."""

    name: TaskName = "text"
    """Names the task in recipes and prompt templates."""

    def group(self, example: Example) -> str:
        """Return what rows share that must not be parted, as it is compared: of a single text, the text itself."""
        return plain(example.texts[0])

    def written(self, example: Example) -> str:
        """Return the part that a writer makes, which stands last."""
        return example.texts[-1]

    def rewritten(self, example: Example, text: str) -> Example:
        """Return the example with another written part; all else stays."""
        return replace(example, texts=(*example.texts[:-1], text))

    def shown(self, example: Example, longest: int) -> Mapping[str, str]:
        """Return the parts as a prompt shows them, on one line each, cut to so many characters, by their names."""
        return {"text": cut(example.texts[0], longest)}

    def fault(self, example: Example, text: str) -> str | None:
        """Say why a text cannot be the written part of an example, or None: any single text may be of any class."""
        return None

    def is_right(self, said: str, example: Example) -> bool:
        """Say whether what a student answers is right: of classes, the label."""
        return said == example.label

    def credit(self, said: str, example: Example) -> float:
        """Return what a student's answer is worth, in [0, 1], where it need not be right or wrong."""
        return float(self.is_right(said, example))


class TextPair(Task):
    """Classification of two texts: the first stays, the second is written."""

    name: TaskName = "pair"

    def shown(self, example: Example, longest: int) -> Mapping[str, str]:
        """Return both texts."""
        return {"context": cut(example.texts[0], longest), "text": cut(example.texts[1], longest)}

    def fault(self, example: Example, text: str) -> str | None:
        """Refuse a copy of the first text."""
        return "echo: the first text again" if plain(text) == plain(example.texts[0]) else None


class Reading(Task):
    """A question whose answer is a span of a context: context and answer stay, the question is written."""

    name: TaskName = "reading"

    def shown(self, example: Example, longest: int) -> Mapping[str, str]:
        """Return question, answer, and the part of the context around the answer."""
        read = _as_reading(example)
        begin = max(0, read.answer_start - max(0, longest - len(read.answer)) // 2)
        # An answer near the end leaves room for more before it.
        begin = min(begin, max(0, len(read.texts[0]) - longest))
        if begin:
            # The first word is not cut in two.
            begin = read.texts[0].find(" ", begin, read.answer_start) + 1 or read.answer_start
        return {
            "context": cut(read.texts[0][begin:], longest),
            "text": cut(read.texts[1], longest),
            "answer": " ".join(read.answer.split()),
        }

    def fault(self, example: Example, text: str) -> str | None:
        """Refuse what is no question, or gives the answer away (as ZeroGen's code does)."""
        if not text.endswith("?"):
            return "unparsable: no question"
        answer = normalised_answer(_as_reading(example).answer)
        if answer and re.search(rf"\b{re.escape(answer)}\b", normalised_answer(text)):
            return "unparsable: the question holds its answer"
        return None

    def is_right(self, said: str, example: Example) -> bool:
        """Compare answers as SQuAD's exact match does."""
        return exact_match(said, _as_reading(example).answers) == 1

    def credit(self, said: str, example: Example) -> float:
        """Return SQuAD's F1: few answers of a weak reader match exactly, so that their count hardly moves."""
        return answer_f1(said, _as_reading(example).answers)


class Annotated(Task):
    """One text that carries several attributes: all of it is written, and the annotation stays.

    Args:
        name: 'intents', 'entities' or 'parses'.
    """

    def __init__(self, name: TaskName) -> None:
        self.name = name

    def rewritten(self, example: Example, text: str) -> Example:
        """Return the example with another text, in which its mentions are found anew.

        An entity's string has its type wherever it stands: a second 'Paris' is a place, too.

        Raises:
            DataError: A value does not stand in the text (`fault`).
        """
        (row,) = annotated([example])
        starts = find_values(text, row.values)
        if NOWHERE in starts:
            raise DataError(f"The text {text!r:.60} does not hold all of {list(row.values)}.")
        found = iter(starts)
        mentions = [replace(mention, start=next(found)) if mention.stands else mention for mention in row.required]
        if self.name == "entities":
            mentions += _more(text, mentions)
        # The tree is that of the other text.
        return replace(row, texts=(text,), mentions=in_text_order(mentions), parse="")

    def fault(self, example: Example, text: str) -> str | None:
        """Refuse a text that lacks a value: an entity's string once, or that of a slot as often as slots have it."""
        (row,) = annotated([example])
        starts = find_values(text, row.values)
        if NOWHERE not in starts:
            return None
        lacking = row.values[starts.index(NOWHERE)]
        if not occurrences(text, lacking):
            return f"missing: '{lacking}' does not stand in the text"
        needed = [start for value, start in zip(row.values, starts, strict=True) if value == lacking]
        found = len(needed) - needed.count(NOWHERE)
        return f"missing: '{lacking}' has {found} of {len(needed)} places of its own in the text"

    def is_right(self, said: str, example: Example) -> bool:
        """Compare whole annotations, written out by `as_target`."""
        (row,) = annotated([example])
        return said == as_target(row)


def _more(text: str, mentions: Sequence[Mention]) -> list[Mention]:
    """Return where the values of mentions stand again, outside those that are there."""
    taken = [(mention.start, mention.end) for mention in mentions]
    more: list[Mention] = []
    for mention in sorted(mentions, key=lambda mention: -len(mention.value)):
        for start in occurrences(text, mention.value):
            again = replace(mention, start=start)
            if all(again.start >= end or again.end <= begin for begin, end in taken):
                taken.append((again.start, again.end))
                more.append(again)
    return more


TASKS: Mapping[TaskName, Task] = {
    "text": Task(),
    "pair": TextPair(),
    "reading": Reading(),
    **{name: Annotated(name) for name in ANNOTATED_TASKS},
}


def task_of(corpus: Corpus) -> Task:
    """Return the task that a corpus is for, going by its first row; without rows, single texts."""
    if corpus.examples and isinstance(corpus.examples[0], ReadingExample):
        return TASKS["reading"]
    if corpus.examples and isinstance(corpus.examples[0], AnnotatedExample):
        return next(task for name, task in TASKS.items() if name == corpus.examples[0].label)
    return TASKS["pair" if corpus.width == 2 else "text"]


def plain(text: str) -> str:
    """Return a text as copies are found: Unicode forms unified (NFKC), case and the amount of white space aside."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def cut(text: str, longest: int) -> str:
    """Write a text on one line, cut after the last word that ends within so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else (line[: longest + 1].rpartition(" ")[0] or line[:longest])


def _as_reading(example: Example) -> ReadingExample:
    if not isinstance(example, ReadingExample):
        raise DataError("An example has no answer; reading needs questions with answers in their context.")
    return example
