"""Turn a recipe into objects and a run folder: the only place where methods meet concrete models and students."""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from crossfade import demo
from crossfade.data import Augmented, Corpus, Example, read_corpus, read_unlabelled, write_rows
from crossfade.errors import ModelError, SettingsError
from crossfade.evaluation.comparison import (
    GOLD_ONLY,
    Curve,
    ResultRow,
    refuse_leaks,
    score_rows,
    summarise,
    without_overlap,
)
from crossfade.evaluation.scores import accuracy, macro_f1, predicted_labels
from crossfade.methods import promptmix
from crossfade.models.chat import connect
from crossfade.models.embedded import EmbeddedModel
from crossfade.models.encoder import SentenceEncoder
from crossfade.models.replies import ReplyStore, StoredModel
from crossfade.models.steerable import OpenWeights
from crossfade.packaged import packaged_writer
from crossfade.recipe import ModelSettings, Recipe, as_recipe, write_recipe
from crossfade.roles import Form, Reply, Request, Student, TextModel
from crossfade.students import load_student
from crossfade.students.encoder_classifier import EncoderClassifier
from crossfade.students.linear import LinearStudent
from crossfade.tasks.classification import (
    TrainingRows,
    class_text_rows,
    draw_shots,
    gold_rows,
    hard_rows,
    synthetic_rows,
)

WRITTEN = "+ written"
"""Gold and synthetic rows, with the labels that the writer was asked for."""
RELABELLED = "+ relabelled"
"""Gold and synthetic rows, with the labels decided after writing."""
CLASS_TEXTS = "gold + class texts"
"""Gold rows and one row per class, its description or name: what the classes' own words are worth without writing."""
CHARACTERS_PER_TOKEN = 4
"""Rough length of an English token, for plans; nothing is sent to count them."""

RecipeLike = Recipe | Mapping[str, Any] | str | Path


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run asked of its models in this process; replies from the store cost nothing."""

    requests: int
    from_store: int
    failed: int
    prompt_tokens: int
    cached_tokens: int
    answer_tokens: int
    writing_requests: int
    """Requests to the writer, replies from the store included."""
    seconds: float
    """Wall time of the whole run."""


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
        return parts.folder, parts.augment(parts.pool, parts.folder, parts.rng(0, 0))


def train(recipe: RecipeLike, *, progress: bool = False) -> tuple[Path, Student]:
    """Write rows from all labelled texts, fit the student on both, and save it in the run folder."""
    with opened(recipe, progress) as parts:
        made = parts.augment(parts.pool, parts.folder, parts.rng(0, 0))
        with parts.watch.stage("training"):
            rows = gold_rows(parts.pool) + parts.synthetic(made)
            if parts.recipe.training.class_texts:
                rows = rows + class_text_rows(parts.pool, descriptions=parts.recipe.method.descriptions)
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
    corpus = read_corpus(_source(test, demo.TEST), text=text, label=label, labels=labels, held_out=True)
    predicted = predicted_labels(student, corpus)
    truth = corpus.example_labels
    return Scores(accuracy(predicted, truth), macro_f1(predicted, truth), len(corpus))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would ask for; nothing was sent."""

    writing_requests: int
    judging_requests: int
    prompt_tokens: int
    """Expected, counted at four characters a token."""
    answer_tokens_at_most: int
    example_writing: str
    example_judging: str


def plan(recipe: RecipeLike) -> Plan:
    """Work out the requests of the first round of every draw, and show one prompt of each kind."""
    with opened(recipe, progress=False) as parts:
        settings = parts.recipe.method
        writer_form = promptmix.form_of(parts.writer, settings)
        writing: list[Request] = []
        draws = [
            (shots, split)
            for shots in parts.recipe.comparison.shots
            for split in range(parts.recipe.comparison.splits if parts.recipe.data.test else 1)
        ]
        for shots, split in draws:
            gold = parts.draw(shots, split) if parts.recipe.data.test else parts.pool
            book = promptmix.Ledger(gold, settings)
            borders = promptmix.choose_borders(gold, book, writer_form, settings, parts.rng(shots, split))
            writing.extend(border.request for border in borders)
        judging = promptmix.example_judgement(gold, parts.judge, settings)
        texts = settings.texts_per_class * len(parts.pool.labels) * len(draws)
        judged = 0 if settings.relabelling == "none" else texts
        characters = sum(len(request.full_prompt) for request in writing) + judged * len(judging.full_prompt)
        return Plan(
            writing_requests=len(writing),
            judging_requests=judged,
            prompt_tokens=characters // CHARACTERS_PER_TOKEN,
            answer_tokens_at_most=sum(request.sampling.max_tokens for request in writing)
            + judged * judging.sampling.max_tokens,
            example_writing=writing[0].full_prompt,
            example_judging=judging.full_prompt,
        )


