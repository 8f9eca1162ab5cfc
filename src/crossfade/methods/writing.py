"""What methods that ask a language model for texts share: settings, rounds of topping up, and reading the answers.

A method proposes what to ask of the writer, given what is still missing; `write_until_full` does the rest.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from numpy.random import Generator
from pydantic import Field

from crossfade.data import TEXT_SEPARATOR, Augmented, Corpus, Example, Origin, Synthetic
from crossfade.prompts import render
from crossfade.prompts.parse import parse_texts
from crossfade.prompts.render import ShownClass
from crossfade.roles import CHARACTERS_PER_TOKEN, Encoder, Form, Reply, Request, Sampling, TextModel
from crossfade.selection.duplicates import near_duplicates
from crossfade.selection.ledger import LEAST_YIELD, Ledger
from crossfade.settings import Settings


class RoundSettings(Settings):
    """How many texts are written, and when a method gives up."""

    texts_per_class: int = Field(50, ge=1)
    """Distinct texts to write for each class. PromptMix's released code keeps 50 to 100."""
    duplicate_similarity: float = Field(0.95, gt=0.0, le=1.0)
    """Cosine similarity from which two texts count as the same. Ours."""
    max_rounds: int = Field(10, ge=1)
    """Rounds of topping up before the method gives up on a class. Ours."""


class WritingSettings(RoundSettings):
    """How many texts are written, and how they are asked for."""

    texts_per_request: int | None = Field(None, ge=1)
    """Texts to write in one request. When left out: 3 for instructions (PromptMix's released code), 5 for lists
    (ours)."""
    temperature: float | None = Field(None, ge=0.0, le=2.0)
    """Sampling temperature for writing. When left out: 1.0 for instructions (PromptMix), 0.7 for lists (ours: a sweep
    on training rows, benchmarks/form_sweep.py, found more of the labels right)."""
    max_tokens: int | None = Field(None, ge=8)
    """Longest answer, in tokens. When left out: 256 for instructions (PromptMix's released code); for lists, room for
    texts half as long again as the gold ones (ours)."""

    def texts_in_request(self, form: Form) -> int:
        """Return how many texts one request is to bring."""
        return self.texts_per_request or (3 if form == "instruct" else 5)

    def temperature_in(self, form: Form) -> float:
        """Return the sampling temperature for a form."""
        default = 1.0 if form == "instruct" else 0.7
        return default if self.temperature is None else self.temperature

    def first_requests(self, form: Form, classes: int) -> int:
        """Return how many requests the first round sends: enough when every answer holds what it should."""
        return classes * math.ceil(self.texts_per_class / self.texts_in_request(form))

    def requests_at_most(self, form: Form, classes: int) -> int:
        """Return how many requests all rounds may send when hardly any answer is of use."""
        per_round = classes * math.floor(self.texts_per_class / LEAST_YIELD)
        return self.first_requests(form, classes) + (self.max_rounds - 1) * per_round


class ShowingSettings(WritingSettings):
    """How texts are asked for with examples in the prompt."""

    examples_per_class: int = Field(10, ge=0)
    """Gold examples of a class that a prompt shows at most. PromptMix's released code: 10."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A request for texts of a class, and what is mixed into it."""

    target: str
    partners: tuple[str, ...]
    """The classes mixed in; none when the texts are to be of the target alone."""
    ratio: float | None
    """Share of the target, in [0, 1]; None for methods that do not mix."""
    request: Request


Drafted = tuple[list[Synthetic], list[str]]
"""The drafts of a round, and the class of each request that brought them."""
Propose = Callable[[Ledger], list[Assignment]]
"""Says what to ask for next, given what is still missing; nothing when every class has its texts."""
ReadReply = Callable[[Reply, int, Origin], Iterable[Synthetic]]
"""Turns a reply into rows of so many texts each; what is no text becomes a row with its reason."""


def read_reply(reply: Reply, width: int, origin: Origin) -> Iterator[Synthetic]:
    """Turn a reply into rows of `width` texts each; what is no text becomes a row with its reason."""
    if reply.error is not None:
        yield Synthetic(Example((reply.error,), origin.written_label), replace(origin, reason="failed: request"))
        return
    parsed = parse_texts(reply.text, form=reply.request.form, cut_off=reply.finish == "length")
    for line in parsed.texts:
        texts = tuple(part.strip() for part in line.split(TEXT_SEPARATOR)) if width == 2 else (line,)
        if len(texts) == width and all(texts):
            yield Synthetic(Example(texts, origin.written_label), origin)
        else:
            yield _unparsable(line, origin, f"not {width} texts around '{TEXT_SEPARATOR.strip()}'")
    for line, reason in parsed.rejected:
        yield _unparsable(line, origin, reason)


def _unparsable(line: str, origin: Origin, reason: str) -> Synthetic:
    return Synthetic(Example((line,), origin.written_label), replace(origin, reason=f"unparsable: {reason}"))


