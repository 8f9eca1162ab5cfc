"""Mixture of soft prompts: one trained soft prompt for each attribute, mixed, so that a text carries all of them.

Paper: Chen, Lee, Lu, Rosati, Yu, "Mixture of Soft Prompts for Controllable Data Generation", Findings of EMNLP 2023,
arXiv 2303.01580. Its body could not be read; docs/methods/soft_prompt_mixture.md says what is ours.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, Self

import numpy as np
from numpy.random import Generator
from pydantic import Field, model_validator

from crossfade.attribute_roles import (
    AttributePrompt,
    MixerName,
    PromptTuner,
    PromptTuning,
    SoftPromptShape,
    SoftPromptWriter,
    WritingStyle,
    Written,
)
from crossfade.data import AnnotatedExample, Augmented, Corpus, Synthetic
from crossfade.methods.carrying import retrieve, rows_with_attributes, write_for_rows
from crossfade.methods.writing import RoundSettings, mean_length
from crossfade.numerics.denoising import Denoising, attribute_frequencies, least_noisy, noise_of
from crossfade.prompts.attributes import Words, attributes_prompt
from crossfade.prompts.render import template
from crossfade.roles import CHARACTERS_PER_TOKEN, Encoder, Sampling
from crossfade.selection.ledger import why_stopped

NAME = "soft_prompt_mixture"


class SoftPromptMixtureSettings(RoundSettings):
    """How soft prompts are made, trained and written with; defaults are the released code's unless said."""

    name: Literal["soft_prompt_mixture"] = "soft_prompt_mixture"
    """The method."""
    mixer: MixerName = "concat"
    """How the prompts of a text's attributes become one block; 'sum' is a control."""
    mixing_temperature: float = Field(1.0, gt=0.0)
    """Of the weights of 'attention' and 'bottleneck'. The released code uses that of sampling here, too."""
    prefix_length: int = Field(100, ge=0)
    """Vectors that all texts share."""
    attribute_length: int = Field(20, ge=1)
    """Vectors of each attribute."""
    learning_rate: float = Field(0.02, gt=0.0)
    """AdamW's rate. The default suits causal models, as the packaged writer is (0.01 to 0.03 in the released code); T5
    takes 0.1 to 0.3."""
    epochs: int = Field(14, ge=1)
    """Passes over the gold rows at most."""
    batch_size: int = Field(24, ge=1)
    """Rows to a step."""
    rows_at_once: int = Field(6, ge=1)
    """Rows that the model reads at once while training."""
    development: float = Field(0.1, ge=0.0, lt=1.0)
    """Share of the gold rows that say which epoch is kept, by their loss; 0 keeps the last. Ours: the released code
    goes by BLEU on a development file."""
    patience: int = Field(4, ge=1)
    """Epochs without a lower loss on those rows after which training stops."""
    words: Words = "listed"
    """What stands after the soft prompts: 'listed' has every exemplar below what it contains (ours), 'paper' has what
    the text must contain, then exemplars alone."""
    exemplars: int = Field(2, ge=0)
    """Retrieved gold texts that the words show."""
    own_text: bool = False
    """Whether, while writing, the last exemplar is the text whose labels the new one inherits, as in the released code.
    Ours leaves it out: small models copy it."""
    candidates: int = Field(4, ge=1)
    """Texts drawn for a gold row at a time; the first that pass the label check are used."""
    temperature: float = Field(1.0, ge=0.0)
    """Of sampling; 0 takes the likeliest text, so that it needs one candidate or beams."""
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    """Nucleus of sampling. Ours: the released code has none."""
    repetition_penalty: float = Field(1.4, ge=1.0)
    """Divides the scores of tokens that stand in the text already."""
    beams: bool = False
    """Whether candidates are drawn as beams, as in the released code. Ours draws each on its own."""
    pull: float = Field(0.0, ge=0)
    """How many nats the words of strings that are still missing get on top while writing; above 0 a text can only end
    once it holds all its strings. Ours."""
    guidance_scale: float = Field(1.0, ge=1.0)
    """How many times what the attributes add to the next token's log-probabilities counts (classifier-free guidance);
    1 is none. Writing takes about twice as long. Ours."""
    max_tokens: int | None = Field(None, ge=4)
    """Longest text, in tokens; one that has not ended by then is dropped. When left out: twice that of the longest
    twentieth of the gold texts. Ours."""
    denoising: Denoising = "rank"
    """'rank' keeps the least noisy texts, 'sample' draws them by 1 / noise, 'none' keeps all."""
    overproduction: float = Field(1.25, ge=1.0)
    """Texts written for each that is kept, where texts are denoised."""
    frequency_weight: float = Field(0.5, ge=0.0)
    """How much the frequency of its attributes among the gold texts makes a text noisy."""
    distance_weight: float = Field(0.5, ge=0.0)
    """How much the distance from the gold text it was written after does."""

    @model_validator(mode="after")
    def _candidates_differ(self) -> Self:
        if not self.temperature and self.candidates > 1 and not self.beams:
            raise ValueError(
                f"with temperature = 0 all {self.candidates} candidates would be the same text; "
                "set candidates = 1, beams = true or a higher temperature"
            )
        if self.beams and self.guidance_scale != 1:
            raise ValueError(
                f"guidance_scale = {self.guidance_scale:g} needs texts that are drawn each on its own, not beams; "
                "set beams = false, or guidance_scale = 1"
            )
        return self