def _compare(parts: "Parts") -> RunResult:
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
    parts: "Parts", shots: int, split: int, values: dict[str, list[float]], fidelity: dict[str, list[float]]
) -> Augmented:
    """Augment one draw and score the student on each kind of training rows."""
    gold = parts.draw(shots, split)
    made = parts.augment(gold, parts.folder / "splits" / f"{shots}-shot-{split}", parts.rng(shots, split))
    written = hard_rows(
        [row.example for row in made.kept], [row.origin.written_label for row in made.kept], gold.labels
    )
    base = gold_rows(gold)
    kinds: dict[str, TrainingRows] = {}
    if shots:
        kinds[GOLD_ONLY] = base
    class_texts = class_text_rows(gold, descriptions=parts.recipe.method.descriptions)
    kinds[CLASS_TEXTS] = base + class_texts
    if parts.recipe.training.class_texts:
        base = base + class_texts
    kinds[WRITTEN] = base + written
    if parts.recipe.method.relabelling != "none":
        kinds[RELABELLED] = base + parts.synthetic(made)
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


def _real_label_curve(parts: "Parts") -> Curve | None:
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


@contextmanager
def opened(recipe: RecipeLike, progress: bool) -> Iterator["Parts"]:
    """Make the run folder and the recipe's objects; models load when first asked and are freed at the end."""
    settings = as_recipe(recipe)
    folder = settings.run_folder
    folder.mkdir(parents=True, exist_ok=True)
    with ReplyStore(folder / "replies.sqlite") as store, Watch(progress) as watch:
        write_recipe(settings, folder / "recipe.toml")
        parts = Parts(settings, folder, store, watch)
        try:
            yield parts
        finally:
            parts.close()


class Parts:
    """The concrete objects that a recipe names, made when first used."""

    def __init__(self, recipe: Recipe, folder: Path, store: ReplyStore, watch: "Watch") -> None:
        self.recipe = recipe
        self.folder = folder
        self.watch = watch
        self._store = store
        self._embedded: list[EmbeddedModel] = []

    @cached_property
    def pool(self) -> Corpus:
        """The labelled texts; few-shot draws come from them."""
        pool = self._read(self.recipe.data.train, demo.POOL, split="train")
        if self.recipe.data.test and self.recipe.data.overlap == "drop":
            return without_overlap(pool, self.test)
        return pool

    @cached_property
    def test(self) -> Corpus:
        """The held-out texts; only scores see them."""
        labels = self._read(self.recipe.data.train, demo.POOL, split="train").labels
        return self._read(str(self.recipe.data.test), demo.TEST, split="test", held_out=True, labels=labels)

    def _read(self, name: str, shipped: Path, **how: Any) -> Corpus:
        data = self.recipe.data
        return read_corpus(
            _source(name, shipped),
            text=data.text,
            label=data.label,
            label_names=data.label_names,
            descriptions=data.descriptions,
            on_bad_rows=data.on_bad_rows,
            **how,
        )

    def rng(self, shots: int, split: int) -> np.random.Generator:
        """Return the generator of one draw's augmentation."""
        return np.random.default_rng([self.recipe.seed, shots, split])

    def draw(self, shots: int, split: int) -> Corpus:
        """Draw some real labels per class; a split's draws of different sizes are nested."""
        return draw_shots(self.pool, shots, np.random.default_rng([self.recipe.seed, split]))

    @cached_property
    def encoder(self) -> SentenceEncoder:
        """The sentence encoder."""
        return SentenceEncoder(self.recipe.encoder)

    @cached_property
    def writer(self) -> StoredModel:
        """The writing model behind the store."""
        if self.recipe.writer.kind == "likelihood":
            raise SettingsError("writer.kind is 'likelihood', which can only judge.", hint="Use 'embedded'.")
        return StoredModel(self._model(self.recipe.writer), self._store)

    @cached_property
    def judge(self) -> StoredModel:
        """The judging model behind the store."""
        return StoredModel(self._model(self.recipe.judge), self._store)

    def _model(self, settings: ModelSettings) -> TextModel:
        if settings.kind == "endpoint":
            return _endpoint(settings)
        if settings.kind == "likelihood":
            return OpenWeights(settings.path or packaged_writer(), cache=_cache_folder())
        model = EmbeddedModel(settings.path, parallel=settings.concurrency, context=settings.context)
        self._embedded.append(model)
        return model

    def close(self) -> None:
        """Free the embedded models."""
        for model in self._embedded:
            model.close()

    def new_student(self) -> Student:
        """Make an unfitted student."""
        settings = self.recipe.student
        if settings.kind == "linear":
            return LinearStudent(self.encoder, settings=settings.linear)
        return EncoderClassifier(settings.base, settings.encoder_classifier)

    def augment(self, gold: Corpus, folder: Path, rng: np.random.Generator) -> Augmented:
        """Run the method on gold texts and write its rows to a folder."""
        with self.watch.stage(f"writing and judging, {folder.name}") as tick:
            made = promptmix.augment(
                gold,
                writer=_Watched(self.writer, tick),
                judge=_Watched(self.judge, tick),
                encoder=self.encoder,
                settings=self.recipe.method,
                rng=rng,
            )
        folder.mkdir(parents=True, exist_ok=True)
        write_rows(made.kept, folder / "kept.jsonl")
        write_rows(made.dropped, folder / "dropped.jsonl")
        losses = {"stopped": made.stopped, "classes": made.losses, "sources": made.sources}
        (folder / "losses.json").write_text(json.dumps(losses, indent=1), encoding="utf-8")
        return made

    def synthetic(self, made: Augmented) -> TrainingRows:
        """Turn kept rows into training rows, as the recipe's training settings say."""
        use = self.recipe.training
        return synthetic_rows(made.kept, self.pool.labels, soft=use.soft_labels, weighted=use.confidence_weights)

    def oracle_labels(self, examples: Sequence[Example]) -> list[str]:
        """Label texts with a student trained on the whole training file; for measuring only."""
        best = self._oracle.predict_probabilities(examples).argmax(axis=1)
        return [self.pool.labels[index] for index in best]

    @cached_property
    def _oracle(self) -> Student:
        with self.watch.stage("training the oracle (measuring only)"):
            rows = gold_rows(self.pool)
            return LinearStudent(self.encoder).fit(rows.examples, rows.targets, rows.weights, self.pool.labels)

    def cost(self, seconds: float) -> Cost:
        """Add up what the models were asked."""
        both = [self.writer.counts, self.judge.counts]
        return Cost(
            requests=sum(counts.asked for counts in both),
            from_store=sum(counts.from_store for counts in both),
            failed=sum(counts.failed for counts in both),
            prompt_tokens=sum(counts.prompt_tokens for counts in both),
            cached_tokens=sum(counts.cached_tokens for counts in both),
            answer_tokens=sum(counts.answer_tokens for counts in both),
            writing_requests=self.writer.counts.asked + self.writer.counts.from_store,
            seconds=seconds,
        )


