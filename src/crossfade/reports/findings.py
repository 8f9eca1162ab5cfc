"""What a report is made of: everything that a run folder holds, as objects, handed in by `reporting.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from crossfade.data import Augmented, Corpus, Synthetic
from crossfade.evaluation.comparison import Curve, ResultRow
from crossfade.evaluation.row_intrusion import RowIntrusion
from crossfade.reports.projection import Projection
from crossfade.selection.noise_report import LabelNoise


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """The rows that were written from one set of labelled texts."""

    name: str
    """What to call it: '2 labels per class, draw 1', or 'all labelled texts'."""
    made: Augmented
    noise: LabelNoise | None
    gold: Corpus | None
    """The labelled texts; None when the data are not at hand."""

    @property
    def rows(self) -> tuple[Synthetic, ...]:
        """Kept rows, then dropped ones."""
        return self.made.kept + self.made.dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUse:
    """What one model was asked over all starts of a run."""

    model: str
    requests: int
    """Answered requests."""
    failed: int
    prompt_tokens: int
    cached_tokens: int
    """Prompt tokens that had been read before."""
    answer_tokens: int
    money: float | None
    """In the currency of the recipe's prices; None where a price is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """A run folder, read."""

    name: str
    method: str
    """Name of the recipe's own method."""
    check: str
    """The recipe's label check; 'none' when labels were not checked."""
    student: str
    kind: str
    """What the texts are, as a plural ('customer messages')."""
    seed: int
    draws: tuple[Draw, ...]
    own: str = ""
    """Which rows of the comparison are those of the recipe's own method and check; empty without a comparison."""
    rows: tuple[ResultRow, ...] = ()
    """The comparison; empty when nothing was measured."""
    curve: Curve | None = None
    """Real-label learning curve of the recipe's own student."""
    texts: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """Method to what describes its texts; `crossfade compare` alone measures it."""
    models: tuple[ModelUse, ...] = ()
    seconds: float | None = None
    """Wall time of the last start of the run; None when it was not noted."""
    projection: Projection | None = None
    """Where gold and written texts lie; None when there was nothing to embed."""
    intrusion: RowIntrusion | None = None
    """How often written rows lie outside their parents; only where embeddings were mixed."""
    follows_errors: bool = False
    """Whether rows of later rounds were written after what a student got wrong."""
    gold_missing: str = ""
    """Why the labelled texts are not at hand; empty when they are."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Every class, in the order of the data, or of the losses where the data are not at hand."""
        corpora = [draw.gold.labels for draw in self.draws if draw.gold is not None]
        return (
            corpora[0] if corpora else tuple(dict.fromkeys(label for draw in self.draws for label in draw.made.losses))
        )

    @property
    def losses(self) -> dict[str, dict[str, int]]:
        """Class to stage to count, summed over the draws."""
        total: dict[str, dict[str, int]] = {}
        for draw in self.draws:
            for label, counts in draw.made.losses.items():
                of_label = total.setdefault(label, {})
                for stage, count in counts.items():
                    of_label[stage] = of_label.get(stage, 0) + count
        return total

    @property
    def kept(self) -> list[Synthetic]:
        """Kept rows of all draws."""
        return [row for draw in self.draws for row in draw.made.kept]

    @property
    def dropped(self) -> list[Synthetic]:
        """Dropped rows of all draws."""
        return [row for draw in self.draws for row in draw.made.dropped]
