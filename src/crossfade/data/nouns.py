"""The nouns every room speaks of: examples, a corpus of gold ones, synthetic ones and where they came from."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from crossfade.errors import DataError

TEXT_SEPARATOR = " | "
"""Stands between the two texts of a pair wherever an example is written as one string."""
ANSWERABLE = "answerable"
"""The one class of reading data: the answer stands in the context."""


@dataclass(frozen=True, slots=True)
class Example:
    """One or two texts and their label."""

    texts: tuple[str, ...]
    """One text, or two for pair tasks, in column order."""
    label: str

    def __post_init__(self) -> None:
        if len(self.texts) not in (1, 2):
            raise DataError(f"An example has {len(self.texts)} texts; expected one or two.")

    @property
    def text(self) -> str:
        """The example as one string; two texts are joined by the separator."""
        return TEXT_SEPARATOR.join(self.texts)

    @property
    def key(self) -> str:
        """What identifies the texts: the first 16 hex digits of their SHA-256."""
        return hashlib.sha256("\n".join(self.texts).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ReadingExample(Example):
    """A question about a context, and its answer: a span of the context. The texts are context and question."""

    answer: str
    """The span, character for character."""
    answer_start: int
    """Where the span begins in the context, in characters from 0."""
    also: tuple[str, ...] = ()
    """Other answers that count as right."""

    def __post_init__(self) -> None:
        # A class with slots is made anew by the decorator, which `super()` without arguments would not find.
        Example.__post_init__(self)
        end = self.answer_start + len(self.answer)
        if len(self.texts) != 2 or not self.answer or self.texts[0][max(self.answer_start, 0) : end] != self.answer:
            raise DataError(
                f"The answer {self.answer!r} does not stand in the context at character {self.answer_start}; expected "
                "a context, a question, and an answer copied from the context."
            )

    @property
    def answers(self) -> tuple[str, ...]:
        """Every answer that counts as right."""
        return (self.answer, *self.also)


@dataclass(frozen=True, slots=True)
class MixedExample(Example):
    """Two examples as one point between their embeddings: nothing that a person could read, and no text of its own."""

    other: tuple[str, ...]
    """The texts that `texts` are mixed with."""
    ratio: float
    """Share of `texts`, in [0, 1]."""

    def __post_init__(self) -> None:
        # A class with slots is made anew by the decorator, which `super()` without arguments would not find.
        Example.__post_init__(self)
        if len(self.other) != len(self.texts) or not 0 <= self.ratio <= 1:
            raise DataError(
                f"A mixed example has {len(self.texts)} and {len(self.other)} texts and the ratio {self.ratio}; "
                "expected as many texts on either side and a ratio between 0 and 1."
            )


def has_mixed(examples: Iterable[Example]) -> bool:
    """Say whether mixed embeddings are among some examples."""
    return any(isinstance(example, MixedExample) for example in examples)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Human-labelled examples (gold) and the label set they are drawn from."""

    examples: tuple[Example, ...]
    labels: tuple[str, ...]
    """Every class, in a fixed order; columns of targets and probabilities follow it."""
    descriptions: Mapping[str, str] = field(default_factory=dict)
    """Class name to a phrase that reads well after "which is about"; may cover some classes or none."""
    kind: str = "texts"
    """What the texts are, as a plural that fits "a diverse set of short ..." ("questions", "customer messages")."""
    attributes: tuple[str, ...] = ()
    """Of annotated rows: every intent, entity type or slot, in a fixed order. Descriptions speak of these, too."""

    def __post_init__(self) -> None:
        unknown = sorted({example.label for example in self.examples} - set(self.labels))
        if unknown:
            raise DataError(f"Labels {unknown} stand in the rows but not in the label set {list(self.labels)}.")
        named = self.attributes or self.labels
        strangers = sorted(set(self.descriptions) - set(named))
        if strangers:
            raise DataError(
                f"Descriptions are given for {strangers}, which are not classes of this data.",
                hint=f"Classes: {', '.join(named)}.",
            )

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    @property
    def texts(self) -> list[str]:
        """The examples as single strings, in row order."""
        return [example.text for example in self.examples]

    @property
    def width(self) -> int:
        """Texts per example, 1 or 2; 1 when there are no examples."""
        return len(self.examples[0].texts) if self.examples else 1

    @property
    def example_labels(self) -> list[str]:
        """The label of each row, in row order."""
        return [example.label for example in self.examples]

    def of_class(self, label: str) -> list[Example]:
        """Return the examples of one class, in row order."""
        return [example for example in self.examples if example.label == label]

    def rows(self, indices: Sequence[int]) -> "Corpus":
        """Return the given rows (0-based) as a corpus with the same labels and descriptions."""
        return replace(self, examples=tuple(self.examples[index] for index in indices))

    def describe(self, label: str) -> str:
        """Return the description of a class, or its name with underscores as spaces when there is none."""
        return self.descriptions.get(label) or readable(label)


