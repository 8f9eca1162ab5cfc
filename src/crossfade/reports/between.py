"""What lies between the classes: how often mixed rows are of neither parent's class, by ratio and by pair."""

import numpy as np

from crossfade.numerics.intrusion import Kind
from crossfade.reports.blocks import Figure, Section, Trace, percent
from crossfade.reports.findings import Findings

NAMES: dict[Kind, tuple[str, str, str]] = {
    "third_class": ("a third class", "$accent", "circle"),
    "flip": ("the smaller parent's class", "$second", "square"),
    "same_class": ("another class, both parents of one", "$third", "diamond"),
}
"""Kind of intrusion to its name, colour and sign."""


def intrusion_section(findings: Findings) -> Section | None:
    """Show intrusion curves, and which pairs of classes hold others between them."""
    found = findings.intrusion
    if found is None:
        return None
    traces: list[Trace] = []
    for kind, (name, colour, sign) in NAMES.items():
        points = [
            (f"{100 * low:.0f}–{100 * high:.0f} %", rate)
            for (low, high), rate in zip(found.bins, found.curves[kind], strict=True)
            if rate is not None
        ]
        if points:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": name,
                    "x": [place for place, _ in points],
                    "y": [round(100 * rate.share, 2) for _, rate in points],
                    "error_y": {
                        "type": "data",
                        "symmetric": False,
                        "array": [round(100 * (rate.high - rate.share), 2) for _, rate in points],
                        "arrayminus": [round(100 * (rate.share - rate.low), 2) for _, rate in points],
                        "color": colour,
                        "thickness": 1,
                    },
                    "line": {"color": colour},
                    "marker": {"symbol": sign, "size": 8},
                    "text": [f"{rate.rows:,} rows" for _, rate in points],
                    "hovertemplate": "%{y:.0f} % of %{text}<extra></extra>",
                }
            )
    curves = Figure(
        "intrusion",
        "Share of mixed rows judged to lie elsewhere, by share of the first parent.",
        traces,
        {
            "xaxis": {
                "title": {"text": "share of the larger parent"},
                "type": "category",
                "categoryorder": "array",
                "categoryarray": [f"{100 * low:.0f}–{100 * high:.0f} %" for low, high in found.bins],
            },
            "yaxis": {"title": {"text": "judged to lie elsewhere, %"}, "rangemode": "tozero"},
            "showlegend": True,
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        },
        height=380,
    )
    shares = 100 * found.neither
    heat: Trace = {
        "type": "heatmap",
        "x": list(found.labels),
        "y": list(found.labels),
        "z": [[None if np.isnan(cell) else round(float(cell), 1) for cell in row] for row in shares],
        "zmin": 0,
        "zmax": 100,
        "colorscale": "$sequence",
        "xgap": 2,
        "ygap": 2,
        "hovertemplate": "%{y} with %{x}: %{z:.0f} % of neither class<extra></extra>",
        "colorbar": {"title": {"text": "%"}, "thickness": 12},
    }
    pairs = Figure(
        "pairs",
        "Share of mixed rows judged to be of neither parent's class, by pair of classes.",
        [heat],
        {
            "xaxis": {"title": {"text": "class of the second parent"}, "tickangle": -45, "showgrid": False},
            "yaxis": {"title": {"text": "class of the first parent"}, "showgrid": False, "autorange": "reversed"},
        },
        height=int(min(700, 240 + 24 * len(found.labels))),
    )
    lead = (
        f"Where a student fitted on the labelled texts alone puts the mixed rows, dropped ones included. It is right "
        f"on {percent(found.judge_accuracy, 0)} of labelled texts it has not seen, so a part of this is its own error: "
        "there is no floor to take off, as the benchmark of intrusion has."
    )
    return Section("between", "What lies between the classes?", lead, (curves, pairs))
