"""PromptMix: write texts that lie near a class border at a stated ratio, then let a judge name their class.

Paper: Sahu, Vechtomova, Bahdanau, Laradji, "PromptMix: A Class Boundary Augmentation Method for Large Language Model
Distillation", EMNLP 2023, arXiv 2310.14192. What we do otherwise, and why, is in docs/methods/promptmix.md.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
from numpy.random import Generator
from pydantic import Field

from crossfade.data import TEXT_SEPARATOR, Augmented, Corpus, Example, Origin, Synthetic
from crossfade.errors import SettingsError
from crossfade.numerics.mixing import draw_ratios, partner_count
from crossfade.prompts import render
from crossfade.prompts.parse import parse_texts
from crossfade.prompts.render import ShownClass
from crossfade.roles import Encoder, Form, Reply, Request, Sampling, TextModel
from crossfade.selection.duplicates import near_duplicates
from crossfade.selection.relabelling import Judge
from crossfade.selection.trust import Decided, replace_labels, trust_labels
from crossfade.settings import Settings

NAME = "promptmix"
LEAST_YIELD = 0.5
"""Texts per request that topping up reckons with at least, however few came so far."""


class PromptMixSettings(Settings):
    """How texts near class borders are written and checked."""

    texts_per_class: int = Field(50, ge=1)
    """Distinct texts to write for each class, before relabelling. The paper's released code keeps 50 to 100."""
    classes_per_prompt: int = Field(4, ge=2)
    """Classes that stand in one instruction; two of them are mixed. Paper: 4. Lists to continue show the two only."""
    examples_per_class: int = Field(10, ge=0)
    """Gold examples of a class that a prompt shows at most. Released code: 10."""
    texts_per_request: int | None = Field(None, ge=1)
    """Texts to write in one request. When left out: 3 for instructions (released code), 5 for lists (ours)."""
    requests_per_group: int = Field(4, ge=1)
    """Requests (each with its own ratio) to a class before a new group and partner are drawn. Ours."""
    form: Literal["auto", "instruct", "continue"] = "auto"
    """'instruct' is the paper's prompt; 'continue' gives small or base models lists to go on with; 'auto' asks the
    model which it prefers. Ours."""
    mixing: bool = True
    """False writes single-class texts: the paper's ablation without mixing."""
    relabelling: Literal["none", "paper", "trust"] = "trust"
    """'paper': the judge's answer replaces every label. 'trust': judge, prototypes and the writer's label vote, each as
    strongly as it did on the gold texts (ours). 'none': the ablation without relabelling."""
    descriptions: bool = True
    """False hides class descriptions from every prompt and prototype: the paper's ablation."""
    nearest: int = Field(5, ge=2)
    """Nearest classes that the judge is offered. Released code: 5."""
    temperature: float | None = Field(None, ge=0.0, le=2.0)
    """Sampling temperature for writing. When left out: 1.0 for instructions (paper), 0.7 for lists (ours: a sweep on
    training rows, benchmarks/form_sweep.py, found more of the labels right)."""
    max_tokens: int | None = Field(None, ge=8)
    """Longest answer, in tokens. When left out: 256 for instructions (released code); for lists, room for texts half
    as long again as the gold ones (ours)."""
    duplicate_similarity: float = Field(0.95, gt=0.0, le=1.0)
    """Cosine similarity from which two texts count as the same. Ours."""
    max_rounds: int = Field(10, ge=1)
    """Rounds of topping up before the method gives up on a class. Ours."""
    kind: str = "texts"
    """What the texts are, as a plural that fits "a diverse set of short ..." ("questions", "customer messages")."""


@dataclass(frozen=True, slots=True)
class Border:
    """A place between two classes where texts are wanted."""

    target: str
    partner: str | None
    ratio: float
    """Share of the target, in [0.5, 1]; 1 when there is no partner."""
    request: Request


