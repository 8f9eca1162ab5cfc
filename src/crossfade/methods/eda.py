"""EDA: replace, insert, swap or delete a few words of a gold text.

Paper: Wei, Zou, "EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification Tasks",
EMNLP-IJCNLP 2019, arXiv 1901.11196. What we do otherwise, and why, is in docs/methods/eda.md.
"""

import re
import string
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from numpy.random import Generator
from pydantic import Field

from crossfade.data import Augmented, Corpus
from crossfade.methods.editing import EditingSettings, edit_until_full
from crossfade.packaged import packaged_wordnet
from crossfade.roles import Encoder

NAME = "eda"
Synonyms = Mapping[str, Sequence[str]]
"""A word in small letters to the words that share a meaning with it, sorted."""
SYNONYM_SET = re.compile(r"^INSERT INTO \w+ VALUES \('[^']*','([^']*)'")
"""A line of the WordNet file: the id of a set, and its words between spaces."""


class EdaSettings(EditingSettings):
    """How gold texts are edited by EDA."""

    name: Literal["eda"] = "eda"
    """The method."""
    share: float = Field(0.1, gt=0.0, le=1.0)
    """Share of a text's words that an edit changes, at least one; when deleting, the chance of each word to go. The
    paper's alpha: 0.1."""


def augment(gold: Corpus, *, encoder: Encoder, settings: EdaSettings, rng: Generator) -> Augmented:
    """Make texts by one of EDA's four edits each, drawn at random.

    Args:
        gold: At least one text of each class, in English: the synonyms are WordNet's.
        encoder: Not used; every method is handed one.
        settings: See `EdaSettings`.
        rng: Draws what is edited and how.

    Raises:
        DependencyError: The package with WordNet is not installed.
        SettingsError: A class has no text.
    """
    synonyms = read_synonyms(packaged_wordnet())
    return edit_until_full(
        gold, lambda words, rng: edit(words, synonyms, settings.share, rng), method=NAME, settings=settings, rng=rng
    )


def edit(words: Sequence[str], synonyms: Synonyms, share: float, rng: Generator) -> list[str]:
    """Change a share of the words by one of the four edits."""
    count = max(1, int(share * len(words)))
    match rng.integers(4):
        case 0:
            return replace_words(words, count, synonyms, rng)
        case 1:
            return insert_words(words, count, synonyms, rng)
        case 2:
            return swap_words(words, count, rng)
        case _:
            return delete_words(words, share, rng)


def replace_words(words: Sequence[str], count: int, synonyms: Synonyms, rng: Generator) -> list[str]:
    """Replace so many different words that are no stop words, wherever they stand, by a synonym of each."""
    candidates = _with_synonyms(words, synonyms)
    chosen = {
        candidates[index]: _one_of(synonyms[candidates[index]], rng)
        for index in rng.permutation(len(candidates))[:count]
    }
    return [_put(word, chosen[bare(word)]) if bare(word) in chosen else word for word in words]


def insert_words(words: Sequence[str], count: int, synonyms: Synonyms, rng: Generator) -> list[str]:
    """Insert, so many times, a synonym of a word that is no stop word at a random place."""
    candidates = _with_synonyms(words, synonyms)
    changed = list(words)
    for _ in range(count if candidates else 0):
        synonym = _one_of(synonyms[_one_of(candidates, rng)], rng)
        changed.insert(int(rng.integers(len(changed) + 1)), synonym)
    return changed


def swap_words(words: Sequence[str], count: int, rng: Generator) -> list[str]:
    """Let two words change places, so many times."""
    changed = list(words)
    for _ in range(count if len(words) > 1 else 0):
        first, second = rng.permutation(len(changed))[:2]
        changed[first], changed[second] = changed[second], changed[first]
    return changed


def delete_words(words: Sequence[str], share: float, rng: Generator) -> list[str]:
    """Delete each word with the given chance; one always stays."""
    kept = [word for word, draw in zip(words, rng.random(len(words)), strict=True) if draw >= share]
    return kept or [_one_of(words, rng)]


def bare(word: str) -> str:
    """Return a word in small letters, without the punctuation around it."""
    return word.strip(string.punctuation).lower()


def _with_synonyms(words: Sequence[str], synonyms: Synonyms) -> list[str]:
    """Return the different words that have synonyms and are no stop words, bare, in order."""
    # Takes a second to import, which recipes that only name this method need not wait for.
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return [word for word in dict.fromkeys(map(bare, words)) if word in synonyms and word not in ENGLISH_STOP_WORDS]


def _one_of(words: Sequence[str], rng: Generator) -> str:
    return words[int(rng.integers(len(words)))]


def _put(word: str, synonym: str) -> str:
    """Put a synonym into the punctuation around a word."""
    return word.replace(word.strip(string.punctuation), synonym)


@cache
def read_synonyms(path: Path) -> Synonyms:
    """Read the synonyms of each word from WordNet's synonym sets; words of several meanings get those of all.

    Args:
        path: SQL inserts, one set to a line: an id, then the words between spaces, underscores within them.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            read = SYNONYM_SET.match(line)
            if read is None:
                continue
            words = {word.replace("_", " ").lower() for word in read[1].split()}
            for word in words:
                found[word] |= words - {word}
    return {word: sorted(others) for word, others in found.items() if others}
