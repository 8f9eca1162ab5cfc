"""Exact match and F1 of an answer, per question, by the rules of SQuAD's official evaluation script."""

import re
import string
from collections import Counter
from collections.abc import Sequence

ARTICLES = re.compile(r"\b(a|an|the)\b")
MARKS = str.maketrans("", "", string.punctuation)


def normalised_answer(text: str) -> str:
    """Return an answer as it is compared: in lower case, without ASCII punctuation, articles and extra white space."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(MARKS)).split())


def exact_match(said: str, answers: Sequence[str]) -> float:
    """Return 1 where the answer equals one of those that count as right, as they are compared, else 0."""
    return float(any(normalised_answer(said) == normalised_answer(answer) for answer in answers))


def answer_f1(said: str, answers: Sequence[str]) -> float:
    """Return the best F1, in [0, 1], over the words of the answer and of each that counts as right."""
    return max(_f1(normalised_answer(said).split(), normalised_answer(answer).split()) for answer in answers)


def _f1(said: Sequence[str], answer: Sequence[str]) -> float:
    # As the script of SQuAD 2.0: where either has no words left, they must be equal.
    if not said or not answer:
        return float(said == answer)
    shared = (Counter(said) & Counter(answer)).total()
    return 2 * shared / (len(said) + len(answer))
