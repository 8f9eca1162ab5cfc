"""inversedMixup: mix the embeddings of two gold texts at a ratio, and turn the point between them into a sentence.

Paper: Kong et al., "inversedMixup", 2026, arXiv 2601.21543. Most of it was not readable for us and no code was
published, so this is a reconstruction; docs/methods/inversed_mixup.md says what is the paper's and what is ours.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.random import Generator
from pydantic import Field, field_validator

from crossfade.data import Augmented, Corpus, Example, Origin, Synthetic
from crossfade.errors import SettingsError
from crossfade.evaluation.comparison import text_key
from crossfade.methods.writing import Drafted, RoundSettings, top_up
from crossfade.numerics.intrusion import intrudes
from crossfade.numerics.mixing import Mixing, draw_beta_ratios, mix_points
from crossfade.roles import CHARACTERS_PER_TOKEN, Encoder, Floats, Inverter, Sampling, Student
from crossfade.selection.broken import longest_whole, why_broken
from crossfade.selection.ledger import Ledger
from crossfade.selection.out_of_fold import NewStudent, fit_on_gold
from crossfade.tasks.classification import require_examples

NAME = "inversed_mixup"
Pairs = Literal["any", "different_class", "nearest_class", "same_class"]


class InversedMixupSettings(RoundSettings):
    """How gold texts are mixed and the mixes turned into texts."""

    name: Literal["inversed_mixup"] = "inversed_mixup"
    """The method."""
    pairs: Pairs = "any"
    """What a text is mixed with: any other gold text, one of another class, one of the class whose mean embedding is
    nearest, or one of its own class, which leaves no label to be wrong between. mixup: any."""
    alpha: float = Field(1.0, gt=0.0)
    """The ratio is drawn from Beta(alpha, alpha), and the text with the larger share gives the class that is counted;
    smaller stays nearer to the texts. Ours, after mixup; the paper's is unknown."""
    least_ratio: float = Field(0.5, ge=0.5, lt=1.0)
    """Smallest share of that text that is drawn; a limit on manifold intrusion. Ours."""
    ratios: list[float] = Field([])
    """A grid to draw the share from in equal parts, each in [0.5, 1], in place of the law; for controlled studies."""
    mixing: Mixing = "linear"
    """'linear' mixes along the straight line, 'spherical' along the arc; both at the interpolated length. Ours."""
    temperature: float = Field(0.7, ge=0.0, le=2.0)
    """Sampling temperature of the inverter; 0 is greedy, with one candidate. Ours."""
    top_p: float = Field(0.9, gt=0.0, le=1.0)
    """Nucleus of the inverter's sampling. Ours."""
    max_tokens: int | None = Field(None, ge=4)
    """Longest text, in tokens. When left out: twice the 95th percentile of the gold texts' lengths. Ours."""
    candidates: int = Field(4, ge=1)
    """Texts decoded for each point, of which the one that comes nearest to the point is taken. Ours."""
    moves: int = Field(0, ge=0)
    """Times that a text which a student fitted on the gold texts does not judge to lie between its parents is written
    anew nearer to the first of them; one that never does is dropped. 0 leaves intruding texts to the label check.
    Ours."""

    @field_validator("ratios")
    @classmethod
    def _larger_shares(cls, ratios: list[float]) -> list[float]:
        if not all(0.5 <= ratio <= 1 for ratio in ratios):
            raise ValueError("expected shares of the larger parent, each between 0.5 and 1")
        return ratios


@dataclass(frozen=True, slots=True)
class Mix:
    """A point between two gold texts."""

    first: int
    """Row of the text with the larger share."""
    second: int
    ratio: float
    """Share of the first, in [0.5, 1]."""


