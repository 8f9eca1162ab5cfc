"""Findings for tests and measurements of reports: rows as a run leaves them, of whatever number, without any model."""

import numpy as np

from crossfade.data import Augmented, Corpus, Example, Origin, Synthetic
from crossfade.evaluation.comparison import CLASS_TEXTS, GOLD_ONLY, Curve, Scored, row_name, summarise
from crossfade.evaluation.row_intrusion import Rate, RowIntrusion
from crossfade.reports.findings import Draw, Findings, ModelUse
from crossfade.reports.projection import Projection
from crossfade.selection.noise_report import label_noise

LABELS = ("billing", "delivery", "returns")
WORDS = ("the", "parcel", "invoice", "was", "never", "charged", "twice", "and", "when", "will", "my", "order", "arrive",
         "please", "refund", "this", "address", "again", "because", "nobody", "answered")  # fmt: skip
SCRIPT = "<script>document.title = 'run by a text'</script>"
OWN = row_name("promptmix", "trust")


def gold_corpus(labels: tuple[str, ...] = LABELS, per_class: int = 3) -> Corpus:
    """Return a few texts of each class."""
    return Corpus(
        tuple(
            Example((f"a person's text {number} about {label}",), label)
            for label in labels
            for number in range(per_class)
        ),
        labels,
        kind="customer messages",
    )


def written_rows(gold: Corpus, count: int, *, seed: int = 0, method: str = "promptmix") -> Augmented:
    """Return so many rows, a tenth of them dropped and a fifth relabelled."""
    rng = np.random.default_rng(seed)
    kept: list[Synthetic] = []
    dropped: list[Synthetic] = []
    for number in range(count):
        label, other = rng.choice(gold.labels, 2, replace=False).tolist()
        text = f"{' '.join(rng.choice(WORDS, 14))} {number}"
        changed, lost = rng.random() < 0.2, rng.random() < 0.1
        final = other if changed else label
        origin = Origin(
            method=method,
            parents=(label, other),
            ratio=round(float(rng.uniform(0.5, 1.0)), 3),
            prompt_digest=f"{number // 3:016x}",
            model="small",
            written_label=label,
            judged_label=final,
            confidence=round(float(rng.uniform(0.3, 1.0)), 3),
            votes={"writer": label, "judge": final},
            reason="dropped: no label is sure" if lost else None,
        )
        (dropped if lost else kept).append(Synthetic(Example((text,), final), origin))
    losses = {
        label: {
            "asked": count // len(gold.labels),
            "written": count // len(gold.labels),
            "kept": len([row for row in kept if row.origin.written_label == label]),
        }
        for label in gold.labels
    }
    return Augmented(tuple(kept), tuple(dropped), losses, "Every class has its texts.")


def with_text(made: Augmented, place: int, text: str) -> Augmented:
    """Return the same rows with another text in one kept row."""
    row = made.kept[place]
    changed = Synthetic(Example((text,), row.example.label), row.origin, row.probabilities)
    return Augmented((*made.kept[:place], changed, *made.kept[place + 1 :]), made.dropped, made.losses, made.stopped)


def findings(made: Augmented, gold: Corpus, *, measured: bool = True) -> Findings:
    """Return what a run with these rows would hold."""
    rng = np.random.default_rng(1)
    texts = list(dict.fromkeys([*gold.texts, *(row.example.text for row in (*made.kept, *made.dropped))]))
    places = dict(zip(texts, map(tuple, rng.normal(size=(len(texts), 2)).tolist()), strict=True))
    curve = Curve(
        (1, 2, 5, 10), tuple(tuple(base + step for step in (-0.02, 0.0, 0.03)) for base in (0.5, 0.6, 0.7, 0.8))
    )
    scored = [
        Scored(GOLD_ONLY, (0.58, 0.60, 0.63)),
        Scored(CLASS_TEXTS, (0.61, 0.62, 0.64)),
        Scored(row_name("promptmix", "none"), (0.63, 0.60, 0.67), (90, 90, 90)),
        Scored(OWN, (0.68, 0.69, 0.74), (90, 90, 90)),
    ]
    results = summarise(scored, student="linear", shots=2, curve=curve, rng=rng)
    return Findings(
        name="tickets",
        method="promptmix",
        check="trust",
        student="linear",
        kind="customer messages",
        seed=0,
        draws=(Draw(name="2 labels per class, draw 1", made=made, noise=label_noise(made, gold), gold=gold),),
        own=OWN if measured else "",
        rows=tuple(results) if measured else (),
        curve=curve if measured else None,
        models=(
            ModelUse(
                model="localhost#small",
                requests=480,
                failed=2,
                prompt_tokens=123_456,
                cached_tokens=100_000,
                answer_tokens=23_456,
                money=1.25,
            ),
        ),
        seconds=158.0 if measured else None,
        projection=Projection({text: (x, y) for text, (x, y) in places.items()}, "PCA"),
    )


def intrusion(labels: tuple[str, ...] = LABELS) -> RowIntrusion:
    """Return rates that fall with the ratio; two classes never met."""
    neither = np.full((len(labels), len(labels)), 0.25)
    neither[0, 1] = np.nan
    rates = tuple(Rate(rows=20, share=share, low=share / 2, high=share + 0.1) for share in (0.4, 0.3, 0.2, 0.1, 0.05))
    return RowIntrusion(
        judge_accuracy=0.8,
        bins=((0.5, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 1.0)),
        curves={"third_class": rates, "flip": (None, *rates[1:]), "same_class": (None,) * 5},
        labels=labels,
        neither=neither,
    )
