"""What a run of stepwise synthesis asks a writer, and how it reads the answers; the rounds: stepwise_synthesis.py."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from numpy.random import Generator
from pydantic import Field

from crossfade.data import Corpus, Example, Origin, Synthetic
from crossfade.errors import SettingsError
from crossfade.evaluation.scores import answers
from crossfade.methods.writing import Assignment, WritingSettings, mean_length, repeated, tokens_for_list
from crossfade.prompts import render
from crossfade.prompts.parse import LONGEST_TEXT, is_refusal, parse_texts
from crossfade.prompts.render import ShownClass
from crossfade.roles import Encoder, Form, Learner, Reply, Request, Sampling, TextModel
from crossfade.selection.ledger import Ledger
from crossfade.tasks.shapes import Task, cut, plain, task_of
from crossfade.tasks.splitting import GoldSplit, split_gold

NAME = "stepwise_synthesis"
FEEDBACK_SHARE = 0.5
"""Share of seed prompts that show helpful texts once some are known. ProGen."""
Source = Literal["errors", "gold_rows", "seeds", "verbatim"]


class StepwiseSynthesisSettings(WritingSettings):
    """How seed texts are written, and how often and from what the rows are added that follow."""

    name: Literal["stepwise_synthesis"] = "stepwise_synthesis"
    """The method."""
    texts_per_class: int = Field(50, ge=1)
    """Seed texts to write for each class; of reading data, in all. Paper: about 7,500 (IMDb) and more."""
    texts_per_request: int | None = Field(None, ge=1)
    """Seed texts to write in one request. When left out: 1 where each has a context of its own (paper); for single
    texts 3 for instructions and 5 for lists (ours)."""
    temperature: float | None = Field(None, ge=0.0, le=2.0)
    """Sampling temperature for writing. When left out: 0.9 for instructions (paper), 0.7 for lists (ours)."""
    max_tokens: int | None = Field(None, ge=8)
    """Longest answer, in tokens. When left out: room for texts half as long again as the gold ones; for instructions no
    less than 256 (ours)."""
    rounds: int = Field(2, ge=0)
    """Rounds of training a student and adding rows, at most. Paper: 2. 0 keeps the seed alone."""
    extrapolate: Source = "errors"
    """What a round adds. 'errors': texts like the gold rows that the student gets wrong (paper). The others are
    controls, each as many as there were errors: 'gold_rows', texts like gold rows drawn at random (the paper's
    GoldGen); 'seeds', more seed texts; 'verbatim', the errors themselves."""
    per_error: int = Field(1, ge=1)
    """Texts to write like each error, in one request. Paper: 1."""
    development_share: float = Field(0.2, ge=0.0, lt=1.0)
    """Share of the gold contexts kept out of the errors; a round without gain there is the last. 0 goes without, as
    the paper does."""
    rationales_per_label: int = Field(10, ge=0)
    """Rationales asked for each class of single texts. The paper gives no number. 0 goes without, as ZeroGen does."""
    rationales_per_prompt: int = Field(3, ge=1)
    """Rationales, drawn at random, that a seed prompt names. The paper's example: 3."""
    feedback: int = Field(0, ge=0)
    """Helpful texts of the class that every second seed prompt shows once half the seed is written, for single texts
    alone: those on which a step most lowers the loss of other seed texts. ProGen: 8. 0 goes without."""
    longest_shown: int = Field(2000, ge=100)
    """Characters after which a text or context is cut in prompts. Ours: small writers read no more."""

    def temperature_in(self, form: Form) -> float:
        """Return the sampling temperature for a form."""
        default = 0.9 if form == "instruct" else 0.7
        return default if self.temperature is None else self.temperature

    def seeds_in_request(self, task: Task, form: Form) -> int:
        """Return how many seed texts one request is to bring."""
        if self.texts_per_request is None and task.name != "text":
            return 1
        return self.texts_in_request(form)


@dataclass(frozen=True, slots=True)
class Call(Assignment):
    """A request for texts that stand in for the written part of an example."""

    like: Example
    """Context, answer and label of what is written."""
    count: int
    """Texts wanted."""
    parent: Example | None = None
    """The gold row that the texts are to be like."""