def augment(
    gold: Corpus,
    *,
    tuner: PromptTuner,
    encoder: Encoder,
    settings: SoftPromptMixtureSettings,
    rng: Generator,
) -> Augmented:
    """Tune one soft prompt for each attribute, write texts for every gold row with them mixed, and drop the noisy ones.

    Args:
        gold: Rows with intents, entities or slots.
        tuner: The frozen language model.
        encoder: Finds near-duplicates, and measures how far a text is from its gold text.
        settings: See `SoftPromptMixtureSettings`.
        rng: Draws development rows and exemplars, and seeds training and sampling.

    Returns:
        Kept rows with the labels of their gold row, tags at the strings found; dropped ones with their reason: a string
        is missing, cut off, a copy, a near-duplicate, noise.

    Raises:
        SettingsError: No gold row has an attribute.
        DataError: A gold row has no annotation.
    """
    writer = tune(gold, tuner, settings, rng)
    texts = settings.texts_per_class
    if settings.denoising != "none":
        texts = math.ceil(texts * settings.overproduction)
    made = write_for_rows(
        gold,
        lambda rows, round_index: write(rows, gold, writer, settings, rng),
        method=NAME,
        model=writer.name,
        texts=texts,
        candidates=settings.candidates,
        encoder=encoder,
        settings=settings,
    )
    return denoise(made, gold, encoder, settings, rng)


def tune(gold: Corpus, tuner: PromptTuner, settings: SoftPromptMixtureSettings, rng: Generator) -> SoftPromptWriter:
    """Train prefix, prompts and mixer to write each gold text after its attributes, exemplars drawn once a row."""
    rows = rows_with_attributes(gold, NAME)
    order = rng.permutation(len(rows))
    held = [rows[place] for place in order[: round(settings.development * len(rows))]]
    trained = [rows[place] for place in order[len(held) :]]
    return tuner.tune(
        shape_of(gold, settings),
        prompts_for(trained, gold, trained, settings, rng),
        [row.texts[0] for row in trained],
        development=(prompts_for(held, gold, trained, settings, rng), [row.texts[0] for row in held]),
        tuning=PromptTuning(
            learning_rate=settings.learning_rate,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            rows_at_once=settings.rows_at_once,
            patience=settings.patience,
            seed=int(rng.integers(2**31)),
        ),
    )


def shape_of(gold: Corpus, settings: SoftPromptMixtureSettings) -> SoftPromptShape:
    """Say what is trained: the instruction, and a prompt for every attribute, started from its description."""
    rows = rows_with_attributes(gold, NAME)
    return SoftPromptShape(
        instruction=template("soft_prompt_instruction").substitute(kind=gold.kind),
        descriptions={name: gold.describe(name) for name in gold.attributes},
        prefix_length=settings.prefix_length,
        attribute_length=settings.attribute_length,
        mixer=settings.mixer,
        mixing_temperature=settings.mixing_temperature,
        most_attributes=max(max(len(row.intents), len(row.kinds)) for row in rows),
    )


