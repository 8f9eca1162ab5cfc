"""Run a recipe: write rows, train students, compare; and use what a run left in its folder."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crossfade import demo
from crossfade.data import Augmented, Example, read_corpus
from crossfade.errors import SettingsError
from crossfade.evaluation.comparison import (
    CLASS_TEXTS,
    GOLD_ONLY,
    RELABELLED,
    WRITTEN,
    Curve,
    ResultRow,
    refuse_leaks,
    score_rows,
    summarise,
)
from crossfade.evaluation.scores import accuracy, macro_f1, predicted_labels
from crossfade.methods import promptmix
from crossfade.models.budget import Prices
from crossfade.models.encoder import SentenceEncoder
from crossfade.parts import Cost, Parts, RecipeLike, opened, prices_of, source_of
from crossfade.roles import Request, Student, Usage
from crossfade.students import load_student
from crossfade.tasks.classification import gold_rows

CHARACTERS_PER_TOKEN = 4
"""Rough length of an English token, for plans; nothing is sent to count them."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run found."""

    folder: Path
    rows: tuple[ResultRow, ...]
    cost: Cost
    requests_per_three_texts: float
    """Writing requests for three texts kept before relabelling."""
    fidelity: Mapping[str, list[float]] = field(default_factory=dict)
    """Share of labels that the oracle confirms, by label source ('written', 'relabelled') and split; measuring only."""
    losses: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Class to stage to count, summed over shots and splits."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "run": str(self.folder),
            "results": [
                {
                    "rows": row.rows,
                    "student": row.student,
                    "shots": row.shots,
                    "splits": row.splits,
                    "accuracy": {"mean": row.mean, "std": row.std, "values": list(row.values)},
                    "uplift": asdict(row.uplift) if row.uplift else None,
                    "worth_per_class": row.worth_per_class,
                }
                for row in self.rows
            ],
            "cost": asdict(self.cost),
            "requests_per_three_texts": self.requests_per_three_texts,
            "fidelity": {source: list(values) for source, values in self.fidelity.items()},
            "losses": {label: dict(counts) for label, counts in self.losses.items()},
        }


def run(recipe: RecipeLike, *, progress: bool = False) -> RunResult:
    """Write rows for several few-shot draws, train with and without them, and compare on the test set.

    The run folder keeps every reply; starting the same run again continues it and asks for nothing twice.

    Args:
        recipe: A recipe, its values, or its TOML file.
        progress: Show a progress bar on standard error.

    Raises:
        SettingsError: The recipe has no test data, or a setting cannot work.
        DataError: The data cannot be read, or test texts stand in the training data.
        ModelError: A model cannot be loaded or reached.
    """
    with opened(recipe, progress) as parts:
        return _compare(parts)


def augment(recipe: RecipeLike, *, progress: bool = False) -> tuple[Path, Augmented]:
    """Write rows from all labelled texts of the recipe into the run folder; return the folder and the rows."""
    with opened(recipe, progress) as parts:
        parts.watch.expect(parts.expected_requests(parts.pool))
        return parts.folder, parts.augment(parts.pool, parts.folder, parts.rng(0, 0))


