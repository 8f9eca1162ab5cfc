"""Work out what a method would ask, and how many requests that takes; nothing is sent."""

from collections.abc import Sequence

import numpy as np

from crossfade.data import ANNOTATED_TASKS, Corpus
from crossfade.methods import example_prompting, gpt3mix, label_prompting, logit_mixup, promptmix, stepwise_synthesis
from crossfade.methods.stepwise_calls import StepwiseSynthesisSettings, written_parts
from crossfade.methods.writing import Assignment, WritingSettings, mean_length, open_ledger
from crossfade.parts import Parts
from crossfade.recipe import MethodSettings
from crossfade.selection.checking import Check, judgements
from crossfade.tasks.shapes import task_of


def first_assignments(parts: Parts, gold: Corpus, method: MethodSettings, rng: np.random.Generator) -> list[Assignment]:
    """Return what a method would first ask of the writer; nothing is sent."""
    if not isinstance(method, WritingSettings):
        return []
    form = parts.models.writer_of(method).preferred_form
    book = open_ledger(gold, form, method)
    match method:
        case promptmix.PromptMixSettings():
            return promptmix.propose(gold, book, form, method, rng)
        case example_prompting.ExamplePromptingSettings():
            return example_prompting.propose(gold, book, form, method, rng)
        case gpt3mix.Gpt3MixSettings():
            return gpt3mix.propose(gold, book, form, method, rng)
        case label_prompting.LabelPromptingSettings():
            return label_prompting.propose(gold, book, form, method, rng)
        case logit_mixup.LogitMixupSettings():
            nearest = logit_mixup.order_by_nearness(gold, parts.models.encoder)
            return logit_mixup.propose(gold, book, form, method, rng, nearest=nearest)
        case StepwiseSynthesisSettings():
            return stepwise_synthesis.planned(gold, form, method, rng)


def requests_at_most(parts: Parts, gold: Corpus, method: WritingSettings) -> int:
    """Return how many requests a method may send when hardly any answer is of use."""
    form = parts.models.writer_of(method).preferred_form
    if isinstance(method, StepwiseSynthesisSettings):
        return stepwise_synthesis.requests_at_most(gold, form, method)
    if task_of(gold).name in ANNOTATED_TASKS:
        return method.max_rounds * method.texts_per_class
    return method.requests_at_most(form, len(gold.labels))


def answer_length(parts: Parts, gold: Corpus, method: WritingSettings) -> float:
    """Return how many characters an answer of the writer has if its texts are as long as the gold ones."""
    form = parts.models.writer_of(method).preferred_form
    if isinstance(method, StepwiseSynthesisSettings):
        task = task_of(gold)
        return method.seeds_in_request(task, form) * mean_length(written_parts(gold, task))
    texts = 1 if task_of(gold).name in ANNOTATED_TASKS else method.texts_in_request(form)
    return texts * mean_length(gold)


def expected_requests(parts: Parts, gold: Corpus, method: MethodSettings, checks: Sequence[Check]) -> int:
    """Return how many requests a method and label checks take on these texts if every answer holds what it should."""
    writing = 0
    if isinstance(method, StepwiseSynthesisSettings):
        writing = len(first_assignments(parts, gold, method, np.random.default_rng(0)))
    elif isinstance(method, WritingSettings) and task_of(gold).name in ANNOTATED_TASKS:
        # There a request asks for one text.
        writing = method.texts_per_class
    elif isinstance(method, WritingSettings):
        writing = method.first_requests(parts.models.writer_of(method).preferred_form, len(gold.labels))
    if not (judged := expected_judgements(parts, gold, method, checks)):
        return writing
    judges = parts.models.judges(parts.recipe.labels.nearest).values()
    return writing + judged * sum(judge.requests_each(len(gold.labels)) for judge in judges)


def expected_judgements(parts: Parts, gold: Corpus, method: MethodSettings, checks: Sequence[Check]) -> int:
    """Return how many texts each judge will be asked about; what several checks ask is asked once."""
    if not parts.recipe.data.has_classes or not parts.can_check(method):
        return 0
    written = method.texts_per_class * len(gold.labels)
    if isinstance(method, StepwiseSynthesisSettings):
        written += stepwise_synthesis.expected_additions(gold, method)
    return max((judgements(check, written=written, gold=len(gold)) for check in checks), default=0)