def augment(
    gold: Corpus,
    *,
    writer: TextModel,
    judge: TextModel,
    encoder: Encoder,
    settings: PromptMixSettings,
    rng: Generator,
) -> Augmented:
    """Write texts near class borders, then decide their labels.

    Args:
        gold: Two or more classes; with no examples at all (zero-shot) classes are told by description or name.
        writer: Makes the texts.
        judge: Names their class; not asked when relabelling is 'none'.
        encoder: Finds duplicates and the nearest classes.
        settings: See `PromptMixSettings`.
        rng: Draws partners, ratios and examples.

    Returns:
        Kept and dropped rows; the loss table says per class what became of what was written.
    """
    if len(gold.labels) < 2:
        raise SettingsError(f"PromptMix mixes classes and found {len(gold.labels)}.", hint="Give two classes or more.")
    form = form_of(writer, settings)
    book = Ledger(gold, settings.texts_per_class, texts_in_request(form, settings))
    for round_index in range(settings.max_rounds):
        borders = choose_borders(gold, book, form, settings, rng)
        if not borders:
            break
        drafts = write_drafts(borders, writer, gold.width, round_index)
        book.take(drafts, repeated(drafts, book, gold, encoder, settings), requests=borders)
    relabel(book, gold, judge, encoder, settings)
    return book.close()


def form_of(model: TextModel, settings: PromptMixSettings) -> Form:
    """Return the form a model is asked in."""
    return model.preferred_form if settings.form == "auto" else settings.form


def texts_in_request(form: Form, settings: PromptMixSettings) -> int:
    """Return how many texts one request is to bring."""
    return settings.texts_per_request or (3 if form == "instruct" else 5)


class Ledger:
    """What was asked, written, kept and lost so far."""

    def __init__(self, gold: Corpus, texts_per_class: int, texts_per_request: int) -> None:
        self.labels = gold.labels
        self.wanted = {label: texts_per_class for label in gold.labels}
        self.kept: list[Synthetic] = []
        self.dropped: list[Synthetic] = []
        self.counts: dict[str, Counter[str]] = {label: Counter(asked=texts_per_class) for label in gold.labels}
        self.requests: Counter[str] = Counter()
        self.texts_per_request = texts_per_request
        self.sources: dict[str, dict[str, float]] = {}

    def missing(self, label: str) -> int:
        """Return how many texts a class still lacks."""
        return self.wanted[label] - self.counts[label]["accepted"]

    def requests_wanted(self, label: str) -> int:
        """Return how many more requests a class needs, going by what its requests have yielded so far."""
        missing = self.missing(label)
        if missing <= 0:
            return 0
        made = self.requests[label]
        if not made:
            return math.ceil(missing / self.texts_per_request)
        # Rather one round more than texts that nobody wants.
        per_request = max((self.wanted[label] - missing) / made, LEAST_YIELD)
        return max(1, math.floor(missing / per_request))

    def take(self, drafts: Iterable[Synthetic], duplicate: Sequence[bool], *, requests: Sequence[Border]) -> None:
        """Keep drafts until each class has what it wants; record every other one with its reason."""
        self.requests.update(border.target for border in requests)
        for draft, is_duplicate in zip(drafts, duplicate, strict=True):
            label = draft.origin.written_label
            reason = draft.origin.reason or ("duplicate" if is_duplicate else None)
            if reason is None and self.missing(label) <= 0:
                reason = "surplus"
            self.counts[label]["written"] += 1
            if reason is None:
                self.counts[label]["accepted"] += 1
                self.kept.append(draft)
            else:
                self.drop(draft, reason)

    def drop(self, row: Synthetic, reason: str) -> None:
        """Record a row as dropped, under the first word of the reason."""
        self.counts[row.origin.written_label][reason.split(":")[0]] += 1
        self.dropped.append(replace(row, origin=replace(row.origin, reason=reason)))

    def decide(self, decided: Decided) -> None:
        """Give every kept row its decided label, and drop those for which the judge named none."""
        rows, self.kept = self.kept, []
        # Without gold texts a source has earned nothing that could be told.
        self.sources = {name: asdict(score) for name, score in decided.sources.items() if score.texts}
        for index, row in enumerate(rows):
            votes = {
                source: self.labels[choices[index]] for source, choices in decided.votes.items() if choices[index] >= 0
            }
            origin = replace(row.origin, judged_label=votes.get("judge"), votes=votes)
            if decided.labels[index] < 0:
                self.drop(replace(row, origin=origin), "dropped: the judge named no class that it was offered")
                continue
            label = self.labels[decided.labels[index]]
            self.counts[row.origin.written_label]["relabelled"] += label != row.origin.written_label
            probabilities = {}
            if decided.probabilities is not None:
                probabilities = dict(zip(self.labels, decided.probabilities[index].tolist(), strict=True))
                origin = replace(origin, confidence=probabilities[label])
            self.kept.append(Synthetic(replace(row.example, label=label), origin, probabilities))

    def close(self) -> Augmented:
        """Count what was kept, and say whether every class got what it wanted."""
        short = []
        for label, wanted in self.wanted.items():
            written = self.counts[label]["accepted"]
            if written < wanted:
                short.append(f"{label} ({wanted - written})")
            self.counts[label]["kept"] = sum(row.origin.written_label == label for row in self.kept)
            self.counts[label]["requests"] = self.requests[label]
        stopped = (
            f"The rounds ran out; texts missing for {', '.join(short)}." if short else "Every class has its texts."
        )
        losses = {label: dict(counts) for label, counts in self.counts.items()}
        return Augmented(tuple(self.kept), tuple(self.dropped), losses, stopped, self.sources)


