"""How many written texts carry all their attributes, and what is that worth to a student, by number of attributes?

    python benchmarks/attributes.py recipes/topv2_reminder.toml --texts 48 --rows 96 --out benchmarks/results/attributes

The recipe's soft prompts, with its pull towards missing strings and its guidance scale and with neither, are held
against example prompting with the same language model, on the same gold rows, each asked once (no asking again, no
denoising): strings by the label check, intents by an oracle trained on all real training data; what it finds in the
real test texts stands beside. Without --oracle only texts with strings count, so that NLU++, which has none, needs it.
A copy of a gold text or of another draft carries everything, too: shares stand there with such copies and with them
counted as failures. With --student the recipe's student is trained with and without each method's kept rows, and scored
on the test data by number of attributes per text; the plot shows the gain. All of it is done for several draws of gold
rows (--splits).
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from crossfade.data import AnnotatedExample, Augmented, Corpus, annotated
from crossfade.evaluation.annotations import by_number, strict_f1
from crossfade.evaluation.carrying import correctness, count_carried, drafts_of, holds_intents, holds_strings
from crossfade.evaluation.comparison import drop_test_copies
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
from table import gain

ByNumber = dict[int, tuple[int, float]]
"""How many texts have so many attributes, and their score."""


class Scores(TypedDict):
    """Strict F1 of a student, in [0, 1]."""

    all: float
    by_number: ByNumber


COPIES = ("copy", "duplicate")
"""Reasons of drafts that repeat another text, or nearly."""


def written(parts: Parts, gold: Corpus, method: MethodSettings, split: int) -> tuple[Augmented, float]:
    """Write with a method, and return the rows and the seconds taken."""
    started = time.perf_counter()
    return parts.write(gold, method, np.random.default_rng(split)), time.perf_counter() - started


def described(made: Augmented, gold: Corpus, oracle: Annotator | None) -> dict[str, Any]:
    """Measure rows as the paper does: what they carry, distinctness, overlap, perplexity, correctness."""
    has_strings = {row.key: bool(row.values) for row in annotated(gold)}
    # Without an oracle nothing can be said of a text whose gold row has intents alone.
    drafts = [draft for draft in drafts_of(made) if oracle is not None or has_strings[draft.origin.parent_key]]
    held = holds_strings(drafts)
    if oracle is not None:
        held = [
            one and two
            for one, two in zip(held, holds_intents(annotated(draft.example for draft in drafts), oracle), strict=True)
        ]
    reasons = [str(draft.origin.reason).partition(":")[0] for draft in drafts]
    fresh = [reason not in COPIES for reason in reasons]
    whole, by_strings = count_carried(drafts, held, gold)
    new, _ = count_carried(drafts, [one and two for one, two in zip(held, fresh, strict=True)], gold)
    seeds = {draft.origin.parent_key for draft in drafts}
    reached = {draft.origin.parent_key for draft, one in zip(drafts, held, strict=True) if one}
    texts = [row.example.text for row in made.kept]
    words, known = [words_of(text) for text in texts], [words_of(text) for text in gold.texts]
    natural = perplexity(CausalWeights(packaged_writer(), cache=cache_folder()), texts) if texts else None
    return {
        "drafts": whole.drafts,
        "all": whole.all,
        "share": whole.share.mean,
        "share without copies": new.share.mean,
        "echoes": reasons.count("echo"),
        "rows": len(seeds),
        "rows with a text": len(reached),
        "by number": {number: [one.drafts, one.all] for number, one in by_strings.items()},
        "kept": len(made.kept),
        **{f"distinct-{length}": distinct(words, length) for length in (1, 2, 3)},
        "overlap with gold": overlap(words, known),
        "perplexity": natural.true if natural else None,
        "perplexity as released": natural.as_released if natural else None,
        "correctness": correctness(oracle, made.kept) if oracle else None,
    }


def gains(parts: Parts, gold: Corpus, made: Mapping[str, Augmented]) -> dict[str, Scores]:
    """Score the recipe's student, also by number of attributes, trained on gold alone and with each method's rows."""
    true: list[AnnotatedExample] = annotated(parts.texts.test)
    found = {}
    for name, rows in {"gold only": None, **made}.items():
        training = gold_rows(gold)
        if rows is not None:
            extra = synthetic_rows(drop_test_copies(rows, true).kept, gold.labels, doubt="keep")
            training = training + extra.weighing(parts.recipe.training.synthetic_weight)
        student = trained(parts.new_student(), training, gold.labels)
        assert isinstance(student, Annotator)
        said = student.annotate(true)
        found[name] = Scores(all=strict_f1(said, true), by_number=by_number(said, true))
    return found


def plot(scores: Sequence[Mapping[str, Scores]], path: Path) -> None:
    """Draw what each method adds to gold alone, by number of attributes: mean and sample deviation over the draws."""
    import matplotlib.pyplot as plt

    numbers = _numbers(scores)
    methods = [name for name in scores[0] if name != "gold only"]
    for place, name in enumerate(methods):
        pairs = [(draw[name]["by_number"], draw["gold only"]["by_number"]) for draw in scores]
        points = [[100 * (one[number][1] - base[number][1]) for number in numbers] for one, base in pairs]
        bars = np.std(points, axis=0, ddof=1) if len(points) > 1 else None
        # Side by side, so that no bar hides another.
        beside = np.array(numbers) + (place - (len(methods) - 1) / 2) * 0.1
        plt.errorbar(beside, np.mean(points, axis=0), yerr=bars, marker="o", capsize=3, linewidth=1, label=name)
    plt.axhline(0, color="grey", linewidth=0.8)
    plt.xticks(numbers)
    plt.xlabel("attributes in a text")
    plt.ylabel("gain over gold only, points of strict F1")
    plt.legend()
    plt.savefig(path, dpi=120, bbox_inches="tight")


def page(found: Mapping[str, Any], command: str, picture: str | None) -> str:
    """Write the shares, what else was measured, and the students by number of attributes as a Markdown page."""
    lines = [f"# {found['recipe']}", "", f"`{command}`", ""]
    base_name, base = next(iter(found["splits"].items()))
    splits = len(base)
    lines += [
        f"{found['gold rows']} gold rows, {splits} draws; mean (sample standard deviation); intervals are 95 %, paired "
        "over draws. Each draft counts once."
    ]
    heads = ["texts of", "drafts, all draws", "echoes of the prompt", "carry everything, %", "copies as failures, %"]
    lines += ["", f"| {' | '.join(heads)} | carry more than {base_name}, points |", "| --- " * 6 + "|"]
    for name, draws in found["splits"].items():
        shares = [_spread([100 * draw[key] for draw in draws]) for key in ("share", "share without copies")]
        more = "-" if name == base_name else gain(*([draw["share"] for draw in of] for of in (draws, base)))
        counts = [str(sum(draw[key] for draw in draws)) for key in ("drafts", "echoes")]
        lines.append(f"| {' | '.join([name, *counts, *shares, more])} |")
    lines += ["", "| texts of | carry everything, by number of strings or intents: right of drafts, all draws |"]
    lines += ["| --- | --- |"]
    for name, draws in found["splits"].items():
        numbers = sorted({number for draw in draws for number in draw["by number"]})
        counts = []
        for number in numbers:
            pairs = [draw["by number"].get(number, (0, 0)) for draw in draws]
            counts.append(f"{number}: {sum(right for _, right in pairs)} of {sum(drafts for drafts, _ in pairs)}")
        lines.append(f"| {name} | {'; '.join(counts)} |")
    if found["test texts by number"]:
        real = found["test texts by number"]
        drafts, right = (sum(column) for column in zip(*real.values(), strict=True))
        each = "; ".join(f"{number}: {held} of {texts}" for number, (texts, held) in real.items())
        lines += [
            "",
            f"Of the {drafts} real test texts the oracle finds all intents in {100 * right / drafts:.1f} %: {each}.",
        ]
    keys = ("distinct-1", "distinct-2", "distinct-3", "overlap with gold", "perplexity", "correctness")
    lines += ["", f"| kept texts of | rows | {' | '.join(keys)} |", "| --- " * (len(keys) + 2) + "|"]
    for name, draws in found["splits"].items():
        cells = [_spread([draw[key] for draw in draws if draw[key] is not None], 2) for key in keys]
        lines.append(f"| {name} | {_spread([draw['kept'] for draw in draws])} | {' | '.join(cells)} |")
    scores = found["strict F1 by number of attributes"]
    if scores:
        numbers = _numbers(scores)
        lines += ["", "Strict F1 of the student in percent, by number of attributes in a test text:", ""]
        heads = [f"{number}, {scores[0]['gold only']['by_number'][number][0]} texts" for number in numbers]
        lines += [f"| trained on | all | gain over gold only | {' | '.join(heads)} |"]
        lines += ["| --- " * (len(numbers) + 3) + "|"]
        for name in scores[0]:
            cells = [_spread([100 * draw[name]["all"] for draw in scores])]
            more = gain(*([draw[which]["all"] for draw in scores] for which in (name, "gold only")))
            cells += ["-" if name == "gold only" else more]
            cells += [_spread([100 * draw[name]["by_number"][number][1] for draw in scores]) for number in numbers]
            lines.append(f"| {name if name == 'gold only' else f'gold + {name}'} | {' | '.join(cells)} |")
    if picture:
        lines += ["", f"![Gain over gold only by number of attributes]({picture})"]
    return "\n".join([*lines, ""])


def _spread(values: Sequence[float], digits: int = 1) -> str:
    """Write mean and sample standard deviation; of one draw there is no deviation."""
    if not values:
        return "-"
    deviation = f" ({np.std(values, ddof=1):.{digits}f})" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{deviation}"


def _numbers(scores: Sequence[Mapping[str, Scores]]) -> list[int]:
    """Return the numbers of attributes that ten test texts or more have."""
    counts = scores[0]["gold only"]["by_number"]
    return sorted(number for number, (texts, _) in counts.items() if number and texts >= 10)


def main() -> None:
    """Write, count, and write the results to a file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--rows", type=int, default=96, help="gold rows, drawn from the recipe's data")
    parser.add_argument("--texts", type=int, default=96, help="texts asked for in all")
    parser.add_argument("--splits", type=int, default=3, help="draws of gold rows")
    parser.add_argument("--set", action="append", default=[], help="key.key=value over the recipe")
    parser.add_argument("--student", action="store_true", help="also train the recipe's student")
    parser.add_argument("--oracle", action="store_true", help="train the oracle")
    parser.add_argument("--out", type=Path, required=True, help="path of the results, without an ending")
    given = parser.parse_args()
    recipe = read_recipe(given.recipe, [f'name="{given.recipe.stem}_attributes"', *given.set])
    assert isinstance(recipe.method, SoftPromptMixtureSettings)
    if recipe.data.task == "intents" and not given.oracle:
        parser.error("whether a text has its intents, only an oracle can say; add --oracle")
    once = {"texts_per_class": given.texts, "max_rounds": 1}
    mixture = recipe.method.model_copy(update={**once, "candidates": 1, "denoising": "none"})
    off = {"pull": 0.0, "guidance_scale": 1.0}
    methods: dict[str, MethodSettings] = {
        "example_prompting": ExamplePromptingSettings.model_validate(once),
        "soft_prompt_mixture": mixture.model_copy(update=off),
    }
    if on := [f"{key} {getattr(mixture, key):g}" for key, value in off.items() if getattr(mixture, key) != value]:
        methods[", ".join(["soft_prompt_mixture", *on])] = mixture
    with opened(recipe, progress=False) as parts:
        oracle: Annotator | None = None
        ceiling: dict[int, tuple[int, int]] = {}
        if given.oracle:
            learned = trained(parts.new_student(), gold_rows(parts.texts.pool), parts.texts.pool.labels)
            assert isinstance(learned, Annotator)
            oracle = learned
            real: list[AnnotatedExample] = annotated(parts.texts.test)
            for row, held in zip(real, holds_intents(real, oracle), strict=True):
                texts, right = ceiling.get(len(row.intents), (0, 0))
                ceiling[len(row.intents)] = (texts + 1, right + held)
        draws: dict[str, list[dict[str, Any]]] = {name: [] for name in methods}
        scores: list[dict[str, Scores]] = []
        for split in range(given.splits):
            gold, made = parts.texts.draw(given.rows, split), dict[str, Augmented]()
            for name, method in methods.items():
                made[name], seconds = written(parts, gold, method, split)
                draws[name].append({**described(made[name], gold, oracle), "seconds": round(seconds)})
                print(split, name, json.dumps(draws[name][-1]), flush=True)
            if given.student:
                scores.append(gains(parts, gold, made))
        found = {
            "recipe": recipe.name,
            "gold rows": given.rows,
            "splits": draws,
            "test texts by number": dict(sorted(ceiling.items())),
            "strict F1 by number of attributes": scores,
        }
        given.out.parent.mkdir(parents=True, exist_ok=True)
        if given.student:
            plot(scores, given.out.with_suffix(".png"))
        given.out.with_suffix(".json").write_text(json.dumps(found, indent=1), encoding="utf-8")
        command = " ".join(["python", "benchmarks/attributes.py", *map(shlex.quote, sys.argv[1:])])
        picture = given.out.with_suffix(".png").name if given.student else None
        given.out.with_suffix(".md").write_text(page(found, command, picture), encoding="utf-8")


if __name__ == "__main__":
    main()
