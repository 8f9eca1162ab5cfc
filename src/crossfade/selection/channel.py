"""Ask a judge how probable a text is as one more of each class's texts: the noisy channel, P(text | class).

Min et al., "Noisy Channel Language Model Prompting for Few-Shot Text Classification", ACL 2022, arXiv 2108.04106. A
small model that is asked for the class of a text says more about the phrase that names the class than about the text;
here every class is given the same words to explain. Classes, texts and figures: docs/label_trust.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossfade.data import Corpus, Example
from crossfade.prompts import render
from crossfade.prompts.render import ShownClass
from crossfade.roles import Floats, Request, TextModel
from crossfade.selection.relabelling import JUDGING, MOST_CHARACTERS, Verdicts, nearest_classes

MOST_SHOWN = 10
"""Gold texts of a class that its list shows at most; as many as a writer is shown."""


@dataclass(frozen=True, slots=True)
class ChannelJudge:
    """A judge with open weights that reads a text under a list of each class."""

    model: TextModel
    offered: int
    """How many of the nearest classes are compared."""

    def verdicts(self, texts: Sequence[Example], similarities: Floats, shown: Corpus) -> Verdicts:
        """Compare the classes nearest to each text by the log-probability of the text after each class's list.

        Args:
            texts: What is to be judged.
            similarities: Of each text to each class prototype, [texts, classes].
            shown: The gold texts that the lists hold.
        """
        lists = [class_list(shown, label) for label in shown.labels]
        candidates = nearest_classes(similarities, self.offered)
        scores = np.full(similarities.shape, -np.inf)
        asked: dict[Request, list[tuple[int, int]]] = {}
        for row, (example, offered) in enumerate(zip(texts, candidates, strict=True)):
            for index in offered.tolist():
                asked.setdefault(channel_request(lists[index], example), []).append((row, index))
        told = np.ones(len(texts), dtype=bool)
        # Equal prefixes stand together, so that a model reads each but once.
        for reply in self.model.answer(sorted(asked, key=lambda request: request.prefix)):
            for row, index in asked[reply.request]:
                if reply.choice_logprobs is None:
                    told[row] = False
                else:
                    scores[row, index] = reply.choice_logprobs[0]
        # One class's answer is missing: then nothing can be compared.
        for row in np.flatnonzero(~told).tolist():
            scores[row, candidates[row]] = 0.0
        return Verdicts(scores, told, graded=True)

    def example_request(self, shown: Corpus) -> Request:
        """Return a request as the judge will get it, about a made-up text."""
        return channel_request(class_list(shown, shown.labels[0]), Example(("...",) * shown.width, shown.labels[0]))

    def requests_each(self, classes: int) -> int:
        """Return how many requests a text takes."""
        return min(self.offered, classes)


def class_list(shown: Corpus, label: str) -> str:
    """Write the list of a class that a text may continue, up to its open dash: description, then gold texts."""
    texts = [render.one_line(example) for example in shown.of_class(label)][:MOST_SHOWN]
    while len(texts) > 1 and sum(map(len, texts)) > MOST_CHARACTERS:
        texts.pop()
    described = ShownClass(label, shown.descriptions.get(label, ""), tuple(texts))
    return render.list_to_continue([described], kind=shown.kind).removesuffix(render.OPEN_DASH)


def channel_request(listed: str, example: Example) -> Request:
    """Ask how probable a text is as the next entry of a list; the answer is given."""
    text = render.one_line(example)[: render.LONGEST_JUDGED]
    return Request(prefix=listed, prompt=render.OPEN_DASH, form="continue", sampling=JUDGING, choices=(f" {text}\n",))
