"""Does the ratio steer what is written? Guided writing beside PromptMix's ratio in words, with the same model.

python benchmarks/guided_control.py recipes/trec6.toml recipes/banking77.toml

Texts are written over a grid of ratios between pairs of classes. A student trained on the whole training file says what
share of a text is the first class's, among the two; it measures and nothing else. For each pair: Spearman's correlation
of the ratio and the mean judged share of its texts. All three writers are the recipe's model through torch, with the
same sampling: 'words' is PromptMix's instruction with percentages, in the chat template; 'lists' its form for models
that continue text, where the ratio is told by how many examples each class shows.
"""

import argparse
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.random import Generator

from crossfade.data import Corpus, DataWarning, Example
from crossfade.methods.logit_mixup import LogitMixupSettings, classes_to_avoid, guided_request, order_by_nearness
from crossfade.methods.promptmix import PromptMixSettings, instruction, open_lists
from crossfade.methods.writing import show
from crossfade.numerics.intrusion import judged_share, rank_correlation
from crossfade.parts import Parts, opened
from crossfade.prompts.parse import parse_texts
from crossfade.recipe import read_recipe
from crossfade.roles import Guidance, Request
from door_results import table, write

RATIOS = np.round(np.arange(0.1, 0.95, 0.1), 2)
Ask = Callable[[str, str, float, Generator], Request]


@dataclass(frozen=True)
class Control:
    """What came of one way of writing on one draw."""

    by_pair: np.ndarray
    """Spearman's correlation of ratio and mean judged share, [pairs]."""
    over_texts: float
    """The same over single texts of all pairs."""
    readable: float
    """Share of the answers that are texts."""


def ways_of_writing(gold: Corpus, parts: Parts, guided: LogitMixupSettings) -> dict[str, Ask]:
    """Return what to ask of the weights for one text at a ratio, by way of writing."""
    nearest = order_by_nearness(gold, parts.models.encoder)
    words = PromptMixSettings(texts_per_request=1, temperature=1.0)

    def alone(prompt: str, request: Request) -> Request:
        sampling = replace(request.sampling, temperature=1.0, top_p=guided.top_p, stop=("\n",), max_tokens=40)
        guidance = Guidance(names=("prompt",), prompts=(prompt,), shares=(1.0,), cut=guided.cut)
        return Request(prompt="", form=request.form, sampling=sampling, guidance=guidance)

    def by_logits(first: str, second: str, ratio: float, rng: Generator) -> Request:
        others = classes_to_avoid(gold, nearest, (first, second), {first, second}, guided)
        shown = [show(gold, label, guided.examples_per_class, rng) for label in (first, second, *others)]
        request = guided_request(gold, shown, {first: ratio, second: 1 - ratio}, "continue", guided)
        return replace(request, sampling=replace(request.sampling, max_tokens=40))

    def in_words(first: str, second: str, ratio: float, rng: Generator) -> Request:
        shown = {label: show(gold, label, words.examples_per_class, rng) for label in (first, second)}
        request = instruction(gold, shown, first, second, ratio, words)
        return alone(request.full_prompt, request)

    def in_lists(first: str, second: str, ratio: float, rng: Generator) -> Request:
        shown = {label: show(gold, label, words.examples_per_class, rng) for label in (first, second)}
        # The list that is gone on with is that of the larger share, as in PromptMix.
        target, partner = (first, second) if ratio >= 0.5 else (second, first)
        request = open_lists(gold, shown, target, partner, max(ratio, 1 - ratio), words, rng)
        return alone(request.full_prompt, request)

    return {"guided": by_logits, "PromptMix, lists": in_lists, "PromptMix, words": in_words}


