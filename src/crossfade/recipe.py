"""A run as typed settings, read from a TOML file or keyword arguments, with every key open to overriding."""

import tomllib
from collections.abc import Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import BeforeValidator, Field, model_validator

from crossfade.errors import SettingsError
from crossfade.methods.aeda import AedaSettings
from crossfade.methods.eda import EdaSettings
from crossfade.methods.example_prompting import ExamplePromptingSettings
from crossfade.methods.gpt3mix import Gpt3MixSettings
from crossfade.methods.hidden_mixup import HiddenMixupSettings
from crossfade.methods.inversed_mixup import InversedMixupSettings
from crossfade.methods.label_prompting import LabelPromptingSettings
from crossfade.methods.logit_mixup import LogitMixupSettings
from crossfade.methods.mention_replacement import MentionReplacementSettings
from crossfade.methods.promptmix import PromptMixSettings
from crossfade.methods.soft_prompt_mixture import SoftPromptMixtureSettings
from crossfade.methods.stepwise_calls import StepwiseSynthesisSettings
from crossfade.refining import RefinementSettings, Stage
from crossfade.roles import Form
from crossfade.selection.checking import Check, LabelSettings
from crossfade.settings import Settings
from crossfade.students.contrastive import ContrastiveSettings
from crossfade.students.encoder_classifier import EncoderClassifierSettings
from crossfade.students.linear import LinearSettings
from crossfade.students.nearest import NearestSettings
from crossfade.students.span_reader import SpanReaderSettings
from crossfade.students.text_to_text import TextToTextSettings
from crossfade.students.token_classifier import TokenClassifierSettings
from crossfade.tasks.classification import Doubt
from crossfade.tasks.shapes import TaskName

WritingMethodSettings = (
    PromptMixSettings
    | ExamplePromptingSettings
    | Gpt3MixSettings
    | LabelPromptingSettings
    | StepwiseSynthesisSettings
    | LogitMixupSettings
)
"""Settings of methods that ask a writer."""


def _named(values: object) -> object:
    """Let a table that names no method be PromptMix's."""
    return {"name": "promptmix", **values} if isinstance(values, dict) else values


MethodSettings = Annotated[
    WritingMethodSettings
    | InversedMixupSettings
    | SoftPromptMixtureSettings
    | EdaSettings
    | AedaSettings
    | MentionReplacementSettings
    | HiddenMixupSettings,
    Field(discriminator="name"),
    BeforeValidator(_named),
]
TrainedKind = Literal["linear", "contrastive", "encoder_classifier", "span_reader", "token_classifier", "text_to_text"]
StudentKind = TrainedKind | Literal["nearest"]


class DataSettings(Settings):
    """Which texts are labelled, and which are kept for testing."""

    train: str
    """File or hub id with the labelled texts; few-shot draws come from here. 'demo' is the set that ships with us."""
    test: str | None = None
    """File or hub id with held-out labelled texts; needed by `run`, never shown to any model."""
    test_share: float | None = Field(None, gt=0, lt=1)
    """Share of the contexts of `train` (of its texts, where there are none) held out instead, where there is no
    `test`. Rows with one context stay together."""
    task: TaskName | None = None
    """'text' and 'pair' classify one text or two; 'reading' finds answers in contexts, from data in SQuAD's layout;
    'intents' has several intents to a text (NLU++), 'entities' finds entities (BIO files, or spans), 'parses' finds
    intents and slots (TOPv2). Given, a context must not stand in training and test data both (`overlap`). When left
    out: one text or two, as the columns say."""
    attributes: list[str] | None = None
    """Intents, entity types or slots that count; others are taken off the rows. All when left out."""
    text: str | list[str] | None = None
    """Text column, or two for pairs; found by its usual names when left out."""
    label: str | None = None
    """Label column; found by its usual names when left out."""
    label_names: list[str] | None = None
    """Class names where labels are integers, in order."""
    descriptions: str | dict[str, str] | None = None
    """TOML or JSON file, or table, of class = "phrase that reads well after 'which is about'". Class names alone are
    shown where there is none."""
    kind: str = "texts"
    """What the texts are, as a plural that fits "a diverse set of short ..." ("questions", "customer messages")."""
    license: str | None = None
    """Licence of the labelled texts, for the data card, for example cc-by-4.0."""
    on_bad_rows: Literal["error", "skip"] = "error"
    """What happens to rows that cannot be read; skipped rows are listed."""
    overlap: Literal["error", "drop"] = "error"
    """What happens to training rows whose text is also a test text; 'drop' leaves them out of the pool."""

    @property
    def has_classes(self) -> bool:
        """Whether every row is of one class, as in 'text' and 'pair'."""
        return self.task in (None, "text", "pair")

    @property
    def has_test(self) -> bool:
        """Whether anything is held out for testing."""
        return self.test is not None or self.test_share is not None


