"""Make the objects that a recipe names: the only place where methods meet concrete models and students."""

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.request import getproxies, proxy_bypass

import numpy as np

from crossfade import demo
from crossfade.attribute_roles import PromptTuner
from crossfade.data import (
    ANNOTATED_TASKS,
    Augmented,
    Corpus,
    DataWarning,
    Example,
    has_mixed,
    read_annotated,
    read_corpus,
    read_squad,
    write_rows,
)
from crossfade.errors import DataError, ModelError, SettingsError
from crossfade.evaluation.comparison import without_overlap
from crossfade.evaluation.scores import trained
from crossfade.libraries import require_libraries
from crossfade.methods import (
    aeda,
    eda,
    example_prompting,
    gpt3mix,
    hidden_mixup,
    inversed_mixup,
    label_prompting,
    logit_mixup,
    mention_replacement,
    promptmix,
    soft_prompt_mixture,
    stepwise_synthesis,
)
from crossfade.methods.stepwise_calls import StepwiseSynthesisSettings, written_parts
from crossfade.methods.writing import Assignment, WritingSettings, mean_length, open_ledger
from crossfade.models.budget import FREE, Budget, Limits, Prices, Spent, cost_of
from crossfade.models.chat import connect
from crossfade.models.embedded import EmbeddedModel
from crossfade.models.encoder import SentenceEncoder
from crossfade.models.inverter import SentenceInverter
from crossfade.models.pace import Pace
from crossfade.models.replies import ReplyStore
from crossfade.models.steerable import OpenWeights
from crossfade.models.stored import Counts, StoredModel
from crossfade.packaged import packaged_inverter, packaged_writer
from crossfade.recipe import (
    MethodSettings,
    ModelSettings,
    Recipe,
    StudentKind,
    TrainedKind,
    WritingMethodSettings,
    as_recipe,
    write_recipe,
)
from crossfade.roles import Encoder, Floats, Inverter, Learner, Student, TextModel, Usage
from crossfade.selection.attribute_trust import trust_intents
from crossfade.selection.checking import Check, LabelSettings, check_labels, judgements
from crossfade.selection.format_probe import probe_format
from crossfade.selection.noise_report import label_noise
from crossfade.students.contrastive import ContrastiveStudent
from crossfade.students.encoder_classifier import EncoderClassifier
from crossfade.students.linear import LinearStudent
from crossfade.students.multi_label import MultiLabelClassifier
from crossfade.students.nearest import NearestStudent
from crossfade.students.span_reader import SpanReader
from crossfade.students.text_to_text import TextToText
from crossfade.students.token_classifier import TokenClassifier
from crossfade.tasks.classification import (
    TrainingRows,
    class_text_rows,
    draw_shots,
    gold_rows,
    synthetic_rows,
)
from crossfade.tasks.shapes import task_of
from crossfade.tasks.splitting import GoldSplit, split_gold
from crossfade.watch import Meter, Watch

NOISE_NAME = "noise.json"
CLASSIFIERS = ("linear", "contrastive", "encoder_classifier", "nearest")
"""Students of one class to a text."""
STUDENTS_OF: Mapping[str, tuple[str, ...]] = {
    "reading": ("span_reader",),
    "intents": ("encoder_classifier", "text_to_text"),
    "entities": ("token_classifier", "text_to_text"),
    "parses": ("text_to_text",),
}
"""Which students a task without classes can have."""
METHODS_OF: Mapping[str, tuple[str, ...]] = {"reading": ("stepwise_synthesis",)} | dict.fromkeys(
    ANNOTATED_TASKS, ("soft_prompt_mixture", "example_prompting", "mention_replacement", "eda")
)
"""Which methods a task without classes can have."""
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
    money: float | None
    """For all starts of the run together, in the currency of the prices; None where a price is unknown."""
    seconds: float
    """Wall time of the whole run."""


