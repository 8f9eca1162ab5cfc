"""What each round of stepwise synthesis added, and how the errors it followed moved."""

from collections import Counter

from crossfade.data import Synthetic
from crossfade.reports.blocks import Block, Figure, Section, Table, Trace
from crossfade.reports.findings import Draw, Findings

MOVES = {"new": ("$accent", "errors of this round only"), "again": ("$second", "wrong in the round before, too")}
"""How an error came about to its colour and name."""


def round_section(findings: Findings) -> Section | None:
    """Show rows by round, and, where rounds follow errors, which gold rows stayed wrong."""
    last = max((row.origin.round_index for draw in findings.draws for row in draw.rows), default=0)
    if findings.method != "stepwise_synthesis" or not last:
        return None
    rounds = range(last + 1)
    kept = Counter(row.origin.round_index for row in findings.kept)
    dropped = Counter(row.origin.round_index for row in findings.dropped)
    rows: list[Trace] = [
        _bars(name, colour, [counts[number] for number in rounds], rounds)
        for name, colour, counts in (("kept", "$accent", kept), ("dropped", "$muted", dropped))
    ]
    blocks: list[Block] = [Figure("rounds", "Rows kept and dropped in each round.", rows, _stacked("rows"))]
    lead = "Round 0 is the seed."
    if findings.follows_errors:
        blocks += _migration(findings, last)
        lead += (
            " Each later round follows the gold rows that a student trained on all rows so far gets wrong. An error is "
            "seen here by the rows written after it: one that brought no row at all is missing."
        )
    return Section("rounds", "Rounds and errors", lead, tuple(blocks))


def _migration(findings: Findings, last: int) -> list[Block]:
    """Count errors that are new in a round, that come again, and that are gone."""
    new, again, gone, classes = Counter[int](), Counter[int](), Counter[int](), Counter[tuple[int, str]]()
    for draw in findings.draws:
        before: set[str] = set()
        # After a draw's own last round nobody looked whether its errors are gone.
        for number in range(1, min(last, max((row.origin.round_index for row in draw.rows), default=0)) + 1):
            found = _errors(draw, number)
            new[number] += len(found.keys() - before)
            again[number] += len(found.keys() & before)
            gone[number] += len(before - found.keys())
            classes.update((number, label) for label in found.values())
            before = set(found)
    rounds = range(1, last + 1)
    traces = [
        _bars(name, colour, [counts[number] for number in rounds], rounds)
        for counts, (colour, name) in zip((new, again), MOVES.values(), strict=True)
    ]
    traces.append(_bars("of the round before, now right", "$third", [-gone[number] for number in rounds], rounds))
    labels = [label for label in findings.labels if any(classes[number, label] for number in rounds)]
    table = Table(
        ("errors of class", *(f"round {number}" for number in rounds)),
        tuple((label, *(str(classes[number, label]) for number in rounds)) for label in labels),
    )
    figure = Figure("errors", "Errors that are new, come again, or are gone, by round.", traces, _stacked("gold rows"))
    return [figure, table]


def _errors(draw: Draw, number: int) -> dict[str, str]:
    """Return key and class of each gold row that rows of a round were written after."""

    def is_of_round(row: Synthetic) -> bool:
        return row.origin.round_index == number and bool(row.origin.parent_key)

    return {row.origin.parent_key: row.origin.written_label for row in draw.rows if is_of_round(row)}


def _bars(name: str, colour: str, counts: list[int], rounds: range) -> Trace:
    return {
        "type": "bar",
        "name": name,
        "x": [f"round {number}" for number in rounds],
        "y": counts,
        "customdata": [abs(count) for count in counts],
        "marker": {"color": colour},
        "hovertemplate": f"%{{customdata}} {name}<extra></extra>",
    }


def _stacked(title: str) -> dict[str, object]:
    return {
        "barmode": "relative",
        "xaxis": {"type": "category", "fixedrange": True},
        "yaxis": {"title": {"text": title}, "fixedrange": True},
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    }
