"""Find entities, or intents with their slots: a transformer encoder that tags every word and judges the whole text.

A word's tag is B- where an entity or slot begins and I- where it goes on; punctuation marks are words of their own, so
that an entity can end before a comma. What a parse has besides, its intents and the slots that hold a nested intent, is
read off the first word piece, a yes or no for each: one encoder for both, as in Chen, Zhuo, Wang 2019 (arXiv
1902.10909), which has one intent to a text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from crossfade.data import AnnotatedExample, AnnotatedTask, Example, Mention
from crossfade.data.annotated import NOWHERE
from crossfade.data.parses import PARSES
from crossfade.data.tags import OUTSIDE, mentions_at, places_of_words, tags_of_mentions
from crossfade.errors import ModelError
from crossfade.libraries import require_libraries, seeded
from crossfade.packaged import packaged_encoder
from crossfade.roles import Floats
from crossfade.settings import Settings
from crossfade.students.fitted import fitted
from crossfade.students.rows import annotated_rows
from crossfade.students.saving import StudentNote, read_note, write_note
from crossfade.students.tuning import RAREST, minimise, open_tuned, save_tuned, start_head

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

UNTAUGHT = -100
"""Marks word pieces without a tag of their own, in the words of torch."""
WHOLE = "="
"""Begins the name of a column that is true of a whole text, as no tag begins."""


class TokenClassifierSettings(Settings):
    """How the tagger is trained. Ours: passes and rate were chosen for some dozen rows, on development files."""

    epochs: int = Field(default=20, ge=1)
    """Passes over the training rows; the last weights are kept, without early stopping."""
    batch_size: int = Field(default=16, ge=1)
    """Texts per training step."""
    learning_rate: float = Field(default=5e-4, gt=0)
    """AdamW's rate at the end of the warm-up; it falls linearly to 0 from there."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's decay, on every parameter."""
    warm_up: float = Field(default=0.1, ge=0, le=1)
    """Share of the steps in which the rate rises linearly from 0."""
    max_length: int = Field(default=256, ge=3)
    """Word pieces per text; words beyond them are outside every entity."""
    seed: int = Field(default=0, ge=0)
    """Fixes the new head, dropout and the order of the rows."""


@dataclass(frozen=True, slots=True)
class TunedTagger:
    """A fine-tuned encoder with its tokenizer."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    columns: tuple[str, ...]
    """What the head tells apart: the tags, 'O' first, then what is true of a whole text (`whole_of`)."""
    max_length: int

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of words, in column order."""
        return tuple(name for name in self.columns if not name.startswith(WHOLE))

    @property
    def wholes(self) -> tuple[str, ...]:
        """The columns after the tags; entities have none, parses have their intents there."""
        return self.columns[len(self.tags) :]

    @property
    def task(self) -> AnnotatedTask:
        """What the encoder was trained on."""
        return "parses" if self.wholes else "entities"

    def read(self, texts: Sequence[Sequence[str]]) -> "tuple[dict[str, torch.Tensor], list[list[int | None]]]":
        """Turn words into one padded batch, and say which word begins at each word piece."""
        batch = self.tokenizer(
            [list(words) for words in texts],
            is_split_into_words=True,
            truncation=True,
            max_length=self.max_length,
            padding=True,
            return_tensors="pt",
        )
        firsts: list[list[int | None]] = []
        for row in range(len(texts)):
            seen: set[int | None] = {None}
            of_row: list[int | None] = []
            for word in batch.word_ids(row):
                of_row.append(None if word in seen else word)
                seen.add(word)
            firsts.append(of_row)
        return {name: tensor.to(self.model.device) for name, tensor in batch.items()}, firsts


class TokenClassifier:
    """A transformer encoder with a tag for every word; of parses, also with the intents of a text.

    Args:
        base: Hub id or folder of the encoder to start from; None is the packaged all-MiniLM-L6-v2, which reads no
            capital letters. The head starts from random weights.
        settings: How to train and read.
        tuned: The fine-tuned encoder; None for a student that is not fitted.
    """

    kind: ClassVar[str] = "token_classifier"

    def __init__(
        self,
        base: str | None = None,
        settings: TokenClassifierSettings | None = None,
        *,
        tuned: TunedTagger | None = None,
    ) -> None:
        self.base = base
        self.settings = settings or TokenClassifierSettings()
        self.tuned = tuned

    def fit(self, examples: Sequence[Example], weights: Floats) -> "TokenClassifier":
        """Train from scratch and return the fitted student; this one stays as it is.

        Args:
            examples: Texts with their entities, or their intents and slots; those that occur are those it will know.
            weights: Sample weights, [rows]; they are divided by their mean, and rows of weight 0 are left out.

        Raises:
            DataError: The rows are malformed.
            DependencyError: torch, transformers or the package of the default encoder is missing.
            ModelError: The base cannot be loaded, or has no fast tokenizer.
        """
        rows, weights = annotated_rows(examples, weights)
        require_libraries("torch", "transformers")

        kinds = sorted({kind for row in rows for kind in row.kinds})
        tags = (OUTSIDE, *(f"{mark}-{kind}" for kind in kinds for mark in "BI"))
        columns = (*tags, *sorted({name for row in rows for name in whole_of(row)}))
        base = str(packaged_encoder()) if self.base is None else self.base
        with seeded(self.settings.seed):
            tuned = _loaded(base, columns, self.settings.max_length)
            _train(tuned, rows, weights, self.settings)
        return TokenClassifier(self.base, self.settings, tuned=tuned)

    def annotate(self, examples: Sequence[Example]) -> list[AnnotatedExample]:
        """Return each text with the entities found in it, or its intents and slots.

        A parse has the intents that are at least as probable as not, and the most probable one where none is.

        Raises:
            ModelError: The student is not fitted.
        """
        tuned = fitted(self.tuned)
        import torch

        found: list[AnnotatedExample] = []
        names, wholes = tuned.tags, tuned.wholes
        tuned.model.eval()  # type: ignore[no-untyped-call]
        size = 2 * self.settings.batch_size
        with torch.inference_mode():
            for start in range(0, len(examples), size):
                texts = [example.texts[0] for example in examples[start : start + size]]
                places = [places_of_words(text) for text in texts]
                inputs, firsts = tuned.read(
                    [[text[begin:end] for begin, end in words] for text, words in zip(texts, places, strict=True)]
                )
                logits = tuned.model(**inputs).logits
                best = logits[:, :, : len(names)].argmax(dim=2).tolist()
                true = logits[:, 0, len(names) :].double().cpu().numpy()
                for row, text in enumerate(texts):
                    tags = [OUTSIDE] * len(places[row])
                    for column, word in zip(best[row], firsts[row], strict=True):
                        if word is not None:
                            tags[word] = names[column]
                    intents, nested = _whole_said(true[row], wholes)
                    mentions = (*nested, *mentions_at(text, places[row], tags))
                    found.append(AnnotatedExample((text,), tuned.task, intents, mentions))
        return found

    def save(self, folder: Path) -> None:
        """Write the weights (safetensors), the tokenizer and `student.json`.

        Raises:
            ModelError: The student is not fitted.
        """
        tuned = fitted(self.tuned)
        save_tuned(tuned.model, tuned.tokenizer, folder)
        settings = self.settings.model_dump()
        write_note(folder, StudentNote(kind=self.kind, labels=tuned.columns, settings=settings, encoder_path=self.base))

    @classmethod
    def load(cls, folder: Path) -> "TokenClassifier":
        """Read a saved student.

        Raises:
            DependencyError: torch or transformers is missing.
            ModelError: The folder holds no token classifier.
            ParsingError: `student.json` is not in the form it must have.
        """
        note = read_note(folder, kind=cls.kind)
        require_libraries("torch", "transformers")
        settings = note.settings_as(TokenClassifierSettings)
        return cls(note.encoder_path, settings, tuned=_loaded(str(folder), note.labels, settings.max_length))


def whole_of(row: AnnotatedExample) -> tuple[str, ...]:
    """Name what is true of a whole text, each once: '=intent', and '=slot intent' of a slot that holds an intent.

    Of entities nothing is. Names of intents and slots have no spaces, values have.
    """
    if row.label != PARSES:
        return ()
    nested = (f"{WHOLE}{mention.kind} {mention.value}" for mention in row.mentions if not mention.stands)
    return tuple(dict.fromkeys((*(f"{WHOLE}{intent}" for intent in row.intents), *nested)))


def _whole_said(logits: Floats, wholes: Sequence[str]) -> tuple[tuple[str, ...], tuple[Mention, ...]]:
    """Return the intents of a text, sorted, and its slots that hold one, given the logits of its `wholes`."""
    intents, nested = dict[str, float](), list[Mention]()
    for logit, name in zip(logits.tolist(), wholes, strict=True):
        first, is_slot, value = name.removeprefix(WHOLE).partition(" ")
        if not is_slot:
            intents[first] = logit
        elif logit >= 0:
            nested.append(Mention(NOWHERE, value, first))
    said = [name for name, logit in intents.items() if logit >= 0]
    if intents and not said:
        said = [max(intents, key=intents.__getitem__)]
    return tuple(sorted(said)), tuple(nested)


def _train(
    tuned: TunedTagger, rows: Sequence[AnnotatedExample], weights: Floats, settings: TokenClassifierSettings
) -> None:
    """Minimise the weighted cross entropy of the tags, averaged over a text's words, in place.

    Of parses the binary cross entropies of what is true of the whole text are added. The head starts from how often
    each tag occurs, and from how often each of those is true.
    """
    import torch

    names = tuned.tags
    has = [[float(name in of_row) for name in tuned.wholes] for of_row in map(whole_of, rows)]
    whole = torch.tensor(has, device=tuned.model.device)
    tagged = [tags_of_mentions(row.texts[0], row.mentions) for row in rows]
    weight = torch.tensor(weights, dtype=torch.float32, device=tuned.model.device)
    shares = [[row_tags.count(name) / max(1, len(row_tags)) for name in names] for _, row_tags in tagged]
    of_tags = torch.tensor(shares, device=tuned.model.device)
    often = [(rates * weight[:, None]).sum(dim=0) / weight.sum() for rates in (of_tags, whole)]
    start_head(tuned.model, torch.cat([often[0].clamp(min=RAREST).log(), often[1].clamp(RAREST, 1 - RAREST).logit()]))

    def loss(batch: list[int]) -> torch.Tensor:
        inputs, firsts = tuned.read([tagged[row][0] for row in batch])
        goals = [
            [UNTAUGHT if word is None else names.index(tagged[row][1][word]) for word in words]
            for row, words in zip(batch, firsts, strict=True)
        ]
        logits = tuned.model(**inputs).logits.float()
        wanted = torch.tensor(goals, device=logits.device)
        of_words = torch.nn.functional.cross_entropy(
            logits[:, :, : len(names)].transpose(1, 2), wanted, ignore_index=UNTAUGHT, reduction="none"
        )
        taught = (wanted != UNTAUGHT).sum(dim=1).clamp(min=1)
        of_text = torch.nn.functional.binary_cross_entropy_with_logits(
            logits[:, 0, len(names) :], whole[batch], reduction="none"
        )
        return ((of_words.sum(dim=1) / taught + of_text.sum(dim=1)) * weight[batch]).mean()

    minimise(tuned.model, settings, loss, len(rows))


def _loaded(path: str, columns: Sequence[str], max_length: int) -> TunedTagger:
    """Load an encoder with a head of these columns, on the GPU where there is one."""
    from transformers import AutoModelForTokenClassification

    model, tokenizer = open_tuned(AutoModelForTokenClassification, path, columns)
    if not tokenizer.is_fast:
        raise ModelError(f"The encoder '{path}' has no fast tokenizer, which alone can tell word pieces from words.")
    return TunedTagger(model, tokenizer, tuple(columns), max_length)
