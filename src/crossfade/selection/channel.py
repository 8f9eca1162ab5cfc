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
from crossfade.roles import Floats, Reply, Request
from crossfade.selection.relabelling import JUDGING, Ask, Judge, at_most

MOST_SHOWN = 10
"""Gold texts of a class that its list shows at most; as many as a writer is shown."""


@dataclass(frozen=True, slots=True)
class ChannelJudge(Judge):
    """A judge with open weights that reads a text under a list of each class."""

    def questions(self, shown: Corpus) -> Ask:
        """Ask under each class offered how probable the text is after its list."""
        lists = [list_of_class(shown, label) for label in shown.labels]
        return lambda example, offered: [channel_request(lists[index], example) for index in offered]

    def read(self, replies: Sequence[Reply]) -> Floats | None:
        """Put the log-probabilities side by side; where one is missing, nothing can be compared."""
        told = [reply.choice_logprobs[0] for reply in replies if reply.choice_logprobs is not None]
        return np.array(told) if len(told) == len(replies) else None

    def requests_each(self, classes: int) -> int:
        """Return how many requests a text takes."""
        return min(self.offered, classes)


def list_of_class(shown: Corpus, label: str) -> str:
    """Write the list of a class that a text may continue, up to its open dash: description, then gold texts."""
    of_class = at_most(shown.rows([row for row, example in enumerate(shown) if example.label == label]), MOST_SHOWN)
    texts = tuple(render.one_line(example) for example in of_class)
    described = ShownClass(label, shown.descriptions.get(label, ""), texts)
    return render.list_to_continue([described], kind=shown.kind).removesuffix(render.OPEN_DASH)


def channel_request(listed: str, example: Example) -> Request:
    """Ask how probable a text is as the next entry of a list; the answer is given."""
    text = render.one_line(example)[: render.LONGEST_JUDGED]
    return Request(prefix=listed, prompt=render.OPEN_DASH, form="continue", sampling=JUDGING, choices=(f" {text}\n",))