def augment(
    gold: Corpus,
    *,
    inverter: Inverter,
    encoder: Encoder,
    new_student: NewStudent,
    settings: InversedMixupSettings,
    rng: Generator,
) -> Augmented:
    """Draw pairs and ratios, mix the embeddings, decode the points, and keep what is a new text.

    Args:
        gold: Single texts; at least one of each class, and what the pairs need.
        inverter: Embeds the texts, and turns points into texts.
        encoder: Finds near-duplicates.
        new_student: Makes the student, to be fitted on `gold`, that judges when `settings.moves` is above 0.
        settings: See `InversedMixupSettings`.
        rng: Draws pairs and ratios, and seeds the decoding.

    Returns:
        Kept rows, each with the class of its first parent and the mixed label as probabilities; dropped ones with their
        reason: broken, a copy of a parent, an intrusion, or a near-duplicate.

    Raises:
        SettingsError: The gold texts are pairs, or have nothing to be mixed with in the way asked for.
    """
    if gold.width == 2:
        raise SettingsError("inversed_mixup decodes single texts, and the data are pairs.", hint="Use hidden_mixup.")
    require_examples(gold, NAME)
    decoder = Decoder(gold, inverter, settings)
    partners = choose_partners(gold, decoder.points, settings.pairs)
    judge = fit_on_gold(gold, new_student) if settings.moves else None
    book = Ledger(gold, settings.texts_per_class)

    def draft(round_index: int) -> Drafted:
        mixes = draw_mixes(gold, book, partners, settings, rng)
        seed = int(rng.integers(2**31))
        rows = decoder.write(mixes, seed=seed, round_index=round_index)
        if judge is not None:
            rows = move_between_parents(rows, mixes, decoder, judge, book, seed=seed)
        return rows, [gold.examples[mix.first].label for mix in mixes]

    return top_up(book, draft, gold, encoder=encoder, settings=settings)


def choose_partners(gold: Corpus, points: Floats, pairs: Pairs) -> list[list[int]]:
    """Return for each gold row the rows that it may be mixed with.

    Args:
        gold: The texts.
        points: Their embeddings, [rows, width].
        pairs: See `InversedMixupSettings.pairs`.

    Raises:
        SettingsError: A row has no partner.
    """
    labels = np.array([gold.labels.index(label) for label in gold.example_labels])
    allowed = np.ones((len(gold), len(gold)), dtype=bool)
    if pairs == "same_class":
        allowed = labels[:, None] == labels
    elif pairs == "different_class":
        allowed = labels[:, None] != labels
    elif pairs == "nearest_class":
        allowed = nearest_other_class(points, labels)[labels][:, None] == labels
    np.fill_diagonal(allowed, False)
    if not allowed.any(axis=1).all():
        alone = gold.texts[int(np.flatnonzero(~allowed.any(axis=1))[0])]
        raise SettingsError(
            f"There is no text to mix '{alone}' with, going by pairs = '{pairs}'.",
            hint="Give two labelled texts of each class for 'same_class', and two classes for the others.",
        )
    return [np.flatnonzero(row).tolist() for row in allowed]


