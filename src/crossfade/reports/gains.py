"""Did it help: the verdict in words, the gains with their intervals, and what they are worth in real labels."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from crossfade.evaluation.comparison import ALL_DATA, CLASS_TEXTS, GOLD_ONLY, Curve, ResultRow
from crossfade.evaluation.scores import measure_words
from crossfade.numerics.statistics import Interval, is_gain, paired_interval
from crossfade.reports.blocks import Block, Figure, Prose, Section, Table, Trace, interval_words, percent
from crossfade.reports.findings import Findings

Group = tuple[str, list[ResultRow]]
ROW_HEIGHT = 48
"""Pixels of a line in the chart of gains."""


def groups_of(rows: Sequence[ResultRow]) -> list[Group]:
    """Return the lines of each comparison, by student and number of real labels, with what to call it."""
    found = [(key, list(lines)) for key, lines in groupby(rows, key=lambda row: (row.shots, row.student))]
    named = []
    for (shots, student), lines in found:
        labels = f"{shots} real {lines[0].counted}" if shots else "no real labels"
        named.append((f"{labels}, student {student}", lines))
    return named


def verdict(findings: Findings) -> list[str]:
    """Say whether the recipe's own rows helped, one sentence or two for each comparison."""
    if not findings.rows:
        return ["Not measured: this folder holds no comparison. crossfade run, with held-out texts, makes one."]
    groups = groups_of(findings.rows)
    sentences = []
    for name, lines in groups:
        own = next((line for line in lines if line.rows == findings.own), None)
        if own is not None:
            about = f"With {name}: " if len(groups) > 1 else ""
            sentences.append(about + _verdict(own, lines, findings))
    return sentences


def _verdict(own: ResultRow, lines: Sequence[ResultRow], findings: Findings) -> str:
    controls = {line.rows: line for line in lines if line.rows in (GOLD_ONLY, CLASS_TEXTS)}
    gains = {name: _gain(own, line) for name, line in controls.items()}
    reached = f"The student reaches {percent(own.mean)}"
    if not gains:
        return f"{reached}; there is nothing to compare it with."
    told = [f"{interval_words(gain)} points against {_control(name)}" for name, gain in gains.items()]
    if own.splits == 1:
        return f"Not known. {reached}, {' and '.join(told)}; one split shows no spread, and a claim needs several."
    ahead = [name for name, gain in gains.items() if is_gain(gain)]
    behind = [name for name, gain in gains.items() if gain.high is not None and gain.high < 0]
    if len(ahead) == len(gains):
        answer = "Yes."
    elif ahead == [GOLD_ONLY]:
        answer = "The writing did not: the classes' names or descriptions alone help as much."
    elif behind:
        answer = "No, it did harm."
    else:
        answer = "No gain that can be told from chance."
    worth = ""
    if ahead and findings.curve is not None and own.student == findings.student:
        worth = f" It is worth {_worth(own, findings.curve)} real {own.counted}."
    return f"{answer} {reached}, {' and '.join(told)}, over {own.splits} splits.{worth}"


def _control(name: str) -> str:
    return {GOLD_ONLY: "your labelled texts alone", CLASS_TEXTS: "those with the classes' names or descriptions"}[name]


def _gain(row: ResultRow, control: ResultRow) -> Interval:
    return paired_interval(np.subtract(row.values, control.values).tolist())


def _worth(row: ResultRow, curve: Curve) -> str:
    if row.worth_per_class is None:
        return f"more than {curve.shots[-1]}"
    if row.worth is None:
        return f"{row.worth_per_class:.1f}"
    low, high = (
        f"more than {curve.shots[-1]}" if end is None else f"{end:.1f}" for end in (row.worth.low, row.worth.high)
    )
    return f"{'fewer than ' if row.worth.is_below else ''}{row.worth_per_class:.1f} ({low} to {high})"


def gain_section(findings: Findings) -> Section | None:
    """Show the gain of each kind of training rows over the labelled texts alone."""
    if not findings.rows:
        return None
    blocks: list[Block] = []
    groups = groups_of(findings.rows)
    for number, (name, lines) in enumerate(groups):
        if len(groups) > 1:
            blocks.append(Prose(f"{name[0].upper()}{name[1:]}:"))
        placed = [line for line in lines if line.uplift is not None]
        if placed:
            blocks.append(_gain_figure(f"gain-{number}", placed, findings.own))
        blocks.append(_gain_table(lines, findings))
    if findings.texts:
        blocks += [Prose("What describes each method's texts, the mean over the draws:"), _texts_table(findings)]
    splits = findings.rows[0].splits
    lead = (
        f"Gain in points over the same student on the labelled texts alone, with the 95 % interval over "
        f"{splits} splits, paired. An interval that touches zero is no gain."
        if splits > 1
        else "Gain in points over the same student on the labelled texts alone. One split has no interval."
    )
    return Section("gain", "Did it help?", lead, tuple(blocks))


