"""What lies between two texts? Intrusion against the ratio, what the ratio steers, and what each remedy is worth.

For example: python benchmarks/intrusion.py recipes/trec6.toml recipes/banking77.toml --shots 5 --splits 5
Each recipe gives the data; `--inverter` names another inverter than its own. Two judges see every text: a student
fitted on the draw, as a remedy may use it, which so has seen the parents; and the oracle, a student fitted on the rest
of the training file, which has not, and which measures and nothing else. `--stages` brings the inverter to each draw's
labelled texts (stage 2 and on), and sets what comes of it beside. Writes table and plot after each draw.
"""

import argparse
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.random import Generator

from crossfade.data import Augmented, Corpus, DataWarning, Example
from crossfade.evaluation.comparison import CLASS_TEXTS, GOLD_ONLY, drop_test_copies, score_rows
from crossfade.evaluation.intrusion import Grid, Intrusion, JudgeScore, measure_intrusion, score_student
from crossfade.evaluation.scores import accuracy
from crossfade.methods.hidden_mixup import HiddenMixupSettings
from crossfade.methods.inversed_mixup import Decoder, InversedMixupSettings, Mix
from crossfade.methods.promptmix import PromptMixSettings
from crossfade.numerics.intrusion import KINDS, intrudes
from crossfade.parts import Parts, opened
from crossfade.recipe import Recipe, read_recipe
from crossfade.refining import STAGES
from crossfade.roles import Inverter, Student
from crossfade.selection.checking import Check, LabelSettings
from crossfade.selection.out_of_fold import fit_on_gold
from crossfade.students.linear import LinearStudent
from crossfade.tasks.classification import gold_rows
from table import gain, percent

RATIOS = np.round(np.append(np.arange(0.1, 0.95, 0.1), 1.0), 2)
SAME_CLASS = 4
"""One pair of one class for so many pairs of two."""
JUDGES = ("student", "oracle")
NO_REMEDY = "no remedy"
HIDDEN = "hidden mixup"
SHIPPED = "as it comes"


@dataclass(frozen=True)
class Oracle:
    """The judge that measures one draw."""

    student: Student
    score: JudgeScore


@dataclass
class Found:
    """What a data set came to, over its draws."""

    grids: dict[tuple[str, int, str], list[Intrusion]] = field(default_factory=dict)
    """Inverter, texts decoded for each point, judge; one per draw."""
    pairs: list[tuple[float, str]] = field(default_factory=list)
    """Intrusion above the floor, as the oracle sees it, and the pair of classes."""
    rows: dict[str, list[tuple[float, float, float, float]]] = field(default_factory=dict)
    """Rows to kept, share outside its parents, share of labels confirmed, accuracy of the student; one per draw."""


