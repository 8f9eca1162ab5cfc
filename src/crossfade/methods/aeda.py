"""AEDA: insert punctuation marks into a gold text.

Paper: Karimi, Rossi, Prati, "AEDA: An Easier Data Augmentation Technique for Text Classification", Findings of EMNLP
2021, arXiv 2108.13230. What we do otherwise, and why, is in docs/methods/eda.md.
"""

from collections.abc import Sequence
from typing import Literal

from numpy.random import Generator
from pydantic import Field

from crossfade.data import Augmented, Corpus
from crossfade.methods.editing import EditingSettings, edit_until_full
from crossfade.roles import Encoder

NAME = "aeda"
MARKS = (".", ";", "?", ":", "!", ",")


class AedaSettings(EditingSettings):
    """How gold texts are edited by AEDA."""

    name: Literal["aeda"] = "aeda"
    """The method."""
    share: float = Field(0.3, gt=0.0, le=1.0)
    """Marks inserted, as a share of a text's words, at most; one at least. Paper: a third; released code: 0.3."""


def augment(gold: Corpus, *, encoder: Encoder, settings: AedaSettings, rng: Generator) -> Augmented:
    """Make texts by inserting punctuation marks.

    Args:
        gold: At least one text of each class.
        encoder: Not used; every method is handed one.
        settings: See `AedaSettings`.
        rng: Draws the texts, the marks and their places.

    Raises:
        SettingsError: A class has no text.
    """
    return edit_until_full(
        gold, lambda words, rng: insert_marks(words, settings.share, rng), method=NAME, settings=settings, rng=rng
    )


def insert_marks(words: Sequence[str], share: float, rng: Generator) -> list[str]:
    """Put marks before some of the words: at least one, at most the given share and one more."""
    count = int(rng.integers(1, int(share * len(words) + 1) + 1))
    places = set(rng.permutation(len(words))[:count].tolist())
    changed: list[str] = []
    for place, word in enumerate(words):
        if place in places:
            changed.append(MARKS[int(rng.integers(len(MARKS)))])
        changed.append(word)
    return changed
