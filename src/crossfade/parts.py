"""Make the objects that a recipe names: the only place where methods meet concrete models and students."""

import hashlib
import json
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from crossfade.data import (
    Augmented,
    Corpus,
    DataWarning,
    Example,
    has_mixed,
    write_rows,
)
from crossfade.evaluation.scores import trained
from crossfade.fitting import check_task
from crossfade.inversion import Workplace, read_single_texts
from crossfade.labelled import LabelledTexts
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
from crossfade.methods.stepwise_calls import StepwiseSynthesisSettings
from crossfade.methods.writing import WritingSettings
from crossfade.models.inverter import CARD_NAME
from crossfade.models.replies import ReplyStore
from crossfade.opening import Models, cache_folder, open_inverter
from crossfade.packaged import packaged_inverter
from crossfade.recipe import (
    MethodSettings,
    Recipe,
    StudentKind,
    TrainedKind,
    WritingMethodSettings,
    as_recipe,
    write_recipe,
)
from crossfade.refining import STAGES
from crossfade.roles import Encoder, Floats, Inverter, Learner, Student
from crossfade.selection.attribute_trust import trust_intents
from crossfade.selection.checking import Check, LabelSettings, check_labels
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
    gold_rows,
    synthetic_rows,
)
from crossfade.watch import Meter, Watch

NOISE_NAME = "noise.json"
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
            parts.models.close()


