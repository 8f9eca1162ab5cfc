"""Do texts written for one domain help a student whose real rows are of the other? NLU++, as the paper has it.

    python benchmarks/cross_domain.py recipes/nlupp_hotels.toml --source ../shared/data/nlupp/banking --rows 48 \
        --texts 48 --splits 3 --out benchmarks/results/cross_domain.md

In the released code of the paper of soft prompts the student's real rows are of the other domain, and texts are written
after labelled rows of the target domain; of the target's test rows with a generic intent (one that both domains have),
only the generic intents are scored. That is no setting without target labels: what the same rows give when the student
trains on them is a row of its own. Source rows (--source-rows) and target rows are drawn anew for each split.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from crossfade.data import AnnotatedExample, Corpus, annotated, read_annotated
from crossfade.evaluation.annotations import lenient_score, strict_f1
from crossfade.evaluation.comparison import drop_test_copies
from crossfade.evaluation.scores import trained
from crossfade.methods.example_prompting import ExamplePromptingSettings
from crossfade.parts import Parts, opened
from crossfade.recipe import MethodSettings, read_recipe
from crossfade.roles import Annotator
from crossfade.tasks.classification import TrainingRows, gold_rows, synthetic_rows
from table import gain

Scores = tuple[float, float]
"""Strict F1 and the paper's lenient score, in [0, 1]."""
BASE = "source rows"
"""What the others are held against."""


def only(rows: Sequence[AnnotatedExample], intents: frozenset[str]) -> list[AnnotatedExample]:
    """Take all other intents off the rows."""
    return [replace(row, intents=tuple(name for name in row.intents if name in intents)) for row in rows]


def score(parts: Parts, training: TrainingRows, generic: frozenset[str]) -> Scores:
    """Train the recipe's student and score the generic intents of the test rows that have one."""
    true = [row for row in only(annotated(parts.texts.test), generic) if row.intents]
    student = trained(parts.new_student(), training, parts.texts.pool.labels)
    assert isinstance(student, Annotator)
    said = only(student.annotate(true), generic)
    return strict_f1(said, true), lenient_score(said, true)


def one_split(parts: Parts, source: Corpus, given: argparse.Namespace, split: int) -> dict[str, Scores]:
    """Write for the target's rows and score every way of training."""
    generic = frozenset(source.attributes) & frozenset(parts.texts.pool.attributes)
    gold = parts.texts.draw(given.rows, split)
    order = np.random.default_rng(split).permutation(len(source.examples))[: given.source_rows]
    base = gold_rows(replace(source, examples=tuple(source.examples[row] for row in order.tolist())))
    method = parts.recipe.method.model_copy(update={"texts_per_class": given.texts})
    writers: dict[str, MethodSettings] = {
        f"+ {method.name}": method,
        "+ example_prompting": ExamplePromptingSettings(texts_per_class=given.texts),
    }
    weight = parts.recipe.training.synthetic_weight
    found = {BASE: score(parts, base, generic), "+ target rows": score(parts, base + gold_rows(gold), generic)}
    for name, settings in writers.items():
        made = parts.write(gold, settings, np.random.default_rng(split))
        kept = drop_test_copies(made, annotated(parts.texts.test)).kept
        extra = synthetic_rows(kept, gold.labels, doubt="keep").weighing(weight)
        found[name] = score(parts, base + extra, generic)
        found[f"{name} + target rows"] = score(parts, base + gold_rows(gold) + extra, generic)
        print(split, name, len(kept), "rows kept", found[name], flush=True)
    return found


def as_table(draws: Sequence[Mapping[str, Scores]]) -> list[str]:
    """Write mean and sample deviation of each way over the draws, with the paired interval of what it adds."""
    lines = [
        f"| student trained on | strict F1 | lenient score | gain in strict F1 over {BASE} |",
        "| --- | --- | --- | --- |",
    ]
    for name in draws[0]:
        strict, lenient = 100 * np.array([draw[name] for draw in draws]).T
        spread = [f"{values.mean():.1f} ({values.std(ddof=1):.1f})" for values in (strict, lenient)]
        more = "-" if name == BASE else gain(*([draw[which][0] for draw in draws] for which in (name, BASE)))
        lines.append(f"| {name} | {spread[0]} | {spread[1]} | {more} |")
    return lines


def main() -> None:
    """Run all splits and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe", type=Path, help="of the target domain")
    parser.add_argument("--source", type=Path, required=True, help="folder of the other domain")
    parser.add_argument("--rows", type=int, default=100, help="labelled rows of the target domain")
    parser.add_argument("--source-rows", type=int, default=400, help="real rows of the other domain")
    parser.add_argument("--texts", type=int, default=100, help="texts to write")
    parser.add_argument("--splits", type=int, default=3, help="draws, at least 2")
    parser.add_argument("--set", action="append", default=[], help="key.key=value over the recipe")
    parser.add_argument("--out", type=Path, required=True, help="the table, a Markdown file")
    given = parser.parse_args()
    recipe = read_recipe(given.recipe, [f'name="{given.recipe.stem}_cross"', *given.set])
    if recipe.data.task != "intents" or given.splits < 2:
        parser.error("expected a recipe with data.task = 'intents', and two splits or more")
    source = read_annotated(given.source, "intents")
    with opened(recipe, progress=False) as parts:
        draws = [one_split(parts, source, given, split) for split in range(given.splits)]
    changed = "".join(f" --set {setting}" for setting in given.set)
    command = (
        f"python benchmarks/cross_domain.py {given.recipe} --source {given.source} --rows {given.rows} "
        f"--source-rows {given.source_rows} --texts {given.texts} --splits {given.splits}{changed} --out {given.out}"
    )
    note = (
        f"{given.splits} draws; mean (sample standard deviation) in percent; intervals are 95 %, paired over draws. "
        "Only generic intents are scored, on the target's test rows that have one."
    )
    lines = [f"# {recipe.name}", "", f"`{command}`", "", note, "", *as_table(draws), ""]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
