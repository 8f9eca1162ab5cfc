"""How heavy is a report of many rows, and how long until its page can be used?

For example: python benchmarks/report_size.py --rows 20000 --out benchmarks/results/report_size.md
Makes a run folder of rows as `crossfade train` leaves it, of made-up words, writes its report with places drawn at
random instead of embeddings, and opens the page several times in headless Chromium, each time in a new profile.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from crossfade import opening
from crossfade.data import Augmented, Corpus, Example, Origin, Synthetic, write_rows
from crossfade.reporting import findings_of
from crossfade.reports.page import render_page
from crossfade.selection.noise_report import label_noise

CLASSES = tuple(f"class {number}" for number in range(1, 21))
WORDS = tuple(
    f"{start}{end}" for start in ("ba", "do", "ke", "li", "mo", "ra", "su", "ti") for end in ("n", "rel", "to")
)
RECIPE = """name = "many"
[data]
train = "labelled.csv"
kind = "made-up messages"
"""


class RandomEncoder:
    """Places each text anywhere: what a page weighs does not depend on where its texts lie."""

    name = "random"

    def __init__(self, path: str | None = None) -> None:
        self.rng = np.random.default_rng(0)

    def encode(self, texts: list[str]) -> np.ndarray:
        """Return embeddings, [texts, 8]."""
        return self.rng.normal(size=(len(texts), 8))


def make_run(folder: Path, count: int) -> None:
    """Write a run folder of so many rows: a tenth dropped, three in ten with a suspect label."""
    rng = np.random.default_rng(0)
    gold = Corpus(
        tuple(Example((f"a labelled text {n} of {label}",), label) for label in CLASSES for n in range(10)), CLASSES
    )
    kept, dropped = [], []
    for number in range(count):
        first, second = rng.choice(CLASSES, 2, replace=False).tolist()
        text = f"{' '.join(rng.choice(WORDS, rng.integers(8, 30)))} {number}"
        final, lost = (second if rng.random() < 0.2 else first), rng.random() < 0.1
        origin = Origin(
            method="promptmix",
            parents=(first, second),
            ratio=float(rng.uniform(0.5, 1)),
            prompt_digest=f"{number // 3:016x}",
            model="llama.cpp#small",
            written_label=first,
            judged_label=final,
            confidence=float(rng.uniform(0.3, 1)),
            votes={"writer": first, "judge": final, "prototypes": final},
            reason="dropped: no label is sure" if lost else None,
        )
        (dropped if lost else kept).append(Synthetic(Example((text,), final), origin))
    losses = {label: {"asked": count // len(CLASSES), "written": count // len(CLASSES)} for label in CLASSES}
    made = Augmented(tuple(kept), tuple(dropped), losses, "Every class has its texts.")
    write_rows(made.kept, folder / "kept.jsonl")
    write_rows(made.dropped, folder / "dropped.jsonl")
    told = {"stopped": made.stopped, "classes": made.losses, "sources": {}}
    (folder / "losses.json").write_text(json.dumps(told), encoding="utf-8")
    (folder / "noise.json").write_text(json.dumps(label_noise(made, gold).as_json()), encoding="utf-8")
    lines = [f"{example.text},{example.label}" for example in gold]
    (folder / "labelled.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")


def seconds_to_use(page: Path, chromium: str, times: int) -> dict[str, list[float]]:
    """Open a page several times; return what was timed, in seconds, once for each time.

    'ready': until tables and map can be used; 'worked': processor time of the page's process by then; 'drawn': until
    every chart is drawn; 'filtered': until a filter has redrawn the map.
    """
    found: dict[str, list[float]] = {"ready": [], "worked": [], "drawn": [], "filtered": []}
    with sync_playwright() as playwright:
        for _ in range(times):
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            tab.set_default_timeout(300_000)
            tools = tab.context.new_cdp_session(tab)
            tools.send("Performance.enable")
            tab.goto(page.as_uri())
            tab.wait_for_selector("html[data-ready=yes]")
            measures = {one["name"]: one["value"] for one in tools.send("Performance.getMetrics")["metrics"]}
            found["worked"].append(measures["ProcessTime"])
            tab.wait_for_selector("html[data-drawn=yes]")
            for name in ("ready", "drawn"):
                found[name].append(tab.evaluate(f"performance.getEntriesByName('{name}')[0].startTime") / 1000)
            found["filtered"].append(
                tab.evaluate(
                    """async () => {
                        const select = document.querySelector("#map-filters [name=label]");
                        const start = performance.now();
                        select.value = "3";
                        select.dispatchEvent(new Event("change", { bubbles: true }));
                        await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
                        return (performance.now() - start) / 1000;
                    }"""
                )
            )
            browser.close()
    return found


def spread(values: list[float]) -> str:
    """Return median and range."""
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_run(folder, chosen.rows)
        opening.Models.encoder = RandomEncoder()  # type: ignore[assignment,method-assign]
        started = time.perf_counter()
        page = render_page(findings_of(folder))
        writing = time.perf_counter() - started
        path = folder / "report.html"
        path.write_text(page, encoding="utf-8")
        found = seconds_to_use(path, chosen.chromium, chosen.times)
        size = path.stat().st_size / 1e6
    said = subprocess.run([chosen.chromium, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    lines = [
        f"`python benchmarks/report_size.py --rows {chosen.rows} --times {chosen.times} --out {chosen.out}`",
        "",
        f"{chosen.rows:,} rows in {len(CLASSES)} classes; headless {said}; median and range of {chosen.times} starts.",
        f"{os.cpu_count()} cores; mean load before: {load:.1f} (a machine without other work has about 0).",
        "",
        "| what | found |",
        "| --- | ---: |",
        f"| size of report.html, MB | {size:.1f} |",
        f"| writing it, embeddings left out, s | {writing:.1f} |",
        f"| until tables and map can be used, s | {spread(found['ready'])} |",
        f"| processor time of the page's process by then, s | {spread(found['worked'])} |",
        f"| until every chart is drawn, s | {spread(found['drawn'])} |",
        f"| until a chosen class stands alone on the map, s | {spread(found['filtered'])} |",
    ]
    text = "\n".join(["# Weight and speed of a report", "", *lines, ""])
    if chosen.out:
        chosen.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