@dataclass(slots=True)
class Desk:
    """What the steps of one run share."""

    gold: Corpus
    task: Task
    split: GoldSplit
    form: Form
    settings: StepwiseSynthesisSettings
    rng: Generator
    book: Ledger
    contexts: Iterator[Example]
    """Gold rows whose contexts are written for, each once before any comes again."""
    room: Corpus
    """The written parts of the gold rows alone: how long a text is."""
    rationales: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Class to what makes a text be of it."""
    helpful: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Class to seed texts that help a student, to be shown in further seed prompts."""
    calls: int = 0
    """Seed calls made so far."""

    @property
    def shortage(self) -> str:
        """Say which classes lack texts; empty when none does."""
        short = [f"{label} ({missing})" for label in self.gold.labels if (missing := self.book.missing(label)) > 0]
        return f"Seed texts are missing for {', '.join(short)}." if short else ""

    def right(self, student: Learner) -> list[bool]:
        """Say which rows of the error split a student gets right."""
        said = answers(student, self.split.errors)
        return [self.task.is_right(word, example) for word, example in zip(said, self.split.errors, strict=True)]

    def score(self, student: Learner) -> float:
        """Return a student's mean credit on the development rows, in [0, 1]."""
        rows = self.split.development
        said = answers(student, rows)
        return sum(self.task.credit(word, example) for word, example in zip(said, rows, strict=True)) / len(rows)

    def origin(self, label: str, round_index: int, parent: Example | None) -> Origin:
        """Start the origin of a row."""
        return Origin(
            method=NAME,
            parents=(label,),
            round_index=round_index,
            parent_key=parent.key if parent else "",
            written_label=label,
        )