def readable(label: str) -> str:
    """Write a class name as words: underscores and hyphens become spaces."""
    return label.replace("_", " ").replace("-", " ").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a synthetic example came from and what was done to it."""

    method: str
    parents: tuple[str, ...] = ()
    """Classes mixed, the target first; a single class when nothing was mixed."""
    parent_texts: tuple[str, ...] = ()
    """Gold texts mixed, that of the target first; only methods that mix texts have any."""
    ratio: float | None = None
    """Share of the first parent, in [0, 1]."""
    round_index: int = 0
    parent_key: str = ""
    """`Example.key` of the gold row that the text was extrapolated from; empty where there is none."""
    prompt_digest: str = ""
    """SHA-256 (first 16 hex digits) of the prompt that produced the text; the key into the reply store."""
    model: str = ""
    written_label: str = ""
    """The label the writer was asked for."""
    judged_label: str | None = None
    """The label the judge named; None when it was not asked or its answer was unparsable."""
    confidence: float | None = None
    """Probability, in [0, 1], that the kept label is right, as estimated without any test data."""
    votes: Mapping[str, str] = field(default_factory=dict)
    """What each label source said: 'writer', 'judge', 'prototypes' to a class name."""
    logprobs: Mapping[str, float] = field(default_factory=dict)
    """Of a guided text: class name to the natural-log probability of the text under that class's prompt."""
    reviewed: str = ""
    """What a person decided about the row: 'accept', 'relabel', 'edit' or 'drop'; empty before."""
    original_texts: tuple[str, ...] = ()
    """The texts as they were written, where a person edited them."""
    reason: str | None = None
    """Why the row was dropped; None for kept rows."""


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A written example with its origin."""

    example: Example
    origin: Origin
    probabilities: Mapping[str, float] = field(default_factory=dict)
    """Class name to probability: the soft label a student is taught, where the method or label trust gives one;
    classes left out have none. Empty means all mass on `example.label`. Label trust leaves out votes that tell a
    student nothing new, so its top need not be the label."""

    @property
    def weight(self) -> float:
        """The sample weight a student should give the row: its confidence, 1 when none was estimated."""
        return 1.0 if self.origin.confidence is None else self.origin.confidence


@dataclass(frozen=True, slots=True)
class Augmented:
    """What a method made: kept rows, dropped rows with reasons, counts by class, and why it stopped."""

    kept: tuple[Synthetic, ...]
    dropped: tuple[Synthetic, ...]
    losses: Mapping[str, Mapping[str, int]]
    """Class to stage ('asked', 'moved', 'written', 'unparsable', 'copy', 'missing', 'noise', 'intrusion', 'duplicate',
    'relabelled', 'dropped', 'kept', 'leak') to count.

    The class is the one the writer was asked for."""
    stopped: str
    """Why writing ended, as one sentence."""
    sources: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Label source to 'accuracy' and 'sharpness' on the gold texts it had not seen, and how many 'texts'."""