def write_until_full(
    gold: Corpus,
    propose: Propose,
    *,
    method: str,
    writer: TextModel,
    encoder: Encoder,
    settings: WritingSettings,
    read: ReadReply = read_reply,
) -> Augmented:
    """Ask for texts, round by round, until each class has what it wants or the rounds run out.

    Args:
        gold: The labelled texts; texts that nearly repeat one are dropped.
        propose: See `Propose`.
        method: The method's name, for each row's origin.
        writer: Makes the texts.
        encoder: Finds near-duplicates.
        settings: See `WritingSettings`.
        read: Reads a reply.

    Returns:
        Kept rows with the label that the writer was asked for; the others with their reason.
    """
    book = open_ledger(gold, writer.preferred_form, settings)

    def draft(round_index: int) -> Drafted:
        assignments = propose(book)
        drafts = write_drafts(assignments, writer, gold.width, method=method, round_index=round_index, read=read)
        return drafts, [assignment.target for assignment in assignments]

    return top_up(book, draft, gold, encoder=encoder, settings=settings)


def top_up(
    book: Ledger, draft: Callable[[int], Drafted], gold: Corpus, *, encoder: Encoder, settings: RoundSettings
) -> Augmented:
    """Draft texts, round by round, until each class has what it wants or the rounds run out.

    Args:
        book: What is wanted.
        draft: Makes the drafts of a round, given its number; a round in which nothing is asked for is the last.
        gold: Drafts that nearly repeat one of its texts, or one that is kept, are dropped.
        encoder: Finds near-duplicates.
        settings: See `RoundSettings`.
    """
    for round_index in range(settings.max_rounds):
        drafts, targets = draft(round_index)
        if not targets:
            break
        repeats = repeated(drafts, [*gold.texts, *(row.example.text for row in book.kept)], encoder, settings)
        book.take(drafts, repeats, requests=targets)
    return book.close()


def open_ledger(gold: Corpus, form: Form, settings: WritingSettings) -> Ledger:
    """Open the books of a method that asks a writer in the given form."""
    return Ledger(gold, settings.texts_per_class, settings.texts_in_request(form))


def assign_each_class(gold: Corpus, book: Ledger, ask: Callable[[str], Request]) -> list[Assignment]:
    """Ask for what each class still lacks, one class to a request; `ask` builds the request for a label."""
    assignments: list[Assignment] = []
    for label in gold.labels:
        for _ in range(book.requests_wanted(label)):
            # The sample number keeps equal prompts apart, over all rounds.
            sample = book.requests.total() + len(assignments)
            assignments.append(Assignment(label, (), None, replace(ask(label), sample=sample)))
    return sorted(assignments, key=lambda assignment: assignment.request.prefix)


def instruction_request(prefix: str, prompt: str, settings: WritingSettings) -> Request:
    """Ask a model that follows instructions for texts, one per line."""
    return Request(
        prefix=prefix,
        prompt=prompt,
        form="instruct",
        sampling=Sampling(temperature=settings.temperature_in("instruct"), max_tokens=settings.max_tokens or 256),
    )


def list_request(gold: Corpus, prefix: str, settings: WritingSettings, *, beside: int = 0) -> Request:
    """Let a model continue a list that ends in an open dash; so many characters stand beside each text."""
    count = settings.texts_in_request("continue")
    return Request(
        prefix=prefix,
        prompt="",
        form="continue",
        lines=count,
        sampling=Sampling(
            temperature=settings.temperature_in("continue"),
            max_tokens=settings.max_tokens or tokens_for_list(gold, count, beside),
            stop=("\n\n",),
        ),
    )


def tokens_for_list(gold: Corpus, count: int, beside: int = 0) -> int:
    """Return how many tokens a list of texts half as long again as the gold ones takes."""
    return round(1.5 * count * ((mean_length(gold) + beside) / CHARACTERS_PER_TOKEN + 3))


def mean_length(gold: Corpus) -> float:
    """Return the mean length of a gold text in characters; without any gold texts, fifty."""
    return sum(map(len, gold.texts)) / len(gold) if len(gold) else 50.0


def show(gold: Corpus, label: str, most: int, rng: Generator) -> ShownClass:
    """Choose what a prompt shows of a class: name, description, at most so many shuffled examples."""
    examples = [render.one_line(example) for example in gold.of_class(label)]
    order = rng.permutation(len(examples))[:most]
    return ShownClass(label, gold.descriptions.get(label, ""), tuple(examples[index] for index in order))


def write_drafts(
    assignments: Sequence[Assignment],
    writer: TextModel,
    width: int,
    *,
    method: str,
    round_index: int,
    read: ReadReply,
) -> list[Synthetic]:
    """Ask the writer, and read its replies into rows in the assignments' order, failed and unparsable ones included."""
    replies: dict[Request, Reply] = {}
    for reply in writer.answer(assignment.request for assignment in assignments):
        replies[reply.request] = reply
    drafts: list[Synthetic] = []
    for assignment in assignments:
        origin = Origin(
            method=method,
            parents=(assignment.target, *assignment.partners),
            ratio=assignment.ratio,
            round_index=round_index,
            prompt_digest=assignment.request.prompt_digest,
            model=writer.name,
            written_label=assignment.target,
        )
        drafts.extend(read(replies[assignment.request], width, origin))
    return drafts


def repeated(
    drafts: Sequence[Synthetic], beside: Iterable[str], encoder: Encoder, settings: RoundSettings
) -> list[bool]:
    """Mark drafts that nearly repeat a text in `beside` or an earlier draft."""
    readable = [draft for draft in drafts if draft.origin.reason is None]
    flags = near_duplicates(
        [draft.example.text for draft in readable],
        beside=list(beside),
        encoder=encoder,
        threshold=settings.duplicate_similarity,
    )
    marks = iter(flags)
    return [draft.origin.reason is None and next(marks) for draft in drafts]