def open_desk(gold: Corpus, form: Form, settings: StepwiseSynthesisSettings, rng: Generator) -> Desk:
    """Split the gold rows and open the books.

    Raises:
        SettingsError: There are no gold rows, and rounds or contexts need some; or feedback is not for this task.
    """
    task = task_of(gold)
    if not len(gold) and (settings.rounds or task.name != "text"):
        raise SettingsError(
            "stepwise_synthesis looks for errors on gold rows, and there are none.",
            hint="Give gold rows, or set method.rounds = 0.",
        )
    if settings.feedback and task.name != "text":
        raise SettingsError("method.feedback shows single texts, and the data are not.", hint="Leave it out.")
    split = GoldSplit(gold, gold, gold)
    if len(gold):
        # Without rounds, too: controls are to begin with the same seed.
        split = split_gold(gold, task, development=settings.development_share, rng=rng)
    # With feedback, the other half is asked for once there are texts to learn from.
    first = -(-settings.texts_per_class // 2) if settings.feedback else settings.texts_per_class
    return Desk(
        gold=gold,
        task=task,
        split=split,
        form=form,
        settings=settings,
        rng=rng,
        book=Ledger(gold, first, settings.seeds_in_request(task, form)),
        contexts=_in_turn(split.errors, rng),
        room=written_parts(gold, task),
    )


def written_parts(gold: Corpus, task: Task) -> Corpus:
    """Return what a writer would have made of each gold row, without contexts."""
    return Corpus(tuple(Example((task.written(row),), row.label) for row in gold), gold.labels)


def _in_turn(rows: Corpus, rng: Generator) -> Iterator[Example]:
    while True:
        yield from (rows.examples[row] for row in rng.permutation(len(rows)).tolist())


def rationale_request(desk: Desk, label: str, sample: int) -> Request:
    """Ask what makes a text be of a class."""
    count = desk.settings.rationales_per_label
    prompt = render.stepwise_prompt(
        "rationales", "text", desk.form, kind=desk.gold.kind, count=count, label=desk.gold.describe(label)
    )
    return _request(desk, prompt, {}, count, sample, tokens=16 * count)


def seed_call(desk: Desk, label: str, count: int) -> Call:
    """Ask for seed texts of a class: from rationales, or about a context."""
    desk.calls += 1
    like = Example(("",), label)
    shown = {}
    if desk.task.name == "text":
        prompt = _seed_of_rationales(desk, label, count)
    else:
        like = desk.task.rewritten(replace(next(desk.contexts), label=label), "")
        shown = dict(desk.task.shown(like, desk.settings.longest_shown))
        prompt = _render(desk, "seed", label, count, shown)
    return Call(label, (), None, _request(desk, prompt, shown, count, desk.calls), like, count)


def _seed_of_rationales(desk: Desk, label: str, count: int) -> str:
    helpful = desk.helpful.get(label, ())
    if helpful and desk.rng.random() < FEEDBACK_SHARE:
        drawn = desk.rng.choice(len(helpful), size=min(desk.settings.feedback, len(helpful)), replace=False)
        texts = tuple(cut(helpful[row], desk.settings.longest_shown) for row in drawn.tolist())
        return _like_helpful(desk, label, texts, count)
    pool = desk.rationales.get(label, ())
    if not pool:
        describe = desk.gold.descriptions.get(label, "")
        ask = render.label_instruction if desk.form == "instruct" else render.label_list_to_continue
        return ask(label, describe, count=count, kind=desk.gold.kind)
    drawn = desk.rng.choice(len(pool), size=min(desk.settings.rationales_per_prompt, len(pool)), replace=False)
    points = "; ".join(pool[row].rstrip(".;") for row in drawn.tolist())
    return _render(desk, "seed", label, count, {"rationales": points})


def _like_helpful(desk: Desk, label: str, texts: tuple[str, ...], count: int) -> str:
    """Ask for texts like some that help."""
    shown = ShownClass(label, desk.gold.descriptions.get(label, ""), texts)
    if desk.form == "continue":
        return render.list_to_continue([shown], kind=desk.gold.kind)
    asked = render.more_examples_instruction(count=count, kind=desk.gold.kind)
    return render.class_examples(shown, kind=desk.gold.kind) + asked


def more_call(desk: Desk, example: Example, sample: int) -> Call:
    """Ask for texts like a gold row, of the same label and in the same context."""
    count = desk.settings.per_error
    shown = dict(desk.task.shown(example, desk.settings.longest_shown))
    prompt = _render(desk, "more", example.label, count, shown)
    request = _request(desk, prompt, shown, count, sample)
    return Call(example.label, (), None, request, example, count, parent=example)


def _render(desk: Desk, step: Literal["seed", "more"], label: str, count: int, shown: dict[str, str]) -> str:
    named = {**shown, "label": desk.gold.describe(label)}
    return render.stepwise_prompt(step, desk.task.name, desk.form, kind=desk.gold.kind, count=count, **named)


def _request(
    desk: Desk, prompt: str, shown: dict[str, str], count: int, sample: int, tokens: int | None = None
) -> Request:
    """Send a prompt as the writer's form wants it; what it shows of a context stands in the shared prefix."""
    shared = len(shown.get("context", ""))
    lists = desk.form == "continue"
    # A single text may be much longer than the mean, and a list ends after so many lines anyway.
    room = tokens or tokens_for_list(desk.room, count + 1)
    return Request(
        prefix=prompt[:shared],
        prompt=prompt[shared:],
        form=desk.form,
        lines=count if lists else 0,
        sampling=Sampling(
            temperature=desk.settings.temperature_in(desk.form),
            max_tokens=desk.settings.max_tokens or (room if lists else max(256, room)),
            stop=("\n\n",) if lists else (),
        ),
        sample=sample,
    )


def take(desk: Desk, calls: Sequence[Call], writer: TextModel, encoder: Encoder, round_index: int) -> None:
    """Ask the writer, read its replies in the calls' order, and enter the drafts in the books."""
    replies = {reply.request: reply for reply in writer.answer(call.request for call in calls)}
    drafts = [
        draft
        for call in calls
        for draft in read(desk, call, replies[call.request], desk.origin(call.target, round_index, call.parent), writer)
    ]
    desk.book.take(drafts, copies(desk, drafts, encoder), requests=(call.target for call in calls))


def read(desk: Desk, call: Call, reply: Reply, origin: Origin, writer: TextModel) -> Iterator[Synthetic]:
    """Turn a reply into rows; what is no text of the kind wanted becomes a row with its reason."""
    origin = replace(origin, prompt_digest=call.request.prompt_digest, model=writer.name)
    if reply.error is not None:
        yield Synthetic(Example((reply.error,), call.target), replace(origin, reason="failed: request"))
        return
    parsed = parse_texts(
        reply.text,
        form=desk.form,
        cut_off=reply.finish == "length",
        longest=max(LONGEST_TEXT, round(4 * mean_length(desk.room))),
        # A review may have paragraphs; a hypothesis or question is one line, and what follows it is no part of it.
        whole=desk.form == "instruct" and call.count == 1 and desk.task.name == "text",
    )
    for text in parsed.texts[: call.count]:
        yield Synthetic(desk.task.rewritten(call.like, text), replace(origin, reason=_fault(desk.task, call, text)))
    lost = [(text, "surplus") for text in parsed.texts[call.count :]]
    lost += [(line, "refusal" if is_refusal(line) else f"unparsable: {reason}") for line, reason in parsed.rejected]
    for line, reason in lost:
        yield Synthetic(Example((line,), call.target), replace(origin, reason=reason))


def _fault(task: Task, call: Call, text: str) -> str | None:
    if is_refusal(text):
        return "refusal"
    if call.parent is not None and plain(text) == plain(task.written(call.parent)):
        return "echo: the gold row again"
    return task.fault(call.like, text)


def copies(desk: Desk, drafts: Sequence[Synthetic], encoder: Encoder) -> list[bool]:
    """Mark drafts that repeat a gold row, a kept row or an earlier draft; of single texts, near-copies too.

    With one long context in common, all pairs would look alike to an encoder.
    """
    if desk.task.name == "text":
        return repeated(
            drafts, [*desk.gold.texts, *(row.example.text for row in desk.book.kept)], encoder, desk.settings
        )
    rows = [*desk.gold, *(row.example for row in desk.book.kept)]
    seen = {(desk.task.group(row), plain(desk.task.written(row))) for row in rows}
    marks = []
    for draft in drafts:
        usable = draft.origin.reason is None
        key = (desk.task.group(draft.example), plain(desk.task.written(draft.example))) if usable else ("", "")
        marks.append(usable and key in seen)
        seen.add(key)
    return marks
