"""Let the language model itself classify, with the nearest labelled texts in its prompt: PromptMix's "NN + LLM" row.

Nothing is trained. It shows what a student that costs next to nothing to run is measured against.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError
from scipy.special import softmax

from crossfade.data import Example, readable
from crossfade.errors import ModelError, ParsingError
from crossfade.prompts import render
from crossfade.prompts.render import ShownClass
from crossfade.roles import Encoder, Floats, Reply, Request, Sampling, TextModel
from crossfade.settings import Settings
from crossfade.students.fitted import fitted
from crossfade.students.rows import texts_per_example, training_rows
from crossfade.students.saving import REMEDY, OpenEncoder, StudentNote, encoder_of, read_note, write_note
from crossfade.tasks.classification import TrainingRows

ASKING = Sampling(temperature=0.0, max_tokens=64)
"""Greedy, as in PromptMix; a class name needs few tokens."""
AT_A_TIME = 1024
"""Texts that are compared with the labelled rows, and asked about, together; it bounds the memory."""
ROWS_NAME = "rows.jsonl"
EXAMPLE_FORM = TypeAdapter(Example)


class NearestSettings(Settings):
    """What the language model is shown."""

    examples: int = Field(default=10, ge=1)
    """Nearest labelled texts in each prompt; their classes are the ones on offer. PromptMix shows all texts of the 5
    nearest classes, which are 10 at two per class."""


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """The distinct labelled texts that prompts show, sorted by text."""

    examples: tuple[Example, ...]
    """With the label that a prompt shows."""
    vectors: Floats
    """Unit-length embeddings, [examples, width]; two texts are embedded as one string."""
    labels: tuple[str, ...]
    """Every class, in column order."""


class _Saved(Settings):
    """What `student.json` holds under 'settings'."""

    nearest: NearestSettings
    text_kind: str
    descriptions: dict[str, str]
    model: str
    """Name of the language model, which has to be handed over again when the student is loaded."""


class NearestStudent:
    """A language model that is shown the labelled texts nearest to each text and chooses among their classes.

    A model that gives probabilities of the choices yields them, scaled to sum to 1; any other yields 1 for the class it
    names. Where all neighbours are of one class there is nothing to choose: it gets 1, and nothing is asked. An answer
    that names no class on offer, or a request that failed, yields a row of zeros, which counts as wrong and can be
    counted; zeros or equal shares taken for an answer would be right wherever the first class is.

    Args:
        model: Answers closed choices in its preferred form: 'instruct' reads the paper's list of classes, 'continue' a
            list of texts and what each is about.
        encoder: Finds the nearest texts.
        settings: What is shown.
        text_kind: What the texts are, as a plural ("questions").
        descriptions: Class name to a phrase that reads well after "which is about"; may cover some classes or none.
        shown: The labelled texts; None for a student that is not fitted.
    """

    kind: ClassVar[str] = "nearest"

    def __init__(
        self,
        model: TextModel,
        encoder: Encoder,
        *,
        settings: NearestSettings | None = None,
        text_kind: str = "texts",
        descriptions: Mapping[str, str] | None = None,
        shown: LabelledTexts | None = None,
    ) -> None:
        self.model = model
        self.encoder = encoder
        self.settings = settings or NearestSettings()
        self.text_kind = text_kind
        self.descriptions = dict(descriptions or {})
        self.shown = shown

    def fit(
        self, examples: Sequence[Example], targets: Floats, weights: Floats, labels: Sequence[str]
    ) -> "NearestStudent":
        """Keep the rows and return the fitted student; this one stays as it is.

        Rows with equal texts are merged. A prompt shows the most probable label of a row, or of equal rows together;
        otherwise weights have no say.

        Args:
            examples: The labelled rows, all with one text or all with two.
            targets: Class probabilities, [rows, classes].
            weights: Sample weights, [rows]; 0 equals absence, 2 equals a repeated row.
            labels: Class names in column order; one without a row is never on offer.

        Raises:
            DataError: The rows are malformed.
        """
        labelled = _most_probable(training_rows(examples, targets, weights, labels), labels)
        return self._showing(labelled, tuple(labels))

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in column order.

        Raises:
            ModelError: The student is not fitted.
        """
        return fitted(self.shown).labels

    def predict_probabilities(self, examples: Sequence[Example]) -> Floats:
        """Return class probabilities, [rows, classes]; a row of zeros where the model gave no usable answer.

        Raises:
            ModelError: The student is not fitted, or its model cannot answer at all.
            DataError: The examples have another number of texts than the labelled rows.
        """
        shown = fitted(self.shown)
        texts_per_example([*shown.examples[:1], *examples])
        blocks = [examples[start : start + AT_A_TIME] for start in range(0, len(examples), AT_A_TIME)]
        return np.vstack([np.zeros((0, len(shown.labels))), *(self._of_block(block, shown) for block in blocks)])

    def save(self, folder: Path) -> None:
        """Write the rows and `student.json`; encoder and language model are only named.

        Raises:
            ModelError: The student is not fitted.
        """
        shown = fitted(self.shown)
        folder.mkdir(parents=True, exist_ok=True)
        lines = [EXAMPLE_FORM.dump_json(example) + b"\n" for example in shown.examples]
        (folder / ROWS_NAME).write_bytes(b"".join(lines))
        saved = _Saved(
            nearest=self.settings, text_kind=self.text_kind, descriptions=self.descriptions, model=self.model.name
        )
        note = StudentNote(
            kind=self.kind,
            labels=shown.labels,
            settings=saved.model_dump(),
            encoder_name=self.encoder.name,
            encoder_path=getattr(self.encoder, "path", None),
        )
        write_note(folder, note)

    @classmethod
    def load(cls, folder: Path, *, open_encoder: OpenEncoder, model: TextModel | None) -> "NearestStudent":
        """Read a saved student.

        Args:
            folder: Where it was saved.
            open_encoder: Makes the encoder from the saved folder or hub id (None is the packaged model).
            model: The language model that it asked before. The folder holds its name only: how it is reached, and with
                which key, is for the run's recipe to say.

        Raises:
            ModelError: The folder holds no such student, the model is missing, or encoder or model are not the ones it
                was saved with.
            ParsingError: A file of the student is missing or not in the form it must have.
        """
        note = read_note(folder, kind=cls.kind)
        saved = note.settings_as(_Saved)
        if model is None or model.name != saved.model:
            raise ModelError(
                f"The student in '{folder}' asks the language model '{saved.model}'; "
                f"{'none' if model is None else repr(model.name)} was handed over.",
                hint="Open the model that the student was saved with, and hand it over as `model`.",
            )
        student = cls(
            model,
            encoder_of(note, open_encoder),
            settings=saved.nearest,
            text_kind=saved.text_kind,
            descriptions=saved.descriptions,
        )
        return student._showing(_read_examples(folder / ROWS_NAME, note.labels), note.labels)

    def _showing(self, examples: Sequence[Example], labels: tuple[str, ...]) -> "NearestStudent":
        """Return this student with labelled texts to show."""
        vectors = self.encoder.encode([example.text for example in examples])
        return NearestStudent(
            self.model,
            self.encoder,
            settings=self.settings,
            text_kind=self.text_kind,
            descriptions=self.descriptions,
            shown=LabelledTexts(tuple(examples), vectors, labels),
        )

    def _of_block(self, examples: Sequence[Example], shown: LabelledTexts) -> Floats:
        """Return the probabilities of some texts, [examples, classes], asking about equal ones once."""
        similarities = self.encoder.encode([example.text for example in examples]) @ shown.vectors.T
        found = np.zeros((len(examples), len(shown.labels)))
        offers: list[list[int]] = []
        asked: dict[Request, list[int]] = {}
        for row, nearest in enumerate(_most_similar_last(similarities, self.settings.examples)):
            neighbours = [shown.examples[index] for index in nearest]
            offered = _in_last_places([neighbour.label for neighbour in neighbours])
            offers.append([shown.labels.index(label) for label in offered])
            if len(offered) == 1:
                found[row, offers[row]] = 1
            else:
                asked.setdefault(self._request(examples[row], neighbours, offered), []).append(row)
        # Equal prefixes stand together, so that a model reads each but once.
        for reply in self.model.answer(sorted(asked, key=lambda request: request.prefix)):
            for row in asked[reply.request]:
                found[row, offers[row]] = _shares(reply)
        return found

    def _request(self, example: Example, neighbours: Sequence[Example], offered: Sequence[str]) -> Request:
        """Ask which of the classes on offer a text is of, in the form that the model prefers."""
        if self.model.preferred_form == "instruct":
            classes = [
                ShownClass(
                    label,
                    self.descriptions.get(label, ""),
                    tuple(render.one_line(neighbour) for neighbour in neighbours if neighbour.label == label),
                )
                for label in offered
            ]
            return Request(
                prefix=render.class_list(classes, kind=self.text_kind),
                prompt=render.relabel_instruction(example),
                form="instruct",
                sampling=ASKING,
                choices=tuple(offered),
            )
        pairs = [(neighbour, self._phrase(neighbour.label)) for neighbour in neighbours]
        return Request(
            prefix=render.relabel_examples(pairs, kind=self.text_kind, width=len(example.texts)),
            prompt=render.relabel_question(example),
            form="continue",
            sampling=ASKING,
            choices=tuple(render.relabel_choice(self._phrase(label)) for label in offered),
        )

    def _phrase(self, label: str) -> str:
        """Return what stands for a class in a list to continue."""
        return self.descriptions.get(label) or readable(label)


