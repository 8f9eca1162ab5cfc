"""Train an inverter in stages, each of which continues where it was stopped."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from crossfade.data import read_unlabelled
from crossfade.errors import DataError
from crossfade.evaluation.inversion import score_inversion
from crossfade.libraries import require_libraries
from crossfade.models.inverter import InverterCard, OpenEncoder, SentenceInverter, StageNote, open_encoder, open_reader
from crossfade.models.inverter_training import AdaptorTraining, Progress, embed_texts, make_pairs, train_adaptor
from crossfade.models.soft_tokens import SLOT
from crossfade.settings import Settings

LOG_NAME = "log.jsonl"
QUICK_ROWS = 128
"""Held-out texts that every checkpoint is measured on."""

Tell = Callable[[str], None]
"""Takes a line about the progress."""


class InverterSettings(Settings):
    """What an inverter is made of, and how its stages train."""

    encoder: str | None = None
    """Hub id or folder of a sentence encoder; left out: all-MiniLM-L6-v2 from its package."""
    model: str | None = None
    """Hub id, folder or GGUF file of a causal language model; left out: SmolLM2-135M-Instruct from its package."""
    template: str = SLOT
    """Prompt with `{embedding}` where the soft tokens stand. Ours: none; the paper's example has one."""
    soft_tokens: int = Field(default=8, ge=1)
    """Vectors that stand for one embedding. Ours; reviews of the paper speak of one."""
    hidden: int = Field(default=1536, ge=1)
    """Width of the adaptor's inner layer. Ours."""
    lora_rank: int = Field(default=0, ge=0)
    """Rank of LoRA matrices on the language model, which learn with the adaptor; 0 leaves it as it is, as the paper
    does. Our extension; needs `peft`."""
    held_out: int = Field(default=500, ge=1)
    """Unlabelled texts that are kept from training, for measuring; at most a tenth of all. Ours."""
    data: str = ""
    """What the adaptor is trained on, for its card."""
    licences: str = ""
    """Of data, encoder and language model, for the card."""
    checkpoint_minutes: float = Field(default=5.0, gt=0)
    """How much work may be lost. Ours."""
    align: AdaptorTraining = AdaptorTraining()
    """Stage 1: unlabelled texts, encoder and language model frozen."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a stage works, and whom it tells."""

    folder: Path
    """Gets the inverter."""
    cache: Path
    """Folder for unpacked GGUF weights."""
    tell: Tell = lambda line: None
    open_encoder: OpenEncoder = open_encoder

    @property
    def training(self) -> Path:
        """Where the stage keeps what only its training needs."""
        return self.folder / "training"


def read_single_texts(source: str, text: Sequence[str] | None = None) -> list[str]:
    """Read texts from a file or hub id, one each row.

    Raises:
        DataError: The rows are pairs, or the source cannot be read.
    """
    rows = read_unlabelled(source, text=list(text) if text else None)
    if any(len(row) != 1 for row in rows):
        raise DataError(
            "The rows hold two texts; expected one.",
            hint="Give a file with one column of texts, or name the column with --text.",
        )
    return [row[0] for row in rows]


def align(texts: Sequence[str], settings: InverterSettings, place: Workplace) -> SentenceInverter:
    """Stage 1: teach the adaptor to give unlabelled sentences back; encoder and language model stay as they are.

    The inverter is saved at every checkpoint, so it can be tried while it still learns.

    Raises:
        DataError: There are too few texts.
        DependencyError: A library is missing.
        ModelError: A model cannot be loaded, or the folder holds another training.
    """
    require_libraries("sacrebleu", extra="diversity")
    known = list(dict.fromkeys(" ".join(text.split()) for text in texts))
    learned, held_out = split_texts(known, settings.held_out, settings.align.seed)
    parts = settings.model_dump(include=set(InverterCard.model_fields))
    card = InverterCard(**parts)
    inverter = SentenceInverter(card, place.open_encoder(settings.encoder), open_reader(card, place.cache))
    vectors = embed_texts(learned, inverter.encoder, place.training / "embeddings", place.tell)
    pairs = make_pairs(learned, vectors, inverter, settings.align.longest)
    note = StageNote(stage="align", texts=len(learned), settings=settings.align.model_dump())
    saver = Saver(inverter, held_out, note, place)
    minutes = settings.checkpoint_minutes
    train_adaptor(
        inverter, pairs, settings.align, place.training, report=saver, seconds_between_checkpoints=60 * minutes
    )
    return saver.finish()


class Saver:
    """Tells about the progress; at a checkpoint, measures the inverter on held-out texts and saves it.

    Args:
        inverter: What is trained.
        held_out: Texts that it does not learn from.
        note: What the stage does; it enters the card.
        place: Where to save, and whom to tell.
        save_more: Saves what else changed, before the inverter.
    """

    def __init__(
        self,
        inverter: SentenceInverter,
        held_out: Sequence[str],
        note: StageNote,
        place: Workplace,
        save_more: Callable[[], None] = lambda: None,
    ) -> None:
        self._save_more = save_more
        self._inverter = inverter
        self._held_out = held_out
        self._note = note
        self._place = place
        self._card = inverter.card

    def __call__(self, progress: Progress) -> None:
        """Tell about the progress, and save at a checkpoint."""
        line = (
            f"{self._note.stage}: step {progress.step:,} of {progress.steps:,}, loss {progress.loss:.3f}, "
            f"{progress.speed:.1f} sentences/s, {progress.seconds_left / 60:.0f} min left"
        )
        if progress.saved:
            scores = self._measure(self._held_out[:QUICK_ROWS])
            self._save(scores)
            line += f"; held out: cosine {scores['cosine']:.3f}, token F1 {scores['token_f1']:.3f}"
            with (self._place.training / LOG_NAME).open("a", encoding="utf-8") as log:
                log.write(json.dumps(asdict(progress) | scores) + "\n")
        self._place.tell(line)

    def finish(self) -> SentenceInverter:
        """Measure on all held-out texts, save, and return the inverter."""
        self._save(self._measure(self._held_out))
        return self._inverter

    def _measure(self, texts: Sequence[str]) -> dict[str, float]:
        return {name: round(value, 4) for name, value in asdict(score_inversion(texts, self._inverter)).items()}

    def _save(self, scores: dict[str, float]) -> None:
        note = self._note.model_copy(update={"scores": scores})
        self._inverter.card = self._card.model_copy(update={"stages": (*self._card.stages, note)})
        self._save_more()
        self._inverter.save(self._place.folder)


def split_texts(texts: Sequence[str], held_out: int, seed: int) -> tuple[list[str], list[str]]:
    """Split texts into those to learn and those to measure on."""
    if len(texts) < 10:
        raise DataError(f"{len(texts)} different texts were given; expected at least 10 to train on.")
    order = np.random.default_rng(seed).permutation(len(texts)).tolist()
    size = min(held_out, len(texts) // 10)
    return [texts[index] for index in sorted(order[size:])], [texts[index] for index in order[:size]]
