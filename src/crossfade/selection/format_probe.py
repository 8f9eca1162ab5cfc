"""Find shortcuts: labels of written texts that their form alone gives away, such as quotes around one class's texts.

A student learns such a shortcut instead of the task. In the released rows of Wang et al. 2023 for RTE, "begins with a
quote" is right for four labels of five. Ours.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossfade.data import Example
from crossfade.roles import Floats

FEWEST_OF_CLASS = 10
"""Written texts of each class without which nothing is probed: with less, chance alone looks like a shortcut."""
LEAST_LEAD = 0.05
"""Lead over the most frequent class, in accuracy, from which a probe is worth a warning."""
LEVEL = 0.01
"""Probability of such a lead by chance (one-sided binomial test) below which it counts."""
FOLDS = 5
FIRST_WORD_SHARE = 0.02
"""Share of the texts that must begin with a word for it to be a feature."""
QUOTES = "\"'“”‘’«»„`"
MARKS = ".,;:!?()-"


@dataclass(frozen=True, slots=True)
class FormatProbe:
    """How well the form of written texts tells their labels."""

    rows: int
    accuracy: float
    """Of a probe that sees length, quotes, marks and the first word, on rows that it was not trained on, in [0, 1]."""
    majority: float
    """Share of the most frequent class, in [0, 1]."""
    chance: float
    """Probability of such an accuracy if form said nothing."""
    gold_accuracy: float
    """Of the same probe on gold texts; their form may tell labels rightly, as a question word does."""
    gold_majority: float
    """Share of the gold texts' most frequent class."""

    @property
    def is_shortcut(self) -> bool:
        """Whether form gives labels away that it does not tell on gold texts: more than half of the lead is lost."""
        lead, gold_lead = self.accuracy - self.majority, self.gold_accuracy - self.gold_majority
        return self.chance < LEVEL and lead >= LEAST_LEAD and gold_lead < lead / 2

    @property
    def warning(self) -> str:
        """Say what a student could learn wrongly; empty where there is no shortcut."""
        if not self.is_shortcut:
            return ""
        return (
            f"The form of the {self.rows} written texts (length, quotes, marks, first word) gives away "
            f"{self.accuracy:.0%} of their labels, where the most frequent class is {self.majority:.0%}; of gold "
            f"texts it tells {self.gold_accuracy:.0%}. A student may learn the form instead of the task."
        )


def probe_format(written: Sequence[Example], gold: Sequence[Example]) -> FormatProbe | None:
    """Train a logistic regression on the form of written texts, cross-validated, and try it on gold texts.

    Args:
        written: Examples with their labels; of pairs the second text counts, which is the written one.
        gold: Human-labelled examples.

    Returns:
        What was found; None where there are too few rows, or fewer than two classes.
    """
    labels = np.array([example.label for example in written])
    counts = Counter(labels.tolist())
    if len(counts) < 2 or min(counts.values()) < FEWEST_OF_CLASS or not gold:
        return None
    from scipy.stats import binomtest
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    texts = [example.texts[-1] for example in written]
    begun = Counter(map(_first_word, texts))
    words = sorted(word for word, count in begun.items() if count >= max(2, FIRST_WORD_SHARE * len(texts)))
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    features = _features(texts, words)
    right = int((cross_val_predict(probe, features, labels, cv=folds) == labels).sum())
    majority = max(counts.values()) / len(labels)
    gold_labels = [example.label for example in gold]
    said = probe.fit(features, labels).predict(_features([example.texts[-1] for example in gold], words))
    return FormatProbe(
        rows=len(labels),
        accuracy=right / len(labels),
        majority=majority,
        chance=float(binomtest(right, len(labels), majority, alternative="greater").pvalue),
        gold_accuracy=float(np.mean(said == np.array(gold_labels))),
        gold_majority=max(Counter(gold_labels).values()) / len(gold_labels),
    )


def _features(texts: Sequence[str], words: Sequence[str]) -> Floats:
    """Describe the form of each text, [texts, features]."""
    rows = []
    for text in texts:
        found = text.split()
        first = _first_word(text)
        row = [np.log1p(len(text)), np.log1p(len(found)), len(text) / max(len(found), 1)]
        row += [text[:1] in QUOTES, text[-1:] in QUOTES, sum(map(text.count, QUOTES))]
        row += [text[:1].isupper(), any(map(str.isdigit, text)), *(text[-1:] == mark for mark in MARKS)]
        row += [text.count(mark) for mark in MARKS]
        rows.append([*row, *(first == word for word in words)])
    return np.array(rows, dtype=np.float64)


def _first_word(text: str) -> str:
    found = re.search(r"\w+", text.lower())
    return found[0] if found else ""