def choose_borders(gold: Corpus, book: Ledger, form: Form, settings: PromptMixSettings, rng: Generator) -> list[Border]:
    """Draw groups of classes, a partner for each target, and a ratio for each request."""
    wanted = {label: book.requests_wanted(label) for label in gold.labels}
    count = texts_in_request(form, settings)
    longest = tokens_for_list(gold, count)
    borders: list[Border] = []
    while targets := [label for label in gold.labels if wanted[label] > 0]:
        for group in draw_groups(targets, gold.labels, settings.classes_per_prompt, rng):
            shown = {label: show(gold, label, settings, rng) for label in group}
            for target in group:
                requests = min(settings.requests_per_group, wanted[target])
                wanted[target] -= requests
                partner = str(rng.choice([label for label in group if label != target])) if settings.mixing else None
                for ratio in (draw_ratios(requests, rng) if settings.mixing else np.ones(requests)).tolist():
                    request = (
                        instruction(shown, target, partner, ratio, count, settings)
                        if form == "instruct"
                        else open_lists(shown, target, partner, ratio, count, longest, settings, rng)
                    )
                    # The sample number keeps equal prompts apart, over all rounds.
                    sample = book.requests.total() + len(borders)
                    borders.append(Border(target, partner, ratio, replace(request, sample=sample)))
    return sorted(borders, key=lambda border: border.request.prefix)


def tokens_for_list(gold: Corpus, count: int) -> int:
    """Return how many tokens a list of texts half as long again as the gold ones takes.

    An English token has about four characters; a text without any gold ones is taken to have fifty.
    """
    mean = sum(map(len, gold.texts)) / len(gold) if len(gold) else 50
    return round(1.5 * count * (mean / 4 + 3))


def draw_groups(targets: Sequence[str], labels: Sequence[str], size: int, rng: Generator) -> list[list[str]]:
    """Partition the targets at random into groups; a short last group is filled up with other classes."""
    shuffled = [str(label) for label in rng.permutation(list(targets))]
    groups = [shuffled[start : start + size] for start in range(0, len(shuffled), size)]
    others = [label for label in labels if label not in groups[-1]]
    filler = rng.permutation(others)[: size - len(groups[-1])]
    groups[-1].extend(str(label) for label in filler)
    return groups


def show(gold: Corpus, label: str, settings: PromptMixSettings, rng: Generator) -> ShownClass:
    """Choose what a prompt shows of a class: name, description, shuffled examples."""
    examples = [render.one_line(example) for example in gold.of_class(label)]
    order = rng.permutation(len(examples))[: settings.examples_per_class]
    description = gold.descriptions.get(label, "") if settings.descriptions else ""
    return ShownClass(label, description, tuple(examples[index] for index in order))


def instruction(
    shown: Mapping[str, ShownClass],
    target: str,
    partner: str | None,
    ratio: float,
    count: int,
    settings: PromptMixSettings,
) -> Request:
    """Write the paper's prompt: the group's classes, which its requests share, then the percentages."""
    return Request(
        prefix=render.class_list(list(shown.values()), kind=settings.kind),
        prompt=render.writing_instruction(target, partner, ratio, count=count, kind=settings.kind),
        form="instruct",
        sampling=Sampling(
            temperature=1.0 if settings.temperature is None else settings.temperature,
            max_tokens=settings.max_tokens or 256,
        ),
    )


