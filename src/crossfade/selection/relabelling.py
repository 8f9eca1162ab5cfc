"""Ask a judge which class a text belongs to, among the nearest classes only (PromptMix, section on relabelling).

The nearest classes come from prototypes: the mean embedding of a class's gold texts and of its description. A judge
that answers in text casts a vote; one that gives probabilities of the choices scores each class.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from crossfade.data import Corpus, Example
from crossfade.prompts import render
from crossfade.prompts.render import ShownClass
from crossfade.roles import Encoder, Floats, Reply, Request, Sampling, TextModel

JUDGING = Sampling(temperature=0.0, max_tokens=64)
"""Greedy, as in PromptMix; a class name needs few tokens."""
MOST_SHOWN = 160
"""Gold texts that a list to continue shows at most, over all classes; more would not fit a small model's context."""
MOST_CHARACTERS = 12_000
"""The same in characters; but one text of each class is always shown."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a judge said of some texts."""

    scores: Floats
    """[texts, classes]; -inf for classes that were not offered. Log-probabilities of the choices, or 1 for the class
    named and 0 for the others offered. All zero over the offered classes when the answer was unparsable."""
    parsable: np.ndarray
    """[texts] of bool: the judge named one of the offered classes."""
    graded: bool
    """The scores are log-probabilities, which carry each phrase's own bias; else plain answers, 1 or 0."""


def prototypes(gold: Corpus, encoder: Encoder, *, without: int | None = None) -> Floats:
    """Return one unit-length vector per class, [classes, width].

    The mean of the embeddings of the class's gold texts and of its description (its name where there is none). The
    paper uses the name; a description says more. Classes without a text are told by that vector alone.

    Args:
        gold: The labelled texts.
        encoder: Embeds texts and descriptions.
        without: Row to leave out, for scoring that very row.
    """
    vectors = encoder.encode(gold.texts)
    names = encoder.encode([gold.describe(label) for label in gold.labels])
    rows = [index for index in range(len(gold)) if index != without]
    labels = np.array([gold.labels.index(gold.examples[index].label) for index in rows], dtype=int)
    kept = vectors[rows]
    means = np.stack(
        [np.vstack([kept[labels == index], names[index]]).mean(axis=0) for index in range(len(gold.labels))]
    )
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), dtype=np.float64)


def nearest_classes(similarities: Floats, count: int) -> np.ndarray:
    """Return the indices of the `count` most similar classes of each text, [texts, count], in class order."""
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
    return np.asarray(np.sort(order, axis=1))


Ask = Callable[[Example, tuple[int, ...]], list[Request]]
"""Builds what a judge is asked about a text and some classes (by index)."""


@dataclass(frozen=True, slots=True)
class Judge(ABC):
    """A judging model and how it is asked about a text and the classes nearest to it."""

    model: TextModel
    offered: int
    """How many of the nearest classes are offered."""

    def verdicts(self, texts: Sequence[Example], similarities: Floats, shown: Corpus) -> Verdicts:
        """Let the model choose among the classes nearest to each text.

        Args:
            texts: What is to be judged.
            similarities: Of each text to each class prototype, [texts, classes].
            shown: The gold texts that the prompt shows.
        """
        candidates = nearest_classes(similarities, self.offered)
        ask = self.questions(shown)
        asked = [ask(example, tuple(offered)) for example, offered in zip(texts, candidates, strict=True)]
        # Equal questions are asked once; equal prefixes stand together, so that a model reads each but once.
        every = sorted(dict.fromkeys(chain.from_iterable(asked)), key=lambda request: request.prefix)
        replies = {reply.request: reply for reply in self.model.answer(every)}
        scores = np.full(similarities.shape, -np.inf)
        parsable = np.zeros(len(texts), dtype=bool)
        for row, requests in enumerate(asked):
            verdict = self.read([replies[request] for request in requests])
            scores[row, candidates[row]] = 0.0 if verdict is None else verdict
            parsable[row] = verdict is not None
        graded = any(reply.choice_logprobs is not None for reply in replies.values())
        return Verdicts(scores, parsable, graded)

    def example_request(self, shown: Corpus) -> Request:
        """Return a request as the judge will get it, about a made-up text."""
        made_up = Example(("...",) * shown.width, shown.labels[0])
        return self.questions(shown)(made_up, tuple(range(min(self.offered, len(shown.labels)))))[0]

    @abstractmethod
    def questions(self, shown: Corpus) -> Ask:
        """Return what builds the requests about a text."""

    @abstractmethod
    def read(self, replies: Sequence[Reply]) -> Floats | None:
        """Turn the replies about a text into one score per class offered, or None where they say nothing of it."""

    @abstractmethod
    def requests_each(self, classes: int) -> int:
        """Return how many requests a text takes."""