def prompts_for(
    rows: Sequence[AnnotatedExample],
    gold: Corpus,
    pool: Sequence[AnnotatedExample],
    settings: SoftPromptMixtureSettings,
    rng: Generator,
    *,
    own_text: bool = False,
) -> list[AttributePrompt]:
    """Make the prompt of each row: its intents and its types, mixed apart, and the words with exemplars of the pool."""
    prompts = []
    for row in rows:
        exemplars = retrieve(row, pool, settings.exemplars, rng)
        if own_text and exemplars:
            exemplars[-1] = row
        words, bare_words = (
            attributes_prompt(one, exemplars, gold, words=settings.words)
            for one in (row, replace(row, intents=(), mentions=()))
        )
        groups = tuple(group for group in (row.intents, row.kinds) if group)
        prompts.append(AttributePrompt(groups=groups, words=words, values=row.values, bare_words=bare_words))
    return prompts


def write(
    rows: Sequence[AnnotatedExample],
    gold: Corpus,
    writer: SoftPromptWriter,
    settings: SoftPromptMixtureSettings,
    rng: Generator,
) -> list[list[Written]]:
    """Draw candidate texts for each row."""
    pool = rows_with_attributes(gold, NAME)
    style = WritingStyle(
        sampling=Sampling(
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=settings.max_tokens or longest_text(gold),
        ),
        repetition_penalty=settings.repetition_penalty,
        beams=settings.beams,
        pull=settings.pull,
        guidance_scale=settings.guidance_scale,
    )
    prompts = prompts_for(rows, gold, pool, settings, rng, own_text=settings.own_text)
    return writer.write(prompts, style=style, candidates=settings.candidates, seed=int(rng.integers(2**31)))


def longest_text(gold: Corpus) -> int:
    """Return how many tokens a text may have: twice the 95th percentile of the gold texts' lengths, at least 16."""
    usual = float(np.quantile([len(text) for text in gold.texts], 0.95)) if len(gold) else mean_length(gold)
    return max(16, math.ceil(2 * usual / CHARACTERS_PER_TOKEN))


def denoise(
    made: Augmented, gold: Corpus, encoder: Encoder, settings: SoftPromptMixtureSettings, rng: Generator
) -> Augmented:
    """Keep the least noisy texts, at most as many as are wanted, and drop the others as noise.

    Of fewer texts than were to be written the same share goes: 1 of 1.25 stays.
    """
    if settings.denoising == "none" or not made.kept:
        return made
    rows = [row.example.attributes for row in made.kept if isinstance(row.example, AnnotatedExample)]
    vectors = encoder.encode([row.example.text for row in made.kept])
    parents = encoder.encode([row.origin.parent_texts[0] for row in made.kept])
    noise = noise_of(
        rows,
        np.einsum("rw,rw->r", vectors, parents),
        attribute_frequencies(row.attributes for row in rows_with_attributes(gold, NAME)),
        frequency_weight=settings.frequency_weight,
        distance_weight=settings.distance_weight,
    )
    count = min(settings.texts_per_class, math.ceil(len(made.kept) / settings.overproduction))
    stays = set(least_noisy(noise, count, settings.denoising, rng))
    kept = tuple(row for place, row in enumerate(made.kept) if place in stays)
    dropped = [_noisy(row, noise[place]) for place, row in enumerate(made.kept) if place not in stays]
    losses = {label: dict(counts) for label, counts in made.losses.items()}
    for row in dropped:
        counts = losses[row.origin.written_label]
        counts["kept"] -= 1
        counts["noise"] = counts.get("noise", 0) + 1
    stopped = why_stopped({gold.labels[0]: settings.texts_per_class - len(kept)})
    return replace(made, kept=kept, dropped=(*made.dropped, *dropped), losses=losses, stopped=stopped)


def _noisy(row: Synthetic, noise: float) -> Synthetic:
    return replace(row, origin=replace(row.origin, reason=f"noise: {noise:.2f}"))
