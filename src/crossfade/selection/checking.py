"""Decide the labels of written texts, whatever method wrote them."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Literal

import numpy as np
from pydantic import Field

from crossfade.data import Augmented, Corpus, Synthetic
from crossfade.roles import Encoder, Student, TextModel
from crossfade.selection.relabelling import Judge
from crossfade.selection.trust import Decided, replace_labels, trust_labels
from crossfade.settings import Settings

Check = Literal["none", "paper", "trust"]


class LabelSettings(Settings):
    """How the labels of written texts are checked."""

    check: Check = "trust"
    """'paper': the judge's answer replaces every label (PromptMix). 'trust': judge, prototypes and the writer's label
    vote, each as strongly as it did on the gold texts (ours). 'none': the label that the writer was asked for."""
    nearest: int = Field(5, ge=2)
    """Nearest classes that the judge is offered. PromptMix's released code: 5."""


def check_labels(
    made: Augmented,
    gold: Corpus,
    *,
    judges: Mapping[str, TextModel],
    encoder: Encoder,
    settings: LabelSettings,
    new_student: Callable[[], Student],
) -> Augmented:
    """Decide the label of every kept row, and drop those for which no label can be told."""
    if settings.check == "none" or not made.kept:
        return made
    (model,) = judges.values()
    judge = Judge(model, settings.nearest)
    texts = [row.example for row in made.kept]
    if settings.check == "paper":
        return decide(made, gold, replace_labels(texts, gold, judge=judge, encoder=encoder))
    written = np.array([gold.labels.index(row.origin.written_label) for row in made.kept], dtype=int)
    return decide(made, gold, trust_labels(texts, written, gold, judge=judge, encoder=encoder))


def judgements(check: Check, *, written: int, gold: int) -> int:
    """Return how many texts a judge is asked about: the written ones, and under 'trust' the gold ones."""
    return {"none": 0, "paper": written, "trust": written + gold}[check]


def decide(made: Augmented, gold: Corpus, decided: Decided) -> Augmented:
    """Give every kept row its decided label, and drop those for which the judge named none."""
    kept: list[Synthetic] = []
    dropped = list(made.dropped)
    losses = {label: {**counts, "relabelled": 0, "dropped": 0} for label, counts in made.losses.items()}
    for index, row in enumerate(made.kept):
        counts = losses[row.origin.written_label]
        votes = {
            source: gold.labels[choices[index]] for source, choices in decided.votes.items() if choices[index] >= 0
        }
        origin = replace(row.origin, judged_label=votes.get("judge"), votes=votes)
        if decided.labels[index] < 0:
            reason = "dropped: the judge named no class that it was offered"
            dropped.append(replace(row, origin=replace(origin, reason=reason)))
            counts["dropped"] += 1
            counts["kept"] -= 1
            continue
        label = gold.labels[decided.labels[index]]
        counts["relabelled"] += label != row.origin.written_label
        probabilities = {}
        if decided.probabilities is not None:
            probabilities = dict(zip(gold.labels, decided.probabilities[index].tolist(), strict=True))
            origin = replace(origin, confidence=probabilities[label])
        kept.append(Synthetic(replace(row.example, label=label), origin, probabilities))
    # Without gold texts a source has earned nothing that could be told.
    sources = {name: asdict(score) for name, score in decided.sources.items() if score.texts}
    return Augmented(tuple(kept), tuple(dropped), losses, made.stopped, sources)
