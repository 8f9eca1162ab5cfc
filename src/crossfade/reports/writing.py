"""What was written and lost, what it cost, and some rows of each class to read."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from crossfade.data import AnnotatedExample, MixedExample, ReadingExample, Synthetic
from crossfade.reports.blocks import Block, Prose, Sample, Samples, Section, Table, counted, percent
from crossfade.reports.findings import Findings
from crossfade.tasks.targets import as_target

SAMPLED = 20
"""Rows of each class that are shown to be read."""
STAGES = {
    "asked": "asked",
    "written": "written",
    "failed": "failed",
    "unparsable": "unparsable",
    "copy": "copy of parent",
    "intrusion": "intrusion",
    "duplicate": "duplicate",
    "refusal": "refusal",
    "echo": "echo",
    "missing": "lacks a string",
    "surplus": "surplus",
    "noise": "noise",
    "moved": "moved",
    "relabelled": "relabelled",
    "dropped": "dropped",
    "leak": "test copy",
    "kept": "kept",
}
"""Stage to its heading, in the order of the columns."""


def written_text(row: Synthetic) -> str:
    """Return a row as one string, with what it was mixed with or the answer it has."""
    example = row.example
    if isinstance(example, MixedExample):
        return f"{example.text}  +  {' | '.join(example.other)}"
    if isinstance(example, AnnotatedExample):
        return f"{example.text}  →  {as_target(example)}"
    return f"{example.text}  →  {example.answer}" if isinstance(example, ReadingExample) else example.text


def loss_section(findings: Findings) -> Section | None:
    """Show what became of the texts, by the class asked for, and why rows were dropped."""
    losses = findings.losses
    if not losses:
        return None
    always = ("asked", "written", "kept")
    stages = [stage for stage in STAGES if stage in always or any(counts.get(stage) for counts in losses.values())]
    rows = [(label, *(f"{counts.get(stage, 0):,}" for stage in stages)) for label, counts in losses.items()]
    totals = [sum(counts.get(stage, 0) for counts in losses.values()) for stage in stages]
    if len(rows) > 1:
        rows.append(("all", *(f"{total:,}" for total in totals)))
    blocks: list[Block] = [
        Table(("class asked for", *(STAGES[stage] for stage in stages)), tuple(rows), last_is_total=len(rows) > 1)
    ]
    reasons = Counter(row.origin.reason or "no reason given" for row in findings.dropped)
    if reasons:
        shown = reasons.most_common(12)
        examples = {row.origin.reason or "no reason given": written_text(row) for row in findings.dropped}
        lines = tuple((reason, f"{count:,}", _short(examples[reason])) for reason, count in shown)
        blocks.append(Table(("why dropped", "rows", "for example"), lines, 1, 2))
        if len(reasons) > len(shown):
            left = len(reasons) - len(shown)
            blocks.append(Prose(f"{counted(left, 'rarer reason')} not listed."))
    stopped = dict.fromkeys(draw.made.stopped for draw in findings.draws)
    blocks += [Prose(f"Why writing ended: {text}") for text in list(stopped)[:5]]
    draws = f" over {len(findings.draws)} draws" if len(findings.draws) > 1 else ""
    kept, dropped = len(findings.kept), len(findings.dropped)
    lead = f"{counted(kept, 'row')} kept and {dropped:,} dropped{draws}."
    return Section("losses", "What was dropped, and why?", lead, tuple(blocks))


def _short(text: str, most: int = 160) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def cost(findings: Findings) -> str:
    """Say what the run cost, in a sentence."""
    requests = sum(model.requests for model in findings.models)
    tokens = sum(model.prompt_tokens + model.answer_tokens for model in findings.models)
    parts = [f"{counted(requests, 'answered request')}, {tokens:,} tokens" if findings.models else "No model was asked"]
    if findings.models:
        known = [model.money for model in findings.models if model.money is not None]
        money = sum(known)
        if len(known) < len(findings.models):
            parts.append("money unknown: the recipe names no prices")
        else:
            parts.append(f"{money:.4g} in the currency of the recipe's prices" if money else "no money")
    if findings.seconds is not None:
        parts.append(f"{duration(findings.seconds)} for the last start")
    return "; ".join(parts) + "."


def duration(seconds: float) -> str:
    """Write seconds as a person would say them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def cost_section(findings: Findings) -> Section | None:
    """Show what each model was asked over all starts of the run."""
    if not findings.models:
        return None
    rows = tuple(
        (
            model.model,
            f"{model.requests:,}",
            f"{model.failed:,}",
            f"{model.prompt_tokens:,}",
            percent(model.cached_tokens / max(model.prompt_tokens, 1), 0),
            f"{model.answer_tokens:,}",
            "unknown" if model.money is None else f"{model.money:.4g}",
        )
        for model in findings.models
    )
    table = Table(("model", "answered", "failed", "prompt tokens", "read before", "answer tokens", "money"), rows)
    kept = len(findings.kept)
    tokens = sum(model.prompt_tokens + model.answer_tokens for model in findings.models)
    lead = "What was asked over all starts of this run; answers from the store are not asked again."
    if kept:
        lead += f" {tokens / kept:,.0f} tokens for a kept row."
    if findings.seconds is not None:
        lead += f" The last start took {duration(findings.seconds)}."
    return Section("cost", "Cost and time", lead, (table,))


def sample_section(findings: Findings) -> Section | None:
    """Show some random kept rows of each class."""
    kept = findings.kept
    if not kept:
        return None
    rng = np.random.default_rng(findings.seed)
    by_class: dict[str, list[Synthetic]] = {label: [] for label in findings.labels}
    for row in kept:
        by_class.setdefault(row.example.label, []).append(row)
    blocks: list[Block] = []
    for label, rows in by_class.items():
        chosen = sorted(rng.permutation(len(rows))[:SAMPLED].tolist())
        if chosen:
            title = f"{label}: {len(chosen)} of {counted(len(rows), 'row')}"
            samples = tuple(Sample(written_text(rows[place]), _notes(rows[place])) for place in chosen)
            blocks.append(Samples(title, samples, is_open=not blocks))
    lead = f"Up to {SAMPLED} random kept rows of each class, by the label they are kept with."
    return Section("rows", "Read some rows", lead, tuple(blocks))


def _notes(row: Synthetic) -> tuple[str, ...]:
    origin = row.origin
    notes = []
    if origin.written_label != row.example.label:
        notes.append(f"written for {origin.written_label}")
    if origin.ratio is not None and len(origin.parents) > 1:
        notes.append(_mixture(origin.parents, origin.ratio))
    if origin.confidence is not None:
        notes.append(percent(origin.confidence, 0) + " sure")
    return tuple(notes)


def _mixture(parents: Sequence[str], ratio: float) -> str:
    return f"{100 * ratio:.0f} % {parents[0]}, {100 * (1 - ratio):.0f} % {parents[1]}"