def decode_grid(gold: Corpus, inverter: Inverter, pairs: int, settings: InversedMixupSettings, rng: Generator) -> Grid:
    """Decode every ratio between pairs of two classes, and between some of one class where there are any."""
    labels = np.array(gold.example_labels)
    chosen: list[tuple[int, int]] = []
    for wanted, same in ((pairs, False), (pairs // SAME_CLASS, True)):
        allowed = np.argwhere(((labels[:, None] == labels) == same) & ~np.eye(len(gold), dtype=bool))
        drawn = rng.permutation(len(allowed))[:wanted]
        chosen += [(int(first), int(second)) for first, second in allowed[drawn]]
    decoder = Decoder(gold, inverter, settings)
    rows = decoder.write(
        [Mix(first, second, ratio) for first, second in chosen for ratio in RATIOS.tolist()],
        seed=int(rng.integers(2**31)),
        round_index=0,
    )
    # A copy of a parent is a text all the same; what is broken is none.
    texts = [None if (row.origin.reason or "").startswith("unparsable") else row.example.text for row in rows]
    by_pair = [texts[start : start + len(RATIOS)] for start in range(0, len(texts), len(RATIOS))]
    first, second = np.array(chosen).T
    return Grid(gold=gold, first=first, second=second, ratios=RATIOS, texts=by_pair)


def measure_grid(
    grid: Grid, inverter: Inverter, parts: Parts, oracle: Oracle, found: Found, key: tuple[str, int], rng: Generator
) -> Intrusion:
    """Let both judges see a grid, and return what the oracle says."""
    examples = [Example((text,), "") for text in grid.told]
    vectors, parents = inverter.encode(grid.told), inverter.encode(grid.gold.texts)

    def new_student() -> LinearStudent:
        return LinearStudent(parts.models.encoder)

    student = fit_on_gold(grid.gold, new_student)
    score = score_student(grid.gold, new_student)
    said = student.predict_probabilities(examples)
    of_student = measure_intrusion(grid, said, vectors, parents, score, rng)
    said = oracle.student.predict_probabilities(examples)
    measured = measure_intrusion(grid, said, vectors, parents, oracle.score, rng)
    for judge, of_judge in zip(JUDGES, (of_student, measured), strict=True):
        found.grids.setdefault((*key, judge), []).append(of_judge)
    return measured


def note_class_pairs(measured: Intrusion, labels: Sequence[str], found: Found) -> None:
    """Keep which pairs of classes intrude most."""
    for first, second in np.argwhere(~np.isnan(measured.above_by_class_pair)):
        names = f"{labels[first]} and {labels[second]}"
        found.pairs.append((float(measured.above_by_class_pair[first, second]), names))


def oracle_of(gold: Corpus, parts: Parts) -> Oracle:
    """Fit the judge that measures on the training file without a draw's texts, and score it on the test texts."""
    pool, parents = parts.texts.pool, set(gold.texts)
    unseen = pool.rows([row for row, text in enumerate(pool.texts) if text not in parents])
    rows = gold_rows(unseen)
    student = LinearStudent(parts.models.encoder).fit(rows.examples, rows.targets, rows.weights, pool.labels)
    named = student.predict_probabilities(parts.texts.test.examples).argmax(axis=1)
    right = accuracy(parts.texts.test.example_labels, [pool.labels[column] for column in named])
    return Oracle(student, JudgeScore(name="oracle", accuracy=right, texts=len(parts.texts.test)))


def remedies(settings: InversedMixupSettings) -> dict[str, tuple[InversedMixupSettings, Check]]:
    """Return each remedy's way of writing and of checking labels."""

    def written(**changes: object) -> InversedMixupSettings:
        return settings.model_copy(update=changes)

    return {
        NO_REMEDY: (settings, "none"),
        "relabel, hard": (settings, "student"),
        "relabel, soft": (settings, "student_soft"),
        "average": (settings, "average"),
        "drop third classes": (settings, "between"),
        "ratio at least 0.8": (written(least_ratio=0.8), "none"),
        "same class only": (written(pairs="same_class"), "none"),
        "move (ours)": (written(moves=4), "none"),
        "move (ours), average": (written(moves=4), "average"),
    }


def measure_rivals(
    gold: Corpus, parts: Parts, texts_per_class: int, seed: list[int], oracle: Student, found: Found
) -> None:
    """Train students on the gold texts, and on as many rows of the rivals."""
    for name, rows in ((GOLD_ONLY, gold_rows(gold)), (CLASS_TEXTS, parts.base_rows(gold))):
        scored = score_rows(parts.new_student, rows, parts.texts.test)
        found.rows.setdefault(name, []).append((0.0, np.nan, np.nan, scored))
    for name, rival in (
        (HIDDEN, HiddenMixupSettings(texts_per_class=texts_per_class)),
        ("PromptMix", PromptMixSettings(texts_per_class=texts_per_class)),
    ):
        made = parts.write(gold, rival, np.random.default_rng(seed))
        found.rows.setdefault(name, []).append(outcome(made, gold, parts, oracle))


def try_remedies(
    tried: Mapping[str, tuple[InversedMixupSettings, Check]],
    gold: Corpus,
    parts: Parts,
    seed: list[int],
    oracle: Student,
    found: Found,
) -> None:
    """Write with each remedy, and train a student on what is left."""
    written: dict[str, Augmented] = {}
    for name, (method, check) in tried.items():
        if method.pairs == "same_class" and len(gold) == len(gold.labels):
            continue
        key = method.model_dump_json()
        if key not in written:
            written[key] = parts.write(gold, method, np.random.default_rng(seed))
        made = parts.check(written[key], gold, LabelSettings(check=check))
        found.rows.setdefault(name, []).append(outcome(made, gold, parts, oracle))


def outcome(made: Augmented, gold: Corpus, parts: Parts, oracle: Student) -> tuple[float, float, float, float]:
    """Return kept rows, what the oracle says of them, and the accuracy of a student trained with them."""
    made = drop_test_copies(made, parts.texts.test)
    scored = score_rows(parts.new_student, parts.with_synthetic(gold, made), parts.texts.test)
    readable = [row for row in made.kept if row.origin.method == "inversed_mixup"]
    if not readable:
        return float(len(made.kept)), np.nan, np.nan, scored
    labels, origins = gold.labels, [row.origin for row in readable]
    said = oracle.predict_probabilities([row.example for row in readable])
    first, second = (np.array([labels.index(origin.parents[place]) for origin in origins]) for place in (0, 1))
    outside = intrudes(said, first, second, np.array([origin.ratio for origin in origins]))
    confirmed = accuracy([row.example.label for row in readable], [labels[column] for column in said.argmax(axis=1)])
    return float(len(made.kept)), float(outside.mean()), confirmed, scored


def measure(
    parts: Parts,
    inverters: Mapping[str, Recipe],
    given: argparse.Namespace,
    found: Found,
    after_draw: Callable[[], None],
) -> None:
    """Measure one data set over its draws, with the recipe of each way to come by an inverter."""
    settings = InversedMixupSettings(texts_per_class=max(given.texts, 1), candidates=given.candidates)
    for split in range(given.splits):
        gold, seed = parts.texts.draw(given.shots, split), [given.seed, given.shots, split]
        oracle = oracle_of(gold, parts)
        for name, recipe in inverters.items():
            parts.recipe = recipe
            inverter = parts.inverter_for(gold)
            for candidates in given.grids:
                rng = parts.rng(given.shots, split)
                one_of = settings.model_copy(update={"candidates": candidates})
                grid = decode_grid(gold, inverter, given.pairs, one_of, rng)
                measured = measure_grid(grid, inverter, parts, oracle, found, (name, candidates), rng)
                if (name, candidates) == (SHIPPED, given.grids[0]):
                    note_class_pairs(measured, gold.labels, found)
            if given.texts:
                if name == SHIPPED:
                    measure_rivals(gold, parts, settings.texts_per_class, seed, oracle.student, found)
                tried = {what: way for what, way in remedies(settings).items() if what in given.remedies}
                named = {what if name == SHIPPED else f"{what}; {name}": way for what, way in tried.items()}
                try_remedies(named, gold, parts, seed, oracle.student, found)
        print(f"{parts.recipe.name}: draw {split + 1} of {given.splits}", flush=True)
        after_draw()


def table_of(name: str, found: Found) -> list[str]:
    """Return the tables of one data set."""
    lines = [f"## {name}", ""]
    lines.append(
        "| inverter | best of | judge | right on unseen labelled texts | ratio and place | ratio and judged share |"
    )
    lines.append("| --- |" + " --- |" * 5)
    for (inverter, candidates, judge), draws in found.grids.items():
        controls = [[draw.embedded_control for draw in draws], [draw.judged_control for draw in draws]]
        told = [
            f"{np.mean(values):.2f}" + (f" ({np.std(values, ddof=1):.2f})" if values[1:] else "") for values in controls
        ]
        right = percent([draw.judge.accuracy for draw in draws])
        lines.append(f"| {inverter} | {candidates} | {judge} | {right} | {' | '.join(told)} |")
    for (inverter, candidates, judge), draws in found.grids.items():
        if judge == "oracle":
            lines += ["", *curve_table(f"{inverter}, best of {candidates}: oracle, above ratio 1", draws)]
    worst: dict[str, list[float]] = {}
    for above_floor, names in found.pairs:
        worst.setdefault(names, []).append(above_floor)
    often = sorted(worst.items(), key=lambda pair: -float(np.mean(pair[1])))[:5]
    said = "; ".join(f"{names} {100 * np.mean(values):.0f}" for names, values in often)
    lines += [
        "",
        f"Pairs of classes, the first parent's first, with most texts of neither, in percent above the floor: {said}.",
        "",
    ]
    if not found.rows:
        return lines
    lines.append(
        "| rows | kept | outside its parents | label the oracle confirms | accuracy | gain over hidden mixup |"
    )
    lines.append("| --- |" + " --- |" * 5)
    mixed = [scored for *_, scored in found.rows[HIDDEN]]
    for row, outcomes in found.rows.items():
        kept, outside, confirmed, scored = (list(column) for column in zip(*outcomes, strict=True))
        cells = [percent(outside), percent(confirmed), percent(scored), "-" if row == HIDDEN else gain(scored, mixed)]
        lines.append(f"| {row} | {np.mean(kept):.0f} | {' | '.join(cells)} |")
    return [*lines, ""]


def curve_table(title: str, draws: Sequence[Intrusion]) -> list[str]:
    """Return every kind's floor and what is above it at each ratio."""
    ratios = draws[0].ratios
    lines = [f"| {title} | floor | {' | '.join(f'{ratio:g}' for ratio in ratios)} |"]
    lines.append("| --- |" + " --- |" * (len(ratios) + 1))
    for kind in KINDS:
        curves = [draw.curves[kind] for draw in draws]
        above = np.array([curve.above for curve in curves])
        cells = [percent(above[:, column].tolist()) for column in range(len(ratios))]
        lines.append(
            f"| {kind.replace('_', ' ')} | {percent([curve.floor for curve in curves])} | {' | '.join(cells)} |"
        )
    return lines


def plot(found: Mapping[str, Found], best_of: int, path: Path) -> None:
    """Draw the curves of each data set, every kind a line with its band, the student's judgement dashed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(found), figsize=(6 * len(found), 4), squeeze=False, sharey=True)
    for axis, (name, of_data) in zip(axes[0], found.items(), strict=True):
        for colour, kind in enumerate(KINDS):
            for judge, style in zip(JUDGES, ("--", "-"), strict=True):
                draws = of_data.grids[SHIPPED, best_of, judge]
                mean = mean_of([draw.curves[kind].above for draw in draws])
                shown = kind.replace("_", " ") if judge == "oracle" else None
                axis.plot(draws[0].ratios, 100 * mean, style, color=f"C{colour}", label=shown)
            low, high = (
                mean_of([getattr(draw.curves[kind], end) for draw in of_data.grids[SHIPPED, best_of, "oracle"]])
                for end in ("above_low", "above_high")
            )
            axis.fill_between(draws[0].ratios, 100 * low, 100 * high, color=f"C{colour}", alpha=0.12)
        axis.axhline(0, color="grey", linewidth=0.5)
        axis.set(title=name, xlabel="share of the first parent")
    axes[0, 0].set_ylabel("texts that intrude, % above ratio 1")
    lines, names = axes[0, 0].get_legend_handles_labels()
    title = "oracle; dashed: student of the draw"
    figure.legend(lines, names, title=title, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(KINDS))
    figure.tight_layout()
    figure.savefig(path, dpi=120, bbox_inches="tight")


def mean_of(draws: Sequence[np.ndarray]) -> np.ndarray:
    """Average over the draws; NaN where any has none."""
    return np.asarray(np.mean(draws, axis=0))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipes", type=Path, nargs="+")
    parser.add_argument("--inverter", help="folder of a trained inverter")
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=100, help="pairs of texts of two classes in each draw's grid")
    parser.add_argument(
        "--texts", type=int, default=20, help="texts per class that each remedy is tried on; 0: curves alone"
    )
    parser.add_argument("--candidates", type=int, default=4)
    every = list(remedies(InversedMixupSettings()))
    parser.add_argument("--remedies", nargs="+", default=every, choices=every, help="all when left out")
    parser.add_argument(
        "--grids", type=int, nargs="+", default=[1], help="texts decoded for each point of the curves; nearest is taken"
    )
    parser.add_argument("--stages", nargs="*", default=[], choices=list(STAGES), help="what refines the inverter")
    parser.add_argument("--unlabelled", default="../shared/data/unlabelled/short_sentences.jsonl.gz")
    parser.add_argument("--set", action="append", default=[], help="KEY.KEY=VALUE of the stages' settings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/intrusion.md"))
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None, adapt: Callable[[Parts], None] = lambda parts: None) -> None:
    """Measure each recipe's data and write table and plot; `adapt` may change the parts first."""
    given = parse(arguments)
    warnings.simplefilter("ignore", DataWarning)
    found: dict[str, Found] = {}
    for path in given.recipes:
        overrides = ['folder="benchmarks/runs"', *([f'inverter.path="{given.inverter}"'] if given.inverter else [])]
        recipe = read_recipe(path, overrides)
        inverters = {SHIPPED: recipe}
        if given.stages:
            brought = [f"inverter.stages={given.stages}", f'inverter.unlabelled="{given.unlabelled}"']
            brought += [f"inverter.refinement.{setting}" for setting in given.set]
            inverters[" + ".join(given.stages)] = read_recipe(path, [*overrides, *brought])
        found[recipe.name] = Found()
        with opened(recipe, progress=False) as parts:
            adapt(parts)
            measure(parts, inverters, given, found[recipe.name], lambda: write_page(given, found))
    print(given.out.read_text(encoding="utf-8"))


def write_page(given: argparse.Namespace, found: Mapping[str, Found]) -> None:
    """Write what was found so far."""
    names = " ".join(str(path) for path in given.recipes)
    more = "".join(f" --set {said}" for said in given.set)
    more = f" --stages {' '.join(given.stages)}{more}" if given.stages else ""
    if given.texts and given.remedies != list(remedies(InversedMixupSettings())):
        more += " --remedies " + " ".join(f"'{name}'" for name in given.remedies)
    draws = " and ".join(
        str(len(of_data.grids[SHIPPED, given.grids[0], "oracle"])) for of_data in found.values() if of_data.grids
    )
    lines = [
        "# Manifold intrusion",
        "",
        f"`python benchmarks/intrusion.py {names} --shots {given.shots} --splits {given.splits} --pairs {given.pairs} "
        f"--texts {given.texts} --candidates {given.candidates} --grids {' '.join(map(str, given.grids))}{more}`",
        "",
        f"{given.shots} real labels per class, {draws} draws. Mean (sample standard deviation) in percent. The "
        "definitions: docs/methods/inversed_mixup.md. Control is Spearman's correlation over all texts with ratios 0.1 "
        "to 0.9. Judges, curves and pairs of classes: of so many texts decoded at a point the nearest; rows: the best "
        f"of {given.candidates}. The oracle of a draw has not seen the draw's texts; the student has.",
        "",
        f"![Curves]({given.out.with_suffix('.png').name})",
        "",
    ]
    lines += [line for name, of_data in found.items() for line in table_of(name, of_data)]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text("\n".join(lines), encoding="utf-8")
    plot(found, given.grids[0], given.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