def open_lists(
    shown: Mapping[str, ShownClass],
    target: str,
    partner: str | None,
    ratio: float,
    count: int,
    longest: int,
    settings: PromptMixSettings,
    rng: Generator,
) -> Request:
    """Write lists to continue by `count` texts: some of the partner's examples, then the target's (ours)."""
    lists = [replace(shown[target], examples=tuple(rng.permutation(shown[target].examples).tolist()))]
    if partner is not None:
        # Zero-shot lists are empty; the partner's bare heading then stands for one missing example.
        beside = partner_count(max(1, len(lists[0].examples)), ratio, rng)
        if beside:
            lists.insert(0, replace(shown[partner], examples=shown[partner].examples[:beside]))
    return Request(
        prefix=render.list_to_continue(lists, kind=settings.kind),
        prompt="",
        form="continue",
        lines=count,
        sampling=Sampling(
            temperature=0.7 if settings.temperature is None else settings.temperature,
            max_tokens=settings.max_tokens or longest,
            stop=("\n\n",),
        ),
    )


def write_drafts(borders: Sequence[Border], writer: TextModel, width: int, round_index: int) -> list[Synthetic]:
    """Ask the writer, and read its replies into rows in the borders' order, failed and unparsable ones included."""
    replies: dict[Request, Reply] = {}
    for reply in writer.answer(border.request for border in borders):
        replies[reply.request] = reply
    drafts: list[Synthetic] = []
    for border in borders:
        origin = Origin(
            method=NAME,
            parents=(border.target,) if border.partner is None else (border.target, border.partner),
            ratio=border.ratio,
            round_index=round_index,
            prompt_digest=border.request.prompt_digest,
            model=writer.name,
            written_label=border.target,
        )
        drafts.extend(read_reply(replies[border.request], width, origin))
    return drafts


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


def repeated(
    drafts: Sequence[Synthetic], book: Ledger, gold: Corpus, encoder: Encoder, settings: PromptMixSettings
) -> list[bool]:
    """Mark drafts that nearly repeat a gold text, a kept one, or an earlier draft."""
    readable = [draft for draft in drafts if draft.origin.reason is None]
    flags = near_duplicates(
        [draft.example.text for draft in readable],
        beside=[*gold.texts, *(row.example.text for row in book.kept)],
        encoder=encoder,
        threshold=settings.duplicate_similarity,
    )
    marks = iter(flags)
    return [draft.origin.reason is None and next(marks) for draft in drafts]


def relabel(book: Ledger, gold: Corpus, judge: TextModel, encoder: Encoder, settings: PromptMixSettings) -> None:
    """Decide the label of every kept text."""
    texts = [row.example for row in book.kept]
    if settings.relabelling == "none" or not texts:
        return
    panel = judge_panel(judge, settings)
    if settings.relabelling == "paper":
        book.decide(replace_labels(texts, gold, judge=panel, encoder=encoder))
    else:
        written = np.array([gold.labels.index(example.label) for example in texts], dtype=int)
        book.decide(trust_labels(texts, written, gold, judge=panel, encoder=encoder))


def judge_panel(judge: TextModel, settings: PromptMixSettings) -> Judge:
    """Say how the judge is asked."""
    return Judge(judge, form_of(judge, settings), settings.kind, settings.descriptions, settings.nearest)


def example_judgement(gold: Corpus, judge: TextModel, settings: PromptMixSettings) -> Request:
    """Return the kind of request the judge will get; for plans."""
    return judge_panel(judge, settings).example_request(gold)


def first_requests(gold: Corpus, form: Form, settings: PromptMixSettings) -> int:
    """Return how many writing requests the first round sends: enough when every answer holds what it should."""
    return len(gold.labels) * math.ceil(settings.texts_per_class / texts_in_request(form, settings))


def requests_at_most(gold: Corpus, form: Form, settings: PromptMixSettings) -> int:
    """Return how many writing requests all rounds may send when hardly any answer is of use."""
    per_round = len(gold.labels) * math.floor(settings.texts_per_class / LEAST_YIELD)
    return first_requests(gold, form, settings) + (settings.max_rounds - 1) * per_round


def judgements(gold: Corpus, settings: PromptMixSettings) -> int:
    """Return how many texts the judge will be asked about: the written ones, and under 'trust' the gold ones."""
    written = settings.texts_per_class * len(gold.labels)
    return {"none": 0, "paper": written, "trust": written + len(gold)}[settings.relabelling]
