"""What methods that edit gold texts share: they need no language model, and their texts are near-copies by design.

A method says how the words of a text are changed; `edit_until_full` does the rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle

from numpy.random import Generator
from pydantic import Field

from crossfade.data import AnnotatedExample, Augmented, Corpus, Example, Origin, Synthetic
from crossfade.data.annotated import in_text_order
from crossfade.selection.ledger import Ledger
from crossfade.settings import Settings
from crossfade.tasks.classification import require_examples

Edit = Callable[[Sequence[str], Generator], list[str]]
"""Changes the words of one text; it may return them as they were."""
Change = Callable[[Example, Generator], Example]
"""Changes an example as a whole; it may return it as it was."""
HELD = "\ue000{}\ue001"
"""Stands for a mention while the words around it are edited: a word of characters that no text has."""


class EditingSettings(Settings):
    """How many texts are made by editing."""

    texts_per_class: int = Field(50, ge=1)
    """Distinct texts to make for each class. Ours: as many as the methods that write; the papers take a fixed number
    for each gold text."""
    max_rounds: int = Field(10, ge=1)
    """Rounds of topping up before the method gives up on a class whose texts give no more edits. Ours."""


def edit_until_full(gold: Corpus, edit: Edit, *, method: str, settings: EditingSettings, rng: Generator) -> Augmented:
    """Edit the gold texts of each class in turn, until the class has what it wants or the rounds run out.

    Of two texts, one is drawn and edited. Exact repeats are dropped, and nothing else is.

    Args:
        gold: The labelled texts.
        edit: See `Edit`.
        method: The method's name, for each row's origin.
        settings: See `EditingSettings`.
        rng: Draws what is edited and how.

    Raises:
        SettingsError: A class has no text to edit.
    """
    return change_until_full(
        gold, lambda example, rng: edited(example, edit, rng), method=method, settings=settings, rng=rng
    )


def change_until_full(
    gold: Corpus, change: Change, *, method: str, settings: EditingSettings, rng: Generator
) -> Augmented:
    """Change the gold examples of each class in turn, as `edit_until_full` does with a change of whole examples."""
    require_examples(gold, method)
    book = Ledger(gold, settings.texts_per_class)
    turns = {label: cycle(gold.of_class(label)) for label in gold.labels}
    seen = {example.texts for example in gold}
    for round_index in range(settings.max_rounds):
        drafts: list[Synthetic] = []
        repeats: list[bool] = []
        for label in gold.labels:
            origin = Origin(method=method, parents=(label,), round_index=round_index, written_label=label)
            for _ in range(book.missing(label)):
                example = change(next(turns[label]), rng)
                drafts.append(Synthetic(example, origin))
                repeats.append(example.texts in seen)
                seen.add(example.texts)
        if not drafts:
            break
        book.take(drafts, repeats)
    return book.close()


def edited(example: Example, edit: Edit, rng: Generator) -> Example:
    """Edit one text of an example, drawn where there are two; of an annotated one, the words around its mentions."""
    if isinstance(example, AnnotatedExample):
        return _edited_around(example, edit, rng)
    texts = list(example.texts)
    place = int(rng.integers(len(texts)))
    texts[place] = " ".join(edit(texts[place].split(), rng))
    return Example(tuple(texts), example.label)


def _edited_around(row: AnnotatedExample, edit: Edit, rng: Generator) -> AnnotatedExample:
    """Edit the words around the mentions, each of which moves or stays as one word; one that is lost leaves the row."""
    text = row.texts[0]
    for index, mention in reversed(list(enumerate(row.mentions))):
        if mention.stands:
            text = text[: mention.start] + HELD.format(index) + text[mention.end :]
    text = " ".join(edit(text.split(), rng))
    for index, mention in enumerate(row.mentions):
        if mention.stands and text.count(HELD.format(index)) != 1:
            return row
    mentions = list(row.mentions)
    held = [index for index, mention in enumerate(mentions) if mention.stands]
    # From left to right, so that what was put back does not move any more.
    for index in sorted(held, key=lambda index: text.index(HELD.format(index))):
        start = text.index(HELD.format(index))
        text = text.replace(HELD.format(index), mentions[index].value)
        mentions[index] = replace(mentions[index], start=start)
    return replace(row, texts=(text,), mentions=in_text_order(mentions), parse="")
