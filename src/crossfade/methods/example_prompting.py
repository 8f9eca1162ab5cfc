"""Example prompting: a language model sees examples of one class and writes more of them.

Paper: Sahu et al., "Data Augmentation for Intent Classification with Off-the-shelf Large Language Models", NLP4ConvAI
2022, arXiv 2204.01959. What we do otherwise, and why, is in docs/methods/example_prompting.md.
"""

from typing import Literal

from numpy.random import Generator
from pydantic import Field

from crossfade.data import ANNOTATED_TASKS, Augmented, Corpus
from crossfade.methods.attribute_prompting import attribute_requests, write_attributes
from crossfade.methods.carrying import rows_with_attributes
from crossfade.methods.writing import (
    Assignment,
    ShowingSettings,
    assign_each_class,
    instruction_request,
    list_request,
    show,
    write_until_full,
)
from crossfade.prompts import render
from crossfade.roles import Encoder, Form, Request, TextModel
from crossfade.selection.ledger import Ledger
from crossfade.tasks.classification import require_examples
from crossfade.tasks.shapes import task_of

NAME = "example_prompting"


class ExamplePromptingSettings(ShowingSettings):
    """How texts are written from the examples of one class."""

    name: Literal["example_prompting"] = "example_prompting"
    """The method."""
    attribute_exemplars: int = Field(3, ge=0)
    """Gold texts that a prompt shows where texts carry several attributes ('intents', 'entities', 'parses'). Ours."""


def augment(
    gold: Corpus, *, writer: TextModel, encoder: Encoder, settings: ExamplePromptingSettings, rng: Generator
) -> Augmented:
    """Write more texts like those of each class.

    Args:
        gold: At least one text of each class.
        writer: Makes the texts, asked in the form it prefers.
        encoder: Finds duplicates.
        settings: See `ExamplePromptingSettings`.
        rng: Draws the examples of each prompt and their order.

    Raises:
        SettingsError: A class has no text.
    """
    require_examples(gold, NAME)
    if task_of(gold).name in ANNOTATED_TASKS:
        return write_attributes(
            gold,
            method=NAME,
            writer=writer,
            encoder=encoder,
            settings=settings,
            exemplars=settings.attribute_exemplars,
            rng=rng,
        )
    return write_until_full(
        gold,
        lambda book: propose(gold, book, writer.preferred_form, settings, rng),
        method=NAME,
        writer=writer,
        encoder=encoder,
        settings=settings,
    )


def propose(
    gold: Corpus, book: Ledger, form: Form, settings: ExamplePromptingSettings, rng: Generator
) -> list[Assignment]:
    """Ask for what each class still lacks, with examples drawn anew for each request."""
    if task_of(gold).name in ANNOTATED_TASKS:
        rows = rows_with_attributes(gold, NAME)
        asked = [rows[place % len(rows)] for place in range(book.missing(gold.labels[0]))]
        requests = attribute_requests(asked, gold, form, settings, settings.attribute_exemplars, rng)
        return [Assignment(gold.labels[0], (), None, request) for request in requests]
    return assign_each_class(gold, book, lambda label: ask(gold, label, form, settings, rng))


def ask(gold: Corpus, label: str, form: Form, settings: ExamplePromptingSettings, rng: Generator) -> Request:
    """Write the prompt of one class: its examples, then an instruction or an open dash."""
    shown = show(gold, label, settings.examples_per_class, rng)
    if form == "instruct":
        more = render.more_examples_instruction(count=settings.texts_in_request(form), kind=gold.kind)
        return instruction_request(render.class_examples(shown, kind=gold.kind), more, settings)
    return list_request(gold, render.list_to_continue([shown], kind=gold.kind), settings)
