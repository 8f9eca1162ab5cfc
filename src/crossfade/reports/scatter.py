"""The map of gold and written texts: where each lies, and what is known of it."""

from typing import Any

from crossfade.data import Synthetic
from crossfade.reports.blocks import Section, Widget, counted
from crossfade.reports.findings import Findings
from crossfade.reports.writing import written_text

LONGEST = 600
"""Characters of a text that the map shows. Ours: longer ones fill a phone's screen."""


class _Names:
    """Numbers names in the order they come, so that each is written once."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def number(self, name: str | None) -> int:
        """Return the number of a name, -1 for none."""
        return -1 if not name else self.known.setdefault(name, len(self.known))


def map_section(findings: Findings) -> Section | None:
    """Show where gold and written texts lie."""
    if findings.projection is None:
        return None
    shown = len(map_data(findings)["x"])
    way = findings.projection.way
    keeps = (
        "near texts stay near, while distances between groups mean little" if way == "t-SNE" else "the two main axes"
    )
    lead = f"{counted(shown, 'text')} by their sentence embeddings ({way}: {keeps}). Point at a text or tap it."
    if findings.gold_missing:
        lead += f" Your labelled texts are not on it: {findings.gold_missing}"
    return Section("map", "Where do the texts lie?", lead, (Widget("map"),))


def map_data(findings: Findings) -> dict[str, Any]:
    """Return the texts of the map as columns; a text that was not embedded is left out.

    A gold text that several draws hold stands once in each. `kind` is 0 for gold, 1 for kept, 2 for dropped.
    """
    labels, methods, reasons, texts = _Names(), _Names(), _Names(), _Names()
    for label in findings.labels:
        labels.number(label)
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    place = findings.projection.place if findings.projection is not None else {}

    def add(row: dict[str, Any], text: str) -> None:
        if text in place:
            x, y = place[text]
            for name, value in {**row, "x": round(x, 3), "y": round(y, 3)}.items():
                columns[name].append(value)

    for number, draw in enumerate(findings.draws):
        for example in draw.gold or ():
            gold = {"kind": 0, "text": _cut(example.text), "label": labels.number(example.label)}
            add(_blank(number) | gold, example.text)
        for kind, rows in ((1, draw.made.kept), (2, draw.made.dropped)):
            for row in rows:
                add(_blank(number) | {"kind": kind} | _values(row, labels, methods, reasons, texts), row.example.text)
    return {
        **columns,
        "labels": list(labels.known),
        "methods": list(methods.known),
        "reasons": list(reasons.known),
        "parents_said": list(texts.known),
        "draws": [draw.name for draw in findings.draws],
    }


COLUMNS = (
    "x", "y", "kind", "draw", "text", "label", "written", "judged", "method", "reason", "ratio", "confidence",
    "parents", "parent_texts", "round",
)  # fmt: skip


def _blank(draw: int) -> dict[str, Any]:
    return {
        "draw": draw,
        "written": -1,
        "judged": -1,
        "method": -1,
        "reason": -1,
        "ratio": None,
        "confidence": None,
        "parents": 0,
        "parent_texts": 0,
        "round": 0,
    }


def _values(row: Synthetic, labels: _Names, methods: _Names, reasons: _Names, texts: _Names) -> dict[str, Any]:
    origin = row.origin
    return {
        "text": _cut(written_text(row)),
        "label": labels.number(row.example.label),
        "written": labels.number(origin.written_label),
        "judged": labels.number(origin.judged_label),
        "method": methods.number(origin.method),
        "reason": reasons.number(origin.reason),
        "ratio": None if origin.ratio is None else round(origin.ratio, 3),
        "confidence": None if origin.confidence is None else round(origin.confidence, 3),
        # 0 is shorter than an empty list, 20,000 times.
        "parents": [labels.number(label) for label in origin.parents] or 0,
        "parent_texts": [texts.number(_cut(text)) for text in origin.parent_texts] or 0,
        "round": origin.round_index,
    }


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