def class_pairs(gold: Corpus, parts: Parts, most: int, rng: Generator) -> list[tuple[str, str]]:
    """Return the pairs of classes: all of them if they are few, else half nearest neighbours and half at random."""
    labels = gold.labels
    every = [(first, second) for index, first in enumerate(labels) for second in labels[index + 1 :]]
    if len(every) <= most:
        return every
    nearest = order_by_nearness(gold, parts.models.encoder)
    near = [(labels[index], labels[nearest[index][0]]) for index in rng.permutation(len(labels))[: most // 2]]
    return near + [every[index] for index in rng.permutation(len(every))[: most - len(near)]]


def control(gold: Corpus, parts: Parts, pairs: Sequence[tuple[str, str]], ask: Ask, texts: int, seed: int) -> Control:
    """Write the grid of every pair, and let the oracle say where each text lies."""
    # One order of the examples for all ratios of a text: only the ratio differs.
    places = [(pair, ratio, text) for pair in range(len(pairs)) for text in range(texts) for ratio in RATIOS.tolist()]
    requests = [
        replace(ask(*pairs[pair], ratio, np.random.default_rng([seed, pair, text])), sample=text)
        for pair, ratio, text in places
    ]
    replies = {reply.request: reply for reply in parts.models.guided_writer.answer(requests)}
    said: dict[tuple[int, float, int], str] = {}
    for place, request in zip(places, requests, strict=True):
        reply = replies[request]
        parsed = parse_texts(reply.text, form=request.form, cut_off=reply.finish == "length")
        if parsed.texts:
            said[place] = parsed.texts[0]
    told = list(said)
    probabilities = parts.oracle_probabilities([Example((said[place],), "") for place in told])
    labels = list(gold.labels)
    first, second = (np.array([labels.index(pairs[pair][side]) for pair, _, _ in told]) for side in (0, 1))
    shares = judged_share(probabilities, first, second)
    ratios = np.array([ratio for _, ratio, _ in told])
    of_pair = np.array([pair for pair, _, _ in told])
    by_pair = []
    for pair in range(len(pairs)):
        means = [shares[(of_pair == pair) & (ratios == ratio)] for ratio in RATIOS]
        by_pair.append(rank_correlation(RATIOS, np.array([part.mean() if len(part) else np.nan for part in means])))
    return Control(np.array(by_pair), rank_correlation(ratios, shares), len(told) / len(requests))


def main() -> None:
    """Measure each recipe's data and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipes", type=Path, nargs="+")
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--texts", type=int, default=8, help="texts for each pair and ratio")
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.0, 0.5, 1.0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "guided_control.md")
    given = parser.parse_args()
    warnings.simplefilter("ignore", DataWarning)
    lines = []
    for path in given.recipes:
        recipe = read_recipe(path, ['folder="benchmarks/runs"'])
        found: dict[str, list[Control]] = {}
        with opened(recipe.model_copy(update={"name": f"control_{recipe.name}"}), progress=False) as parts:
            for split in range(given.splits):
                gold = parts.texts.draw(given.shots, split)
                pairs = class_pairs(gold, parts, given.pairs, np.random.default_rng(split))
                for strength in given.strengths:
                    ways = ways_of_writing(gold, parts, LogitMixupSettings(strength=strength))
                    for name, ask in ways.items() if strength == given.strengths[0] else [("guided", ways["guided"])]:
                        title = f"guided, strength {strength:g}" if name == "guided" else name
                        found.setdefault(title, []).append(control(gold, parts, pairs, ask, given.texts, split))
                print(f"{recipe.name}: draw {split + 1} of {given.splits}", flush=True)
        for name, draws in found.items():
            every = np.concatenate([draw.by_pair for draw in draws])
            medians = [np.nanmedian(draw.by_pair) for draw in draws]
            lines.append(
                [
                    recipe.name,
                    name,
                    f"{np.nanmedian(every):.2f} ({min(medians):.2f} to {max(medians):.2f})",
                    f"{np.nanquantile(every, 0.1):.2f}",
                    f"{100 * np.mean(every[~np.isnan(every)] >= 0.9):.0f} %",
                    f"{np.mean([draw.over_texts for draw in draws]):.2f}",
                    f"{100 * np.mean([draw.readable for draw in draws]):.0f} %",
                ]
            )
    names = " ".join(str(path) for path in given.recipes)
    write(
        given.out,
        f"guided_control.py {names} --shots {given.shots} --splits {given.splits} --pairs {given.pairs} "
        f"--texts {given.texts} --strengths {' '.join(f'{strength:g}' for strength in given.strengths)}",
        f"{given.shots} real labels per class, {given.splits} draws, at most {given.pairs} pairs of classes each, "
        f"{given.texts} texts at each ratio from 0.1 to 0.9. Spearman's correlation of the ratio and the mean share of "
        "the first class that the oracle sees, for each pair; the aim was 0.9.",
        table(
            [
                "data",
                "writing",
                "median over pairs (draws)",
                "tenth percentile",
                "pairs at 0.9 or more",
                "over single texts",
                "readable",
            ],
            lines,
        ),
    )


if __name__ == "__main__":
    main()
