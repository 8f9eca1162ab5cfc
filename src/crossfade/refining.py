"""Bring an inverter to a task with few labelled texts: stages 2 and 3, and training between sentences.

Each stage takes one inverter's folder and leaves another's, continues where it was stopped, and can be left out.
The paper's stages 2 and 3 could not be read: this is our reading (docs/inverter.md).
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field

from crossfade.data import Corpus
from crossfade.errors import ModelError, SettingsError
from crossfade.inversion import Saver, Workplace, split_texts
from crossfade.models.encoder import SentenceEncoder
from crossfade.models.inverter import ENCODER_NAME, SentenceInverter, StageNote, encoder_path, read_card
from crossfade.models.inverter_joint import JointTraining, Labelled, train_jointly
from crossfade.models.inverter_training import (
    CHECKPOINT_NAME,
    AdaptorTraining,
    Pairs,
    embed_texts,
    make_pairs,
    train_adaptor,
)
from crossfade.numerics.mixing import Mixing, mix_points
from crossfade.roles import Floats, Sampling
from crossfade.selection.broken import longest_whole, why_broken
from crossfade.settings import Settings
from crossfade.students.contrastive import ContrastiveSettings, ContrastiveStudent
from crossfade.tasks.classification import gold_rows

Stage = Literal["refine", "joint", "mixed"]
FOLLOWING = AdaptorTraining(epochs=2, learning_rate=3e-4)


class MixedTraining(Settings):
    """How the adaptor learns the places between sentences. Ours."""

    points: int = Field(default=2000, ge=1)
    """Mixed embeddings that are decoded; what they give, embedded again, is learned."""
    how: Mixing = "linear"
    """The path between two embeddings."""
    temperature: float = Field(default=0.7, ge=0)
    """Of decoding; 0 is greedy."""
    top_p: float = Field(default=0.9, gt=0, le=1)
    """Nucleus of decoding."""
    max_tokens: int = Field(default=48, ge=1)
    """Longest text."""
    adaptor: AdaptorTraining = FOLLOWING
    """How the adaptor then learns."""


class RefinementSettings(Settings):
    """How an inverter is brought to a task."""

    rehearsal: int = Field(default=2000, ge=1)
    """Unlabelled texts that are read again, so that the adaptor does not forget the rest of language. Ours."""
    gold_repeats: int = Field(default=4, ge=1)
    """Times that a labelled text is read for each time of an unlabelled one, because there are few. Ours."""
    held_out: int = Field(default=200, ge=1)
    """Unlabelled texts kept for measuring."""
    warm_up: ContrastiveSettings = ContrastiveSettings()
    """Stage 2, first half: the encoder learns the task as the contrastive student does."""
    follow: AdaptorTraining = FOLLOWING
    """Stage 2, second half: the adaptor follows the moved space."""
    joint: JointTraining = JointTraining()
    """Stage 3: task loss + beta x generation loss."""
    mixed: MixedTraining = MixedTraining()
    """Ours: the places between sentences."""


def refine(
    source: Path, gold: Corpus, unlabelled: Sequence[str], settings: RefinementSettings, place: Workplace
) -> SentenceInverter:
    """Stage 2: the encoder learns the task (supervised warm-up), then the adaptor follows the moved space.

    The adaptor starts behind a linear map from the new space to the old one, and learns from labelled texts and
    rehearsal together.

    Args:
        source: Folder of an inverter.
        gold: The labelled texts.
        unlabelled: Texts like those of stage 1.
        settings: How.
        place: Where the refined inverter goes.

    Raises:
        DataError: There are too few texts.
        ModelError: There is no inverter, or the folder holds another training.
    """
    before = _open(source, place)
    _warm_up(source, before, gold, settings, place)
    card = before.card.model_copy(update={"tuned": True})
    encoder = place.open_encoder(str(place.folder / ENCODER_NAME))
    inverter = SentenceInverter(card, encoder, before.reader, before.adaptor)
    start = before.name
    rehearsal, held_out = _rehearsal(unlabelled, settings)
    texts = [*rehearsal, *gold.texts]
    new = embed_texts(texts, encoder, place.training / "embeddings", place.tell)
    inverter.follow(np.asarray(new, dtype=np.float64), before.encode(texts))
    repeats = [1] * len(rehearsal) + [settings.gold_repeats] * len(gold)
    note = StageNote(stage="refine", texts=len(texts), settings=settings.model_dump(include={"warm_up", "follow"}))
    return _train(inverter, texts, new, repeats, settings.follow, note, start, held_out, place)


def mixed(
    source: Path, gold: Corpus, unlabelled: Sequence[str], settings: RefinementSettings, place: Workplace
) -> SentenceInverter:
    """Teach the adaptor the places between sentences: decode mixed embeddings, embed the texts, learn the pairs. Ours.

    Half of the points lie between labelled texts, half between unlabelled ones; arguments as in `refine`.
    """
    inverter = _open(source, place)
    start = inverter.name
    rehearsal, held_out = _rehearsal(unlabelled, settings)
    written = _written_between(inverter, start, list(gold.texts), rehearsal, settings.mixed, place)
    texts = [*rehearsal, *gold.texts, *written]
    vectors = embed_texts(texts, inverter.encoder, place.training / "embeddings", place.tell)
    repeats = [1] * len(rehearsal) + [settings.gold_repeats] * len(gold) + [1] * len(written)
    note = StageNote(stage="mixed", texts=len(texts), settings=settings.mixed.model_dump())
    training = settings.mixed.adaptor
    return _train(
        inverter, texts, vectors, repeats, training, note, start, held_out, place, lambda: _take_encoder(source, place)
    )


def joint(
    source: Path, gold: Corpus, unlabelled: Sequence[str], settings: RefinementSettings, place: Workplace
) -> SentenceInverter:
    """Stage 3: train encoder and adaptor together on task loss + beta x generation loss; arguments as in `refine`."""
    before = _open(source, place)
    encoder = SentenceEncoder(encoder_path(source), remember=False)
    card = before.card.model_copy(update={"tuned": True})
    inverter = SentenceInverter(card, encoder, before.reader, before.adaptor)
    start = inverter.name
    rehearsal, held_out = _rehearsal(unlabelled, settings)
    present = sorted(set(gold.example_labels))
    labelled = Labelled(tuple(gold.texts), tuple(present.index(label) for label in gold.example_labels))
    note = StageNote(stage="joint", texts=len(gold) + len(rehearsal), settings=settings.joint.model_dump())

    def save_encoder() -> None:
        encoder.loaded().save_pretrained(str(place.folder / ENCODER_NAME), create_model_card=False)

    saver = Saver(inverter, held_out, note, place, save_encoder)
    train_jointly(inverter, encoder, labelled, rehearsal, settings.joint, place.training, start=start, report=saver)
    return saver.finish()


STAGES = {"refine": refine, "joint": joint, "mixed": mixed}
"""What each stage of `crossfade inverter refine --stage` calls."""


def _open(source: Path, place: Workplace) -> SentenceInverter:
    """Open the inverter that a stage starts from."""
    if source.resolve() == place.folder.resolve():
        raise SettingsError(f"'{source}' is both where the stage starts and where it goes; expected two folders.")
    return SentenceInverter.load(source, cache=place.cache, open_encoder=place.open_encoder)


def _warm_up(
    source: Path, before: SentenceInverter, gold: Corpus, settings: RefinementSettings, place: Workplace
) -> None:
    """Tune the encoder on the labelled texts and save it, unless that was done."""
    purpose = json.dumps(
        [before.name, [list(example.texts) for example in gold], gold.example_labels, settings.warm_up.model_dump()]
    )
    note = place.training / "warm_up.json"
    found = note.read_text(encoding="utf-8") if note.is_file() else None
    if found == purpose:
        return
    if found is not None or (place.training / CHECKPOINT_NAME).is_file():
        raise ModelError(
            f"'{place.folder}' holds another stage, or an encoder tuned from another inverter, on other texts, or "
            "otherwise.",
            hint="Give another folder, or the settings of before.",
        )
    place.tell(f"tuning the encoder on {len(gold)} labelled texts")
    rows = gold_rows(gold)
    student = ContrastiveStudent(encoder_path(source), settings.warm_up)
    student.fit(rows.examples, rows.targets, rows.weights, gold.labels).save(place.folder / ENCODER_NAME)
    place.training.mkdir(parents=True, exist_ok=True)
    note.write_text(purpose, encoding="utf-8")


def _take_encoder(source: Path, place: Workplace) -> None:
    """Copy a tuned encoder to the folder of the next inverter."""
    if read_card(source).tuned:
        shutil.copytree(source / ENCODER_NAME, place.folder / ENCODER_NAME, dirs_exist_ok=True)


def _rehearsal(unlabelled: Sequence[str], settings: RefinementSettings) -> tuple[list[str], list[str]]:
    """Draw the unlabelled texts to learn from and those to measure on.

    With the list and the seed of stage 1, those to measure on are some that it held out; else it may have read them.
    """
    known = list(dict.fromkeys(" ".join(text.split()) for text in unlabelled))
    learned, held_out = split_texts(known, settings.held_out, settings.follow.seed)
    rows = np.random.default_rng(settings.follow.seed).permutation(len(learned))[: settings.rehearsal]
    return [learned[row] for row in rows], held_out


def _written_between(
    inverter: SentenceInverter,
    start: str,
    gold: list[str],
    unlabelled: list[str],
    settings: MixedTraining,
    place: Workplace,
) -> list[str]:
    """Decode points between sentences, unless that was done; return the different new texts that are not broken."""
    path = place.training / "between.json"
    purpose = [start, gold, unlabelled, settings.model_dump(exclude={"adaptor"})]
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["purpose"] != purpose:
            raise ModelError(
                f"'{place.folder}' holds texts decoded by another inverter, between other texts, or otherwise.",
                hint="Give another folder, or the settings of before.",
            )
        return list(found["texts"])
    place.tell(f"decoding {settings.points:,} mixed embeddings")
    rng = np.random.default_rng(settings.adaptor.seed)
    half = settings.points // 2
    points = np.concatenate(
        [
            _between(inverter, texts, count, settings, rng)
            for texts, count in ((gold, half), (unlabelled, settings.points - half))
        ]
    )
    sampling = Sampling(temperature=settings.temperature, top_p=settings.top_p, max_tokens=settings.max_tokens)
    decoded = inverter.decode(points, sampling=sampling, seed=settings.adaptor.seed)
    known, longest = {*gold, *unlabelled}, longest_whole(settings.max_tokens)
    different = dict.fromkeys(candidates[0] for candidates in decoded)
    texts = [text for text in different if text not in known and not why_broken(text, longest)]
    path.parent.mkdir(parents=True, exist_ok=True)
    half_written = path.with_suffix(".part")
    half_written.write_text(json.dumps({"purpose": purpose, "texts": texts}), encoding="utf-8")
    os.replace(half_written, path)
    return texts


def _between(
    inverter: SentenceInverter, texts: list[str], count: int, settings: MixedTraining, rng: Generator
) -> Floats:
    """Mix random pairs of texts at even ratios, [count, width]."""
    vectors = inverter.encode(texts)
    first, second = rng.integers(len(texts), size=(2, count))
    return mix_points(vectors[first], vectors[second], rng.random(count), settings.how)


def _train(
    inverter: SentenceInverter,
    texts: Sequence[str],
    vectors: NDArray[np.float32],
    repeats: Sequence[int],
    settings: AdaptorTraining,
    note: StageNote,
    start: str,
    held_out: Sequence[str],
    place: Workplace,
    save_more: Callable[[], None] = lambda: None,
) -> SentenceInverter:
    """Train the adaptor on texts, each read so many times an epoch, and save the inverter."""
    once = make_pairs(texts, vectors, inverter, settings.longest)
    rows = np.repeat(np.arange(len(texts)), repeats)
    pairs = Pairs(vectors[rows], [once.sentences[row] for row in rows])
    saver = Saver(inverter, held_out, note, place, save_more)
    train_adaptor(inverter, pairs, settings, place.training, start=start, report=saver)
    return saver.finish()
