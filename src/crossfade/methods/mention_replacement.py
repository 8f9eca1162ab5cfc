"""Mention replacement: exchange entities or slot values of a gold text for others of the same type.

Paper: Dai, Adel, "An Analysis of Simple Data Augmentation for Named Entity Recognition", COLING 2020, arXiv 2010.11683.
Labels stay right by design, and need no check.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from numpy.random import Generator
from pydantic import Field

from crossfade.data import AnnotatedExample, Augmented, Corpus, Example, Mention, annotated
from crossfade.errors import SettingsError
from crossfade.methods.editing import EditingSettings, change_until_full
from crossfade.roles import Encoder

NAME = "mention_replacement"


class MentionReplacementSettings(EditingSettings):
    """How mentions are exchanged."""

    name: Literal["mention_replacement"] = "mention_replacement"
    """The method."""
    chance: float = Field(0.5, gt=0.0, le=1.0)
    """Of each mention to be exchanged; the paper tries 0.1 to 0.7."""


def augment(gold: Corpus, *, encoder: Encoder, settings: MentionReplacementSettings, rng: Generator) -> Augmented:
    """Exchange mentions of gold texts for others of their type among the gold texts.

    Args:
        gold: Rows with entities or slots.
        encoder: Not used; every method is handed one.
        settings: See `MentionReplacementSettings`.
        rng: Draws which mentions are exchanged, and for which.

    Raises:
        SettingsError: No row has a mention.
    """
    values = values_by_kind(annotated(gold))
    if not values:
        raise SettingsError(
            f"{NAME} exchanges entities or slot values, and the gold texts have none.", hint="Use 'eda' for intents."
        )

    def change(example: Example, rng: Generator) -> Example:
        return exchanged(annotated([example])[0], values, settings.chance, rng)

    return change_until_full(gold, change, method=NAME, settings=settings, rng=rng)


def values_by_kind(rows: Sequence[AnnotatedExample]) -> dict[str, list[str]]:
    """Return the different values of each type, sorted."""
    found: dict[str, set[str]] = {}
    for row in rows:
        for mention in row.mentions:
            if mention.stands:
                found.setdefault(mention.kind, set()).add(mention.value)
    return {kind: sorted(values) for kind, values in found.items()}


def exchanged(
    row: AnnotatedExample, values: Mapping[str, Sequence[str]], chance: float, rng: Generator
) -> AnnotatedExample:
    """Exchange each mention with the given chance; the text around them stays."""
    chosen: list[tuple[Mention, str]] = []
    for mention in row.mentions:
        others = values.get(mention.kind, ())
        draw, place = rng.random(), int(rng.integers(max(len(others), 1)))
        goes = mention.stands and draw < chance
        chosen.append((mention, others[place] if goes else mention.value))
    return with_values(row, chosen)


def with_values(row: AnnotatedExample, chosen: Sequence[tuple[Mention, str]]) -> AnnotatedExample:
    """Put a new value in the place of each mention, and move those after it along."""
    text, shift, mentions = row.texts[0], 0, list[Mention]()
    for mention, value in chosen:
        if not mention.stands:
            mentions.append(mention)
            continue
        start = mention.start + shift
        text = text[:start] + value + text[start + len(mention.value) :]
        shift += len(value) - len(mention.value)
        mentions.append(Mention(start, value, mention.kind))
    return replace(row, texts=(text,), mentions=tuple(mentions), parse="")
