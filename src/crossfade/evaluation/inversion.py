"""How well an inverter gives sentences back: words, BLEU, and where its text lies."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from crossfade.errors import DataError, missing_extra
from crossfade.evaluation.diversity import words_of
from crossfade.roles import Floats, Inverter, Sampling

GREEDY = Sampling(temperature=0, max_tokens=64)
"""How texts are decoded for measuring."""
TEXTS_AT_ONCE = 250
"""Texts between two lines about the progress."""


@dataclass(frozen=True, slots=True)
class InversionScores:
    """How texts came back from their embeddings."""

    rows: int
    token_f1: float
    """Mean F1 of the words of a text and of what came back, in [0, 1]."""
    bleu: float
    """Of all texts together, in [0, 1]."""
    cosine: float
    """Mean cosine between the embedding of a text and that of what came back, in [-1, 1]."""
    exact: float
    """Share of texts whose words all came back in order."""


def score_inversion(
    texts: Sequence[str], inverter: Inverter, tell: Callable[[str], None] = lambda _: None
) -> InversionScores:
    """Embed texts, decode the embeddings greedily, and compare.

    Args:
        texts: At least one.
        inverter: What encodes and decodes.
        tell: Takes lines about the progress.

    Raises:
        DataError: There are no texts.
        DependencyError: sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics import BLEU
    except ModuleNotFoundError as error:
        raise missing_extra("sacrebleu", "diversity") from error
    if not texts:
        raise DataError("0 texts were given; there is nothing to invert.")
    points = inverter.encode(texts)
    back: list[str] = []
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        tell(f"{start:,} of {len(texts):,} texts brought back ...")
        back += [
            candidates[0] for candidates in inverter.decode(points[start : start + TEXTS_AT_ONCE], sampling=GREEDY)
        ]
    there, here = [words_of(text) for text in texts], [words_of(text) for text in back]
    joined = [[" ".join(words) for words in side] for side in (there, here)]
    return InversionScores(
        rows=len(texts),
        token_f1=float(np.mean([token_f1(*pair) for pair in zip(there, here, strict=True)])),
        bleu=float(BLEU(tokenize="none").corpus_score(joined[1], [joined[0]]).score) / 100,
        cosine=float(np.mean(cosines(points, inverter.encode(back)))),
        exact=float(np.mean([first == second for first, second in zip(there, here, strict=True)])),
    )


def token_f1(wanted: Sequence[str], found: Sequence[str]) -> float:
    """Return the harmonic mean of the shares of wanted and of found words that the two have in common, in [0, 1]."""
    common = (Counter(wanted) & Counter(found)).total()
    return 2 * common / (len(wanted) + len(found)) if wanted or found else 1.0


def cosines(first: Floats, second: Floats) -> Floats:
    """Return the cosine of each pair of vectors, [rows]; 0 where one of them is zero."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray((first * second).sum(axis=1) / np.maximum(lengths, 1e-12), dtype=np.float64)