def nearest_other_class(points: Floats, labels: np.ndarray) -> np.ndarray:
    """Return for each class the other one whose mean embedding has the largest cosine with its own, [classes]."""
    means = np.stack([points[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    near = means @ means.T
    np.fill_diagonal(near, -np.inf)
    # One class alone has no other.
    return near.argmax(axis=1) if len(near) > 1 else np.array([-1])


def draw_mixes(
    gold: Corpus, book: Ledger, partners: Sequence[Sequence[int]], settings: InversedMixupSettings, rng: Generator
) -> list[Mix]:
    """Draw first parent, second parent and ratio of as many points as each class still needs."""
    targets = [label for label in gold.labels for _ in range(book.requests_wanted(label))]
    of_class = {
        label: [row for row, example in enumerate(gold) if example.label == label] for label in dict.fromkeys(targets)
    }
    firsts = [of_class[label][int(rng.integers(len(of_class[label])))] for label in targets]
    seconds = [partners[row][int(rng.integers(len(partners[row])))] for row in firsts]
    if settings.ratios:
        ratios = rng.choice(settings.ratios, size=len(targets))
    else:
        ratios = draw_beta_ratios(len(targets), settings.alpha, settings.least_ratio, rng)
    return [Mix(*drawn) for drawn in zip(firsts, seconds, ratios.tolist(), strict=True)]


class Decoder:
    """Turns mixes of gold texts into rows.

    Args:
        gold: The texts that are mixed.
        inverter: Embeds the texts, and turns points into texts.
        settings: How points are mixed and decoded.
    """

    def __init__(self, gold: Corpus, inverter: Inverter, settings: InversedMixupSettings) -> None:
        self.gold = gold
        self.inverter = inverter
        self.settings = settings
        self.points = inverter.encode(gold.texts)
        usual = float(np.quantile([len(text) for text in gold.texts], 0.95))
        tokens = settings.max_tokens or max(16, math.ceil(2 * usual / CHARACTERS_PER_TOKEN))
        self.sampling = Sampling(
            temperature=settings.temperature, top_p=settings.top_p, max_tokens=tokens, stop=("\n",)
        )
        self.longest = longest_whole(tokens)
        # An inverter reads all that it has learned for its name.
        self.name = inverter.name

    def write(self, mixes: Sequence[Mix], *, seed: int, round_index: int) -> list[Synthetic]:
        """Decode all points together, and take the best candidate of each."""
        if not mixes:
            return []
        points = mix_points(
            self.points[[mix.first for mix in mixes]],
            self.points[[mix.second for mix in mixes]],
            np.array([mix.ratio for mix in mixes]),
            self.settings.mixing,
        )
        greedy = self.settings.temperature == 0
        texts = self.inverter.decode(
            points, sampling=self.sampling, candidates=1 if greedy else self.settings.candidates, seed=seed
        )
        rows = [
            [self._row(text, mix, round_index) for text in of_mix] for of_mix, mix in zip(texts, mixes, strict=True)
        ]
        return list(self._nearest(rows, points))

    def _row(self, text: str, mix: Mix, round_index: int) -> Synthetic:
        """Make a row of a decoded text; what is no new text gets its reason."""
        first, second = self.gold.examples[mix.first], self.gold.examples[mix.second]
        broken = why_broken(text, self.longest)
        example = Example((" ".join(text.split()),), first.label)
        reason = f"unparsable: {broken}" if broken else None
        if reason is None and text_key(example) in (text_key(first), text_key(second)):
            reason = "copy: repeats a parent"
        origin = Origin(
            method=NAME,
            parents=(first.label, second.label),
            parent_texts=(first.text, second.text),
            ratio=mix.ratio,
            round_index=round_index,
            model=self.name,
            written_label=first.label,
            reason=reason,
        )
        same = first.label == second.label
        return Synthetic(
            example, origin, {first.label: 1.0} if same else {first.label: mix.ratio, second.label: 1 - mix.ratio}
        )

    def _nearest(self, rows: Sequence[Sequence[Synthetic]], points: Floats) -> Iterator[Synthetic]:
        """Yield for each point the new text whose embedding comes nearest; where there is none, what came first."""
        new = [[row for row in of_point if row.origin.reason is None] for of_point in rows]
        flat = [row.example.text for of_point in new for row in of_point]
        vectors = iter(self.inverter.encode(flat)) if flat else iter(())
        for of_point, found, point in zip(rows, new, points, strict=True):
            near = [float(next(vectors) @ point) for _ in found]
            yield found[int(np.argmax(near))] if found else of_point[0]


def move_between_parents(
    rows: Sequence[Synthetic], mixes: Sequence[Mix], decoder: Decoder, judge: Student, book: Ledger, *, seed: int
) -> list[Synthetic]:
    """Write texts that do not lie between their parents anew, in equal steps towards the first parent (ours).

    The ratio, and with it the soft label, moves along. What comes back broken or as a copy moves on as well. What still
    intrudes after the last step, which stops short of the parent itself, is dropped.

    Args:
        rows: What was decoded.
        mixes: The point of each row.
        decoder: Decodes the moved points.
        judge: A student fitted on the gold texts alone.
        book: Counts the texts that moved.
        seed: That of the rows; each step adds one.
    """
    rows = list(rows)
    steps = decoder.settings.moves
    intruding = find_intruding(rows, range(len(rows)), judge)
    for row in intruding:
        book.counts[rows[row].origin.written_label]["moved"] += 1
    for step in range(1, steps + 1):
        moved = [mixes[row] for row in intruding]
        nearer = [replace(mix, ratio=mix.ratio + (1 - mix.ratio) * step / (steps + 1)) for mix in moved]
        round_index = rows[0].origin.round_index if rows else 0
        for row, written in zip(
            intruding, decoder.write(nearer, seed=seed + step, round_index=round_index), strict=True
        ):
            rows[row] = written
        no_text = [row for row in intruding if rows[row].origin.reason is not None]
        intruding = sorted([*no_text, *find_intruding(rows, intruding, judge)])
    for row in intruding:
        if rows[row].origin.reason is None:
            reason = "intrusion: at no ratio judged to lie between its parents"
            rows[row] = replace(rows[row], origin=replace(rows[row].origin, reason=reason))
    return rows


def find_intruding(rows: Sequence[Synthetic], among: Sequence[int], judge: Student) -> list[int]:
    """Return which of some rows are texts that the judge does not find between their parents."""
    texts = [row for row in among if rows[row].origin.reason is None]
    if not texts:
        return []
    origins = [rows[row].origin for row in texts]
    first, second = (np.array([judge.labels.index(origin.parents[place]) for origin in origins]) for place in (0, 1))
    ratios = np.array([origin.ratio for origin in origins])
    probabilities = judge.predict_probabilities([rows[row].example for row in texts])
    return [row for row, outside in zip(texts, intrudes(probabilities, first, second, ratios), strict=True) if outside]