def _gain_figure(name: str, lines: Sequence[ResultRow], own: str) -> Figure:
    """Draw one dot with its interval for each line, the name above it so that a narrow screen has room for both."""
    order = list(range(len(lines)))[::-1]
    gains = [line.uplift for line in lines if line.uplift is not None]
    colours = ["$accent" if line.rows == own else "$muted" for line in lines]
    spans: list[Trace] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [100 * gain.low, 100 * gain.high],
            "y": [place, place],
            "line": {"color": colour, "width": 3},
            "hoverinfo": "skip",
        }
        for gain, place, colour in zip(gains, order, colours, strict=True)
        if gain.low is not None and gain.high is not None
    ]
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": [100 * gain.mean for gain in gains],
        "y": order,
        "marker": {"color": colours, "size": 11},
        "text": [f"{interval_words(gain)} points" for gain in gains],
        "hovertemplate": "%{text}<extra></extra>",
    }
    ends = [0.0, *(100 * end for gain in gains for end in (gain.low, gain.high, gain.mean) if end is not None)]
    room = 0.05 * (max(ends) - min(ends)) or 1.0
    names = [
        {
            "xref": "paper",
            "x": 0,
            "y": place,
            "yshift": 15,
            "text": _plotly_text(line.rows),
            "showarrow": False,
            "xanchor": "left",
            "font": {"color": "$text" if line.rows == own else "$soft"},
            "bgcolor": "$page",
            "borderpad": 1,
        }
        for line, place in zip(lines, order, strict=True)
    ]
    return Figure(
        name,
        "Gains with intervals; the table below has the same numbers.",
        [*spans, dots],
        {
            "annotations": names,
            "xaxis": {
                "title": {"text": f"points of {measure_words(lines[0].measure)}"},
                "zeroline": True,
                "range": [min(ends) - room, max(ends) + room],
            },
            "yaxis": {"visible": False, "range": [-0.5, len(lines) - 0.3], "fixedrange": True},
        },
        height=80 + ROW_HEIGHT * len(lines),
    )


def _plotly_text(text: str) -> str:
    """Keep plotly from reading a text as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _gain_table(lines: Sequence[ResultRow], findings: Findings) -> Table:
    curve = findings.curve if lines[0].student == findings.student else None
    headings = ["trained on", *map(measure_words, lines[0].measures), "gain (95 %)"]
    headings += [f"worth {lines[0].counted}"] if curve else []
    fidelity = any(line.fidelity for line in lines)
    headings += ["labels an oracle confirms"] if fidelity else []
    rows = []
    for line in lines:
        spread = f" ± {100 * line.std:.1f}" if line.splits > 1 else ""
        cells = [line.rows, f"{100 * line.mean:.1f}{spread}"]
        cells += [f"{100 * float(np.mean(line.beside)):.1f}"] if line.beside else []
        cells.append(interval_words(line.uplift) if line.uplift else "–")
        if curve:
            cells.append("–" if line.rows == ALL_DATA else _worth(line, curve))
        if fidelity:
            cells.append(percent(float(np.mean(line.fidelity))) if line.fidelity else "–")
        rows.append(tuple(cells))
    return Table(tuple(headings), tuple(rows))


def _texts_table(findings: Findings) -> Table:
    shown = {
        "distinct_1": "distinct-1",
        "distinct_2": "distinct-2",
        "self_bleu": "self-BLEU",
        "vocabulary": "words",
        "distance_to_gold": "distance to gold",
        "coverage": "coverage",
        "density": "density",
    }

    def cell(value: float | None) -> str:
        return "–" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.2f}"

    rows = tuple((method, *(cell(values.get(name)) for name in shown)) for method, values in findings.texts.items())
    return Table(("texts of", *shown.values()), rows)


def curve_section(findings: Findings) -> Section | None:
    """Show what real labels are worth, and where the recipe's own rows land."""
    curve = findings.curve
    if curve is None:
        return None
    own = [line for line in findings.rows if line.rows == findings.own and line.student == findings.student]
    measure = measure_words(own[0].measure if own else "accuracy")
    labels = own[0].counted if own else "labels per class"
    intervals = [paired_interval(list(values)) for values in curve.values]
    shots = list(curve.shots)
    traces: list[Trace] = []
    if all(interval.low is not None for interval in intervals):
        lows = [100 * (interval.low or 0.0) for interval in intervals]
        highs = [100 * (interval.high or 0.0) for interval in intervals]
        traces.append(
            {
                "type": "scatter",
                "x": shots + shots[::-1],
                "y": highs + lows[::-1],
                "fill": "toself",
                "fillcolor": "$band",
                "line": {"width": 0},
                "mode": "lines",
                "name": "95 % interval",
                "hoverinfo": "skip",
            }
        )
    traces.append(
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": shots,
            "y": [100 * mean for mean in curve.means],
            "line": {"color": "$muted", "width": 2},
            "name": "real labels alone",
            "hovertemplate": f"%{{x}} {labels}: %{{y:.1f}} %<extra></extra>",
        }
    )
    sentences = []
    for line in own:
        height = 100 * line.mean
        land = line.worth_per_class if line.worth_per_class is not None else shots[-1]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": [line.shots, land],
                "y": [height, height],
                "line": {"color": "$accent", "width": 2, "dash": "dot"},
                "marker": {"color": "$accent", "size": [13, 9], "symbol": ["diamond", "circle-open"]},
                "name": f"this run, {line.shots} labels",
                "hovertemplate": "%{y:.1f} %<extra>this run</extra>",
            }
        )
        if line.worth_per_class is None:
            landing = f"more than {shots[-1]} real {labels} do, where the curve ends"
        elif line.worth is not None and line.worth.is_below:
            landing = f"less than {shots[0]} real {labels} do, where the curve starts"
        else:
            landing = f"as {line.worth_per_class:.1f} real {labels} do"
        sentences.append(f"With {line.shots} {labels} and written rows it reaches {height:.1f} %, {landing}.")
    lead = f"What the student {findings.student} reaches on real labels alone. {' '.join(sentences)}"
    figure = Figure(
        "curve",
        f"{measure[0].upper()}{measure[1:]} by real {labels}, and where this run lands.",
        traces,
        {
            "xaxis": {"title": {"text": f"real {labels}"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": f"{measure}, %"}},
            "showlegend": True,
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        },
        height=380,
    )
    return Section("curve", "What is it worth in real labels?", lead, (figure,))
