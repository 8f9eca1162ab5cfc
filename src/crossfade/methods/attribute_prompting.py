"""Example prompting for texts with several attributes: a language model is told in words what a text must contain.

As example_prompting with one class, this shows exemplars, here each below what it contains (compare the paper of soft
prompts, which has larger models synthesise so). What soft prompts are worth is measured against it.
"""

from collections.abc import Sequence
from dataclasses import replace

from numpy.random import Generator

from crossfade.attribute_roles import Written
from crossfade.data import AnnotatedExample, Augmented, Corpus
from crossfade.methods.carrying import retrieve, rows_with_attributes, write_for_rows
from crossfade.methods.writing import WritingSettings, mean_length
from crossfade.prompts.attributes import attributes_request
from crossfade.prompts.parse import parse_texts
from crossfade.roles import CHARACTERS_PER_TOKEN, Encoder, Form, Reply, Request, Sampling, TextModel


def write_attributes(
    gold: Corpus,
    *,
    method: str,
    writer: TextModel,
    encoder: Encoder,
    settings: WritingSettings,
    exemplars: int,
    rng: Generator,
) -> Augmented:
    """Ask for a text for every gold row, until there are enough; texts pass the label check of `carrying`.

    Args:
        gold: Rows with intents, entities or slots.
        method: The method's name, for each row's origin.
        writer: Makes the texts, asked in the form it prefers.
        encoder: Finds near-duplicates.
        settings: How many texts, and how they are drawn.
        exemplars: Gold texts that a prompt shows.
        rng: Draws the exemplars.
    """
    asked = 0

    def write(rows: Sequence[AnnotatedExample], round_index: int) -> list[list[Written]]:
        nonlocal asked
        requests = attribute_requests(rows, gold, writer.preferred_form, settings, exemplars, rng, sample=asked)
        asked += len(requests)
        replies = {reply.request: reply for reply in writer.answer(requests)}
        return [[read_text(replies[request])] for request in requests]

    return write_for_rows(
        gold,
        write,
        method=method,
        model=writer.name,
        texts=settings.texts_per_class,
        encoder=encoder,
        settings=settings,
    )


def attribute_requests(
    rows: Sequence[AnnotatedExample],
    gold: Corpus,
    form: Form,
    settings: WritingSettings,
    exemplars: int,
    rng: Generator,
    *,
    sample: int = 0,
) -> list[Request]:
    """Write the request for one text of each row; sample numbers count on, so that equal prompts stay apart."""
    pool = rows_with_attributes(gold, "example_prompting")
    sampling = Sampling(
        temperature=settings.temperature_in(form),
        max_tokens=settings.max_tokens or round(3 * mean_length(gold) / CHARACTERS_PER_TOKEN),
        stop=("\n",) if form == "continue" else (),
    )
    return [
        replace(
            Request(
                prompt=attributes_request(row, retrieve(row, pool, exemplars, rng), gold, form=form),
                form=form,
                sampling=sampling,
            ),
            sample=sample + place,
        )
        for place, row in enumerate(rows)
    ]


def read_text(reply: Reply) -> Written:
    """Return the first text of a reply; empty where there is none."""
    if reply.error is not None:
        return Written("")
    cut_off = reply.finish == "length"
    if reply.request.form == "continue":
        line, more, _ = reply.text.lstrip().partition("\n")
        return Written(line.strip(), is_whole=bool(more) or not cut_off)
    parsed = parse_texts(reply.text, form="instruct", cut_off=cut_off)
    incomplete = (Written(line, is_whole=False) for line, reason in parsed.rejected if reason == "cut off")
    return Written(parsed.texts[0]) if parsed.texts else next(incomplete, Written(""))
