"""Guided writing: mix the classes' next-token distributions at the ratio, and push away from other classes.

Ours. PromptMix (Sahu et al., EMNLP 2023, arXiv 2310.14192) asks for a ratio in words; here it is the share of each
class's prompt in the logarithm of every next-token probability. Relatives, formulas and figures:
docs/methods/logit_mixup.md; the decoding itself: models/guidance.py.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

import numpy as np
from numpy.random import Generator
from pydantic import Field, field_validator

from crossfade.data import Augmented, Corpus, Origin, Synthetic
from crossfade.errors import ModelError, SettingsError
from crossfade.methods.writing import (
    Assignment,
    ShowingSettings,
    read_reply,
    show,
    tokens_for_list,
    write_until_full,
)
from crossfade.numerics.mixing import draw_ratios
from crossfade.prompts import render
from crossfade.prompts.parse import parse_texts
from crossfade.prompts.render import ShownClass
from crossfade.roles import Encoder, Form, Guidance, Reply, Request, Sampling, TextModel
from crossfade.selection.ledger import Ledger
from crossfade.selection.relabelling import prototypes

NAME = "logit_mixup"
LISTED = 5
"""Length that the head of a list without examples gives; as label prompting's."""


class LogitMixupSettings(ShowingSettings):
    """How texts are written under guidance."""

    name: Literal["logit_mixup"] = "logit_mixup"
    """The method."""
    texts_per_request: Literal[1] = 1
    """A guided request brings one text."""
    temperature: float | None = Field(None, ge=0.0, le=2.0)
    """Sampling temperature for writing. When left out: 1.0, in either form. Ours."""
    max_tokens: int | None = Field(None, ge=8)
    """Longest text, in tokens. When left out: room for a text half as long again as the gold ones. Ours."""
    ratios: tuple[float, ...] | None = None
    """Shares of the target, each in [0.5, 1], that texts are spread over evenly; [1.0] writes single-class texts. When
    left out: PromptMix's law, 0.5 + 0.5 Beta(5, 2)."""
    strength: float = Field(0.5, ge=0.0)
    """How hard texts are pushed away from the other classes; 0 only mixes. For self-debiasing its decay constant, 100
    in the paper."""
    contrast_classes: int = Field(5, ge=0)
    """Classes to push away from: those whose prototypes are nearest to the target's."""
    cut: float = Field(4.0, gt=0.0)
    """Plausibility: tokens more than so many nats below the mixture's best are left out."""
    anneal: int | None = Field(None, ge=1)
    """Tokens over which the strength falls to 0; left out, it stays."""
    rule: Literal["contrast", "self_debiasing"] = "contrast"
    """'contrast' adds strength times the log-odds against the mean of the other classes; 'self_debiasing' (Schick and
    Schütze 2021) only lowers tokens that another class finds likelier."""
    top_p: float = Field(0.95, gt=0.0, le=1.0)
    """Nucleus that tokens are drawn from."""
    texts_per_prompt: int = Field(8, ge=1)
    """Texts of a class that share one set of prompts, and so one reading of them."""
    prompts: Literal["both", "examples", "descriptions"] = "both"
    """What a class's prompt holds. 'examples': its gold texts, in an order drawn for each set. 'descriptions': its
    description, or name, alone, as in label prompting: texts stray farther from the gold ones. 'both' takes turns."""

    @field_validator("ratios")
    @classmethod
    def _are_shares(cls, ratios: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if ratios is not None and not (ratios and all(0.5 <= ratio <= 1 for ratio in ratios)):
            raise ValueError("expected one or more shares of the target, each between 0.5 and 1")
        return ratios

    def examples_in_turn(self, turn: int) -> int:
        """Return how many examples of a class the prompts of one turn show at most."""
        bare = self.prompts == "descriptions" or (self.prompts == "both" and turn % 2 == 1)
        return 0 if bare else self.examples_per_class

    def temperature_in(self, form: Form) -> float:
        """Return the sampling temperature: 1 unless it is set, in either form."""
        return 1.0 if self.temperature is None else self.temperature


def augment(
    gold: Corpus, *, writer: TextModel, encoder: Encoder, settings: LogitMixupSettings, rng: Generator
) -> Augmented:
    """Write texts at ratios between classes, away from all others.

    Args:
        gold: Two or more classes; without examples they are told by description or name.
        writer: Open weights; any other model refuses guided requests.
        encoder: Finds the nearest classes and duplicates.
        settings: See `LogitMixupSettings`.
        rng: Draws partners, ratios and the order of examples.

    Returns:
        Kept rows with the class that had the largest share, what each class's prompt made of the text
        (`Origin.logprobs`) and the vote that follows ('decoding'); dropped rows with their reason.

    Raises:
        SettingsError: There is one class only.
    """
    if len(gold.labels) < 2:
        raise SettingsError(f"Guided writing mixes classes and found {len(gold.labels)}.", hint="Give two or more.")
    nearest = order_by_nearness(gold, encoder)
    return write_until_full(
        gold,
        lambda book: propose(gold, book, writer.preferred_form, settings, rng, nearest=nearest),
        method=NAME,
        writer=writer,
        encoder=encoder,
        settings=settings,
        read=read_guided,
    )


def propose(
    gold: Corpus,
    book: Ledger,
    form: Form,
    settings: LogitMixupSettings,
    rng: Generator,
    *,
    nearest: Sequence[Sequence[int]],
) -> list[Assignment]:
    """Give each class that lacks texts a partner and an order of examples per so many texts, and each text a ratio."""
    assignments: list[Assignment] = []
    wanted = {label: book.requests_wanted(label) for label in gold.labels}
    for turn in count():
        if not (targets := [label for label in gold.labels if wanted[label] > 0]):
            break
        # One order of every class's examples: targets that concern the same classes share their prompts.
        most = settings.examples_in_turn(turn)
        shown = {label: show(gold, label, most, rng) for label in gold.labels}
        for target in targets:
            ratios = draw_shares(min(settings.texts_per_prompt, wanted[target]), settings, rng)
            wanted[target] -= len(ratios)
            partners: tuple[str, ...] = ()
            if min(ratios) < 1:
                partners = (str(rng.choice([label for label in gold.labels if label != target])),)
            others = classes_to_avoid(gold, nearest, (target,), {target, *partners}, settings)
            concerned = [shown[label] for label in gold.labels if label in (target, *partners, *others)]
            for ratio in ratios:
                request = guided_request(gold, concerned, share_out(target, partners, ratio), form, settings)
                # The sample number keeps equal prompts apart, over all rounds.
                sample = book.requests.total() + len(assignments)
                assignments.append(Assignment(target, partners, ratio, replace(request, sample=sample)))
    return sorted(assignments, key=lambda assignment: assignment.request.full_prompt)


@dataclass(frozen=True, slots=True)
class GuidedText:
    """A text written between two classes."""

    ratio: float
    """Share of the first class that was asked for, in [0, 1]."""
    text: str
    """Empty when nothing readable came."""
    log_odds: float
    """How much likelier the text is under the first class's prompt than under the second's, in nats."""


def write_between(
    gold: Corpus,
    first: str,
    second: str,
    ratios: Sequence[float],
    texts: int,
    *,
    writer: TextModel,
    encoder: Encoder,
    settings: LogitMixupSettings,
    rng: Generator,
) -> list[GuidedText]:
    """Write some texts at each ratio between two classes, in the order of the ratios.

    All ratios share one set of prompts, and the classes nearest to both are pushed away from at each of them.

    Raises:
        ModelError: The writer refused.
    """
    nearest = order_by_nearness(gold, encoder)
    others = classes_to_avoid(gold, nearest, (first, second), {first, second}, settings)
    shown = [show(gold, label, settings.examples_per_class, rng) for label in (first, second, *others)]
    requests = [
        replace(
            guided_request(gold, shown, {first: ratio, second: 1 - ratio}, writer.preferred_form, settings), sample=n
        )
        for ratio in ratios
        for n in range(texts)
    ]
    replies = {reply.request: reply for reply in writer.answer(requests)}
    found = []
    for number, request in enumerate(requests):
        reply = replies[request]
        if reply.error is not None or reply.choice_logprobs is None:
            raise ModelError(reply.error or f"'{writer.name}' does not say how probable its texts are.")
        parsed = parse_texts(reply.text, form=request.form, cut_off=False)
        log_odds = reply.choice_logprobs[0] - reply.choice_logprobs[1]
        found.append(GuidedText(ratios[number // texts], "".join(parsed.texts[:1]), log_odds))
    return found


def order_by_nearness(gold: Corpus, encoder: Encoder) -> list[list[int]]:
    """Return for each class the indices of the others, the one with the most similar prototype first."""
    vectors = prototypes(gold, encoder)
    similarities = vectors @ vectors.T
    return [
        [other for other in np.argsort(-row, kind="stable").tolist() if other != index]
        for index, row in enumerate(similarities)
    ]


def classes_to_avoid(
    gold: Corpus,
    nearest: Sequence[Sequence[int]],
    near_to: Sequence[str],
    besides: Collection[str],
    settings: LogitMixupSettings,
) -> list[str]:
    """Return the classes to push away from: those nearest to some classes, the first one's before the second's.

    Args:
        gold: Names the classes.
        nearest: What `order_by_nearness` found.
        near_to: Whose neighbours are wanted.
        besides: Classes that are not pushed away.
        settings: Says how many at most.
    """
    near = [gold.labels[index] for label in near_to for index in nearest[gold.labels.index(label)]]
    return [label for label in dict.fromkeys(near) if label not in besides][: settings.contrast_classes]


def draw_shares(texts: int, settings: LogitMixupSettings, rng: Generator) -> list[float]:
    """Draw the target's share of each text."""
    if settings.ratios is None:
        return [float(ratio) for ratio in draw_ratios(texts, rng)]
    # As even as whole numbers allow; which ratios get one more is drawn.
    order = rng.permutation(len(settings.ratios))
    return [settings.ratios[order[index % len(order)]] for index in range(texts)]


def share_out(target: str, partners: Sequence[str], ratio: float) -> dict[str, float]:
    """Give the target the ratio and its partner the rest."""
    return {target: ratio} | {partner: 1 - ratio for partner in partners}


def guided_request(
    gold: Corpus,
    classes: Sequence[ShownClass],
    shares: Mapping[str, float],
    form: Form,
    settings: LogitMixupSettings,
) -> Request:
    """Ask for one text under a prompt of each class: its list to go on with, or an instruction with its examples.

    A class that is given a share of 0 is a parent all the same, which the text is not pushed away from.
    """
    return Request(
        prompt="",
        form=form,
        sampling=Sampling(
            temperature=settings.temperature_in(form),
            top_p=settings.top_p,
            max_tokens=settings.max_tokens or tokens_for_list(gold, 1),
            stop=("\n",),
        ),
        guidance=Guidance(
            names=tuple(shown.name for shown in classes),
            prompts=tuple(class_prompt(shown, form, kind=gold.kind) for shown in classes),
            shares=tuple(shares.get(shown.name, 0.0) for shown in classes),
            strength=settings.strength,
            cut=settings.cut,
            anneal=settings.anneal,
            rule=settings.rule,
            silent=tuple(place for place, shown in enumerate(classes) if shares.get(shown.name) == 0),
        ),
    )


def class_prompt(shown: ShownClass, form: Form, *, kind: str) -> str:
    """Write the prompt of one class; without examples, that of label prompting."""
    if not shown.examples:
        ask = render.label_instruction if form == "instruct" else render.label_list_to_continue
        return ask(shown.name, shown.description, count=1 if form == "instruct" else LISTED, kind=kind)
    if form == "instruct":
        return render.class_examples(shown, kind=kind) + render.more_examples_instruction(count=1, kind=kind)
    return render.list_to_continue([shown], kind=kind)


def read_guided(reply: Reply, width: int, origin: Origin) -> Iterator[Synthetic]:
    """Turn a reply into a row with its ratio as soft label and what each class's prompt made of it."""
    guidance, logprobs = reply.request.guidance, reply.choice_logprobs
    soft = share_out(origin.parents[0], origin.parents[1:], 1.0 if origin.ratio is None else origin.ratio)
    for row in read_reply(reply, width, origin):
        if guidance is None or logprobs is None or row.origin.reason is not None:
            yield row
            continue
        likeliest = guidance.names[max(range(len(logprobs)), key=logprobs.__getitem__)]
        told = replace(
            row.origin, votes={"decoding": likeliest}, logprobs=dict(zip(guidance.names, logprobs, strict=True))
        )
        yield replace(row, origin=told, probabilities=soft)
