"""Do texts written for several attributes carry all of them, and does every attribute get its texts?"""

from collections import Counter

from crossfade.data import AnnotatedExample, Corpus
from crossfade.evaluation.carrying import Carried, count_carried, drafts_of, holds_strings
from crossfade.reports.blocks import Block, Figure, Section, Table, Trace, percent
from crossfade.reports.findings import Draw, Findings


def attribute_section(findings: Findings) -> Section | None:
    """Show the share of drafts that held all their strings, by how many these were, and the texts of each attribute."""
    draws = [(draw, draw.gold) for draw in findings.draws if draw.gold is not None and _is_annotated(draw.gold)]
    if not draws:
        return None
    drafts, whole = Counter[int](), Counter[int]()
    for draw, gold in draws:
        made = [row for row in drafts_of(draw.made) if row.origin.parent_key]
        for number, of_number in count_carried(made, holds_strings(made), gold)[1].items():
            drafts[number] += of_number.drafts
            whole[number] += of_number.all
    blocks: list[Block] = []
    if drafts:
        carried = {number: Carried(drafts[number], whole[number]) for number in sorted(drafts)}
        blocks += [_shares_figure(carried), _shares_table(carried)]
    blocks.append(_attribute_table(draws))
    lead = (
        "A draft that lacks a string of its labelled text is dropped. Intents are no strings: whether a text has them "
        "is the label check's to say."
    )
    return Section("attributes", "Do the texts carry what they should?", lead, tuple(blocks))


def _is_annotated(gold: Corpus) -> bool:
    return any(isinstance(example, AnnotatedExample) for example in gold)


def _shares_figure(carried: dict[int, Carried]) -> Figure:
    shares = [carried[number].share for number in carried]
    bars: Trace = {
        "type": "bar",
        "x": [str(number) for number in carried],
        "y": [100 * share.mean for share in shares],
        "marker": {"color": "$accent"},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [100 * ((share.high or 0.0) - share.mean) for share in shares],
            "arrayminus": [100 * (share.mean - (share.low or 0.0)) for share in shares],
            "color": "$text",
            "thickness": 1,
        },
    }
    layout = {
        "xaxis": {"title": {"text": "strings of a text, or intents where it has none"}, "type": "category"},
        "yaxis": {"title": {"text": "drafts with all strings, %"}, "range": [0, 100]},
    }
    told = "Share of drafts that held all their strings, by how many these were, with 95 % intervals after Wilson."
    return Figure("carried", told, [bars], layout)


def _shares_table(carried: dict[int, Carried]) -> Table:
    total = Carried(sum(each.drafts for each in carried.values()), sum(each.all for each in carried.values()))
    rows = [(str(number), *_cells(each)) for number, each in carried.items()]
    headings = ("strings", "drafts", "with all", "share (95 %)")
    return Table(headings, (*rows, ("all", *_cells(total))), last_is_total=True)


def _cells(carried: Carried) -> tuple[str, str, str]:
    share = carried.share
    interval = f"{percent(share.mean)} ({percent(share.low or 0.0)} to {percent(share.high or 0.0)})"
    return f"{carried.drafts:,}", f"{carried.all:,}", interval


def _attribute_table(draws: list[tuple[Draw, Corpus]]) -> Table:
    """Count the labelled and the kept texts of each attribute."""
    labelled, kept = Counter[str](), Counter[str]()
    for draw, gold in draws:
        for counts, examples in ((labelled, list(gold)), (kept, [row.example for row in draw.made.kept])):
            counts.update(name for row in examples if isinstance(row, AnnotatedExample) for name in row.attributes)
    rows = [(name, f"{labelled[name]:,}", f"{kept[name]:,}") for name in sorted(labelled, key=lambda name: -kept[name])]
    return Table(("attribute", "labelled texts", "kept texts"), tuple(rows))
