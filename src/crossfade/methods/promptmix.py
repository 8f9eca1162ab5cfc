"""PromptMix: write texts that lie near a class border at a stated ratio.

Paper: Sahu, Vechtomova, Bahdanau, Laradji, "PromptMix: A Class Boundary Augmentation Method for Large Language Model
Distillation", EMNLP 2023, arXiv 2310.14192. Its second half, relabelling, serves every method and stands in
`selection/checking.py`. What we do otherwise, and why, is in docs/methods/promptmix.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.random import Generator
from pydantic import Field

from crossfade.data import Augmented, Corpus
from crossfade.errors import SettingsError
from crossfade.methods.writing import Assignment, WritingSettings, show, tokens_for_list, write_until_full
from crossfade.numerics.mixing import draw_ratios, partner_count
from crossfade.prompts import render
from crossfade.prompts.render import ShownClass
from crossfade.roles import Encoder, Form, Request, Sampling, TextModel
from crossfade.selection.ledger import Ledger

NAME = "promptmix"


class PromptMixSettings(WritingSettings):
    """How texts near class borders are written."""

    name: Literal["promptmix"] = "promptmix"
    """The method."""
    classes_per_prompt: int = Field(4, ge=2)
    """Classes that stand in one instruction; two of them are mixed. Paper: 4. Lists to continue show the two only."""
    requests_per_group: int = Field(4, ge=1)
    """Requests (each with its own ratio) to a class before a new group and partner are drawn. Ours."""
    mixing: bool = True
    """False writes single-class texts: the paper's ablation without mixing."""


def augment(
    gold: Corpus, *, writer: TextModel, encoder: Encoder, settings: PromptMixSettings, rng: Generator
) -> Augmented:
    """Write texts near class borders.

    Args:
        gold: Two or more classes; with no examples at all (zero-shot) classes are told by description or name.
        writer: Makes the texts, asked in the form it prefers: 'instruct' is the paper's prompt, 'continue' gives small
            or base models lists to go on with (ours).
        encoder: Finds duplicates.
        settings: See `PromptMixSettings`.
        rng: Draws partners, ratios and examples.

    Returns:
        Kept rows with the label that the writer was asked for, and dropped rows; the loss table says per class what
        became of what was written.
    """
    if len(gold.labels) < 2:
        raise SettingsError(f"PromptMix mixes classes and found {len(gold.labels)}.", hint="Give two classes or more.")
    return write_until_full(
        gold,
        lambda book: propose(gold, book, writer.preferred_form, settings, rng),
        method=NAME,
        writer=writer,
        encoder=encoder,
        settings=settings,
    )


def propose(gold: Corpus, book: Ledger, form: Form, settings: PromptMixSettings, rng: Generator) -> list[Assignment]:
    """Draw groups of classes, a partner for each target, and a ratio for each request."""
    wanted = {label: book.requests_wanted(label) for label in gold.labels}
    assignments: list[Assignment] = []
    while targets := [label for label in gold.labels if wanted[label] > 0]:
        for group in draw_groups(targets, gold.labels, settings.classes_per_prompt, rng):
            shown = {label: show(gold, label, settings.examples_per_class, rng) for label in group}
            for target in group:
                requests = min(settings.requests_per_group, wanted[target])
                wanted[target] -= requests
                partner = str(rng.choice([label for label in group if label != target])) if settings.mixing else None
                for ratio in (draw_ratios(requests, rng) if settings.mixing else np.ones(requests)).tolist():
                    request = (
                        instruction(gold, shown, target, partner, ratio, settings)
                        if form == "instruct"
                        else open_lists(gold, shown, target, partner, ratio, settings, rng)
                    )
                    # The sample number keeps equal prompts apart, over all rounds.
                    sample = book.requests.total() + len(assignments)
                    assignments.append(Assignment(target, partner, ratio, replace(request, sample=sample)))
    return sorted(assignments, key=lambda assignment: assignment.request.prefix)


def draw_groups(targets: Sequence[str], labels: Sequence[str], size: int, rng: Generator) -> list[list[str]]:
    """Partition the targets at random into groups; a short last group is filled up with other classes."""
    shuffled = [str(label) for label in rng.permutation(list(targets))]
    groups = [shuffled[start : start + size] for start in range(0, len(shuffled), size)]
    others = [label for label in labels if label not in groups[-1]]
    filler = rng.permutation(others)[: size - len(groups[-1])]
    groups[-1].extend(str(label) for label in filler)
    return groups


def instruction(
    gold: Corpus,
    shown: Mapping[str, ShownClass],
    target: str,
    partner: str | None,
    ratio: float,
    settings: PromptMixSettings,
) -> Request:
    """Write the paper's prompt: the group's classes, which its requests share, then the percentages."""
    count = settings.texts_in_request("instruct")
    return Request(
        prefix=render.class_list(list(shown.values()), kind=gold.kind),
        prompt=render.writing_instruction(target, partner, ratio, count=count, kind=gold.kind),
        form="instruct",
        sampling=Sampling(temperature=settings.temperature_in("instruct"), max_tokens=settings.max_tokens or 256),
    )


def open_lists(
    gold: Corpus,
    shown: Mapping[str, ShownClass],
    target: str,
    partner: str | None,
    ratio: float,
    settings: PromptMixSettings,
    rng: Generator,
) -> Request:
    """Write lists to continue: some of the partner's examples, then the target's (ours)."""
    lists = [replace(shown[target], examples=tuple(rng.permutation(shown[target].examples).tolist()))]
    if partner is not None:
        # Zero-shot lists are empty; the partner's bare heading then stands for one missing example.
        beside = partner_count(max(1, len(lists[0].examples)), ratio, rng)
        if beside:
            lists.insert(0, replace(shown[partner], examples=shown[partner].examples[:beside]))
    count = settings.texts_in_request("continue")
    return Request(
        prefix=render.list_to_continue(lists, kind=gold.kind),
        prompt="",
        form="continue",
        lines=count,
        sampling=Sampling(
            temperature=settings.temperature_in("continue"),
            max_tokens=settings.max_tokens or tokens_for_list(gold, count),
            stop=("\n\n",),
        ),
    )
