"""Train, measure and use inverters, from files and folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossfade.data import read_corpus
from crossfade.errors import SettingsError
from crossfade.evaluation.inversion import GREEDY, InversionScores, cosines, score_inversion
from crossfade.inversion import InverterSettings, Tell, Workplace, align, read_single_texts
from crossfade.models.inverter import InverterCard
from crossfade.numerics.mixing import Mixing, mix_points
from crossfade.opening import cache_folder, open_inverter
from crossfade.packaged import packaged_inverter
from crossfade.recipe import override
from crossfade.refining import STAGES, RefinementSettings, Stage


@dataclass(frozen=True, slots=True)
class DecodedText:
    """A text that lies between two others."""

    ratio: float
    """Share of the first text, in (0, 1)."""
    cosine: float
    """Between the text's own embedding and the mixed point that it was decoded from, in [-1, 1]."""
    text: str


def invert(
    first: str, second: str, *, steps: int = 9, inverter: Path | None = None, how: Mixing = "linear"
) -> list[DecodedText]:
    """Mix the embeddings of two texts at even steps, and decode each point greedily.

    Args:
        first: The text of ratio 1.
        second: The text of ratio 0.
        steps: Points between the two, >= 1: nine are the ratios 0.9, 0.8 ... 0.1.
        inverter: Folder of an inverter; None is the one that comes with Crossfade.
        how: The path between two embeddings.

    Raises:
        SettingsError: Fewer than one step.
        ModelError: There is no inverter, or it cannot be loaded.
    """
    if steps < 1:
        raise SettingsError(f"steps is {steps}; expected at least 1.")
    opened = open_inverter(inverter)
    ratios = np.arange(steps, 0, -1) / (steps + 1)
    ends = np.repeat(opened.encode([first, second]), steps, axis=0)
    points = mix_points(ends[:steps], ends[steps:], ratios, how)
    texts = [candidates[0] for candidates in opened.decode(points, sampling=GREEDY)]
    near = cosines(points, opened.encode(texts))
    return [DecodedText(*row) for row in zip(ratios.tolist(), near.tolist(), texts, strict=True)]


def evaluate_inverter(
    folder: Path | None, texts: str, *, text: Sequence[str] | None = None, tell: Tell
) -> InversionScores:
    """Measure how an inverter gives texts back that it was not trained on.

    Args:
        folder: Of the inverter; None is the one that comes with Crossfade.
        texts: A file or hub id that `read_unlabelled` takes.
        text: The text column.
        tell: Takes lines about the progress.
    """
    return score_inversion(read_single_texts(texts, text), open_inverter(folder), tell)


def train_inverter(
    texts: str, out: Path, *, overrides: Sequence[str] = (), text: Sequence[str] | None = None, tell: Tell
) -> InverterCard:
    """Train an inverter on unlabelled texts (stage 1), going on where an earlier start was stopped.

    Args:
        texts: A file or hub id that `read_unlabelled` takes.
        out: Folder of the inverter.
        overrides: `key.key=value` of `InverterSettings`.
        text: The text column.
        tell: Takes lines about the progress.
    """
    settings = InverterSettings.checked(override(overrides))
    return align(read_single_texts(texts, text), settings, Workplace(out, cache_folder(), tell)).card


def refine_inverter(
    gold: str,
    unlabelled: str,
    out: Path,
    *,
    source: Path | None = None,
    stage: Stage = "refine",
    overrides: Sequence[str] = (),
    label: str | None = None,
    text: Sequence[str] | None = None,
    tell: Tell,
) -> InverterCard:
    """Bring an inverter to a task, going on where an earlier start was stopped.

    Args:
        gold: A file or hub id of labelled texts.
        unlabelled: A file or hub id of texts like those that the inverter was aligned on.
        out: Folder of the new inverter.
        source: Folder of the inverter to start from; None is the one that comes with Crossfade.
        stage: 'refine' (stage 2), 'joint' (stage 3) or 'mixed' (ours).
        overrides: `key.key=value` of `RefinementSettings`.
        label: The label column.
        text: The text column of the labelled texts.
        tell: Takes lines about the progress.
    """
    settings = RefinementSettings.checked(override(overrides))
    corpus = read_corpus(gold, text=list(text) if text else None, label=label)
    start = packaged_inverter() if source is None else source
    place = Workplace(out, cache_folder(), tell)
    return STAGES[stage](start, corpus, read_single_texts(unlabelled), settings, place).card
