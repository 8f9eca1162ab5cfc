"""Draw the picture in the README from a committed comparison: accuracy of each method under each label check.

python benchmarks/draw_results.py            write docs/images/trec6.svg
python benchmarks/draw_results.py --check    only say whether it is up to date
"""

import argparse
import re
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "compare_trec6.md"
PICTURE = ROOT / "docs" / "images" / "trec6.svg"
CHECKS = {"": "labels as asked for", "paper": "the paper's relabelling", "trust": "label trust"}
METHODS = {
    "eda": "EDA",
    "gpt3mix": "GPT3Mix",
    "example_prompting": "example prompting",
    "promptmix": "PromptMix",
    "label_prompting": "label prompting",
}
LEFT, WIDTH, ROW, TOP, LOW, HIGH = 170, 760, 54, 58, 30, 70
STYLE = """
text { font: 14px system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; fill: #1b2330; }
.soft { fill: #5b6678; font-size: 12px; }
.grid { stroke: #d9dee6; } .base { stroke: #5b6678; stroke-dasharray: 4 3; }
.k0 { stroke: #8a94a6; fill: #8a94a6; } .k1 { stroke: #c26a00; fill: #c26a00; } .k2 { stroke: #2257c5; fill: #2257c5; }
@media (prefers-color-scheme: dark) {
  text { fill: #e7ebf2; } .soft { fill: #9aa6b8; }
  .grid { stroke: #323c4b; } .base { stroke: #9aa6b8; }
  .k0 { stroke: #9aa6b8; fill: #9aa6b8; } .k1 { stroke: #ffb15c; fill: #ffb15c; }
  .k2 { stroke: #8ab1ff; fill: #8ab1ff; }
}
"""


def accuracies(page: str) -> dict[str, tuple[float, float]]:
    """Read row name to mean and sample standard deviation, in percent."""
    found = re.findall(r"^\| ([^|]+) \| ([\d.]+) \(([\d.]+)\) \|", page, flags=re.MULTILINE)
    return {name: (float(mean), float(spread)) for name, mean, spread in found}


def draw(rows: dict[str, tuple[float, float]]) -> str:
    """Write the picture as SVG: a point for each mean, a bar of one standard deviation either side."""
    height = TOP + ROW * len(METHODS) + 40

    def x(value: float) -> float:
        return round(LEFT + (value - LOW) / (HIGH - LOW) * (WIDTH - LEFT - 20), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" '
        'aria-label="Accuracy on TREC6 by method and label check">',
        f"<style>{STYLE}</style>",
    ]
    for index, name in enumerate(CHECKS.values()):
        left = LEFT + index * 190
        parts.append(f'<circle class="k{index}" cx="{left}" cy="14" r="5"/><text x="{left + 12}" y="19">{name}</text>')
    for value in range(LOW, HIGH + 1, 10):
        parts.append(f'<path class="grid" d="M{x(value)} {TOP - 8}V{height - 32}"/>')
        parts.append(f'<text class="soft" text-anchor="middle" x="{x(value)}" y="{height - 14}">{value} %</text>')
    for name in ("gold only", "gold + class texts"):
        mean, _ = rows[name]
        parts.append(f'<path class="base" d="M{x(mean)} {TOP - 8}V{height - 32}"/>')
        parts.append(f'<text class="soft" text-anchor="middle" x="{x(mean)}" y="{TOP - 14}">{name}</text>')
    for line, (method, title) in enumerate(METHODS.items()):
        middle = TOP + ROW * line + ROW // 2
        parts.append(f'<text text-anchor="end" x="{LEFT - 16}" y="{middle + 5}">{escape(title)}</text>')
        for index, check in enumerate(CHECKS):
            mean, spread = rows[f"+ {method}, {check}" if check else f"+ {method}"]
            y = middle + (index - 1) * 13
            parts.append(f'<path class="k{index}" stroke-width="2" d="M{x(mean - spread)} {y}H{x(mean + spread)}"/>')
            parts.append(f'<circle class="k{index}" cx="{x(mean)}" cy="{y}" r="5"/>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> int:
    """Write or check the picture; the exit status is 1 when it is checked and out of date."""
    parser = argparse.ArgumentParser(description="Draw the picture in the README.")
    parser.add_argument("--check", action="store_true", help="only say whether the picture is up to date")
    check = parser.parse_args().check
    picture = draw(accuracies(RESULTS.read_text(encoding="utf-8")))
    if PICTURE.is_file() and PICTURE.read_text(encoding="utf-8") == picture:
        return 0
    if check:
        sys.stderr.write(f"Out of date: {PICTURE.name}. Run: python benchmarks/draw_results.py\n")
        return 1
    PICTURE.write_text(picture, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
