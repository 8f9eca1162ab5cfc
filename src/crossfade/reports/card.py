"""The data card of written rows, in the form of the Hugging Face hub: what they are, and what to know before use."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from crossfade.data import Synthetic
from crossfade.methods import METHODS
from crossfade.reports.blocks import percent
from crossfade.selection.noise_report import LabelNoise

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""Rows below which the hub gives a size that name."""
UNSTATED = "not stated in the recipe"
HUB_TASKS = {
    "reading": "question-answering",
    "entities": "token-classification",
    "parses": "token-classification",
}
"""What the hub calls a task that is no text classification."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What a card is written from."""

    name: str
    method: str
    check: str
    """The label check; 'none' when labels were not checked."""
    task: str
    """A name from `tasks.shapes.TaskName`."""
    kind: str
    """What the texts are, as a plural."""
    source: str
    """The labelled texts, as the recipe names them."""
    version: str
    """Crossfade's."""
    kept: tuple[Synthetic, ...]
    dropped: tuple[Synthetic, ...]
    draws: int
    """Sets of labelled texts that rows were written from."""
    noise: tuple[LabelNoise, ...] = ()
    sources: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Label source to 'accuracy' and 'texts', of the first draw."""
    license: str | None = None
    """Of the written rows, as the recipe states it."""
    data_license: str | None = None
    model_licenses: Mapping[str, str | None] = field(default_factory=dict)
    """Role to the licence of its model, as the recipe states it."""


def render_card(facts: CardFacts) -> str:
    """Return the card as Markdown under a YAML header. What the recipe does not say is called unstated."""
    parts = [
        _header(facts),
        _about(facts),
        _made(facts),
        _counts(facts),
        _noise(facts),
        _licences(facts),
        _limits(facts),
    ]
    return "\n".join([*parts, _citation(facts)])


def prompts_digest(rows: tuple[Synthetic, ...]) -> tuple[int, str]:
    """Return how many different prompts wrote some rows, and one digest of all of them.

    The digest is the first 16 hex digits of the SHA-256 over the sorted prompt digests, one a line.
    """
    digests = sorted({row.origin.prompt_digest for row in rows if row.origin.prompt_digest})
    return len(digests), hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


def _header(facts: CardFacts) -> str:
    size = next((name for limit, name in SIZES if len(facts.kept) < limit), "n>1M")
    task = HUB_TASKS.get(facts.task, "text-classification")
    lines = [f"pretty_name: {json.dumps(facts.name)}"]
    lines += [f"license: {json.dumps(facts.license)}"] if facts.license else []
    lines += [f"task_categories: [{task}]", f"size_categories: [{json.dumps(size)}]"]
    lines.append(f"tags: [synthetic, crossfade, {facts.method}]")
    return "\n".join(["---", *lines, "---", ""])


def _about(facts: CardFacts) -> str:
    return f"""# {_plain(facts.name)}

{len(facts.kept):,} {_plain(facts.kind)} written by a program for training small models, none by a person. They were
made with Crossfade {facts.version} by the method `{facts.method}` from a few labelled texts, which are not part of this
data.
"""


def _made(facts: CardFacts) -> str:
    rows = facts.kept + facts.dropped
    models = Counter(row.origin.model for row in rows if row.origin.model)
    prompts, digest = prompts_digest(rows)
    note = METHODS[facts.method]
    lines = [
        f"- Labelled texts: `{facts.source}`.",
        f"- Method: `{facts.method}`. {note.does} {note.paper}.",
        *(f"- Written by `{model}` ({count:,} rows, dropped ones included)." for model, count in models.items()),
        *([f"- Prompts: {prompts:,}, digest `{digest}`; each row has its own in `prompt_digest`."] if prompts else []),
        f"- Label check: {'none' if facts.check == 'none' else f'`{facts.check}`'}.",
        *([f"- Written from {facts.draws} draws of labelled texts; `draw` says which."] if facts.draws > 1 else []),
    ]
    return "\n".join(["## How it was made", "", *lines, ""])


def _counts(facts: CardFacts) -> str:
    kept = Counter(row.example.label for row in facts.kept)
    written = Counter(row.origin.written_label for row in facts.kept + facts.dropped)
    lines = [
        f"| {_cell(label)} | {written[label]:,} | {kept[label]:,} |"
        for label in dict.fromkeys([*written, *kept])
        if label
    ]
    heads = ["| class | written for it | kept with its label |", "| --- | ---: | ---: |"]
    reasons = Counter((row.origin.reason or "no reason given").split(":")[0] for row in facts.dropped)
    why = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
    end = f"{len(facts.dropped):,} rows were dropped{f' ({why})' if why else ''} and are not part of this data."
    return "\n".join(["## Counts", "", *heads, *lines, "", end, ""])


def _noise(facts: CardFacts) -> str:
    if facts.check == "none":
        said = ["Labels were not checked: each row has the label that its text was written for."]
    else:
        checked: Counter[str] = Counter()
        suspect: Counter[str] = Counter()
        for noise in facts.noise:
            for of_class in noise.classes:
                checked[of_class.label] += of_class.rows
                suspect[of_class.label] += len(of_class.suspects)
        total = checked.total()
        said = [
            f"{suspect.total():,} of {total:,} checked labels ({percent(suspect.total() / max(total, 1), 0)}) were "
            "suspect: changed, dropped, or less than half sure.",
            "",
            "| written for | checked | suspect |",
            "| --- | ---: | ---: |",
            *(f"| {_cell(label)} | {count:,} | {suspect[label]:,} |" for label, count in checked.items()),
        ]
        unsure = sum(1 for row in facts.kept if row.origin.confidence is not None and row.origin.confidence < 0.5)
        said += ["", f"{unsure:,} kept rows are less than half sure (`confidence`)."]
        for name, score in facts.sources.items():
            right = score.get("accuracy")
            if right is not None and right == right:
                said.append(
                    f"The label source `{name}` was right on {percent(right, 0)} of labelled texts it had not seen."
                )
    return "\n".join(["## Known label noise", "", *said, ""])


def _licences(facts: CardFacts) -> str:
    lines = [
        f"- These rows: {_plain(facts.license or UNSTATED)}.",
        f"- The labelled texts they were written from: {_plain(facts.data_license or UNSTATED)}.",
        *(f"- The {role}: {_plain(found or UNSTATED)}." for role, found in facts.model_licenses.items()),
    ]
    end = "A provider's terms may forbid training on what its models write."
    return "\n".join(["## Licences", "", *lines, "", end, ""])


def _limits(facts: CardFacts) -> str:
    return """## Limits

- No person wrote these texts, and nobody has read all of them. They repeat what their model has learned, its mistakes
  and biases included, and may state what is false.
- They may hold near copies of the labelled texts that were shown to the model, and of what it was trained on.
- They are for training. Scores measured on them say nothing of real texts.
"""


def _citation(facts: CardFacts) -> str:
    return f"""## Citing

The method: {METHODS[facts.method].paper}. Crossfade {facts.version} made the rows.
"""


def _plain(text: str) -> str:
    """Keep a text from being read as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")
