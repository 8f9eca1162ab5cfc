"""Prompts for texts that must carry several attributes: what one must contain, and texts like it."""

from collections.abc import Sequence
from typing import Literal

from crossfade.data import AnnotatedExample, Corpus
from crossfade.prompts.render import one_line, template
from crossfade.roles import Form

Words = Literal["listed", "paper"]
"""'listed': every exemplar stands below what it contains (ours). 'paper': what the text must contain, then numbered
exemplars alone, then the next number, as in the paper of soft prompts."""


def metadata(row: AnnotatedExample, gold: Corpus) -> str:
    """Write what a text must contain: strings, as often as they must stand there; of intents, their descriptions."""
    return "; ".join(row.values or (gold.describe(intent) for intent in row.intents))


def attributes_prompt(
    row: AnnotatedExample, exemplars: Sequence[AnnotatedExample], gold: Corpus, *, words: Words = "listed"
) -> str:
    """Render the prompt of a text that carries the attributes of a row; a model goes on after it with the text.

    Args:
        row: Whose attributes; its text is not shown.
        exemplars: Texts that are.
        gold: Names and describes.
        words: See `Words`.
    """
    kind = gold.kind[:1].upper() + gold.kind[1:]
    if words == "paper":
        shown = "".join(f"{number}. {one_line(exemplar)}\n" for number, exemplar in enumerate(exemplars, start=1))
        return template("attributes_paper").substitute(
            metadata=metadata(row, gold), Kind=kind, examples=shown, next=len(exemplars) + 1
        )
    shown = "".join(
        template("attributes_example").substitute(metadata=metadata(exemplar, gold), text=one_line(exemplar)) + "\n\n"
        for exemplar in exemplars
    )
    return template("attributes_listed").substitute(Kind=kind, examples=shown, metadata=metadata(row, gold))


def attributes_request(
    row: AnnotatedExample, exemplars: Sequence[AnnotatedExample], gold: Corpus, *, form: Form
) -> str:
    """Render the same for a language model that is asked in words alone, in the form it prefers."""
    listing = attributes_prompt(row, exemplars, gold)
    return listing if form == "continue" else template("attributes_instruct").substitute(listing=listing)
