"""Label prompting: a language model writes texts of a class from its name or description alone.

Paper: Ye et al., "ZeroGen: Efficient Zero-shot Learning via Dataset Generation", EMNLP 2022, arXiv 2202.07922. What we
do otherwise, and why, is in docs/methods/label_prompting.md.
"""

from typing import Literal

from numpy.random import Generator

from crossfade.data import Augmented, Corpus
from crossfade.errors import SettingsError
from crossfade.methods.writing import (
    Assignment,
    WritingSettings,
    assign_each_class,
    instruction_request,
    list_request,
    write_until_full,
)
from crossfade.prompts import render
from crossfade.roles import Encoder, Form, Request, TextModel
from crossfade.selection.ledger import Ledger

NAME = "label_prompting"


class LabelPromptingSettings(WritingSettings):
    """How texts are written from the label alone."""

    name: Literal["label_prompting"] = "label_prompting"
    """The method."""


def augment(
    gold: Corpus, *, writer: TextModel, encoder: Encoder, settings: LabelPromptingSettings, rng: Generator
) -> Augmented:
    """Write texts of each class from its description, or its name where there is none.

    Args:
        gold: Names the classes. Its texts stand in no prompt; near-copies of them are dropped, and their length sets
            the room for an answer.
        writer: Makes the texts, asked in the form it prefers.
        encoder: Finds duplicates.
        settings: See `LabelPromptingSettings`.
        rng: Not used: nothing is drawn; every method is handed one.

    Raises:
        SettingsError: The examples are pairs of texts, which a class name cannot ask for.
    """
    if gold.width == 2:
        raise SettingsError(
            "label_prompting writes single texts, and the data are pairs.", hint="Use example_prompting or promptmix."
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
    gold: Corpus, book: Ledger, form: Form, settings: LabelPromptingSettings, rng: Generator
) -> list[Assignment]:
    """Ask for what each class still lacks."""
    return assign_each_class(gold, book, lambda label: ask(gold, label, form, settings))


def ask(gold: Corpus, label: str, form: Form, settings: LabelPromptingSettings) -> Request:
    """Write the prompt of one class: an instruction, or the head of a list."""
    description = gold.descriptions.get(label, "")
    count = settings.texts_in_request(form)
    if form == "instruct":
        prompt = render.label_instruction(label, description, count=count, kind=gold.kind)
        return instruction_request("", prompt, settings)
    prefix = render.label_list_to_continue(label, description, count=count, kind=gold.kind)
    return list_request(gold, prefix, settings)
