"""Written rows for tests of the review, and a run folder that holds them."""

import json
from collections.abc import Sequence
from pathlib import Path

from crossfade.data import Augmented, Corpus, Example, Origin, Synthetic, write_rows
from crossfade.selection.noise_report import label_noise

LABELS = ("cat", "dog")


def written(
    *texts: str,
    label: str = "cat",
    wanted: str = "",
    confidence: float | None = 0.9,
    reason: str | None = None,
    votes: dict[str, str] | None = None,
) -> Synthetic:
    origin = Origin(
        method="promptmix",
        parents=LABELS,
        ratio=0.7,
        written_label=wanted or label,
        confidence=confidence,
        votes={"writer": wanted or label, **(votes or {})},
        reason=reason,
    )
    return Synthetic(Example(texts, label), origin, {"cat": 0.6, "dog": 0.4})


def made(kept: Sequence[Synthetic] = (), dropped: Sequence[Synthetic] = ()) -> Augmented:
    return Augmented(tuple(kept), tuple(dropped), losses={}, stopped="")


def write_run(folder: Path, rows: Augmented, labels: Sequence[str] = LABELS) -> Path:
    """Write what `augment` leaves of these rows, as far as a review reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(rows.kept, folder / "kept.jsonl")
    write_rows(rows.dropped, folder / "dropped.jsonl")
    (folder / "noise.json").write_text(json.dumps(label_noise(rows, Corpus((), tuple(labels))).as_json()))
    (folder / "recipe.toml").write_text('name = "tiny"\n[data]\ntrain = "demo"\n')
    return folder