@contextmanager
def opened(recipe: RecipeLike, progress: bool) -> Iterator["Parts"]:
    """Make the run folder and the recipe's objects; models load when first asked and are freed at the end."""
    settings = as_recipe(recipe)
    check_task(settings)
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

    def __init__(self, recipe: Recipe, folder: Path, store: ReplyStore, watch: Watch) -> None:
        self.recipe = recipe
        self.folder = folder
        self.watch = watch
        self._store = store
        self._embedded: list[EmbeddedModel] = []
        self._weights: dict[str | Path, OpenWeights] = {}
        limits = recipe.budget
        self._budget = Budget(Limits(limits.max_requests, limits.max_tokens, limits.max_cost))
        self._prices: dict[str, Prices] = {}
        watch.meter = self._meter

    @cached_property
    def pool(self) -> Corpus:
        """The labelled texts; few-shot draws come from them."""
        data = self.recipe.data
        if data.test_share is not None:
            return self._split.errors
        pool = self._all_labelled
        if data.test and data.task is not None:
            pool = without_shared_contexts(pool, self.test, drop=data.overlap == "drop")
        if data.test and data.overlap == "drop":
            return without_overlap(pool, self.test)
        return pool

    @cached_property
    def test(self) -> Corpus:
        """The held-out texts; only scores see them."""
        if self.recipe.data.test_share is not None:
            return self._split.test
        labels = self._all_labelled.labels
        return self._read(str(self.recipe.data.test), demo.TEST, split="test", held_out=True, labels=labels)

    @cached_property
    def _all_labelled(self) -> Corpus:
        return self._read(self.recipe.data.train, demo.POOL, split="train")

    @cached_property
    def _split(self) -> GoldSplit:
        """The training file in two, where no file is held out."""
        rng = np.random.default_rng(self.recipe.seed)
        rows, share = self._all_labelled, self.recipe.data.test_share or 0.0
        return split_gold(rows, task_of(rows), development=0.0, test=share, rng=rng)

    @property
    def label_check(self) -> Check:
        """The recipe's label check; 'none' for mixed embeddings, and where there are neither classes nor intents."""
        mixes = isinstance(self.recipe.method, hidden_mixup.HiddenMixupSettings)
        return "none" if mixes or not self._has_labels else self.recipe.labels.check

    @property
    def _has_labels(self) -> bool:
        """Whether labels can be checked after a text is written: those of 'entities' and 'parses' are, while it is."""
        return self.recipe.data.has_classes or self.recipe.data.task == "intents"

    def _read(self, name: str, shipped: Path, **how: Any) -> Corpus:
        data = self.recipe.data
        if data.task == "reading":
            return read_squad(name, kind=data.kind, split=how["split"], on_bad_rows=data.on_bad_rows)
        if data.task in ANNOTATED_TASKS:
            return read_annotated(
                name,
                data.task,
                descriptions=data.descriptions,
                kind=data.kind,
                attributes=data.attributes,
                split=how["split"],
                on_bad_rows=data.on_bad_rows,
                held_out=how.get("held_out", False),
            )
        return read_corpus(
            source_of(name, shipped),
            text=data.text,
            label=data.label,
            label_names=data.label_names,
            descriptions=data.descriptions,
            kind=data.kind,
            on_bad_rows=data.on_bad_rows,
            **how,
        )

    def rng(self, shots: int, split: int) -> np.random.Generator:
        """Return the generator of one draw's augmentation."""
        return np.random.default_rng([self.recipe.seed, shots, split])

    def draw(self, shots: int, split: int) -> Corpus:
        """Draw some real labels per class; a split's draws of different sizes are nested."""
        return draw_shots(self.pool, shots, np.random.default_rng([self.recipe.seed, split]))

    @property
    def draws(self) -> list[tuple[int, int]]:
        """Every (shots, split) of the comparison."""
        comparison = self.recipe.comparison
        return [(shots, split) for shots in comparison.shots for split in range(comparison.splits)]

    @cached_property
    def encoder(self) -> SentenceEncoder:
        """The sentence encoder."""
        return SentenceEncoder(self.recipe.encoder)

    @cached_property
    def inverter(self) -> Inverter:
        """What turns embeddings into texts."""
        path = self.recipe.inverter.path
        return open_inverter(None if path is None else Path(path))

    @cached_property
    def writer(self) -> StoredModel:
        """The writing model behind the store."""
        if self.recipe.writer.kind == "likelihood":
            raise SettingsError("writer.kind is 'likelihood', which can only judge.", hint="Use 'embedded'.")
        return self._stored(self.recipe.writer, "writer")

    @cached_property
    def guided_writer(self) -> StoredModel:
        """The writer's weights, opened for guided writing, behind the store."""
        settings = self.recipe.writer
        if settings.kind == "endpoint":
            raise SettingsError(
                "Guided writing needs the model's weights, and the writer is an endpoint.",
                hint="Use writer.kind = 'embedded' with a hub id, a folder or a GGUF file as writer.path.",
            )
        return self._stored(settings.model_copy(update={"kind": "likelihood"}), "writer")

    @cached_property
    def prompt_tuner(self) -> PromptTuner:
        """The writer's weights, opened for soft prompts."""
        settings = self.recipe.writer
        if settings.kind == "endpoint":
            raise SettingsError(
                "Soft prompts need the model's weights, and the writer is an endpoint.",
                hint="Use writer.kind = 'embedded' with a hub id, a folder or a GGUF file as writer.path.",
            )
        require_libraries("torch", "transformers")
        from crossfade.models.prompt_tuning import SoftPromptTuner

        return SoftPromptTuner(settings.path or packaged_writer(), cache=cache_folder())

    def writer_of(self, method: WritingSettings) -> StoredModel:
        """Return the writer as a method asks it."""
        return self.guided_writer if isinstance(method, logit_mixup.LogitMixupSettings) else self.writer

    @cached_property
    def judge(self) -> StoredModel:
        """The judging model behind the store."""
        return self._stored(self.recipe.judge, "judge")

    @cached_property
    def second_judge(self) -> StoredModel | None:
        """The other judge behind the store, where the recipe has one."""
        settings = self.recipe.second_judge
        return self._stored(settings, "second_judge") if settings else None

    @property
    def judges(self) -> dict[str, TextModel]:
        """The judges by the name of their vote."""
        found: dict[str, TextModel] = {"judge": self.judge}
        if self.second_judge is not None:
            found["second_judge"] = self.second_judge
        return found

    def _stored(self, settings: ModelSettings, who: str) -> StoredModel:
        prices = prices_of(settings)
        self._budget.require_prices(prices, who)
        model = self._model(settings)
        if model.name not in self._prices:
            # Writer and judge may be one model.
            self._prices[model.name] = prices
            self._budget.add(self._spent_on(model.name))
        return StoredModel(model, self._store, budget=self._budget, prices=prices, form=settings.form)

    def _spent_on(self, model: str) -> Spent:
        """Add up all calls in the store at the recipe's prices."""
        calls = (reply for name, reply in self._store.calls() if name == model)
        return sum((cost_of(reply, self._prices[model]) for reply in calls), Spent())

    def _model(self, settings: ModelSettings) -> TextModel:
        if settings.kind == "endpoint":
            return _endpoint(settings)
        if settings.kind == "likelihood":
            # Writer and judge may be one model.
            path = settings.path or packaged_writer()
            return self._weights.setdefault(path, OpenWeights(path, cache=cache_folder()))
        model = EmbeddedModel(settings.path, parallel=settings.concurrency or 16, context=settings.context)
        self._embedded.append(model)
        return model

    def close(self) -> None:
        """Free the embedded models."""
        for model in self._embedded:
            model.close()

    def new_student(self, kind: StudentKind | None = None) -> Learner:
        """Make an unfitted student of some kind; of the recipe's when None."""
        kind = kind or self.recipe.student.kind
        if kind == "nearest":
            return NearestStudent(
                self.judge,
                self.encoder,
                settings=self.recipe.student.nearest,
                text_kind=self.pool.kind,
                descriptions=self.pool.descriptions,
            )
        return trained_student(self.recipe, kind, self.encoder)

    def write(self, gold: Corpus, method: MethodSettings, rng: np.random.Generator) -> Augmented:
        """Let a method write rows, with the labels it asked for."""
        if isinstance(method, WritingSettings):
            return self._write_by_asking(gold, method, rng)
        match method:
            case inversed_mixup.InversedMixupSettings():
                return inversed_mixup.augment(
                    gold,
                    inverter=self.inverter,
                    encoder=self.encoder,
                    new_student=self._new_linear,
                    settings=method,
                    rng=rng,
                )
            case soft_prompt_mixture.SoftPromptMixtureSettings():
                return soft_prompt_mixture.augment(
                    gold, tuner=self.prompt_tuner, encoder=self.encoder, settings=method, rng=rng
                )
            case mention_replacement.MentionReplacementSettings():
                return mention_replacement.augment(gold, encoder=self.encoder, settings=method, rng=rng)
            case eda.EdaSettings():
                return eda.augment(gold, encoder=self.encoder, settings=method, rng=rng)
            case aeda.AedaSettings():
                return aeda.augment(gold, encoder=self.encoder, settings=method, rng=rng)
            case hidden_mixup.HiddenMixupSettings():
                return hidden_mixup.augment(gold, encoder=self.encoder, settings=method, rng=rng)

    def _write_by_asking(self, gold: Corpus, method: WritingMethodSettings, rng: np.random.Generator) -> Augmented:
        """Let a method that asks a writer write rows."""
        writer, encoder = self.writer_of(method), self.encoder
        match method:
            case promptmix.PromptMixSettings():
                return promptmix.augment(gold, writer=writer, encoder=encoder, settings=method, rng=rng)
            case example_prompting.ExamplePromptingSettings():
                return example_prompting.augment(gold, writer=writer, encoder=encoder, settings=method, rng=rng)
            case gpt3mix.Gpt3MixSettings():
                return gpt3mix.augment(gold, writer=writer, encoder=encoder, settings=method, rng=rng)
            case label_prompting.LabelPromptingSettings():
                return label_prompting.augment(gold, writer=writer, encoder=encoder, settings=method, rng=rng)
            case logit_mixup.LogitMixupSettings():
                return logit_mixup.augment(gold, writer=writer, encoder=encoder, settings=method, rng=rng)
            case StepwiseSynthesisSettings():
                return stepwise_synthesis.augment(
                    gold, writer=writer, encoder=encoder, new_student=self.new_student, settings=method, rng=rng
                )

    def check(self, made: Augmented, gold: Corpus, labels: LabelSettings) -> Augmented:
        """Decide the labels of written rows."""
        if labels.check == "none" or not self.is_judged(made):
            return made
        if self.recipe.data.task == "intents":
            return trust_intents(made, gold, self.encoder)
        return check_labels(
            made,
            gold,
            judges=self.judges,
            encoder=self.encoder,
            settings=labels,
            new_student=self._new_linear,
        )

    def is_judged(self, made: Augmented) -> bool:
        """Say whether written rows have labels that can be checked: classes or intents, and not of mixed embeddings."""
        return self._has_labels and not has_mixed(row.example for row in made.kept)

    def _new_linear(self) -> LinearStudent:
        """Make the student that methods and label checks fit on gold texts."""
        return LinearStudent(self.encoder)

    def augment(self, gold: Corpus, folder: Path, rng: np.random.Generator) -> Augmented:
        """Run the recipe's method and label check on gold texts, and write the rows to a folder."""
        with self.watch.stage(f"writing and judging, {folder.name}"):
            made = self.check(self.write(gold, self.recipe.method, rng), gold, self.recipe.labels)
        self.keep(made, gold, folder)
        return made

    def keep(self, made: Augmented, gold: Corpus, folder: Path) -> None:
        """Write rows, kept and dropped, their counts and the label-noise report to a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write_rows(made.kept, folder / "kept.jsonl")
        write_rows(made.dropped, folder / "dropped.jsonl")
        losses = {"stopped": made.stopped, "classes": made.losses, "sources": made.sources}
        (folder / "losses.json").write_text(json.dumps(losses, indent=1), encoding="utf-8")
        probe = None if has_mixed(row.example for row in made.kept) else probe_format(_examples(made), gold.examples)
        if probe is not None and probe.is_shortcut:
            warnings.warn(f"{folder.name}: {probe.warning}", DataWarning, stacklevel=2)
        (folder / NOISE_NAME).write_text(json.dumps(label_noise(made, gold).as_json(), indent=1), encoding="utf-8")

    def base_rows(self, gold: Corpus) -> TrainingRows:
        """Return the rows that synthetic ones are added to: gold, and class texts if the recipe wants them."""
        rows = gold_rows(gold)
        named = self.recipe.training.class_texts and self.recipe.data.has_classes
        return rows + class_text_rows(gold) if named else rows

    def with_synthetic(self, gold: Corpus, made: Augmented) -> TrainingRows:
        """Add the kept rows to the base, as the recipe's training settings say."""
        use = self.recipe.training
        rows = synthetic_rows(made.kept, gold.labels, doubt=use.doubt)
        return self.base_rows(gold) + rows.weighing(use.synthetic_weight) if use.gold else rows

    def fitted(self, rows: TrainingRows, labels: Sequence[str]) -> Learner:
        """Train the recipe's student on some rows."""
        return trained(self.new_student(), rows, labels)

    def oracle_labels(self, examples: Sequence[Example]) -> list[str]:
        """Label texts with a student trained on the whole training file; for measuring only."""
        return [self.pool.labels[index] for index in self.oracle_probabilities(examples).argmax(axis=1)]

    def oracle_probabilities(self, examples: Sequence[Example]) -> Floats:
        """Return the same student's class probabilities, [texts, classes]; for measuring only."""
        return self._oracle.predict_probabilities(examples)

    @cached_property
    def _oracle(self) -> Student:
        with self.watch.stage("training the oracle (measuring only)"):
            rows = gold_rows(self.pool)
            return LinearStudent(self.encoder).fit(rows.examples, rows.targets, rows.weights, self.pool.labels)

    def cost(self, seconds: float) -> Cost:
        """Add up what the models were asked."""
        both = self._counts()
        writing = self._counts("writer", "guided_writer")
        return Cost(
            requests=both.asked,
            from_store=both.from_store,
            failed=both.failed,
            prompt_tokens=both.prompt_tokens,
            cached_tokens=both.cached_tokens,
            answer_tokens=both.answer_tokens,
            writing_requests=writing.asked + writing.from_store,
            money=self._money,
            seconds=seconds,
        )

    @property
    def _money(self) -> float | None:
        """Money spent over all starts of the run; None where a model in use costs nobody knows what."""
        unpriced = any(prices.cost(Usage()) is None for prices in self._prices.values())
        return None if unpriced else self._budget.spent.cost

    def _meter(self) -> Meter:
        """Read what the models in use have done so far, for the panel."""
        used = self._counts()
        return Meter(
            asked=used.asked,
            from_store=used.from_store,
            failed=used.failed,
            under_way=used.under_way,
            answer_tokens=used.answer_tokens,
            money=self._money,
        )

    def _counts(self, *names: str) -> Counts:
        """Add up what some models did; all of them when none is named."""
        # Looking a model up by name does not make it, as reading the property would.
        used = (self.__dict__.get(name) for name in names or ("writer", "guided_writer", "judge", "second_judge"))
        return sum((model.counts for model in used if model is not None), Counts())

    def first_assignments(self, gold: Corpus, method: MethodSettings, rng: np.random.Generator) -> list[Assignment]:
        """Return what a method would first ask of the writer; nothing is sent."""
        if not isinstance(method, WritingSettings):
            return []
        form = self.writer_of(method).preferred_form
        book = open_ledger(gold, form, method)
        match method:
            case promptmix.PromptMixSettings():
                return promptmix.propose(gold, book, form, method, rng)
            case example_prompting.ExamplePromptingSettings():
                return example_prompting.propose(gold, book, form, method, rng)
            case gpt3mix.Gpt3MixSettings():
                return gpt3mix.propose(gold, book, form, method, rng)
            case label_prompting.LabelPromptingSettings():
                return label_prompting.propose(gold, book, form, method, rng)
            case logit_mixup.LogitMixupSettings():
                nearest = logit_mixup.order_by_nearness(gold, self.encoder)
                return logit_mixup.propose(gold, book, form, method, rng, nearest=nearest)
            case StepwiseSynthesisSettings():
                return stepwise_synthesis.planned(gold, form, method, rng)

    def requests_at_most(self, gold: Corpus, method: WritingSettings) -> int:
        """Return how many requests a method may send when hardly any answer is of use."""
        form = self.writer_of(method).preferred_form
        if isinstance(method, StepwiseSynthesisSettings):
            return stepwise_synthesis.requests_at_most(gold, form, method)
        return method.requests_at_most(form, len(gold.labels))

    def answer_length(self, gold: Corpus, method: WritingSettings) -> float:
        """Return how many characters an answer of the writer has if its texts are as long as the gold ones."""
        form = self.writer_of(method).preferred_form
        if isinstance(method, StepwiseSynthesisSettings):
            task = task_of(gold)
            return method.seeds_in_request(task, form) * mean_length(written_parts(gold, task))
        return method.texts_in_request(form) * mean_length(gold)

    def expected_requests(self, gold: Corpus) -> int:
        """Return how many requests augmenting these texts takes if every answer holds what it should."""
        method, writing = self.recipe.method, 0
        if isinstance(method, StepwiseSynthesisSettings):
            writing = len(self.first_assignments(gold, method, np.random.default_rng(0)))
        elif isinstance(method, WritingSettings):
            writing = method.first_requests(self.writer_of(method).preferred_form, len(gold.labels))
        return writing + self.expected_judgements(gold) * (2 if self.recipe.second_judge else 1)

    def expected_judgements(self, gold: Corpus) -> int:
        """Return how many texts each judge will be asked about."""
        written = self.recipe.method.texts_per_class * len(gold.labels)
        if isinstance(self.recipe.method, StepwiseSynthesisSettings):
            written += stepwise_synthesis.expected_additions(gold, self.recipe.method)
        if not self.recipe.data.has_classes:
            return 0
        return judgements(self.label_check, written=written, gold=len(gold))