def _endpoint(settings: ModelSettings) -> TextModel:
    if not settings.base_url or not settings.model:
        raise SettingsError(
            f"An endpoint needs base_url and model; found {settings.base_url!r} and {settings.model!r}."
        )
    key = os.environ.get(settings.key_variable)
    if not key:
        raise ModelError(
            f"The environment variable {settings.key_variable} holds no key for {settings.base_url}.",
            hint=f"Set it with: export {settings.key_variable}=...  (any word for a local server without keys).",
        )
    return connect(
        settings.base_url,
        settings.model,
        key,
        form=settings.form,
        concurrency=settings.concurrency,
        closed_choice=settings.closed_choice,
    )


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "crossfade"


def _source(name: str, shipped: Path) -> Path | str:
    return shipped if name == "demo" else name


def _saved_student(folder: Path) -> tuple[Student, tuple[str, ...]]:
    inner = folder / "student"
    found = load_student(inner if inner.is_dir() else folder, open_encoder=SentenceEncoder)
    return found, found.labels


class Watch:
    """Progress bars on standard error: one line per stage, counting replies."""

    def __init__(self, show: bool) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not show,
        )

    def __enter__(self) -> "Watch":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextmanager
    def stage(self, text: str) -> Iterator[Callable[[], None]]:
        """Show a stage; the function handed out counts one more reply."""
        task = self._bars.add_task(text, total=None)
        yield lambda: self._bars.advance(task)
        done = self._bars.tasks[task].completed
        self._bars.update(task, total=done or 1, completed=done or 1)


class _Watched:
    """A text model whose replies are counted as they pass."""

    def __init__(self, model: TextModel, tick: Callable[[], None]) -> None:
        self._model = model
        self._tick = tick

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def preferred_form(self) -> Form:
        return self._model.preferred_form

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        for reply in self._model.answer(requests):
            self._tick()
            yield reply


__all__ = [
    "Cost",
    "Plan",
    "Prediction",
    "RunResult",
    "Scores",
    "augment",
    "evaluate",
    "plan",
    "predict",
    "read_unlabelled",
    "run",
    "train",
]
