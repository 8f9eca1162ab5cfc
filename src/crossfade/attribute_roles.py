"""What writes texts for several attributes: soft prompts, how they are trained, and how texts are drawn (Protocols)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from crossfade.roles import Sampling

MixerName = Literal["concat", "pooling", "attention", "bottleneck", "cnn", "sum"]
"""How soft prompts become one block; models/mixers.py has the formulas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftPromptShape:
    """What a mixture of soft prompts is made of, before it is trained."""

    instruction: str
    """Words that the prefix starts from."""
    descriptions: Mapping[str, str]
    """Every attribute, and the words that its prompt starts from."""
    prefix_length: int
    """Vectors of the prefix, which all texts share."""
    attribute_length: int
    """Vectors of each attribute's prompt."""
    mixer: MixerName
    mixing_temperature: float
    """Of the attention's weights; not that of sampling."""
    most_attributes: int
    """Attributes that are mixed into one block at most; the convolution has so many channels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTuning:
    """How soft prompts are trained: AdamW without decay, on a cosine after a warm-up over a tenth of the steps."""

    learning_rate: float
    epochs: int
    """Passes over the training rows, at most."""
    batch_size: int
    """Rows to a step."""
    rows_at_once: int
    """Rows that the model reads at once; gradients add up to a step's."""
    patience: int
    """Epochs without a lower development loss after which training stops."""
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributePrompt:
    """What a text is to be written for."""

    groups: tuple[tuple[str, ...], ...]
    """Attributes; each group is mixed on its own, and the blocks follow one another."""
    words: str
    """The prompt in words that stands after the soft prompts."""
    values: tuple[str, ...] = ()
    """Strings that the text is to hold, for `WritingStyle.pull`."""
    bare_words: str = ""
    """The same words without what the text must contain, for `WritingStyle.guidance_scale`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingStyle:
    """How texts are drawn from tuned prompts."""

    sampling: Sampling
    repetition_penalty: float = 1.0
    """Divides the scores of tokens that the text holds already (CTRL, Keskar et al. 2019); 1 is none."""
    beams: bool = False
    """Whether candidates are drawn together as beams, as the released code does, or each on its own."""
    pull: float = 0.0
    """Nats on top for what begins a value that is missing, or goes on with it; a text may then end only once it holds
    all its values. 0 for none. Ours: no part of the paper."""
    guidance_scale: float = 1.0
    """How many times what the attributes add to the next token's log-probabilities counts; 1 is none. Ours: no part of
    the paper."""


@dataclass(frozen=True, slots=True)
class Written:
    """A text as its writer left it."""

    text: str
    is_whole: bool = True
    """Whether the writer ended it, or was cut off at the most tokens."""


class SoftPromptWriter(Protocol):
    """A frozen language model with a trained soft prompt for each attribute (Mixture of Soft Prompts)."""

    @property
    def name(self) -> str:
        """What identifies the texts: the model, and what was learned."""
        ...

    def write(
        self, prompts: Sequence[AttributePrompt], *, style: WritingStyle, candidates: int, seed: int
    ) -> list[list[Written]]:
        """Return so many texts of one line for each prompt; the same seed gives the same texts."""
        ...


class PromptTuner(Protocol):
    """A frozen language model that soft prompts can be trained for."""

    def tune(
        self,
        shape: SoftPromptShape,
        prompts: Sequence[AttributePrompt],
        texts: Sequence[str],
        *,
        development: tuple[Sequence[AttributePrompt], Sequence[str]],
        tuning: PromptTuning,
    ) -> SoftPromptWriter:
        """Train new soft prompts to write each text after its prompt.

        Args:
            shape: What is trained.
            prompts: One for each text.
            texts: What is to be written.
            development: Prompts and texts that say which epoch is kept; without any, the last is.
            tuning: How.
        """
        ...