class ModelSettings(Settings):
    """A language model: embedded, or behind an endpoint."""

    kind: Literal["embedded", "endpoint", "likelihood", "channel"]
    """'embedded' runs llama.cpp in this process (logit_mixup opens the same weights through torch); 'endpoint' asks an
    OpenAI-compatible API; for judges only, with open weights through torch: 'likelihood' scores the choices after the
    text, 'channel' the text after a list of each class (Min et al. 2022)."""
    path: str | None = None
    """GGUF file, folder or hub file; None is the packaged SmolLM2-135M-Instruct."""
    base_url: str | None = None
    """Where an endpoint's API begins, for example http://localhost:8000/v1."""
    model: str | None = None
    """The endpoint's model id."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the endpoint's key; the key itself never stands in a recipe."""
    form: Form | None = None
    """'instruct' follows instructions in a chat; 'continue' goes on with a text, which small or base models do better.
    When left out: 'instruct' for an endpoint, and what suits its size for a model that runs here."""
    closed_choice: Literal["plain", "schema", "grammar"] = "plain"
    """How an endpoint is held to a closed choice: not at all, by JSON schema, or by llama.cpp's grammar."""
    concurrency: int | None = Field(None, ge=1)
    """Requests under way at the same time: 16 for an embedded model when left out. For an endpoint it is the most, 64
    when left out; how many of them help is found out."""
    requests_per_minute: float | None = Field(None, gt=0)
    """Limit of an endpoint, where you know it."""
    tokens_per_minute: float | None = Field(None, gt=0)
    """The same for prompt and answer tokens together."""
    prompt_price: float | None = Field(None, ge=0)
    """Money per million prompt tokens, in any one currency; unknown when left out. What runs here is free."""
    cached_price: float | None = Field(None, ge=0)
    """The same for prompt tokens that the endpoint had read before; as `prompt_price` when left out."""
    answer_price: float | None = Field(None, ge=0)
    """The same for answer tokens."""
    license: str | None = None
    """Licence or terms of the model, for the data card."""
    context: int = Field(1536, ge=128)
    """Longest prompt and answer together of an embedded model, in tokens."""


class InverterChoice(Settings):
    """What turns embeddings back into texts, for inversed_mixup."""

    path: str | None = None
    """Folder of a trained inverter; None is the one that ships with us."""
    stages: list[Stage] = Field([])
    """What brings it to the labelled texts of each draw before it mixes them, in this order: 'refine' (stage 2),
    'joint' (stage 3), 'mixed' (ours). Minutes of work for each draw."""
    unlabelled: str | None = None
    """File or hub id of unlabelled texts like those that it was aligned on, which the stages rehearse; needed for
    them."""
    refinement: RefinementSettings = RefinementSettings()
    """How the stages work."""

    @model_validator(mode="after")
    def _can_be_brought(self) -> Self:
        if len(set(self.stages)) < len(self.stages):
            raise ValueError(f"stages is {self.stages}; expected each stage once at most")
        if self.stages and self.unlabelled is None:
            raise ValueError("stages need texts to rehearse; expected a file or hub id as unlabelled")
        return self


