"""Draw the picture of each method: what goes in, what is done to it, what comes out, on one made-up example.

python docs/draw_methods.py            write the pictures
python docs/draw_methods.py --check    only say whether they are up to date
"""

import argparse
import sys
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parent / "images"
WIDTH, GAP, LINE, EDGE, ASIDE = 420, 26, 19, 12, 196
"""Width of the picture, room for an arrow, height of a line, edge of a box, where text beside its heading begins; in
pixels. Narrow, so that it can be read on a phone."""
STYLE = """
text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; fill: #1b2330; }
.head { font-weight: 600; }
rect { fill: #f6f7f9; stroke: #b9c3d3; }
.model rect { fill: #e8effc; stroke: #2257c5; }
path { stroke: #5b6678; fill: none; stroke-width: 1.5; }
.tip { fill: #5b6678; stroke: none; }
@media (prefers-color-scheme: dark) {
  text { fill: #e7ebf2; }
  rect { fill: #1a202a; stroke: #3d495a; }
  .model rect { fill: #22304a; stroke: #8ab1ff; }
  path { stroke: #9aa6b8; }
  .tip { fill: #9aa6b8; }
}
"""
Step = tuple[str, list[str]]
GOLD: Step = ("gold texts", ["billing: “I was charged", "twice.”", "delivery: “Where is my", "parcel?”"])
PICTURES: dict[str, list[Step]] = {
    "promptmix": [
        GOLD,
        ("*writer", ["“… 70 % billing and", "30 % delivery”", "reads examples and", "descriptions of both"]),
        ("a text near the border", ["“I paid for express and", "it came a week late.”"]),
        ("*judge and other votes", ["asked for: billing", "decided: delivery"]),
    ],
    "example_prompting": [
        ("gold texts of one class", ["“I was charged twice.”", "“Where is my invoice?”"]),
        ("*writer", ["example prompting:", "“more like these”", "GPT3Mix: texts of two", "classes, each labelled"]),
        (
            "written",
            ["“Why two payments?”", "GPT3Mix reads a soft", "label from the writer:", "billing 0.8, delivery 0.2"],
        ),
    ],
    "label_prompting": [
        ("class and description", ["billing: “invoices,", "charges and refunds”", "no gold text"]),
        ("*writer", ["“Here are 5 messages", "about invoices, charges", "and refunds:”"]),
        ("written", ["“Can I get my money", "back for May?”"]),
    ],
    "inversed_mixup": [
        ("two gold texts", ["a “I was charged twice.”", "b “Where is my parcel?”"]),
        ("*encoder", ["point = 0.6 a + 0.4 b", "between their", "embeddings"]),
        ("*inverter", ["turns the point back", "into a sentence"]),
        ("text and mixed label", ["“I paid, where is it?”", "billing 0.6,", "delivery 0.4"]),
    ],
    "soft_prompt_mixture": [
        ("a gold row's labels", ["“Ann met Bob in Rome”", "person, place", "“Ann”, “Bob”, “Rome”"]),
        ("trained vectors", ["instruction", "+ mix(person, place)"]),
        ("*frozen language model", ["reads the vectors, then", "“Contains: Ann; Bob;", "Rome”"]),
        ("candidates", ["“Ann saw Bob in Rome.”", "“Ann was in Rome.”", "lacks Bob: asked again"]),
        ("kept, tags found anew", ["“Ann saw Bob in Rome.”", "the noisiest fifth goes"]),
    ],
    "stepwise_synthesis": [
        ("*writer: seed", ["texts of each class"]),
        ("student", ["a fresh one, trained on", "all rows so far"]),
        ("errors on gold rows", ["“My refund went to the", "old card.” billing,", "not delivery"]),
        ("*writer: more like these", ["rows that are added;", "then again from the", "student, for some rounds"]),
    ],
    "logit_mixup": [
        ("two prompts", ["examples of billing", "examples of delivery"]),
        ("*open weights", ["next token under each:", "billing: paid 0.4 …", "delivery: sent 0.5 …"]),
        ("mixed at the ratio", ["0.7 of one, 0.3 of the", "other, away from all", "other classes"]),
        ("token after token", ["“I paid for it to be", "sent by …”"]),
    ],
    "eda": [
        ("gold text", ["“Where is my parcel", "now?” delivery"]),
        ("edits, no model", ["EDA: synonym, insert,", "swap, delete", "AEDA: marks inserted"]),
        ("copies, same label", ["“Where is my package", "now?”", "“Where is , my parcel", "; now?”"]),
    ],
    "hidden_mixup": [
        ("two gold texts", ["a “I was charged twice.”", "b “Where is my parcel?”"]),
        ("*encoder", ["point = 0.6 a + 0.4 b", "between their", "embeddings"]),
        ("student `linear`", ["learns the point with", "billing 0.6,", "delivery 0.4;", "there is no text"]),
    ],
}
"""Page of the method to its steps; a star before a heading marks what a model does."""


def draw(name: str, steps: list[Step]) -> str:
    """Write one picture as SVG: boxes under each other, an arrow between neighbours."""
    heights = [LINE * len(lines) + EDGE for _, lines in steps]
    height = sum(heights) + GAP * (len(steps) - 1) + 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" '
        f'aria-label="{name}">',
        f"<style>{STYLE}</style>",
    ]
    top = 1
    for index, ((heading, lines), tall) in enumerate(zip(steps, heights, strict=True)):
        if index:
            tip, middle = top - 3, WIDTH // 2
            parts.append(f'<path d="M{middle} {top - GAP + 4}V{tip - 7}"/>')
            parts.append(f'<path class="tip" d="M{middle} {tip}l-5 -9h10z"/>')
        kind = ' class="model"' if heading.startswith("*") else ""
        parts.append(f'<g{kind}><rect x="1" y="{top}" width="{WIDTH - 2}" height="{tall}" rx="8"/>')
        parts.append(f'<text class="head" x="{EDGE}" y="{top + LINE}">{escape(heading.lstrip("*"))}</text>')
        for row, line in enumerate(lines, start=1):
            parts.append(f'<text x="{ASIDE}" y="{top + row * LINE}">{escape(line)}</text>')
        parts.append("</g>")
        top += tall + GAP
    return "\n".join([*parts, "</svg>", ""])


def main() -> int:
    """Write or check the pictures; the exit status is 1 when a checked one is out of date."""
    parser = argparse.ArgumentParser(description="Draw the picture of each method.")
    parser.add_argument("--check", action="store_true", help="only say whether the pictures are up to date")
    check = parser.parse_args().check
    stale = []
    for name, steps in PICTURES.items():
        path, picture = FOLDER / f"{name}.svg", draw(name, steps)
        if not path.is_file() or path.read_text(encoding="utf-8") != picture:
            stale.append(path.name)
            if not check:
                path.write_text(picture, encoding="utf-8")
    if check and stale:
        sys.stderr.write(f"Out of date: {', '.join(stale)}. Run: python docs/draw_methods.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