def check_task(recipe: Recipe) -> None:
    """Refuse a recipe whose student or method cannot do its task, before anything is read or asked.

    Raises:
        SettingsError: Names the keys that do not fit together.
    """
    data = recipe.data
    if data.test is not None and data.test_share is not None:
        raise SettingsError("data.test and data.test_share are both given.", hint="Leave one out.")
    if recipe.second_judge and "paper" in (recipe.labels.check, *recipe.comparison.checks):
        raise SettingsError(
            "The label check 'paper' takes one judge, and the recipe has a second.",
            hint="Leave out second_judge, or use 'trust' for several.",
        )
    if data.task == "intents" and not {recipe.labels.check, *recipe.comparison.checks} <= {"none", "trust"}:
        raise SettingsError(
            f"labels.check is '{recipe.labels.check}', and intents have other checks.", hint="Use 'trust' or 'none'."
        )
    for kind in (recipe.student.kind, *recipe.comparison.students):
        fitting = STUDENTS_OF.get(data.task or "text", CLASSIFIERS)
        if kind not in fitting:
            raise SettingsError(
                f"The student '{kind}' and data.task = {data.task!r} do not fit together.",
                hint=f"Use one of: {', '.join(fitting)}.",
            )
    for method in (recipe.method, *recipe.comparison.methods):
        fits = METHODS_OF.get(data.task or "text")
        if fits is None and method.name in ("soft_prompt_mixture", "mention_replacement"):
            raise SettingsError(
                f"The method '{method.name}' needs annotated texts, and data.task is {data.task!r}.",
                hint=f"Set data.task to one of: {', '.join(ANNOTATED_TASKS)}.",
            )
        if fits is not None and method.name not in fits:
            raise SettingsError(
                f"The method '{method.name}' writes texts of classes, and '{data.task}' has none.",
                hint=f"Use one of: {', '.join(fits)}.",
            )