class BudgetSettings(Settings):
    """Where spending ends: the run then stops, keeps everything, and continues when the limit is raised.

    What earlier starts of the same run spent counts. Failed calls that the endpoint accepted count, too.
    """

    max_requests: int | None = Field(None, ge=1)
    """Calls of writer and judge together."""
    max_tokens: int | None = Field(None, ge=1)
    """Prompt and answer tokens of writer and judge together."""
    max_cost: float | None = Field(None, gt=0)
    """Money, in the currency of the prices; needs them."""


class ComparisonSettings(Settings):
    """How honestly the gain is measured."""

    shots: list[int] = Field([2], min_length=1)
    """Real labels per class that the method starts from; 0 is zero-shot (classes by description or name only)."""
    splits: int = Field(5, ge=1)
    """Independent draws of the labelled texts; a claim needs several."""
    curve: list[int] = Field([1, 2, 3, 5, 8, 10])
    """Real labels per class at which the student is measured to place the gain; counts above the pool are left out."""
    methods: list[MethodSettings] = Field([])
    """Methods beside the recipe's own, for `crossfade compare`; each writes as many texts as the recipe's method, and
    one that is the same method with other settings takes over the keys it does not set."""
    checks: list[Check] = Field([])
    """Label checks beside the recipe's own, for `crossfade compare`."""
    checked_methods: list[str] | None = None
    """Names of the methods beside the recipe's own whose labels are checked, for `crossfade compare`; others stand
    there as they were written. A judge may cost more than the writer. All when left out."""
    students: list[StudentKind] = Field([])
    """Students beside the recipe's own, for `crossfade compare`."""
    all_real_data: bool = True
    """Train every student on all real data, too, for `crossfade compare`: what more labels could give at most. A
    student that tunes a transformer may take hours over many thousand rows."""
    processes: int | None = Field(None, ge=1)
    """Processes that train students. When left out: one per processor core, but one in all for 'linear' alone."""
    oracle: bool = False
    """Measure label fidelity with a student trained on the whole training file. Measuring only: the method never sees
    it."""


class TrainingSettings(Settings):
    """How synthetic rows enter the student's training."""

    gold: bool = True
    """False trains on written rows alone, as the paper of stepwise_synthesis does: gold rows and class texts are left
    out, and `synthetic_weight` has no meaning."""
    class_texts: bool = True
    """Add one row per class, its description or name. The comparison also shows it alone, without written texts."""
    doubt: Doubt = "soften"
    """What is done about synthetic labels that may be wrong. 'keep': nothing. 'drop': rows less than half sure are left
    out. 'weigh': a row weighs what its confidence is. 'soften': the student learns label probabilities (ours, chosen on
    training rows that no draw holds: docs/label_trust.md). Without a label check all four are the same."""
    synthetic_weight: float = Field(0.1, gt=0.0)
    """Weight of a synthetic row beside a gold one. Ours: the best on average over three sets, on
    training rows that no draw holds (benchmarks/weight_sweep.py)."""


class StudentSettings(Settings):
    """Which small model is trained; only the table of its own kind is read."""

    kind: StudentKind = "linear"
    """'linear' is a logistic head on sentence embeddings; 'contrastive' tunes the sentence encoder first, as SetFit
    does; 'encoder_classifier' fine-tunes a transformer, for 'intents' too; 'nearest' trains nothing: the judge chooses
    among the classes of the nearest labelled texts. 'span_reader' fine-tunes a transformer to find answers, for
    'reading' alone; 'token_classifier' to tag words, for 'entities' and 'parses'; 'text_to_text' to write annotations
    out, for 'intents', 'entities' and 'parses'."""
    base: str | None = None
    """Folder or hub id of the transformer that is fine-tuned; None is the packaged MiniLM, which 'text_to_text' cannot
    use."""
    linear: LinearSettings = LinearSettings()
    contrastive: ContrastiveSettings = ContrastiveSettings()
    encoder_classifier: EncoderClassifierSettings = EncoderClassifierSettings()
    nearest: NearestSettings = NearestSettings()
    span_reader: SpanReaderSettings = SpanReaderSettings()
    token_classifier: TokenClassifierSettings = TokenClassifierSettings()
    text_to_text: TextToTextSettings = TextToTextSettings()


