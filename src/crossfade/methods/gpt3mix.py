"""GPT3Mix: a language model sees examples of some classes with their labels, and writes texts and labels like them.

Paper: Yoo et al., "GPT3Mix: Leveraging Large-scale Language Models for Text Augmentation", Findings of EMNLP 2021,
arXiv 2104.08826. What we do otherwise, and why, is in docs/methods/example_prompting.md.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from numpy.random import Generator
from pydantic import Field

from crossfade.data import Augmented, Corpus, Origin, Synthetic
from crossfade.errors import ModelError, SettingsError
from crossfade.methods.writing import (
    Assignment,
    WritingSettings,
    instruction_request,
    list_request,
    read_reply,
    show,
    write_until_full,
)
from crossfade.prompts import render
from crossfade.prompts.parse import split_label
from crossfade.roles import Encoder, Form, Reply, Request, Sampling, TextModel
from crossfade.selection.ledger import Ledger
from crossfade.tasks.classification import require_examples

NAME = "gpt3mix"
SCORING = Sampling(temperature=0.0, max_tokens=64, logprobs=True)
"""The label is given, so nothing is drawn; a label needs few tokens."""


class Gpt3MixSettings(WritingSettings):
    """How texts are written together with their labels."""

    name: Literal["gpt3mix"] = "gpt3mix"
    """The method."""
    classes_per_prompt: int = Field(2, ge=2)
    """Classes that stand in one prompt. Released code: 2."""
    examples_per_class: int = Field(1, ge=1)
    """Gold examples of each of them, at most. Released code: 2 examples in all."""
    soft_labels: bool = True
    """Ask the writer how probable each label of the prompt is after the text, in one request for each; only a model
    that runs here, or a server that takes grammars, can answer. False keeps the label it wrote. Paper: true."""

    def first_requests(self, form: Form, classes: int) -> int:
        """Return how many requests the first round and the soft labels take."""
        texts = classes * self.texts_per_class if self.soft_labels else 0
        return super().first_requests(form, classes) + texts * min(classes, self.classes_per_prompt)


def augment(
    gold: Corpus, *, writer: TextModel, encoder: Encoder, settings: Gpt3MixSettings, rng: Generator
) -> Augmented:
    """Write texts with labels, then ask how probable each label is.

    Args:
        gold: At least one text of each of two classes or more.
        writer: Makes texts and labels, asked in the form it prefers.
        encoder: Finds duplicates.
        settings: See `Gpt3MixSettings`.
        rng: Draws the classes, the examples and their order.

    Returns:
        Kept rows, counted under the label that the writer wrote; with soft labels, each has the most probable label
        and the probabilities of the labels in its prompt.

    Raises:
        SettingsError: A class has no text, or there is one class only.
        ModelError: Soft labels are asked for, and the writer cannot say how probable a label is.
    """
    if len(gold.labels) < 2:
        raise SettingsError(f"GPT3Mix mixes classes and found {len(gold.labels)}.", hint="Give two classes or more.")
    require_examples(gold, NAME)
    asked: dict[str, Request] = {}

    def propose_and_note(book: Ledger) -> list[Assignment]:
        assignments = propose(gold, book, writer.preferred_form, settings, rng)
        asked.update((one.request.prompt_digest, one.request) for one in assignments)
        return assignments

    made = write_until_full(
        gold, propose_and_note, method=NAME, writer=writer, encoder=encoder, settings=settings, read=read_labelled
    )
    return soften(made, asked, writer) if settings.soft_labels else made


def propose(gold: Corpus, book: Ledger, form: Form, settings: Gpt3MixSettings, rng: Generator) -> list[Assignment]:
    """Ask once for each request that a class still needs, with examples of it and of other classes drawn at random."""
    assignments: list[Assignment] = []
    for target in gold.labels:
        for _ in range(book.requests_wanted(target)):
            others = [label for label in gold.labels if label != target]
            partners = tuple(others[index] for index in rng.permutation(len(others))[: settings.classes_per_prompt - 1])
            request = ask(gold, target, partners, form, settings, rng)
            # The sample number keeps equal prompts apart, over all rounds.
            sample = book.requests.total() + len(assignments)
            assignments.append(Assignment(target, partners, None, replace(request, sample=sample)))
    return sorted(assignments, key=lambda assignment: assignment.request.prefix)


def ask(
    gold: Corpus, target: str, partners: Sequence[str], form: Form, settings: Gpt3MixSettings, rng: Generator
) -> Request:
    """Write a prompt: the classes and their examples with labels, then an instruction or an open dash.

    The partners' examples are shuffled, and the target's stand last: the writer is a little more likely to go on with
    the class that still lacks texts.
    """
    classes = [show(gold, label, settings.examples_per_class, rng) for label in (target, *partners)]
    beside = [(text, shown.name) for shown in classes[1:] for text in shown.examples]
    items = [beside[index] for index in rng.permutation(len(beside))]
    items += [(text, target) for text in classes[0].examples]
    prefix = render.labelled_list(classes, items, kind=gold.kind)
    if form == "instruct":
        return instruction_request(
            prefix, render.more_labelled_instruction(count=settings.texts_in_request(form)), settings
        )
    longest = max(len(render.item_label(label)) for label in (target, *partners))
    return list_request(gold, prefix + render.OPEN_DASH, settings, beside=longest)


def read_labelled(reply: Reply, width: int, origin: Origin) -> Iterator[Synthetic]:
    """Turn a reply into rows with the labels written in it; a label that is not in the prompt makes no row."""
    for row in read_reply(reply, width, origin):
        if row.origin.reason is not None:
            yield row
            continue
        *texts, last = row.example.texts
        split = split_label(last)
        if split is None or split[1] not in origin.parents or not split[0]:
            yield replace(row, origin=replace(row.origin, reason="unparsable: no label of its prompt"))
            continue
        text, label = split
        example = replace(row.example, texts=(*texts, text), label=label)
        yield replace(row, example=example, origin=replace(row.origin, written_label=label))


def soften(made: Augmented, asked: Mapping[str, Request], writer: TextModel) -> Augmented:
    """Give every kept row the probabilities of its prompt's labels; drop those for which the writer told none.

    Args:
        made: Rows with the labels that the writer wrote.
        asked: The writing request of each prompt digest.
        writer: The model that wrote the texts.

    Raises:
        ModelError: The writer told no probability at all.
    """
    requests = [
        [scoring_request(row, asked[row.origin.prompt_digest], label) for label in row.origin.parents]
        for row in made.kept
    ]
    every = dict.fromkeys(request for of_row in requests for request in of_row)
    scores = {reply.request: logprob_of_choice(reply) for reply in writer.answer(every)}
    if made.kept and not any(score is not None for score in scores.values()):
        raise ModelError(
            f"'{writer.name}' does not say how probable a given label is.",
            hint="Use an embedded writer or a server that takes grammars (closed_choice = 'grammar'), or set "
            "soft_labels = false.",
        )
    kept: list[Synthetic] = []
    dropped = list(made.dropped)
    losses = {label: {**counts, "dropped": 0} for label, counts in made.losses.items()}
    for row, of_row in zip(made.kept, requests, strict=True):
        found = [scores.get(request) for request in of_row]
        told = [score for score in found if score is not None]
        if len(told) == len(found):
            kept.append(with_probabilities(row, told))
        else:
            reason = "dropped: the writer did not say how probable its labels are"
            dropped.append(replace(row, origin=replace(row.origin, reason=reason)))
            losses[row.origin.written_label]["dropped"] += 1
            losses[row.origin.written_label]["kept"] -= 1
    return Augmented(tuple(kept), tuple(dropped), losses, made.stopped)


def scoring_request(row: Synthetic, asked: Request, label: str) -> Request:
    """Ask for one label after the text, where the prompt of the text has its labels; the answer is given."""
    text = render.one_line(row.example)
    if asked.form == "instruct":
        prompt, choice = render.label_of_item_instruction(text), label
    else:
        prompt, choice = f" {text} {render.LABEL_OPENS}", f" {label}{render.LABEL_ENDS}"
    return Request(prefix=asked.prefix, prompt=prompt, form=asked.form, choices=(choice,), sampling=SCORING)


def logprob_of_choice(reply: Reply) -> float | None:
    """Return the natural-log probability of the one choice offered; None when the model did not tell."""
    if reply.error is not None:
        return None
    if reply.choice_logprobs is not None:
        return reply.choice_logprobs[0]
    if reply.chosen is None or reply.token_logprobs is None:
        return None
    # The token that ends an answer comes along as an empty text; it is no part of the label.
    return sum(logprob for token, logprob in reply.token_logprobs if token)


def with_probabilities(row: Synthetic, logprobs: Sequence[float]) -> Synthetic:
    """Give a row the normalised probabilities of its prompt's labels, and the most probable of them as its label."""
    most = max(logprobs)
    weights = [math.exp(logprob - most) for logprob in logprobs]
    probabilities = {label: weight / sum(weights) for label, weight in zip(row.origin.parents, weights, strict=True)}
    label = max(probabilities, key=lambda name: probabilities[name])
    return Synthetic(replace(row.example, label=label), row.origin, probabilities)