def without_shared_contexts(pool: Corpus, test: Corpus, *, drop: bool) -> Corpus:
    """Leave out the pool's rows whose context is a test row's, or refuse them.

    Raises:
        DataError: There are some, and they are not to be dropped.
    """
    task = task_of(pool)
    tested = {task.group(example) for example in test}
    rows = [row for row, example in enumerate(pool.examples) if task.group(example) not in tested]
    if len(rows) < len(pool) and not drop:
        raise DataError(
            f"The contexts of {len(pool) - len(rows)} training rows stand in the test data too.",
            hint="Set data.overlap = 'drop' to leave these rows out of the pool.",
        )
    return pool.rows(rows)


def _examples(made: Augmented) -> list[Example]:
    return [row.example for row in made.kept]


def trained_student(recipe: Recipe, kind: TrainedKind, encoder: Encoder) -> Learner:
    """Make an unfitted student that needs no language model, with the recipe's settings."""
    settings = recipe.student
    if kind == "linear":
        return LinearStudent(encoder, settings=settings.linear)
    if kind == "contrastive":
        return ContrastiveStudent(settings.base, settings.contrastive)
    if kind == "span_reader":
        return SpanReader(settings.base, settings.span_reader)
    if kind == "token_classifier":
        return TokenClassifier(settings.base, settings.token_classifier)
    if kind == "text_to_text":
        return TextToText(settings.base, settings.text_to_text)
    if recipe.data.task == "intents":
        return MultiLabelClassifier(settings.base, settings.encoder_classifier)
    return EncoderClassifier(settings.base, settings.encoder_classifier)