@dataclass(frozen=True, slots=True)
class ChoiceJudge(Judge):
    """A judge that is asked for the class of a text.

    In the form 'instruct' it is given the candidate classes and names one; in the form 'continue' it completes "... is
    about".
    """

    def questions(self, shown: Corpus) -> Ask:
        """Ask once, with all classes offered as choices."""
        ask = (_instruction if self.model.preferred_form == "instruct" else _open_list)(shown)
        return lambda example, offered: [ask(example, offered)]

    def read(self, replies: Sequence[Reply]) -> Floats | None:
        """Read the one reply."""
        return _verdict(replies[0])

    def requests_each(self, classes: int) -> int:
        """Return how many requests a text takes."""
        return 1


def _verdict(reply: Reply) -> Floats | None:
    """Read a reply as one score per choice, or None when it names none of them."""
    if reply.error is not None:
        return None
    if reply.choice_logprobs is not None:
        return np.asarray(reply.choice_logprobs, dtype=np.float64)
    if reply.chosen is None:
        return None
    return np.array([float(choice == reply.chosen) for choice in reply.request.choices])


def _instruction(shown: Corpus) -> Callable[[Example, tuple[int, ...]], Request]:
    classes = [
        ShownClass(
            label,
            shown.descriptions.get(label, ""),
            tuple(render.one_line(example) for example in shown.of_class(label)),
        )
        for label in shown.labels
    ]

    def ask(example: Example, offered: tuple[int, ...]) -> Request:
        return Request(
            prefix=render.class_list([classes[index] for index in offered], kind=shown.kind),
            prompt=render.relabel_instruction(example),
            form="instruct",
            sampling=JUDGING,
            choices=tuple(shown.labels[index] for index in offered),
        )

    return ask


def _open_list(shown: Corpus) -> Callable[[Example, tuple[int, ...]], Request]:
    phrases = [shown.describe(label) for label in shown.labels]
    shown = at_most(shown, max(1, MOST_SHOWN // len(shown.labels)))
    # The examples take the classes in turn: one prefix serves every text, and no class has the last word for long.
    ranks = ranks_in_class(shown)
    turns = sorted(range(len(shown)), key=lambda row: ranks[row])
    pairs = [(shown.examples[row], phrases[shown.labels.index(shown.examples[row].label)]) for row in turns]
    prefix = render.relabel_examples(pairs, kind=shown.kind, width=shown.width)

    def ask(example: Example, offered: tuple[int, ...]) -> Request:
        return Request(
            prefix=prefix,
            prompt=render.relabel_question(example),
            form="continue",
            sampling=JUDGING,
            choices=tuple(render.relabel_choice(phrases[index]) for index in offered),
        )

    return ask


def ranks_in_class(gold: Corpus) -> list[int]:
    """Return for each row how many earlier rows have its class."""
    seen: Counter[str] = Counter()
    ranks = []
    for example in gold.examples:
        ranks.append(seen[example.label])
        seen[example.label] += 1
    return ranks


def folds_of_one_per_class(gold: Corpus) -> list[list[int]]:
    """Split the gold rows into folds that hold at most one row of each class.

    A judge is scored on a fold with the other folds in its prompt. Leaving out one row alone would leave its class
    one example short of the others, and few-shot judges then vote against it.
    """
    ranks = ranks_in_class(gold)
    return [[row for row, rank in enumerate(ranks) if rank == fold] for fold in range(max(ranks, default=-1) + 1)]


def at_most(gold: Corpus, per_class: int) -> Corpus:
    """Return the first rows of each class: `per_class`, or as many fewer as `MOST_CHARACTERS` asks for."""
    ranks = ranks_in_class(gold)
    while per_class > 1 and _characters(gold, ranks, per_class) > MOST_CHARACTERS:
        per_class -= 1
    return gold.rows([row for row, rank in enumerate(ranks) if rank < per_class])


def _characters(gold: Corpus, ranks: Sequence[int], per_class: int) -> int:
    shown = (example for example, rank in zip(gold.examples, ranks, strict=True) if rank < per_class)
    return sum(len(text) for example in shown for text in example.texts)