def train(recipe: RecipeLike, *, progress: bool = False) -> tuple[Path, Student]:
    """Write rows from all labelled texts, fit the student on both, and save it in the run folder."""
    with opened(recipe, progress) as parts:
        parts.watch.expect(parts.expected_requests(parts.pool))
        made = parts.augment(parts.pool, parts.folder, parts.rng(0, 0))
        with parts.watch.stage("training"):
            rows = parts.with_decided(parts.pool, made)
            student = parts.new_student().fit(rows.examples, rows.targets, rows.weights, parts.pool.labels)
            student.save(parts.folder / "student")
        return parts.folder, student


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a saved student says of a text."""

    texts: tuple[str, ...]
    label: str
    probability: float
    """Of the label, in [0, 1]."""


def predict(folder: Path, texts: Sequence[tuple[str, ...]]) -> list[Prediction]:
    """Classify new texts with a saved student.

    Args:
        folder: A run folder, or the folder of the student itself.
        texts: One or two strings per row, as the student was trained on.
    """
    student, labels = _saved_student(folder)
    probabilities = student.predict_probabilities([Example(row, labels[0]) for row in texts])
    return [
        Prediction(row, labels[int(of_row.argmax())], float(of_row.max()))
        for row, of_row in zip(texts, probabilities, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Scores:
    """How a saved student does on labelled texts."""

    accuracy: float
    macro_f1: float
    rows: int


def evaluate(folder: Path, test: str, *, text: str | list[str] | None = None, label: str | None = None) -> Scores:
    """Score a saved student on a labelled file that it has not seen."""
    student, labels = _saved_student(folder)
    corpus = read_corpus(source_of(test, demo.TEST), text=text, label=label, labels=labels, held_out=True)
    predicted = predicted_labels(student, corpus)
    truth = corpus.example_labels
    return Scores(accuracy(predicted, truth), macro_f1(predicted, truth), len(corpus))


@dataclass(frozen=True, slots=True)
class PlannedCalls:
    """What one model would be asked, expected and at most."""

    calls: int
    calls_at_most: int
    prompt_tokens: int
    prompt_tokens_at_most: int
    answer_tokens: int
    answer_tokens_at_most: int
    money: float | None
    """In the currency of the prices; None where a price is unknown."""
    money_at_most: float | None
    example: str
    """One full prompt."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would ask for; nothing was sent."""

    writing: PlannedCalls
    judging: PlannedCalls


def plan(recipe: RecipeLike) -> Plan:
    """Work out what every draw would ask of its models, and show one prompt of each kind; nothing is sent.

    Tokens are counted at four characters each. 'At most' holds for the rounds of topping up, with every answer as long
    as it may be; answers that arrive broken and are asked for again come on top.
    """
    with opened(recipe, progress=False) as parts:
        settings = parts.recipe.method
        form = promptmix.form_of(parts.writer, settings)
        writing: list[Request] = []
        judged = 0
        longest_rounds = 0
        draws = parts.draws if parts.recipe.data.test else [(0, 0)]
        for shots, split in draws:
            gold = parts.draw(shots, split) if parts.recipe.data.test else parts.pool
            book = promptmix.Ledger(gold, settings.texts_per_class, promptmix.texts_in_request(form, settings))
            borders = promptmix.choose_borders(gold, book, form, settings, parts.rng(shots, split))
            writing.extend(border.request for border in borders)
            longest_rounds += promptmix.requests_at_most(gold, form, settings)
            judged += promptmix.judgements(gold, settings)
        judging = promptmix.example_judgement(gold, parts.judge, settings)
        text_length = float(np.mean([len(text) for text in gold.texts])) if len(gold) else 50.0
        answer_length = text_length * promptmix.texts_in_request(form, settings)
        choice_length = float(np.mean([len(choice) for choice in judging.choices]))
        return Plan(
            writing=_planned(writing, len(writing), longest_rounds, answer_length, prices_of(parts.recipe.writer)),
            judging=_planned([judging], judged, judged, choice_length, prices_of(parts.recipe.judge)),
        )


def _planned(
    examples: Sequence[Request], calls: int, at_most: int, answer_length: float, prices: Prices
) -> PlannedCalls:
    """Count calls that are like the examples, answered in so many characters."""
    prompt_tokens = float(np.mean([len(request.full_prompt) for request in examples])) / CHARACTERS_PER_TOKEN
    longest_answer = max(request.sampling.max_tokens for request in examples)
    answer_tokens = min(longest_answer, answer_length / CHARACTERS_PER_TOKEN + 1)
    expected = Usage(prompt_tokens=round(calls * prompt_tokens), answer_tokens=round(calls * answer_tokens))
    most = Usage(prompt_tokens=round(at_most * prompt_tokens), answer_tokens=at_most * longest_answer)
    return PlannedCalls(
        calls=calls,
        calls_at_most=at_most,
        prompt_tokens=expected.prompt_tokens,
        prompt_tokens_at_most=most.prompt_tokens,
        answer_tokens=expected.answer_tokens,
        answer_tokens_at_most=most.answer_tokens,
        money=prices.cost(expected),
        money_at_most=prices.cost(most),
        example=examples[0].full_prompt,
    )