def _most_probable(rows: TrainingRows, labels: Sequence[str]) -> list[Example]:
    """Return the distinct texts, sorted, each with the label of the most weighted probability."""
    mass: dict[tuple[str, ...], Floats] = {}
    for example, row in zip(rows.examples, rows.targets * rows.weights[:, None], strict=True):
        mass[example.texts] = mass[example.texts] + row if example.texts in mass else row
    return [Example(texts, labels[int(mass[texts].argmax())]) for texts in sorted(mass)]


def _most_similar_last(similarities: Floats, count: int) -> NDArray[np.intp]:
    """Return the columns of the `count` largest values of each row, the largest last, [rows, count or fewer]."""
    return np.argsort(-similarities, axis=1, kind="stable")[:, :count][:, ::-1]


def _in_last_places(labels: Sequence[str]) -> list[str]:
    """Return the distinct labels in the order of their last places."""
    return list(dict.fromkeys(reversed(labels)))[::-1]


def _shares(reply: Reply) -> Floats:
    """Return the probability of each choice, [choices]; all zeros when the reply names none of them."""
    if reply.error is None and reply.choice_logprobs is not None:
        return np.asarray(softmax(reply.choice_logprobs), dtype=np.float64)
    return np.array([float(choice == reply.chosen) for choice in reply.request.choices])


def _read_examples(path: Path, labels: Sequence[str]) -> list[Example]:
    """Read the saved rows."""
    try:
        lines = path.read_bytes().splitlines()
        examples = [EXAMPLE_FORM.validate_json(line) for line in lines]
    except (OSError, ValidationError) as error:
        raise ParsingError(f"'{path}' cannot be read: {error}.", hint=REMEDY) from error
    strangers = sorted({example.label for example in examples} - set(labels))
    if strangers or not examples:
        raise ParsingError(
            f"'{path}' has {len(examples)} rows, with the unknown labels {strangers}; expected rows of {list(labels)}.",
            hint=REMEDY,
        )
    return examples