class Recipe(Settings):
    """Everything a run depends on."""

    name: str = Field(pattern=r"^[\w.-]+$")
    """Name of the run and of its folder: letters, digits, dot, dash, underscore."""
    folder: str = "runs"
    """Where run folders are made."""
    seed: int = Field(0, ge=0)
    """Fixes splits, partners, ratios and example order. Answers of a model are replayed from the store, not redrawn."""
    license: str | None = None
    """Licence under which you hand the written rows on, for the data card, as the hub names it (cc-by-4.0)."""
    data: DataSettings
    encoder: str | None = None
    """Folder or hub id of the sentence encoder; None is the packaged all-MiniLM-L6-v2."""
    writer: ModelSettings = ModelSettings(kind="embedded")
    judge: ModelSettings = ModelSettings(kind="likelihood")
    second_judge: ModelSettings | None = None
    """Another judge with a vote of its own, for the label checks 'trust' and 'agreement'; 'paper' takes one judge."""
    inverter: InverterChoice = InverterChoice()
    budget: BudgetSettings = BudgetSettings()
    method: MethodSettings = PromptMixSettings()
    labels: LabelSettings = LabelSettings()
    student: StudentSettings = StudentSettings()
    training: TrainingSettings = TrainingSettings()
    comparison: ComparisonSettings = ComparisonSettings()

    @property
    def run_folder(self) -> Path:
        """Where the run lives."""
        return Path(self.folder) / self.name


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, with `key.key=value` overrides on top; files it names are found from the recipe's folder.

    Raises:
        SettingsError: The file is missing or no TOML, or a key is unknown or out of range.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"There is no recipe '{path}'.", hint="Give the path of a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"'{path}' is not a TOML file: {error}.") from None
    _locate(values, path.parent)
    return Recipe.checked(override(overrides, values))


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe as TOML, defaults left out; keys of an endpoint never stand in it."""
    values = recipe.model_dump(exclude_defaults=True, exclude_none=True)
    # A method's name is its class's default, and all that tells methods apart.
    values.get("method", {}).update(name=recipe.method.name)
    for method, table in zip(recipe.comparison.methods, values.get("comparison", {}).get("methods", ()), strict=False):
        table["name"] = method.name
    path.write_text(tomli_w.dumps(values), encoding="utf-8")


def _locate(values: dict[str, Any], folder: Path) -> None:
    """Make file names relative to the recipe into paths that work from here; hub ids and 'demo' stay."""
    for table, keys in (("data", ("train", "test", "descriptions")), ("inverter", ("unlabelled",))):
        given = values.get(table)
        if not isinstance(given, dict):
            continue
        for key in keys:
            found = given.get(key)
            # A pattern names several files.
            if isinstance(found, str) and ((folder / found).exists() or glob(str(folder / found))):
                given[key] = str(folder / found)


def override(overrides: Sequence[str], values: dict[str, Any] | None = None) -> dict[str, Any]:
    """Set each `key.key=value` in tables of values, in place; a value is read as TOML, or else as a plain string.

    Raises:
        SettingsError: A setting is not of that form, or its path goes through a value.
    """
    values = {} if values is None else values
    for setting in overrides:
        key, equals, text = setting.partition("=")
        if not equals:
            raise SettingsError(f"'{setting}' is no setting.", hint="Write it as key.key=value, for example seed=1.")
        *path, last = key.strip().split(".")
        table = values
        for part in path:
            inner = table.setdefault(part, {})
            if not isinstance(inner, dict):
                raise SettingsError(f"'{key}' goes through '{part}', which is a value, not a table.")
            table = inner
        table[last] = _toml_value(text.strip())
    return values


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def as_recipe(recipe: Recipe | Mapping[str, Any] | str | Path) -> Recipe:
    """Accept a recipe, its values, or its file."""
    if isinstance(recipe, Recipe):
        return recipe
    return Recipe.checked(recipe) if isinstance(recipe, Mapping) else read_recipe(Path(recipe))