def _compare(parts: Parts) -> RunResult:
    if parts.recipe.data.test is None:
        raise SettingsError(
            "The recipe names no test data, so nothing can be measured.",
            hint="Set data.test to held-out labelled texts, or use `crossfade train` to make a student unmeasured.",
        )
    started = time.perf_counter()
    refuse_leaks([parts.pool], parts.test)
    curve = _real_label_curve(parts)
    lines: list[ResultRow] = []
    fidelity: dict[str, list[float]] = {}
    losses: dict[str, dict[str, int]] = {}
    parts.watch.expect(sum(parts.expected_requests(parts.draw(shots, split)) for shots, split in parts.draws))
    for shots in parts.recipe.comparison.shots:
        values: dict[str, list[float]] = {}
        for split in range(parts.recipe.comparison.splits):
            made = _one_split(parts, shots, split, values, fidelity)
            _add_counts(losses, made.losses)
        lines += summarise(
            values,
            student=parts.recipe.student.kind,
            shots=shots,
            curve=curve,
            rng=np.random.default_rng(parts.recipe.seed),
        )
    accepted = sum(counts.get("accepted", 0) for counts in losses.values())
    requests = sum(counts.get("requests", 0) for counts in losses.values())
    result = RunResult(
        folder=parts.folder,
        rows=tuple(lines),
        cost=parts.cost(time.perf_counter() - started),
        requests_per_three_texts=3 * requests / max(accepted, 1),
        fidelity=fidelity,
        losses=losses,
    )
    (parts.folder / "comparison.json").write_text(json.dumps(result.as_json(), indent=1), encoding="utf-8")
    return result


def _one_split(
    parts: Parts, shots: int, split: int, values: dict[str, list[float]], fidelity: dict[str, list[float]]
) -> Augmented:
    """Augment one draw and score the student on each kind of training rows."""
    gold = parts.draw(shots, split)
    made = parts.augment(gold, parts.folder / "splits" / f"{shots}-shot-{split}", parts.rng(shots, split))
    kinds = {
        GOLD_ONLY: gold_rows(gold),
        CLASS_TEXTS: gold_rows(gold) + parts.class_texts(gold),
        WRITTEN: parts.with_written(gold, made),
        RELABELLED: parts.with_decided(gold, made),
    }
    if not shots:
        del kinds[GOLD_ONLY]
    if parts.recipe.method.relabelling == "none":
        del kinds[RELABELLED]
    with parts.watch.stage(f"training students, draw {split + 1}"):
        for kind, rows in kinds.items():
            values.setdefault(kind, []).append(score_rows(parts.new_student, rows, parts.test))
        if split == 0:
            last = list(kinds.values())[-1]
            student = parts.new_student().fit(last.examples, last.targets, last.weights, gold.labels)
            student.save(parts.folder / "student")
    if parts.recipe.comparison.oracle and made.kept:
        named = parts.oracle_labels([row.example for row in made.kept])
        asked = [row.origin.written_label for row in made.kept]
        decided = [row.example.label for row in made.kept]
        fidelity.setdefault("written", []).append(accuracy(asked, named))
        fidelity.setdefault("relabelled", []).append(accuracy(decided, named))
    return made


def _real_label_curve(parts: Parts) -> Curve | None:
    """Measure the student on growing numbers of real labels, over the same draws."""
    smallest = min(len(parts.pool.of_class(label)) for label in parts.pool.labels)
    shots = [count for count in sorted(set(parts.recipe.comparison.curve)) if 1 <= count <= smallest]
    if not shots:
        return None
    values = []
    with parts.watch.stage("measuring real labels"):
        for count in shots:
            draws = [gold_rows(parts.draw(count, split)) for split in range(parts.recipe.comparison.splits)]
            values.append(tuple(score_rows(parts.new_student, rows, parts.test) for rows in draws))
    curve = Curve(tuple(shots), tuple(values))
    (parts.folder / "curve.json").write_text(json.dumps(asdict(curve)), encoding="utf-8")
    return curve


def _add_counts(total: dict[str, dict[str, int]], more: Mapping[str, Mapping[str, int]]) -> None:
    for label, counts in more.items():
        of_label = total.setdefault(label, {})
        for stage, count in counts.items():
            of_label[stage] = of_label.get(stage, 0) + count


def _saved_student(folder: Path) -> tuple[Student, tuple[str, ...]]:
    inner = folder / "student"
    found = load_student(inner if inner.is_dir() else folder, open_encoder=SentenceEncoder)
    return found, found.labels
