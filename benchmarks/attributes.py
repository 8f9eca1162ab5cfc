"""How many written texts carry all their attributes, and what is that worth to a student, by number of attributes?

    python benchmarks/attributes.py recipes/topv2_reminder.toml --texts 48 --rows 96 --out benchmarks/results/attributes

The recipe's soft prompts are held against example prompting with the same language model, on the same gold rows, each
asked once (no asking again, no denoising): strings by the label check, intents by an oracle trained on all real data.
With --student the recipe's student is trained with and without each method's kept rows, and scored on the test data by
number of attributes per text; the plot shows the gain.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from crossfade.data import AnnotatedExample, Augmented, Corpus, annotated
from crossfade.evaluation.annotations import by_number
from crossfade.evaluation.carrying import correctness, count_carried, drafts_of, holds_intents, holds_strings
from crossfade.evaluation.diversity import words_of
from crossfade.evaluation.scores import trained
from crossfade.methods.example_prompting import ExamplePromptingSettings
from crossfade.methods.soft_prompt_mixture import SoftPromptMixtureSettings
from crossfade.models.perplexity import perplexity
from crossfade.models.weights import CausalWeights
from crossfade.numerics.diversity import distinct, overlap
from crossfade.opening import cache_folder
from crossfade.packaged import packaged_writer
from crossfade.parts import Parts, opened
from crossfade.recipe import MethodSettings, read_recipe
from crossfade.roles import Annotator
from crossfade.tasks.classification import gold_rows, synthetic_rows


def written(parts: Parts, gold: Corpus, method: MethodSettings) -> tuple[Augmented, float]:
    """Write with a method, and return the rows and the seconds taken."""
    started = time.perf_counter()
    return parts.write(gold, method, np.random.default_rng(0)), time.perf_counter() - started


def described(made: Augmented, gold: Corpus, oracle: Annotator | None) -> dict[str, Any]:
    """Measure rows as the paper does: what they carry, distinctness, overlap, perplexity, correctness."""
    drafts = drafts_of(made)
    held = holds_strings(drafts)
    if any(row.intents and not row.values for row in annotated(gold)) and oracle is not None:
        held = [one and two for one, two in zip(held, holds_intents(drafts, oracle), strict=True)]
    whole, by_strings = count_carried(drafts, held, gold)
    seeds = {draft.origin.parent_key for draft in drafts}
    reached = {draft.origin.parent_key for draft, one in zip(drafts, held, strict=True) if one}
    texts = [row.example.text for row in made.kept]
    words, known = [words_of(text) for text in texts], [words_of(text) for text in gold.texts]
    natural = perplexity(CausalWeights(packaged_writer(), cache=cache_folder()), texts) if texts else None
    return {
        "drafts": whole.drafts,
        "all": whole.all,
        "share": [whole.share.mean, whole.share.low, whole.share.high],
        "rows": len(seeds),
        "rows with a text": len(reached),
        "by number": {number: [one.drafts, one.all] for number, one in by_strings.items()},
        "kept": len(made.kept),
        "distinct": [distinct(words, length) for length in (1, 2, 3)],
        "overlap with gold": overlap(words, known),
        "perplexity": natural.true if natural else None,
        "perplexity as released": natural.as_released if natural else None,
        "correctness": correctness(oracle, made.kept) if oracle else None,
    }


def gains(parts: Parts, gold: Corpus, made: dict[str, Augmented]) -> dict[str, dict[int, tuple[int, float]]]:
    """Score the recipe's student by number of attributes, trained on gold alone and with each method's rows."""
    true: list[AnnotatedExample] = annotated(parts.texts.test)
    found = {}
    for name, rows in {"gold only": None, **made}.items():
        training = gold_rows(gold)
        if rows is not None:
            extra = synthetic_rows(rows.kept, gold.labels, doubt="keep")
            training = training + extra.weighing(parts.recipe.training.synthetic_weight)
        student = trained(parts.new_student(), training, gold.labels)
        assert isinstance(student, Annotator)
        found[name] = by_number(student.annotate(true), true)
    return found


def plot(scores: dict[str, dict[int, tuple[int, float]]], path: Path) -> None:
    """Draw what each method adds to gold alone, by number of attributes."""
    import matplotlib.pyplot as plt

    base = scores["gold only"]
    for name, of_name in scores.items():
        if name != "gold only":
            numbers = sorted(number for number in base if number and base[number][0] >= 10)
            plt.plot(numbers, [100 * (of_name[n][1] - base[n][1]) for n in numbers], marker="o", label=name)
    plt.axhline(0, color="grey", linewidth=0.8)
    plt.xlabel("attributes in a text")
    plt.ylabel("gain over gold only, points of strict F1")
    plt.legend()
    plt.savefig(path, dpi=120, bbox_inches="tight")


def main() -> None:
    """Write, count, and write the results to a file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--rows", type=int, default=96, help="gold rows, drawn from the recipe's data")
    parser.add_argument("--texts", type=int, default=96, help="texts asked for in all")
    parser.add_argument("--set", action="append", default=[], help="key.key=value over the recipe")
    parser.add_argument("--student", action="store_true", help="also train the recipe's student")
    parser.add_argument("--oracle", action="store_true", help="train the oracle")
    parser.add_argument("--out", type=Path, required=True, help="path of the results, without an ending")
    given = parser.parse_args()
    recipe = read_recipe(given.recipe, [f'name="{given.recipe.stem}_attributes"', *given.set])
    assert isinstance(recipe.method, SoftPromptMixtureSettings)
    once = {"texts_per_class": given.texts, "max_rounds": 1}
    methods: dict[str, MethodSettings] = {
        "example_prompting": ExamplePromptingSettings.model_validate(once),
        "soft_prompt_mixture": recipe.method.model_copy(update={**once, "candidates": 1, "denoising": "none"}),
    }
    with opened(recipe, progress=False) as parts:
        gold = parts.texts.draw(given.rows, 0)
        oracle = None
        if given.oracle:
            oracle = trained(parts.new_student(), gold_rows(parts.texts.pool), parts.texts.pool.labels)
            assert isinstance(oracle, Annotator)
        found: dict[str, Any] = {"recipe": recipe.name, "gold rows": len(gold)}
        made = {}
        for name, method in methods.items():
            made[name], seconds = written(parts, gold, method)
            found[name] = {**described(made[name], gold, oracle), "seconds": round(seconds)}
            print(name, json.dumps(found[name]), flush=True)
        given.out.parent.mkdir(parents=True, exist_ok=True)
        if given.student:
            scores = gains(parts, gold, made)
            found["strict F1 by number of attributes"] = scores
            plot(scores, given.out.with_suffix(".png"))
        given.out.with_suffix(".json").write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
