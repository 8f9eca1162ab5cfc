"""Hidden mixup: points between the embeddings of two gold texts, with labels mixed in the same ratio, and no text.

Papers: Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018, arXiv 1710.09412; on
sentence embeddings: Guo, Mao, Zhang, "Augmenting Data with Mixup for Sentence Classification", 2019, arXiv 1905.08941.
What we do otherwise, and why, is in docs/methods/hidden_mixup.md.
"""

from typing import Literal

from numpy.random import Generator
from pydantic import Field

from crossfade.data import Augmented, Corpus, Example, MixedExample, Origin, Synthetic
from crossfade.errors import SettingsError
from crossfade.roles import Encoder
from crossfade.selection.ledger import Ledger
from crossfade.settings import Settings
from crossfade.tasks.classification import require_examples

NAME = "hidden_mixup"


class HiddenMixupSettings(Settings):
    """How gold texts are mixed."""

    name: Literal["hidden_mixup"] = "hidden_mixup"
    """The method."""
    texts_per_class: int = Field(50, ge=1)
    """Mixed rows to make for each class, which has the larger share in them. Ours: as many as the methods that write;
    the papers mix anew in every batch."""
    alpha: float = Field(1.0, gt=0.0)
    """The ratio is drawn from Beta(alpha, alpha); smaller stays nearer to the texts. 1 is mixup's value for small
    images (CIFAR)."""
    same_class: bool = True
    """Whether both texts may be of one class. mixup: yes, any two rows are mixed."""


def augment(gold: Corpus, *, encoder: Encoder, settings: HiddenMixupSettings, rng: Generator) -> Augmented:
    """Mix pairs of gold rows.

    Args:
        gold: At least one text of each class, and two or more in all.
        encoder: Not used: the student embeds the two texts and mixes the embeddings.
        settings: See `HiddenMixupSettings`.
        rng: Draws the pairs and the ratios.

    Returns:
        Rows of `MixedExample`s with soft labels, as many for each class as were asked for.

    Raises:
        SettingsError: A class has no text, or there is nothing to mix one with.
    """
    require_examples(gold, NAME)
    book = Ledger(gold, settings.texts_per_class)
    for label in gold.labels:
        rows = [mixed(gold, label, settings, rng) for _ in range(settings.texts_per_class)]
        book.take(rows, [False] * len(rows))
    return book.close()


def mixed(gold: Corpus, label: str, settings: HiddenMixupSettings, rng: Generator) -> Synthetic:
    """Mix a row of a class, which gets the larger share, with another row."""
    first = _one_of(gold.of_class(label), rng)
    others = [
        example for example in gold if example is not first and (settings.same_class or example.label != first.label)
    ]
    if not others:
        raise SettingsError(
            f"There is no other text to mix '{first.text}' with.",
            hint="Give two texts or more, of two classes unless same_class is true.",
        )
    second = _one_of(others, rng)
    share = float(rng.beta(settings.alpha, settings.alpha))
    ratio = max(share, 1 - share)
    origin = Origin(method=NAME, parents=(label, second.label), ratio=ratio, written_label=label)
    probabilities = {label: 1.0} if second.label == label else {label: ratio, second.label: 1 - ratio}
    return Synthetic(MixedExample(first.texts, label, second.texts, ratio), origin, probabilities)


def _one_of(examples: list[Example], rng: Generator) -> Example:
    return examples[int(rng.integers(len(examples)))]