class Parts:
    """A recipe's method, label check and student, with the labelled texts and the models that they work on."""

    def __init__(self, recipe: Recipe, folder: Path, store: ReplyStore, watch: Watch) -> None:
        self.recipe = recipe
        self.folder = folder
        self.watch = watch
        self.texts = LabelledTexts(recipe)
        self.models = Models(recipe, store)
        watch.meter = self._meter

    @property
    def label_check(self) -> Check:
        """The recipe's label check; 'none' where nothing that its method writes can be checked."""
        return self.recipe.labels.check if self.can_check(self.recipe.method) else "none"

    def can_check(self, method: MethodSettings) -> bool:
        """Say whether what a method writes has labels that can be checked: classes or intents, not mixed embeddings."""
        return self._has_labels and not isinstance(method, hidden_mixup.HiddenMixupSettings)

    @property
    def _has_labels(self) -> bool:
        """Whether labels can be checked after a text is written: those of 'entities' and 'parses' are, while it is."""
        return self.recipe.data.has_classes or self.recipe.data.task == "intents"

    def rng(self, shots: int, split: int) -> np.random.Generator:
        """Return the generator of one draw's augmentation."""
        return np.random.default_rng([self.recipe.seed, shots, split])

    def new_student(self, kind: StudentKind | None = None) -> Learner:
        """Make an unfitted student of some kind; of the recipe's when None."""
        kind = kind or self.recipe.student.kind
        if kind == "nearest":
            return NearestStudent(
                self.models.judge,
                self.models.encoder,
                settings=self.recipe.student.nearest,
                text_kind=self.texts.pool.kind,
                descriptions=self.texts.pool.descriptions,
            )
        return trained_student(self.recipe, kind, self.models.encoder)

    def inverter_for(self, gold: Corpus) -> Inverter:
        """Return the recipe's inverter, brought to the labelled texts of a draw where the recipe has stages.

        Each stage leaves a folder under the run's `inverters`, named by all that it is made of, and goes on where it
        was stopped.
        """
        choice = self.recipe.inverter
        if not choice.stages or choice.unlabelled is None:
            return self.models.inverter
        unlabelled, start = read_single_texts(choice.unlabelled), self.models.inverter.name
        purpose = json.dumps([start, choice.refinement.model_dump(), unlabelled, gold.texts, gold.example_labels])
        name = hashlib.sha256(purpose.encode()).hexdigest()[:16]
        source = packaged_inverter() if choice.path is None else Path(choice.path)
        for number, stage in enumerate(choice.stages, start=1):
            place = Workplace(self.folder / "inverters" / "_".join([name, *choice.stages[:number]]), cache_folder())
            # What only its training needs goes when a stage has ended.
            if place.training.is_dir() or not (place.folder / CARD_NAME).is_file():
                with self.watch.stage(f"inverter: {stage}, {len(gold)} labelled texts"):
                    STAGES[stage](source, gold, unlabelled, choice.refinement, place)
                shutil.rmtree(place.training)
            source = place.folder
        return open_inverter(source)

    def write(self, gold: Corpus, method: MethodSettings, rng: np.random.Generator) -> Augmented:
        """Let a method write rows, with the labels it asked for."""
        if isinstance(method, WritingSettings):
            return self._write_by_asking(gold, method, rng)
        match method:
            case inversed_mixup.InversedMixupSettings():
                return inversed_mixup.augment(
                    gold,
                    inverter=self.inverter_for(gold),
                    encoder=self.models.encoder,
                    new_student=self._new_linear,
                    settings=method,
                    rng=rng,
                )
            case soft_prompt_mixture.SoftPromptMixtureSettings():
                return soft_prompt_mixture.augment(
                    gold, tuner=self.models.prompt_tuner, encoder=self.models.encoder, settings=method, rng=rng
                )
            case mention_replacement.MentionReplacementSettings():
                return mention_replacement.augment(gold, encoder=self.models.encoder, settings=method, rng=rng)
            case eda.EdaSettings():
                return eda.augment(gold, encoder=self.models.encoder, settings=method, rng=rng)
            case aeda.AedaSettings():
                return aeda.augment(gold, encoder=self.models.encoder, settings=method, rng=rng)
            case hidden_mixup.HiddenMixupSettings():
                return hidden_mixup.augment(gold, encoder=self.models.encoder, settings=method, rng=rng)

    def _write_by_asking(self, gold: Corpus, method: WritingMethodSettings, rng: np.random.Generator) -> Augmented:
        """Let a method that asks a writer write rows."""
        writer, encoder = self.models.writer_of(method), self.models.encoder
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
                    gold,
                    writer=writer,
                    encoder=encoder,
                    new_student=self.new_student,
                    checked_rows=lambda made: self._written_rows(self.check(made, gold, self.recipe.labels), gold),
                    settings=method,
                    rng=rng,
                )

    def check(self, made: Augmented, gold: Corpus, labels: LabelSettings) -> Augmented:
        """Decide the labels of written rows."""
        if labels.check == "none" or not self.is_judged(made):
            return made
        if self.recipe.data.task == "intents":
            return trust_intents(made, gold, self.models.encoder)
        return check_labels(
            made,
            gold,
            judges=self.models.judges(labels.nearest),
            encoder=self.models.encoder,
            settings=labels,
            new_student=self._new_linear,
        )

    def is_judged(self, made: Augmented) -> bool:
        """Say whether written rows have labels that can be checked: classes or intents, and not of mixed embeddings."""
        return self._has_labels and not has_mixed(row.example for row in made.kept)

    def _new_linear(self) -> LinearStudent:
        """Make the student that methods and label checks fit on gold texts."""
        return LinearStudent(self.models.encoder)

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
        rows = self._written_rows(made, gold)
        return self.base_rows(gold) + rows.weighing(use.synthetic_weight) if use.gold else rows

    def _written_rows(self, made: Augmented, gold: Corpus) -> TrainingRows:
        return synthetic_rows(made.kept, gold.labels, doubt=self.recipe.training.doubt)

    def fitted(self, rows: TrainingRows, labels: Sequence[str]) -> Learner:
        """Train the recipe's student on some rows."""
        return trained(self.new_student(), rows, labels)

    def oracle_labels(self, examples: Sequence[Example]) -> list[str]:
        """Label texts with a student trained on the whole training file; for measuring only."""
        return [self.texts.pool.labels[index] for index in self.oracle_probabilities(examples).argmax(axis=1)]

    def oracle_probabilities(self, examples: Sequence[Example]) -> Floats:
        """Return the same student's class probabilities, [texts, classes]; for measuring only."""
        return self._oracle.predict_probabilities(examples)

    @cached_property
    def _oracle(self) -> Student:
        with self.watch.stage("training the oracle (measuring only)"):
            rows = gold_rows(self.texts.pool)
            return LinearStudent(self.models.encoder).fit(
                rows.examples, rows.targets, rows.weights, self.texts.pool.labels
            )

    def cost(self, seconds: float) -> Cost:
        """Add up what the models were asked."""
        both = self.models.counts()
        writing = self.models.counts("writer", "guided_writer")
        return Cost(
            requests=both.asked,
            from_store=both.from_store,
            failed=both.failed,
            prompt_tokens=both.prompt_tokens,
            cached_tokens=both.cached_tokens,
            answer_tokens=both.answer_tokens,
            writing_requests=writing.asked + writing.from_store,
            money=self.models.money,
            seconds=seconds,
        )

    def _meter(self) -> Meter:
        """Read what the models in use have done so far, for the panel."""
        used = self.models.counts()
        return Meter(
            asked=used.asked,
            from_store=used.from_store,
            failed=used.failed,
            under_way=used.under_way,
            answer_tokens=used.answer_tokens,
            money=self.models.money,
        )


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
