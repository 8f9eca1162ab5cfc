"""Which labels not to trust: suspect rows with their reasons, and what the mixing ratio has to do with it."""

from collections import defaultdict
from typing import Any

import numpy as np

from crossfade.numerics.intrusion import wilson
from crossfade.reports.blocks import Block, Figure, Prose, Section, Table, Widget, counted, percent
from crossfade.reports.findings import Findings
from crossfade.selection.noise_report import suspicion


def doubt(findings: Findings) -> str:
    """Say which rows not to trust, in a sentence or two."""
    if findings.check == "none":
        return "Labels were not checked: every row has the label its text was written for."
    classes = _by_class(findings)
    rows, suspects = (sum(counts[place] for counts in classes.values()) for place in (0, 1))
    if not rows:
        return "No row got as far as the label check."
    if not suspects:
        return f"None of {counted(rows, 'checked label')} is suspect."
    worst = max(classes, key=lambda label: (classes[label][1], label))
    of_worst, suspect_of_worst = classes[worst]
    told = f"{suspects:,} of {counted(rows, 'checked label')} ({percent(suspects / rows, 0)}) are suspect"
    if len(classes) > 1:
        told += f", most among the texts written for '{worst}' ({suspect_of_worst:,} of {of_worst:,})"
    unsure = sum(1 for row in findings.kept if row.origin.confidence is not None and row.origin.confidence < 0.5)
    kept = f" {counted(unsure, 'kept row')} {'is' if unsure == 1 else 'are'} less than half sure." if unsure else ""
    return f"{told}.{kept}"


def _by_class(findings: Findings) -> dict[str, tuple[int, int]]:
    """Return checked rows and suspects of each class, over all draws."""
    total: dict[str, tuple[int, int]] = {}
    for draw in findings.draws:
        for of_class in draw.noise.classes if draw.noise else ():
            rows, suspects = total.get(of_class.label, (0, 0))
            total[of_class.label] = (rows + of_class.rows, suspects + len(of_class.suspects))
    return total


def noise_section(findings: Findings) -> Section | None:
    """List the suspect rows of a run, and count them by class."""
    classes = _by_class(findings)
    if findings.check == "none" or not any(rows for rows, _ in classes.values()):
        return None
    taken: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    warnings: dict[str, str] = {}
    for draw in findings.draws:
        if draw.noise is None:
            continue
        for written, named in draw.noise.confusion.items():
            for label, count in named.items():
                taken[written][label] += count
        warnings |= {of_class.label: of_class.warning for of_class in draw.noise.classes if of_class.warning}
    cells = []
    for label, (rows, suspects) in classes.items():
        others = {name: count for name, count in taken[label].items() if name != label}
        most = max(others, key=lambda name: others[name]) if others else None
        share = percent(suspects / rows, 0) if rows else "–"
        cells.append((label, f"{rows:,}", f"{suspects:,}", share, f"{most} ({others[most]:,})" if most else "–"))
    headings = ("written for", "checked", "suspect", "share", "most often taken for")
    blocks: list[Block] = [Table(headings, tuple(cells), 1, 4)]
    if warnings:
        blocks.append(
            Prose(
                f"{len(warnings)} of {len(classes)} classes have too few labelled texts for the check's sources to "
                "be scored there, so their figures say little."
            )
        )
    if any(suspects for _, suspects in classes.values()):
        blocks.append(Widget("suspects"))
    lead = "Rows that the label check changed, dropped, or is less than half sure of; the least trusted first."
    return Section("labels", "Which labels not to trust?", lead, tuple(blocks))


def suspect_data(findings: Findings) -> dict[str, Any]:
    """Return the suspect rows as columns, the least trusted first."""
    found = [
        (draw.name, row)
        for draw in findings.draws
        if draw.noise is not None
        for of_class in draw.noise.classes
        for row in of_class.suspects
    ]
    found.sort(key=lambda item: suspicion(item[1]), reverse=True)
    return {
        "text": [row.text for _, row in found],
        "written": [row.written_label for _, row in found],
        "suggested": [row.suggested_label for _, row in found],
        "confidence": [None if row.confidence is None else round(row.confidence, 3) for _, row in found],
        "reasons": ["; ".join(row.reasons) for _, row in found],
        "draw": [name for name, _ in found],
    }


def ratio_section(findings: Findings) -> Section | None:
    """Show the share of labels changed or dropped by mixing ratio."""
    bins: dict[tuple[float, float], list[float]] = {}
    for draw in findings.draws:
        for found in draw.noise.ratios if draw.noise else ():
            counts = bins.setdefault((found.low, found.high), [0.0, 0.0])
            counts[0] += found.rows
            counts[1] += found.changed * found.rows
    if not bins or findings.check == "none":
        return None
    ends = sorted(bins)
    rows = np.array([int(bins[end][0]) for end in ends])
    shares = np.array([bins[end][1] for end in ends]) / rows
    low, high = wilson(shares, rows)
    trace = {
        "type": "bar",
        "x": [f"{100 * start:.0f}–{100 * end:.0f} %" for start, end in ends],
        "y": (100 * shares).round(2).tolist(),
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": (100 * (high - shares)).round(2).tolist(),
            "arrayminus": (100 * (shares - low)).round(2).tolist(),
            "color": "$text",
            "thickness": 1.2,
        },
        "marker": {"color": "$muted"},
        "text": [f"{count:,} rows" for count in rows.tolist()],
        "textposition": "none",
        "hovertemplate": "%{y:.0f} % of %{text}<extra></extra>",
    }
    figure = Figure(
        "ratio",
        "Share of labels changed or dropped, by share of the class asked for.",
        [trace],
        {
            "xaxis": {"title": {"text": "share of the class asked for"}, "type": "category", "fixedrange": True},
            "yaxis": {"title": {"text": "changed or dropped, %"}, "rangemode": "tozero", "fixedrange": True},
        },
    )
    lead = (
        f"How often the label check changed or dropped a text, by how much of its class it was to hold "
        f"({counted(int(rows.sum()), 'row')}; 95 % intervals after Wilson)."
    )
    return Section("ratio", "Relabelled by mixing ratio", lead, (figure,))