def prices_of(settings: ModelSettings) -> Prices:
    """Return what a model costs: what runs here is free, an endpoint's prices are the recipe's."""
    if settings.kind != "endpoint":
        return FREE
    return Prices(settings.prompt_price, settings.cached_price, settings.answer_price)


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
        pace=Pace(
            settings.concurrency or 64,
            requests_per_minute=settings.requests_per_minute,
            tokens_per_minute=settings.tokens_per_minute,
        ),
        closed_choice=settings.closed_choice,
        proxy=_proxy_for(settings.base_url),
    )


def _proxy_for(address: str) -> str | None:
    """Return the proxy that the environment or the system names for an address, or None."""
    scheme, _, rest = address.partition("://")
    host = rest.partition("/")[0].rpartition("@")[2]
    if proxy_bypass(host):
        return None
    proxies = getproxies()
    return proxies.get(scheme.lower()) or proxies.get("all")


def open_inverter(folder: Path | None = None) -> SentenceInverter:
    """Open an inverter; None is the one that comes with Crossfade.

    Raises:
        ModelError: There is none, or it cannot be loaded.
    """
    return SentenceInverter.load(packaged_inverter() if folder is None else folder, cache=cache_folder())


def cache_folder() -> Path:
    """Return where this user's unpacked weights are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "crossfade"


def source_of(name: str, shipped: Path) -> Path | str:
    """Return what to read: 'demo' is the file that ships with the project."""
    return shipped if name == "demo" else name
